"""The lock that each launched process holds as long as it lives.

It is a `flock` on a file of the instance. The open file is inherited by the process and by
what it starts, so the kernel keeps the lock until the last of them is gone, whoever took it.
It closes the gap that the mark leaves: a process between fork and exec carries no mark yet.
"""

import errno
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from hostmanager.util import procfs as proc
from hostmanager.util.lockfile import acquire_lock
from hostmanager.util.procfs import list_pids

RESOURCE_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors that say nothing of a lock, only that no file can be opened at the moment."""


def acquire(path: Path) -> int | None:
    """Take the lock.

    Returns:
        The open file that holds it (to be inherited, then closed), or None if it is held.

    Raises:
        OSError: The file cannot be opened.
    """
    try:
        return acquire_lock(os.fspath(path))
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return acquire_lock(os.fspath(path))


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock; not to be asked while one is launched.

    Raises:
        OSError: It cannot be told, for want of descriptors or memory.
    """
    try:
        fd = acquire(path)
    except OSError as error:
        if error.errno in RESOURCE_ERRNOS:
            raise
        return False  # there can be none here: what is launched has none either
    if fd is not None:
        os.close(fd)
    return fd is None


def holders(path: Path) -> list[int]:
    """Find who holds the lock, ourselves left out; those that may not be looked at are not."""
    return holders_of([path])[path]


def holders_of(paths: Collection[Path]) -> dict[Path, list[int]]:
    """Find who holds each of these locks, in one look at all processes."""
    found: dict[Path, list[int]] = {path: [] for path in paths}
    wanted = _by_inode(paths)
    us = os.getpid()
    for pid in list_pids() if wanted else ():
        for path in _held_by(pid, wanted) if pid != us else ():
            found[path].append(pid)
    return found


def held_by(pid: int, paths: Collection[Path]) -> set[Path]:
    """Which of these locks a process holds; none if it may not be looked at."""
    return _held_by(pid, _by_inode(paths))


def _by_inode(paths: Collection[Path]) -> dict[tuple[int, int], Path]:
    return {which: path for path in paths if (which := _which(path)) is not None}


def _which(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat(follow_symlinks=False)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _held_by(pid: int, wanted: Mapping[tuple[int, int], Path]) -> set[Path]:
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            return {
                path
                for entry in entries
                if (path := _wanted(entry, wanted)) is not None and _is_lock(pid, entry.name)
            }
    except OSError:
        return set()  # ended, or somebody else's


def _wanted(entry: "os.DirEntry[str]", wanted: Mapping[tuple[int, int], Path]) -> Path | None:
    try:
        found = entry.stat()
    except OSError:
        return None
    return wanted.get((found.st_dev, found.st_ino))


def _is_lock(pid: int, fd: str) -> bool:
    """Whether an open file is the one that holds the lock, and not one of who only reads it."""
    try:
        return b"FLOCK" in (proc.read_file(pid, f"fdinfo/{fd}", 65536) or b"FLOCK")
    except OSError:
        return True
