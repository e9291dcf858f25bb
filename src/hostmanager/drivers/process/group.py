"""Who belongs to the session that an agent founded, found in /proc.

A session holds the agent's process group and all others that were made in it (by a shell
with job control, say). Only looked at when an agent has ended, never in a rhythm.
"""

import os
from pathlib import Path


def members(leader: int) -> frozenset[int]:
    """List the live processes of the session that `leader` founded.

    Zombies are left out: nothing of them runs, and their parent has yet to wait for them.

    Raises:
        OSError: /proc cannot be read (no file descriptors left, say).
    """
    return frozenset(pid for pid in _pids() if belongs(pid, leader) and not _is_zombie(pid))


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def belongs(pid: int, leader: int) -> bool:
    """Tell whether a process is of the session that `leader` founded."""
    try:
        return os.getsid(pid) == leader
    except OSError:
        return False  # ended meanwhile


def _is_zombie(pid: int) -> bool:
    # The state follows the name, which stands in parentheses and may hold anything. (psutil
    # would tell as well, for 2 MB of memory in a manager that hardly ever needs to know.)
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(b")")[2].split()[0] in (b"Z", b"X")


def command_line(pid: int) -> str:
    """The command line of a process, for people; its number alone when it is gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"pid {pid}"
    text = " ".join(b" ".join(words).decode("utf-8", "replace").split())
    return f"pid {pid}: {text[:80]}" if text else f"pid {pid}"
