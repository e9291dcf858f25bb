"""The lock that each launched process holds as long as it lives.

It is a `flock` on a file of the instance. The process and its descendants inherit the open file,
so the kernel keeps the lock until the last of them is gone, whoever acquired it. It closes the
gap that the environment tag leaves: a process between fork and exec has no tag yet.
"""

import errno
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from hostmanager.util import procfs
from hostmanager.util.files import make_private_directory
from hostmanager.util.lockfile import acquire_lock
from hostmanager.util.procfs import list_pids

RESOURCE_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors that say nothing about a lock, only that no file can be opened at the moment."""


def acquire(path: Path) -> int | None:
    """Acquire the lock.

    Returns:
        The open file that holds it (to be inherited, then closed), or None if it is held.

    Raises:
        OSError: The file cannot be opened.
    """
    try:
        return acquire_lock(os.fspath(path))
    except FileNotFoundError:
        make_private_directory(path.parent)
        return acquire_lock(os.fspath(path))


def is_held(path: Path) -> bool:
    """Whether the lock is held; not to be called during a launch.

    Raises:
        OSError: It is not known, for lack of file descriptors or memory.
    """
    try:
        fd = acquire(path)
    except OSError as error:
        if error.errno in RESOURCE_ERRNOS:
            raise
        return False  # there can be no lock here: what is launched has none either
    if fd is not None:
        os.close(fd)
    return fd is None


def holders(path: Path) -> list[int]:
    """Find the processes that hold the lock, apart from this one and those of other users."""
    return holders_of([path])[path]


def holders_of(paths: Collection[Path]) -> dict[Path, list[int]]:
    """Find the processes that hold each of these locks, in one scan of /proc."""
    holder_pids: dict[Path, list[int]] = {path: [] for path in paths}
    by_inode = _by_inode(paths)
    us = os.getpid()
    for pid in list_pids() if by_inode else ():
        for path in _held_by(pid, by_inode) if pid != us else ():
            holder_pids[path].append(pid)
    return holder_pids


def held_by(pid: int, paths: Collection[Path]) -> set[Path]:
    """Which of these locks a process holds; none if it may not be inspected."""
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
        return set()  # ended, or of another user


def _wanted(entry: "os.DirEntry[str]", wanted: Mapping[tuple[int, int], Path]) -> Path | None:
    try:
        status = entry.stat()
    except OSError:
        return None
    return wanted.get((status.st_dev, status.st_ino))


def _is_lock(pid: int, fd: str) -> bool:
    """Whether an open file is the one that holds the lock, and not one that only reads it."""
    try:
        return b"FLOCK" in (procfs.read_file(pid, f"fdinfo/{fd}", 65536) or b"FLOCK")
    except OSError:
        return True
