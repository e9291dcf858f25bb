"""The processes of a site, seen from outside, in /proc.

`ocs-agent-cli` renames its process, which wipes its command line *and* its environment in
/proc. So a process belongs to a site if its working directory is in the site's directory (the
manager is started there), or its command line names that directory, or its environment has
the site's mark.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from tests.support.sites import Site
from tests.support.waiting import wait_for

TITLE = "ocs-agent:"


@dataclass(frozen=True)
class Found:
    """One live process of a site.

    Attributes:
        pid: Its process id.
        ppid: Its parent's.
        kind: ``manager``, ``agent``, ``grandchild``, ``log daemon``, ``fork server`` or ``other``.
        instance_id: For agents.
        title: Its command line.
    """

    pid: int
    ppid: int
    kind: str
    instance_id: str
    title: str


def processes(site: Site) -> list[Found]:
    """Every live process of the site, zombies left out, in the order of their ids."""
    results = []
    for pid in sorted(psutil.pids()):
        with contextlib.suppress(OSError):
            process = _look(pid, site)
            if process is not None:
                results.append(process)
    return results


def processes_of(site: Site) -> dict[str, list[int]]:
    """The pids of each instance's agent processes; instances with none are left out."""
    results: dict[str, list[int]] = {}
    for process in processes(site):
        if process.kind == "agent":
            results.setdefault(process.instance_id, []).append(process.pid)
    return results


def alive(pid: int) -> bool:
    """Whether the process is there and not a zombie."""
    try:
        return _stat(pid)[0] != "Z"
    except OSError:
        return False


def kill_all(site: Site) -> None:
    """SIGKILL to every process of the site; returns when none is left."""

    def none_left() -> bool:
        left = processes(site)
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        return not left

    wait_for(none_left, 10, "the killed processes to be gone", lambda: processes(site))


def _look(pid: int, site: Site) -> Found | None:
    directory = Path("/proc", str(pid))
    argv = [os.fsdecode(word) for word in (directory / "cmdline").read_bytes().split(b"\0") if word]
    state, ppid = _stat(pid)
    if state == "Z" or pid == os.getpid() or not _belongs(directory, argv, site):
        return None
    kind, instance_id = _kind(argv, site)
    return Found(pid, ppid, kind, instance_id, " ".join(argv))


def _belongs(directory: Path, argv: list[str], site: Site) -> bool:
    home = str(site.directory)
    cwd = str((directory / "cwd").readlink())
    if cwd == home or cwd.startswith(home + "/") or any(home + "/" in word for word in argv):
        return True
    return f"HM_TEST_MARK={site.mark}".encode() in (directory / "environ").read_bytes().split(b"\0")


def _kind(argv: list[str], site: Site) -> tuple[str, str]:
    if not argv:
        return "other", ""
    instance_id = ""
    if argv[0].startswith(TITLE):
        instance_id = argv[0].removeprefix(TITLE).strip()
    elif _module(argv) in ("ocs.agent_cli", "hostmanager.agent"):
        instance_id = argv[argv.index("--instance-id") + 1] if "--instance-id" in argv else ""
    elif "tiny-grandchild" in argv:
        return "grandchild", argv[-1]
    elif _module(argv) == "hostmanager.logd":
        return "log daemon", ""
    elif any(word.endswith("warm/fork_server.py") for word in argv):
        return "fork server", ""
    if instance_id == site.manager_id:
        return "manager", instance_id
    return ("agent", instance_id) if instance_id else ("other", "")


def _module(argv: list[str]) -> str:
    """The NAME in ``python -m NAME``, else nothing."""
    for option, value in pairwise(argv):
        if option == "-m":
            return value
        if not option.startswith("-") and option != argv[0]:
            return ""
    return ""


def _stat(pid: int) -> tuple[str, int]:
    """State letter and parent of a process."""
    fields = Path("/proc", str(pid), "stat").read_text(errors="replace").rpartition(")")[2].split()
    return fields[0], int(fields[1])


def started(pid: int) -> float:
    """When a process began, Unix time. (psutil adds whole seconds to ticks since the boot.)"""
    text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    ticks = int(text.rpartition(")")[2].split()[19])
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def is_read(pid: int, readers: Iterable[int]) -> bool:
    """Whether one of these has open for reading what a process has as its output; True if it ended."""
    with contextlib.suppress(OSError):
        pipe = Path(f"/proc/{pid}/fd/1").stat()
        return any(_reads(reader, pipe) for reader in readers)
    return True  # it has just ended


def _reads(pid: int, pipe: os.stat_result) -> bool:
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                status = entry.stat()
                if (status.st_dev, status.st_ino) == (pipe.st_dev, pipe.st_ino):
                    info = Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text()
                    flags = int(info.split("flags:")[1].split()[0], 8)
                    if flags & os.O_ACCMODE in (os.O_RDONLY, os.O_RDWR):
                        return True
    return False
