"""Which other users could change what a path leads to.

Whoever may write to a directory can remove its files and put others there, a link to a directory
of his own included. In a sticky directory (as /tmp), he can do so only with his own files. So each
directory on the path has to be ours, or root's, and writable by nobody else; and so do those that
symbolic links on the path lead through.
"""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_EVERYBODY = 0o002
_GROUP_OR_EVERYBODY = 0o022
_MAX_LINKS = 40  # as the kernel


def untrusted_writers(directory: Path, uid: int) -> str | None:
    """Who else may put a file into a directory, or replace the directory.

    The last directory has to be closed to others even if it is sticky: another user could take
    a name in it before we do.

    Args:
        directory: Absolute; has to exist.
        uid: The user id that is to trust it; root is trusted as well.

    Returns:
        A phrase, such as ``"/srv/logs can be written by everybody (mode 1777)"``; None: nobody.

    Raises:
        OSError: A part of the path cannot be examined.
    """
    for part, status in _parts(directory):
        if status.st_uid not in (0, uid):
            return f"{part} belongs to another user (uid {status.st_uid})"
        if stat.S_ISLNK(status.st_mode):
            continue
        is_last = os.path.samestat(status, directory.stat())
        exposed = is_last or not status.st_mode & stat.S_ISVTX
        if exposed and status.st_mode & _GROUP_OR_EVERYBODY:
            group = f"its group (gid {status.st_gid})"
            writers = "everybody" if status.st_mode & _EVERYBODY else group
            return f"{part} can be written by {writers} (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def log_dir_problem(directory: Path, uid: int) -> str | None:
    """Why a manager of this user id does not use a log directory; None: it does.

    A manager of root uses only one that nobody else may write to, since it reads and writes there
    with all rights. Others use what their administrator has set up for them, a directory of a
    group, say.

    Returns:
        A phrase that follows "the log-dir X".
    """
    if not directory.is_dir():
        return "does not exist"
    if not os.access(directory, os.W_OK | os.X_OK):
        return f"cannot be written by user id {uid}"
    try:
        others = untrusted_writers(directory, uid) if uid == 0 else None
    except OSError as error:
        return f"cannot be examined: {error.strerror}"
    if others is None:
        return None
    return (
        f"is not used by a manager that runs as root, since {others}; it has to be root's, with "
        "mode 0755 or less, and so has each directory above it"
    )


def log_dir_warning(directory: Path) -> str | None:
    """What is risky about a log directory that is used all the same: a phrase after its name.

    Raises:
        OSError: It cannot be examined.
    """
    mode = directory.stat().st_mode
    if not mode & _EVERYBODY:
        return None
    return (
        f"can be written by everybody (mode {stat.S_IMODE(mode):04o}): every user of this host can "
        "take the names of the files in it; 0755, or 2775 with a group, would be right"
    )


def _parts(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Each directory and each symbolic link on the path, the links followed as the kernel does."""
    current, links, names = Path("/"), 0, list(reversed(directory.parts))
    while names:
        name = names.pop()
        part = current.parent if name == ".." else current / name  # "/" alone begins again
        status = part.lstat()
        yield part, status
        if not stat.S_ISLNK(status.st_mode):
            current = part
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(directory))
        names += reversed(part.readlink().parts)
