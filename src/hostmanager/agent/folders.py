"""Where the manager keeps things: the state folder and the folder for agents' output.

A state folder is for its owner alone (0700), and one that somebody else has made in a
public place is not used.
"""

import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hostmanager.util.trust import log_dir_problem, log_dir_remark


class FolderError(Exception):
    """A folder cannot be used; the text names it and says why."""


def state_folder(asked: str | None, name: str, environ: Mapping[str, str]) -> Path:
    """Find or make the state folder of the manager `name` (its OCS address).

    Args:
        asked: What ``--state-dir`` says, or None.
        name: Tells the managers of one machine apart.
        environ: For systemd's and the desktop's run-time folders.

    Raises:
        FolderError: It cannot be made, or belongs to somebody else.
    """
    if asked is not None:
        return _private(Path(asked))
    return _private(_parent(environ) / name)


def _parent(environ: Mapping[str, str]) -> Path:
    for variable in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY"):
        if environ.get(variable):
            return Path(environ[variable].split(":")[0])
    if environ.get("XDG_RUNTIME_DIR") and os.access(environ["XDG_RUNTIME_DIR"], os.W_OK):
        return Path(environ["XDG_RUNTIME_DIR"]) / "hostmanager"
    # In a public folder the parent has to be ours, too: it is named for the user.
    return _private(Path(tempfile.gettempdir()) / f"hostmanager-{os.getuid()}", follow=False)


def _private(path: Path, *, follow: bool = True) -> Path:
    """Make `path` a folder of ours alone; `follow` a symbolic link only where we chose it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat(follow_symlinks=follow)
    except OSError as error:
        raise FolderError(f"The state folder {path} cannot be made: {error.strerror}.") from error
    if found.st_uid != os.getuid():
        raise FolderError(
            f"The state folder {path} belongs to another user (uid {found.st_uid}). "
            "Remove it, or choose another one with --state-dir."
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        with suppress(OSError):  # read-only: no reason to leave the agents alone
            path.chmod(0o700)
    return path


def output_folder(log_dir: str | None, working_dir: Path, state: Path) -> tuple[Path, str | None]:
    """Where the output of agents goes: the host's ``log-dir``, else the state folder.

    Returns:
        The folder, and what is wrong with the log-dir, if that is why it is not used, or risky.
    """
    fallback = state / "output"
    if log_dir is None:
        return fallback, None
    folder = working_dir / log_dir
    problem = log_dir_problem(folder, os.geteuid()) or _gives_away(folder)
    if problem:
        return fallback, f"the log-dir {folder} {problem}; agents' output goes to {fallback}"
    remark = log_dir_remark(folder)
    return folder, remark and f"the log-dir {folder} {remark}"


def _gives_away(folder: Path) -> str | None:
    """Whether what we make there belongs to somebody else (some network file systems do that)."""
    with suppress(OSError), tempfile.TemporaryFile(dir=folder) as file:
        owner = os.fstat(file.fileno()).st_uid
        if owner != os.geteuid():
            return f"gives files that are made in it to another user (uid {owner})"
    return None
