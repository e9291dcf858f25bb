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

from hostmanager.util.trust import log_dir_problem, log_dir_remark, others_who_may_write

CONTENTS = frozenset({"manager.lock", "identity", "wanted.json", "journal.sqlite", "scribe.lock"})
"""Any of these makes a folder one of a manager's."""


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
        problem = state_dir_problem(Path(asked))
        if problem:
            raise FolderError(problem)
        return _private(Path(asked))
    return _private(_parent(environ) / name)


def _parent(environ: Mapping[str, str]) -> Path:
    for variable in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY"):
        if environ.get(variable):
            return Path(environ[variable].split(":")[0])
    runtime = environ.get("XDG_RUNTIME_DIR")
    # It may be that of who became root: everything in it is his.
    if runtime and os.access(runtime, os.W_OK) and Path(runtime).stat().st_uid == os.getuid():
        return Path(runtime) / "hostmanager"
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
    if os.getuid() == 0 and (others := others_who_may_write(path.absolute(), 0)):
        raise FolderError(
            f"The state folder {path} is not used by a manager that runs as root, since {others}: "
            "that user could put another one in its place. Choose one with --state-dir that is "
            "root's, in directories of root's."
        )
    return path


def state_dir_problem(path: Path) -> str | None:
    """Why what ``--state-dir`` names is not ours to use; None: it is, or it is not there yet.

    It becomes a folder for the manager's user alone, with what belongs to the manager in it. Only
    one that a manager has made may be changed so.
    """
    try:
        names, mode = {entry.name for entry in path.iterdir()}, stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None  # it is made, or it is said why it cannot be
    if names & CONTENTS:
        return None
    another = f"Name one that does not exist yet, such as {path / 'hostmanager'}"
    if names:
        return (
            f"--state-dir: {path} is not empty, and nothing in it is a host manager's. {another}."
        )
    if mode & 0o077:
        return (
            f"--state-dir: others than its owner may look into {path} (mode {mode:04o}), and the "
            f"manager closes only what it has made. {another}, or `chmod 700 {path}`."
        )
    return None


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
