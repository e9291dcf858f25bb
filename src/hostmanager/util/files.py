"""Opening files by name in directories where another user may have put something there.

A name says nothing about what lies there: a symbolic link to a file of somebody else, a hard
link to one of ours, a FIFO that never answers, a device. So a name is first looked up without
opening anything (``O_PATH``), then judged, and then that very file is opened, not whatever the
name leads to by then. Ours is a regular file that belongs to our user. Several names for it
are one too many where another user may make names: it may be a file of ours from elsewhere.

Imports as little as it can: the process that writes agents' output uses it.
"""

import errno
import os
import stat
import time

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}
_TRIALS = 10


class ForeignFileError(OSError):
    """What lies there is not a file of ours alone; the text says what it is."""


def open_own(path: str, flags: int, mode: int = 0o600) -> int:
    """Open a file of ours; with ``O_CREAT``, make it if nothing is there.

    Args:
        path: The file; its last part is never followed as a symbolic link.
        flags: As for `os.open`; ``O_CLOEXEC`` is added.
        mode: Of a file that is made.

    Raises:
        ForeignFileError: Something else lies there. It was not opened.
        OSError: It cannot be opened.
    """
    return _open(path, flags, mode)[0]


def open_or_replace(path: str, flags: int, mode: int = 0o600) -> tuple[int, bool]:
    """Open a file of ours, or make it; what lies there and is not ours is moved aside.

    A directory is not moved: nobody puts one there but an administrator.

    Returns:
        The descriptor, and whether the file was made.

    Raises:
        OSError: It can be neither opened nor made nor moved.
    """
    for _ in range(_TRIALS):
        try:
            return _open(path, flags | os.O_CREAT, mode)
        except ForeignFileError:
            move_aside(path)
    raise OSError(errno.EAGAIN, "somebody keeps putting something else there", path)


def is_own(path: str) -> bool:
    """Whether a file of ours lies there."""
    try:
        _judge(os.lstat(path), path)
    except OSError:
        return False
    return True


def open_fifo(path: str, flags: int) -> int:
    """Open a FIFO without waiting for its other end.

    Raises:
        OSError: There is none, or something else.
    """
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "not a FIFO", path)


def move_aside(path: str) -> None:
    """Rename what lies there to ``PATH.aside-TIME``, whatever it is; without opening it.

    Raises:
        OSError: The directory cannot be written.
    """
    try:
        os.rename(path, f"{path}.aside-{time.time_ns()}")
    except FileNotFoundError:
        if os.path.isdir(os.path.dirname(path) or "."):
            return  # it is gone already
        raise


def _open(path: str, flags: int, mode: int) -> tuple[int, bool]:
    flags |= os.O_CLOEXEC
    for _ in range(_TRIALS):
        try:
            seen = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
            try:
                return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, mode), True
            except FileExistsError:
                continue  # somebody was quicker: look at what it is
        try:
            _judge(os.fstat(seen), path)
            return os.open(f"/proc/self/fd/{seen}", flags & ~(os.O_CREAT | os.O_EXCL)), False
        finally:
            os.close(seen)
    raise OSError(errno.EAGAIN, "somebody keeps making and removing it", path)


def _judge(found: os.stat_result, path: str) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if kind != stat.S_IFREG:
        raise _foreign(f"it is {_KINDS.get(kind, 'something else')}, not a regular file", path)
    if found.st_uid != os.geteuid():
        raise _foreign(f"it belongs to another user (uid {found.st_uid})", path)
    if found.st_nlink > 1 and _others_make_names(os.path.dirname(path) or "."):
        raise _foreign("it has several names (hard links)", path)


def _others_make_names(directory: str) -> bool:
    found = os.stat(directory)
    return bool(found.st_mode & 0o022) or found.st_uid not in (0, os.geteuid())


def _foreign(what: str, path: str) -> ForeignFileError:
    return ForeignFileError(errno.EPERM, what, path)
