"""Who belongs to a process group or session, found in /proc.

Only looked at when an agent has ended and its group has not, never in a rhythm.
"""

import os
from pathlib import Path

import psutil


def exists(pgid: int) -> bool:
    """Tell whether anything is in a process group; zombies count."""
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it changed its user, but it is there
    return True


def members(leader: int) -> frozenset[int]:
    """List the live processes of the group or session that `leader` founded.

    Zombies are left out: nothing of them runs, and their parent has yet to wait for them.
    """
    found = set()
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names are all that is needed
        if entry.isdigit() and _belongs(int(entry), leader) and not _is_zombie(int(entry)):
            found.add(int(entry))
    return frozenset(found)


def _belongs(pid: int, leader: int) -> bool:
    try:
        return os.getpgid(pid) == leader or os.getsid(pid) == leader
    except OSError:
        return False  # ended meanwhile


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return True


def command_line(pid: int) -> str:
    """The command line of a process, for people; its number alone when it is gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"pid {pid}"
    text = " ".join(b" ".join(words).decode("utf-8", "replace").split())
    return f"pid {pid}: {text[:80]}" if text else f"pid {pid}"
