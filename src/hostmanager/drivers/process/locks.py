"""The lock that each launched process holds as long as it lives.

It is a `flock` on a file of the instance. The open file is inherited by the process and by
what it starts, so the kernel keeps the lock until the last of them is gone, whoever took it.
It closes the gap that the mark leaves: a process between fork and exec carries no mark yet.
"""

import fcntl
import os
from pathlib import Path

from hostmanager.drivers.process.proc import pids


def take(path: Path) -> int | None:
    """Take the lock.

    Returns:
        The open file that holds it (to be inherited, then closed), or None if it is held.

    Raises:
        OSError: The file cannot be opened.
    """
    try:
        fd = _open(path)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = _open(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:
        os.close(fd)
        raise
    return fd


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(path, flags, 0o600)


def holders(path: Path) -> list[int]:
    """Find who has the file open: the processes of which one holds the lock, ours left out."""
    try:
        wanted = path.stat()
    except OSError:
        return []
    us = os.getpid()
    return [pid for pid in pids() if pid != us and _has_open(pid, wanted)]


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            return any(_is(entry, wanted) for entry in entries)
    except OSError:
        return False  # ended, or somebody else's


def _is(entry: "os.DirEntry[str]", wanted: os.stat_result) -> bool:
    try:
        found = entry.stat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)
