"""Which other users could change what a path leads to.

Whoever may write to a directory can remove what is in it and put something else there, a link
to a directory of his own included. Where the directory is sticky (as /tmp), he can do so only
with what is his. So each directory on the way has to be ours, or root's, and writable by nobody
else; and so do those that symbolic links on the way lead through.
"""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_EVERYBODY = 0o002
_GROUP_OR_EVERYBODY = 0o022
_MOST_LINKS = 40  # as the kernel


def untrusted_writers(directory: Path, me: int) -> str | None:
    """Who else may put something into a directory, or put another in its place.

    The last directory has to be closed to others even if it is sticky: another user could take
    a name in it before we do.

    Args:
        directory: Absolute; has to exist.
        me: The user id that is to trust it; root is trusted as well.

    Returns:
        A phrase, such as ``"/srv/logs can be written by everybody (mode 1777)"``; None: nobody.

    Raises:
        OSError: A part of the path cannot be looked at.
    """
    for part, found in _parts(directory):
        if found.st_uid not in (0, me):
            return f"{part} belongs to another user (uid {found.st_uid})"
        if stat.S_ISLNK(found.st_mode):
            continue
        last = os.path.samestat(found, directory.stat())
        if found.st_mode & _GROUP_OR_EVERYBODY and (last or not found.st_mode & stat.S_ISVTX):
            who = "everybody" if found.st_mode & _EVERYBODY else f"its group (gid {found.st_gid})"
            return f"{part} can be written by {who} (mode {stat.S_IMODE(found.st_mode):04o})"
    return None


def log_dir_problem(directory: Path, me: int) -> str | None:
    """Why a manager of this user id puts no files into a log directory; None: it does.

    A manager of root uses only one that nobody else may write to: what it writes and reads there
    it writes and reads with all rights. Others use what their administrator has set up for them,
    a directory of a group, say.

    Returns:
        What goes on after "the log-dir X".
    """
    if not directory.is_dir():
        return "does not exist"
    if not os.access(directory, os.W_OK | os.X_OK):
        return f"cannot be written by user id {me}"
    try:
        others = untrusted_writers(directory, me) if me == 0 else None
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    if others is None:
        return None
    return (
        f"is not used by a manager that runs as root, since {others}; it has to be root's, with "
        "mode 0755 or less, and so has each directory above it"
    )


def log_dir_warning(directory: Path) -> str | None:
    """What is risky about a log directory that is used all the same; what goes on after its name.

    Raises:
        OSError: It cannot be looked at.
    """
    mode = directory.stat().st_mode
    if not mode & _EVERYBODY:
        return None
    return (
        f"can be written by everybody (mode {stat.S_IMODE(mode):04o}): every user of this host can "
        "take the names of the files in it; 0755, or 2775 with a group, would be right"
    )


def _parts(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Each directory and each symbolic link on the way, the links followed as the kernel does."""
    here, links, names = Path("/"), 0, list(reversed(directory.parts))
    while names:
        name = names.pop()
        part = here.parent if name == ".." else here / name  # "/" alone begins again
        found = part.lstat()
        yield part, found
        if not stat.S_ISLNK(found.st_mode):
            here = part
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(directory))
        names += reversed(part.readlink().parts)
