"""What an engine leaves running and mounted when it dies: found in /proc, ended by pid."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

NAMES = (b"dockerd", b"containerd", b"runc")


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    return _state(Path(f"/proc/{pid}")) not in "ZX"


def wait_gone(pid: int, seconds: float) -> bool:
    """Wait until the process is gone; False if it is still there after that time."""
    until = time.monotonic() + seconds
    while alive(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    if pid > 1:  # 0 and negative numbers mean groups
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def freeze(pid: int, seconds: float = 10.0) -> None:
    """SIGSTOP, and wait until every thread has stopped: the signal alone only asks for it.

    Raises:
        TimeoutError: One still runs after that time.
    """
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + seconds
    while any(_state(task) not in "TtZX" for task in Path(f"/proc/{pid}/task").iterdir()):
        if time.monotonic() > until:
            msg = f"process {pid} is not frozen after {seconds:g} s"
            raise TimeoutError(msg)
        time.sleep(0.002)


def belongs(pid: int, directory: Path) -> bool:
    """Whether this is a live process of the engine in that directory: its command line names it.

    True for dockerd, containerd, and the shim and runc of each container; never for what runs
    inside one.
    """
    with contextlib.suppress(OSError):
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if argv[0].rpartition(b"/")[2].startswith(NAMES):
            inside = os.fsencode(directory) + b"/"
            return any(inside in word for word in argv) and alive(pid)
    return False


def of_directory(directory: Path) -> list[int]:
    """Processes of the engine in that directory."""
    entries = (entry.name for entry in Path("/proc").iterdir())
    return [int(name) for name in entries if name.isdigit() and belongs(int(name), directory)]


def children(pid: int) -> list[int]:
    """Direct children of a process."""
    with contextlib.suppress(OSError):
        return [
            int(word)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for word in (task / "children").read_text().split()
        ]
    return []


def end_all(directory: Path) -> None:
    """Kill what is left of an engine: what runs in its containers, then its own processes."""
    left = of_directory(directory)
    inside = {child for pid in left for child in children(pid)}
    for pid in (*(inside - set(left)), *left):
        send(pid, signal.SIGKILL)
    for pid in left:
        wait_gone(pid, 5)


def mounts(directory: Path) -> list[str]:
    """Mount points inside a directory, the innermost first."""
    inside = f"{directory}/"
    points = [line.split(" ")[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    decoded = [point.encode().decode("unicode_escape") for point in points]  # \040 is a space
    return sorted((point for point in decoded if point.startswith(inside)), reverse=True)


def unmount_all(directory: Path) -> None:
    """Unmount what an engine that was killed has left mounted."""
    for point in mounts(directory):
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)


def _state(entry: Path) -> str:
    """The state of a process or thread, as a letter; X if it is gone."""
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
