"""Opening files by name in directories where another user may have put something else.

A name says nothing about the file behind it: a symbolic link to a file of somebody else, a hard
link to one of ours, a FIFO that never answers, a device. So a name is first resolved without
opening anything (``O_PATH``), then checked, and then that very file is opened, not whatever the
name leads to by then. Our own file is a regular file that belongs to our user. Several names for
it are one too many where another user may make names: it may be a file of ours from elsewhere.

Imports as little as it can: the log daemon uses it.
"""

import errno
import os
import stat
import time
from contextlib import suppress

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}
_MAX_ATTEMPTS = 10
_BLOCK = 256 * 1024


class ForeignFileError(OSError):
    """The path leads to something else than a file of ours alone; the text says what."""


class FileTooLargeError(OSError):
    """A file has more bytes than may be read."""


class NotRegularFileError(OSError):
    """A path leads to something else than a regular file.

    Attributes:
        kind: What it is, such as "a directory".
    """

    def __init__(self, mode: int, path: str) -> None:
        self.kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        super().__init__(errno.EINVAL, f"it is {self.kind}, not a regular file", path)


def make_private_directory(path: str | os.PathLike[str]) -> None:
    """Make a directory and what is missing above it, all for our user alone; it may exist.

    With `os.makedirs`, those above it would be open to others.

    Raises:
        OSError: It cannot be made.
    """
    try:
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        parent = os.path.dirname(path)
        if not parent:
            raise
        make_private_directory(parent)
        with suppress(FileExistsError):  # another thread or process was faster
            os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def open_own(path: str, flags: int, mode: int = 0o600) -> int:
    """Open our own file; with ``O_CREAT``, make it if it is missing.

    Args:
        path: The file; its last part is never followed as a symbolic link.
        flags: As for `os.open`; ``O_CLOEXEC`` is added.
        mode: Of a file that is made.

    Raises:
        ForeignFileError: The path leads to something else. It was not opened.
        OSError: It cannot be opened.
    """
    return _open(path, flags, mode)[0]


def open_or_replace(path: str, flags: int, mode: int = 0o600) -> tuple[int, bool]:
    """Open our own file, or make it; anything else at the path is moved aside.

    A directory is not moved: only an administrator would have put it there.

    Returns:
        The descriptor, and whether the file was made.

    Raises:
        OSError: The file can be neither opened nor made nor moved.
    """
    for _ in range(_MAX_ATTEMPTS):
        try:
            return _open(path, flags | os.O_CREAT, mode)
        except ForeignFileError:
            move_aside(path)
    raise OSError(errno.EAGAIN, "another process keeps replacing it", path)


def read_bounded(
    path: str | os.PathLike[str], max_bytes: int, *, follow_links: bool = True
) -> bytes:
    """Read a regular file that must not be large. Never waits, whatever is at the path.

    Args:
        path: The file.
        max_bytes: Its largest size.
        follow_links: Whether the path may be a symbolic link.

    Raises:
        FileTooLargeError: It has more bytes.
        NotRegularFileError: It is something else.
        OSError: It cannot be read.
    """
    path = os.fspath(path)
    _require_regular(os.stat(path, follow_symlinks=follow_links), path)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    fd = os.open(path, flags if follow_links else flags | os.O_NOFOLLOW)
    data = bytearray()
    try:
        _require_regular(os.fstat(fd), path)  # it may have been replaced since
        while block := os.read(fd, min(_BLOCK, max_bytes + 1 - len(data))):
            data += block
    finally:
        os.close(fd)
    if len(data) > max_bytes:
        raise FileTooLargeError(errno.EFBIG, f"it has more than {max_bytes:,} bytes", path)
    return bytes(data)


def replace_file(path: str, data: bytes, mode: int = 0o600) -> None:
    """Replace a file as a whole: whatever happens, a power cut too, leaves the old or the new one.

    Raises:
        OSError: It cannot be written; the old one is there.
    """
    new = f"{path}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        try:
            fd = os.open(new, flags, mode)
        except FileExistsError:  # of a process that was killed meanwhile
            os.unlink(new)
            fd = os.open(new, flags, mode)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
        directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)  # the name survives a power cut, too
        finally:
            os.close(directory)
    except OSError:
        with suppress(OSError):
            os.unlink(new)
        raise


def is_own(path: str) -> bool:
    """Whether the path leads to our own file."""
    try:
        _require_own(os.lstat(path), path)
    except OSError:
        return False
    return True


def open_fifo(path: str, flags: int) -> int:
    """Open a FIFO without waiting for its other end.

    Raises:
        OSError: It is missing, or is no FIFO.
    """
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "not a FIFO", path)


def move_aside(path: str) -> None:
    """Rename whatever is at a path to ``PATH.aside-TIME``, without opening it.

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
    for _ in range(_MAX_ATTEMPTS):
        try:
            resolved = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
            try:
                return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, mode), True
            except FileExistsError:
                continue  # somebody else made it first: check that file
        try:
            _require_own(os.fstat(resolved), path)
            return os.open(f"/proc/self/fd/{resolved}", flags & ~(os.O_CREAT | os.O_EXCL)), False
        finally:
            os.close(resolved)
    raise OSError(errno.EAGAIN, "another process keeps making and removing it", path)


def _require_regular(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularFileError(status.st_mode, path)


def _require_own(status: os.stat_result, path: str) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if kind != stat.S_IFREG:
        raise _foreign(f"it is {_KINDS.get(kind, 'something else')}, not a regular file", path)
    if status.st_uid != os.geteuid():
        raise _foreign(f"it belongs to another user (uid {status.st_uid})", path)
    if status.st_nlink > 1 and _is_writable_by_others(os.path.dirname(path) or "."):
        raise _foreign("it has several names (hard links)", path)


def _is_writable_by_others(directory: str) -> bool:
    status = os.stat(directory)
    return bool(status.st_mode & 0o022) or status.st_uid not in (0, os.geteuid())


def _foreign(reason: str, path: str) -> ForeignFileError:
    return ForeignFileError(errno.EPERM, reason, path)
