"""Where the manager keeps things: the state folder and the folder for agents' output.

A state folder is for its owner alone (0700), and one that somebody else has made in a
public place is not used.
"""

import glob
import logging
import os
import stat
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hostmanager.util.files import open_own
from hostmanager.util.lockfile import acquire_lock
from hostmanager.util.names import MAX_ID_CHARS, encode_id
from hostmanager.util.trust import log_dir_problem, log_dir_warning, untrusted_writers

CONTENTS = frozenset({"manager.lock", "identity", "wanted.json", "journal.sqlite", "scribe.lock"})
"""Any of these makes a folder one of a manager's."""

log = logging.getLogger(__name__)

PATIENCE = 1.0
PAUSE = 0.02
"""Seconds for which, and between which, a folder is waited for that a manager just left."""

PASSING = ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR")
"""Variables that name folders which do not outlive a reboot, or even a log-in."""

SITE_PATH = "site"
"""File that holds the path by which the site config was given."""

OWN = ".local/state/hostmanager"
"""In the home directory: where state folders go if somebody else has taken the place in /tmp."""


class FolderError(Exception):
    """A folder cannot be used; the text names it and says why."""


def state_dir(
    asked: str | None,
    address: str,
    site: str,
    environ: Mapping[str, str],
    site_file: str | None = None,
) -> Path:
    """Find or make the state folder of a manager.

    Args:
        asked: What ``--state-dir`` says, or None.
        address: The OCS address of the manager.
        site: Digest of that and of the real path of the site config: two sites on one machine
            may use the same address.
        environ: For systemd's and the desktop's run-time folders.
        site_file: The path by which the site config was given: a symbolic link, perhaps, that
            led to another real path before.

    Raises:
        FolderError: It cannot be made, or belongs to somebody else.
    """
    if asked is not None:
        problem = state_dir_problem(Path(asked))
        if problem:
            raise FolderError(problem)
        return _private(Path(asked))
    parent, name = _parent(environ), encode_id(address)[:MAX_ID_CHARS]
    new = parent / f"{name}@{site[:8]}"
    # Renamed if there is one: of another release, or of the version before, which knows no
    # address that has to be written otherwise.
    before = [_of_path(parent, name, site_file), parent / address if address == name else None]
    for old in filter(None, before):
        try:
            _take_over(old, new)
        except OSError as error:
            log.warning("%s cannot be renamed (%s); it is used as it is", old, error.strerror)
            return _private(old)
    state = _private(new)
    if address == name:
        _link(parent / address, new)
    _note_path(state, site_file)
    return state


def _take_over(old: Path, new: Path) -> None:
    """Give a folder of ours its new name, unless there is one of that name.

    Whatever is open in it stays open: locks, pipes, the journal.
    """
    until = time.monotonic() + PATIENCE
    while not new.exists() and _is_old(old) and not _rename(old, new):
        if time.monotonic() > until:
            raise FolderError(
                f"A host manager of the version before runs with the state folder {old}. "
                "Stop that one first; `hostmanager die --disown` leaves its agents running."
            )
        time.sleep(PAUSE)


def _link(old: Path, new: Path) -> None:
    """Have the version before find what it needs, if it is installed again."""
    with suppress(OSError):  # somebody else's
        if old.is_symlink() and not old.exists():
            old.unlink()
        old.symlink_to(new.name)


def _of_path(parent: Path, name: str, site_file: str | None) -> Path | None:
    """The one folder of this address whose site config was given by this path."""
    found = [
        folder
        for folder in parent.glob(f"{glob.escape(name)}@*")
        if site_file and not folder.is_symlink() and _path_of(folder) == site_file
    ]
    return found[0] if len(found) == 1 else None


def _path_of(folder: Path) -> str | None:
    try:
        fd = open_own(os.fspath(folder / SITE_PATH), os.O_RDONLY)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        return os.fsdecode(file.read(8192))


def _note_path(folder: Path, site_file: str | None) -> None:
    if site_file is None or _path_of(folder) == site_file:
        return
    with suppress(OSError):  # a full disk: a comfort less
        (folder / SITE_PATH).unlink(missing_ok=True)
        (folder / SITE_PATH).write_bytes(os.fsencode(site_file))


def _is_old(path: Path) -> bool:
    """Whether a folder is there, and no link of ours to a new one."""
    link = os.fspath(path.readlink()) if path.is_symlink() else ""
    return path.is_dir() and not link.startswith(f"{path.name}@")


def _rename(old: Path, new: Path) -> bool:
    """Rename it unless a manager runs there; tell whether that is done."""
    fd = acquire_lock(os.fspath(old / "manager.lock"))
    if fd is None:
        return False
    try:
        if _is_old(old):  # else another manager has just done it
            old.rename(new)
    finally:
        os.close(fd)
    return True


def passing_remarks(state: Path, environ: Mapping[str, str]) -> list[str]:
    """Say that what is kept in a folder is lost when the machine is started again."""
    passing = [Path("/run"), Path("/dev/shm"), Path(tempfile.gettempdir())]
    passing += [Path(p) for v in PASSING if (p := environ.get(v, "").split(":")[0])]
    real = state.resolve()
    if not any(real.is_relative_to(folder.resolve()) for folder in passing):
        return []
    return [
        f"the state folder {state} does not outlive a reboot, so neither do the targets that "
        "operators set, nor the history; --state-dir names another one"
    ]


def _parent(environ: Mapping[str, str]) -> Path:
    for variable in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY"):
        if environ.get(variable):
            return Path(environ[variable].split(":")[0])
    runtime = environ.get("XDG_RUNTIME_DIR")
    # It may be that of who became root: everything in it is his.
    if runtime and os.access(runtime, os.W_OK) and Path(runtime).stat().st_uid == os.getuid():
        return Path(runtime) / "hostmanager"
    # In a public folder the parent has to be ours, too: it is named for the user.
    try:
        return _private(Path(tempfile.gettempdir()) / f"hostmanager-{os.getuid()}", follow=False)
    except FolderError as taken:  # anybody may have made it: that is no reason not to start
        home = environ.get("HOME", "")
        if not home.startswith("/") or not os.access(home, os.W_OK):
            raise
        log.warning("%s Until then, %s is used.", taken, own := Path(home) / OWN)
        return _private(own)


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
    if os.getuid() == 0 and (others := untrusted_writers(path.absolute(), 0)):
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
        if os.path.lexists(path) and not path.is_dir():
            what = "is a symbolic link that leads nowhere" if path.is_symlink() else "is a file"
            what = "is no directory" if path.exists() and not path.is_file() else what
            return f"--state-dir: {path} {what}. Name a directory, or what does not exist yet."
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
            "manager changes the mode of no directory that it has not made. "
            f"{another}, or `chmod 700 {path}`."
        )
    return None


def output_dir(log_dir: str | None, working_dir: Path, state: Path) -> tuple[Path, str | None]:
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
    remark = log_dir_warning(folder)
    return folder, remark and f"the log-dir {folder} {remark}"


def root_remarks(paths: Mapping[str, Path]) -> list[str]:
    """What another user may change of that which decides what root runs.

    Args:
        paths: What it is, for people, and where.
    """
    if os.geteuid() != 0:
        return []
    found = []
    for what, path in paths.items():
        with suppress(OSError):  # not there yet: nobody's
            if others := untrusted_writers(path.absolute(), 0):
                found.append(
                    f"{what} {path} decides what root runs here, and {others}; give it and the "
                    "directories above it to root, or run the manager as another user"
                )
    return found


def _gives_away(folder: Path) -> str | None:
    """Whether what we make there belongs to somebody else (some network file systems do that)."""
    with suppress(OSError), tempfile.TemporaryFile(dir=folder) as file:
        owner = os.fstat(file.fileno()).st_uid
        if owner != os.geteuid():
            return f"gives files that are made in it to another user (uid {owner})"
    return None
