"""Locked files: who holds them is alive, whatever is written in them or anywhere else.

The kernel lets go of a lock when its holder dies. Nobody waits for a lock here for longer
than a moment: it is either had or it is not.
"""

import fcntl
import os
import time

from hostmanager.util.files import move_aside, open_or_replace, open_own

_MOMENT = 1.0
_AGAIN = 0.02


def acquire(path: str, text: str) -> int | None:
    """Lock a file and write into it who has it.

    Who looks whether it is locked holds it for an instant, so it is tried for a moment.

    Returns:
        A descriptor; None if it is somebody else's.

    Raises:
        OSError: The file can neither be opened nor replaced.
    """
    deadline = time.monotonic() + _MOMENT
    while True:
        fd = _open(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_same_file(fd, path):  # nobody removed it in between
                os.ftruncate(fd, 0)
                os.pwrite(fd, text.encode("utf-8", "surrogateescape"), 0)
                return fd
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                return None
        os.close(fd)
        time.sleep(_AGAIN)


def _open(path: str) -> int:
    if os.path.isdir(path):
        move_aside(path)
    return open_or_replace(path, os.O_RDWR)[0]


def read_holder(path: str) -> str | None:
    """What the holder of a lock has written into it; None: nobody holds it."""
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
        there, here = os.lstat(path), os.fstat(fd)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
