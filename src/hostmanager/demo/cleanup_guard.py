"""Leaves nothing behind, even if the demo itself is killed outright.

`kill_leftovers` ends what still runs in the demo's directory. As a program (`python -m
hostmanager.demo.cleanup_guard DIRECTORY`) it waits beside the demo, with the demo's end of a pipe as
its standard input: when that closes without the word "done", the demo was killed, and the
guard ends its processes and removes its containers and its directory.

A process belongs to the demo if its working directory is in the demo's directory and it has
no terminal: a shell in which somebody looks at the directory is left alone. (Agents overwrite
their command line and environment in /proc, so neither would tell.) Standard library
only, so that it starts at once.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

DONE = b"done\n"
TERM_GRACE = 8.0
"""Seconds between SIGTERM and SIGKILL after the demo was killed."""

KILL_TIMEOUT = 5.0


def start_guard(directory: Path) -> subprocess.Popen[bytes]:
    """Start the guard of a directory. Tell it `DONE` on its stdin when all is well."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "hostmanager.demo.cleanup_guard", str(directory)],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def processes_in(directory: Path) -> list[int]:
    """List the demo's live processes: those in the directory that have no terminal."""
    pids = map(int, filter(str.isdigit, os.listdir("/proc")))  # noqa: PTH208
    return [pid for pid in pids if _in(pid, directory)]


def kill_leftovers(directory: Path, polite: float = 0.0) -> list[int]:
    """End every process in the directory.

    Args:
        directory: The demo's.
        polite: Seconds between SIGTERM and SIGKILL; 0 for SIGKILL at once.

    Returns:
        The processes that are still there, which should be none.
    """
    if polite > 0:
        _signal(processes_in(directory), signal.SIGTERM)
        _wait_until_empty(directory, polite)
    until = time.monotonic() + KILL_TIMEOUT
    while (left := processes_in(directory)) and time.monotonic() < until:
        _signal(left, signal.SIGKILL)
        time.sleep(0.02)
    return left


def main(directory: Path) -> None:
    """Wait for the demo's end; if it was no good end, clean up after it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.readline() == DONE:
        return
    kill_leftovers(directory, TERM_GRACE)
    if (directory / "compose.yaml").exists():
        from hostmanager.demo import services  # noqa: PLC0415 - seldom needed

        with contextlib.suppress(services.ServicesError):
            services.remove(directory)
    shutil.rmtree(directory, ignore_errors=True)


def _in(pid: int, directory: Path) -> bool:
    home = os.fspath(directory)
    try:
        cwd = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115
        if cwd != home and not cwd.startswith((home + "/", home + " (deleted)")):
            return False
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False  # gone, or somebody else's
    state, terminal = fields[0], fields[4]
    return state != "Z" and terminal == "0" and pid != os.getpid()


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait_until_empty(directory: Path, timeout: float) -> None:
    until = time.monotonic() + timeout
    while processes_in(directory) and time.monotonic() < until:
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
