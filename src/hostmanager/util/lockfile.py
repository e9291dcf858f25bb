"""Lock files (`flock`): whoever holds one is alive, whatever is written in it or anywhere else.

The kernel releases a lock when its last holder dies.
"""

import errno
import fcntl
import os
import time
from contextlib import suppress

from hostmanager.util.files import move_aside, open_or_replace, open_own

_RETRY_INTERVAL = 0.02


def acquire_lock(
    path: str, text: str = "", timeout: float = 0.0, *, replace: bool = False
) -> int | None:
    """Lock a file, and write into it who holds it.

    Args:
        path: The file; made if it is missing.
        text: What `read_lock_holder` shows.
        timeout: Seconds to try; whoever checks a lock holds it for an instant.
        replace: Whether to move aside what lies at the path and is not a file of ours.

    Returns:
        The open file that holds the lock; None if somebody else holds it.

    Raises:
        OSError: The file can be neither opened nor made.
    """
    deadline = time.monotonic() + timeout
    while True:
        fd = _open_or_replace(path) if replace else _open(path)
        try:
            if not try_lock(fd):
                if time.monotonic() >= deadline:
                    os.close(fd)
                    return None
            elif is_same_file(fd, path):  # nobody removed it in between
                _write(fd, text)
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        time.sleep(_RETRY_INTERVAL)


def try_lock(fd: int) -> bool:
    """Lock an open file, without waiting; report whether it is locked now."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_lock_holder(path: str) -> str | None:
    """The text that the holder of a lock has written; None: nobody holds it."""
    try:
        fd = open_own(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(fd, 4096, 0).decode("utf-8", "surrogateescape")
    except OSError:
        return None
    finally:
        os.close(fd)
    return None


def is_same_file(fd: int, path: str) -> bool:
    """Whether a path still leads to this open file."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(fd))
    except OSError:
        return False


def _open(path: str) -> int:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
    # Read-only after an error of the disk, say. Whoever locked it before has it still.
    return os.open(path, os.O_RDONLY | flags)


def _open_or_replace(path: str) -> int:
    if os.path.isdir(path):
        move_aside(path)
    return open_or_replace(path, os.O_RDWR)[0]


def _write(fd: int, text: str) -> None:
    if text:
        with suppress(OSError):  # a full disk: the lock counts, not the text
            os.ftruncate(fd, 0)
            os.pwrite(fd, text.encode("utf-8", "surrogateescape"), 0)
