"""What is in the journal's place: the file as the system sees it, before SQLite gets at it.

SQLite opens what it is given: it would wait for ever on a pipe, and write on for ever into a
file that was deleted or replaced. So somebody has to look.
"""

import errno
import os
import stat
from pathlib import Path

MAGIC = b"SQLite format 3\0"

SQLITE_SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite has beside its file."""

PATH_BLOCKED_ERRNOS = frozenset(
    {errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM, errno.ENOTDIR}
)
"""What opening says of something that renaming may help against."""


class CorruptJournalError(Exception):
    """What is there is no journal of ours; the text completes "the journal …"."""


def open_file(path: Path) -> int:
    """Open the file, or make it; for its owner alone.

    Raises:
        CorruptJournalError: Something else is at its path, or at that of a side file.
        OSError: It cannot be opened.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for companion in SQLITE_SIDE_FILES:
        beside = path.with_name(path.name + companion)
        if os.path.lexists(beside) and not stat.S_ISREG(beside.lstat().st_mode):
            raise CorruptJournalError(f"cannot be used ({beside.name} is not a regular file)")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in PATH_BLOCKED_ERRNOS and os.path.lexists(path):
            raise CorruptJournalError(f"cannot be opened ({error.strerror})") from error
        raise
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise CorruptJournalError("is not a regular file")
    if stat.S_IMODE(found.st_mode) & 0o077:
        os.fchmod(fd, 0o600)
    return fd


def check_head(fd: int) -> int:
    """Look at the beginning of the file; returns its size in bytes.

    Raises:
        CorruptJournalError: It is not that of a database.
    """
    head = os.pread(fd, len(MAGIC), 0)
    if head not in (b"", MAGIC):
        raise CorruptJournalError("is not an SQLite database")
    return os.fstat(fd).st_size


def file_identity(file: Path | int) -> tuple[int, int] | None:
    """Tell files apart; None if there is none of that name."""
    try:
        found = os.stat(file)  # noqa: PTH116 - a path or a descriptor
    except OSError as error:
        if error.errno in PATH_BLOCKED_ERRNOS or error.errno == errno.ENOENT:
            return None
        raise
    return found.st_dev, found.st_ino
