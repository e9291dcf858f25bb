"""Who belongs to the session that an agent founded, found in /proc.

A session holds the agent's process group and all others that were made in it (by a shell
with job control, say). Only looked at when an agent has ended, never in a rhythm.
"""

import os
from pathlib import Path

import psutil


def members(leader: int) -> frozenset[int]:
    """List the live processes of the session that `leader` founded.

    Zombies are left out: nothing of them runs, and their parent has yet to wait for them.

    Raises:
        OSError: /proc cannot be read (no file descriptors left, say).
    """
    return frozenset(pid for pid in psutil.pids() if belongs(pid, leader) and not _is_zombie(pid))


def belongs(pid: int, leader: int) -> bool:
    """Tell whether a process is of the session that `leader` founded."""
    try:
        return os.getsid(pid) == leader
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
