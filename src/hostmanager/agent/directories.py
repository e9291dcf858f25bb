"""Where the manager keeps things: the state directory and the directory for agents' output.

A state directory is for its owner alone (0700), and one that somebody else has made in a
public place is not used.
"""

import glob
import logging
import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hostmanager.util.files import make_private_directory, open_own
from hostmanager.util.lockfile import acquire_lock
from hostmanager.util.names import MAX_ID_CHARS, encode_id
from hostmanager.util.trust import log_dir_problem, log_dir_warning, untrusted_writers

log = logging.getLogger(__name__)

CONTENTS = frozenset({"manager.lock", "identity", "wanted.json", "journal.sqlite", "scribe.lock"})
"""Any of these makes a directory one of a manager's."""

MORE_CONTENTS = frozenset({"locks", "pipes", "output", "scribe.control", "scribe.log"})
"""A directory for its owner alone with nothing but these, and files whose names begin as those above, may be
a manager's: its log daemon and its launches make both when the directory was deleted under a running
manager. In one that others can look into, `locks` or `output` is anybody's."""

RENAME_TIMEOUT = 1.0
"""Seconds to wait until the manager that just ended has left a directory that is to be renamed."""

VOLATILE_VARIABLES = ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR")
"""Variables that name directories which do not outlive a reboot, or even a log-in."""

SITE_PATH_FILE = "site"
"""File that holds the path by which the site config was given."""

HOME_STATE_DIR = ".local/state/hostmanager"
"""In the home directory: where state directories go if somebody else has taken the one in /tmp."""


class DirectoryError(Exception):
    """A directory cannot be used; the text names it and says why."""


def state_dir(
    option: str | None,
    address: str,
    site_key: str,
    environ: Mapping[str, str],
    site_file: str | None = None,
) -> Path:
    """Find or make the state directory of a manager.

    Args:
        option: The value of ``--state-dir``, or None.
        address: The OCS address of the manager.
        site_key: Digest of that and of the real path of the site config: two sites on one machine
            may use the same address.
        environ: For systemd's and the desktop's run-time directories.
        site_file: The path by which the site config was given: a symbolic link, perhaps, that
            led to another real path before.

    Raises:
        DirectoryError: It cannot be made, or belongs to somebody else.
    """
    if option is not None:
        problem = state_dir_problem(Path(option))
        if problem:
            raise DirectoryError(problem)
        return _make_private(Path(option))
    parent, name = _parent(environ), encode_id(address)[:MAX_ID_CHARS]
    path = parent / f"{name}@{site_key[:8]}"
    # Renamed if there is one: of another release, or of version 0.1, which knows no address that
    # has to be encoded.
    earlier = [_find_by_site_file(parent, name, site_file)]
    earlier += [parent / address] if address == name else []
    for old in filter(None, earlier):
        try:
            _take_over(old, path)
        except OSError as error:
            log.warning("%s cannot be renamed (%s); it is used as it is", old, error.strerror)
            return _make_private(old)
    state = _make_private(path)
    if address == name:
        _link(parent / address, path)
    _save_site_file(state, site_file)
    return state


def _find_by_site_file(parent: Path, name: str, site_file: str | None) -> Path | None:
    """The one directory of this address whose site config was given by this path."""
    paths = [
        path
        for path in parent.glob(f"{glob.escape(name)}@*")
        if site_file and not path.is_symlink() and _saved_site_file(path) == site_file
    ]
    return paths[0] if len(paths) == 1 else None


def _take_over(old: Path, new: Path) -> None:
    """Rename a directory, unless there is one of the new name. What is open in it stays open."""
    if new.exists() or not _is_old(old):
        return
    fd = acquire_lock(os.fspath(old / "manager.lock"), timeout=RENAME_TIMEOUT)
    if fd is None:
        raise DirectoryError(
            f"A host manager of an earlier version runs with the state directory {old}. "
            "Stop that one first; `hostmanager die --disown` leaves its agents running."
        )
    try:
        if _is_old(old):  # else another manager has just done it
            old.rename(new)
    finally:
        os.close(fd)


def _is_old(path: Path) -> bool:
    """Whether a directory is there, and not a link of ours to a new one."""
    link = os.fspath(path.readlink()) if path.is_symlink() else ""
    return path.is_dir() and not link.startswith(f"{path.name}@")


def _link(old: Path, new: Path) -> None:
    """Leave a link for version 0.1, if it is installed again."""
    with suppress(OSError):  # somebody else's
        if old.is_symlink() and not old.exists():
            old.unlink()
        old.symlink_to(new.name)


def _saved_site_file(state: Path) -> str | None:
    try:
        fd = open_own(os.fspath(state / SITE_PATH_FILE), os.O_RDONLY)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        return os.fsdecode(file.read(8192))


def _save_site_file(state: Path, site_file: str | None) -> None:
    if site_file is None or _saved_site_file(state) == site_file:
        return
    with suppress(OSError):  # a full disk: then another real path means a new directory
        (state / SITE_PATH_FILE).unlink(missing_ok=True)
        (state / SITE_PATH_FILE).write_bytes(os.fsencode(site_file))


def volatile_state_warnings(state: Path, environ: Mapping[str, str]) -> list[str]:
    """Warn that what is kept in a directory is lost when the machine is started again."""
    volatile = [Path("/run"), Path("/dev/shm"), Path(tempfile.gettempdir())]
    volatile += [Path(p) for v in VOLATILE_VARIABLES if (p := environ.get(v, "").split(":")[0])]
    real = state.resolve()
    if not any(real.is_relative_to(path.resolve()) for path in volatile):
        return []
    return [
        f"the state directory {state} does not outlive a reboot, so neither do the targets that "
        "operators set, nor the history; --state-dir names another one"
    ]


def _parent(environ: Mapping[str, str]) -> Path:
    for variable in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY"):
        if environ.get(variable):
            return Path(environ[variable].split(":")[0])
    runtime = environ.get("XDG_RUNTIME_DIR")
    # It may be that of the user who became root.
    if runtime and os.access(runtime, os.W_OK) and Path(runtime).stat().st_uid == os.getuid():
        return Path(runtime) / "hostmanager"
    # In a public directory the parent has to be ours, too: it is named for the user.
    public = Path(tempfile.gettempdir()) / f"hostmanager-{os.getuid()}"
    try:
        return _make_private(public, follow=False)
    except DirectoryError as error:  # anybody may have made it: that must not prevent the start
        home = environ.get("HOME", "")
        if not home.startswith("/") or not os.access(home, os.W_OK):
            raise
        path = Path(home) / HOME_STATE_DIR
        log.warning("%s Until then, %s is used.", error, path)
        return _make_private(path)


def _make_private(path: Path, *, follow: bool = True) -> Path:
    """Make `path` a directory of ours alone; `follow` a symbolic link only where we chose it."""
    try:
        make_private_directory(path)
        status = path.stat(follow_symlinks=follow)
    except OSError as error:
        raise DirectoryError(
            f"The state directory {path} cannot be made: {error.strerror}."
        ) from error
    if status.st_uid != os.getuid():
        raise DirectoryError(
            f"The state directory {path} belongs to another user (uid {status.st_uid}). "
            "Remove it, or choose another one with --state-dir."
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        with suppress(OSError):  # read-only: that must not prevent the start
            path.chmod(0o700)
    if os.getuid() == 0 and (others := untrusted_writers(path.absolute(), 0)):
        raise DirectoryError(
            f"The state directory {path} is not used by a manager that runs as root, since "
            f"{others}: that user could put another one in its place. Choose one with --state-dir "
            "that is root's, in directories of root's."
        )
    return path


def state_dir_problem(path: Path) -> str | None:
    """Why the value of ``--state-dir`` cannot be used; None: it can, or does not exist yet.

    It becomes a directory for the manager's user alone, with what belongs to the manager in it.
    Only one that a manager has made may be changed so.
    """
    try:
        names, mode = {entry.name for entry in path.iterdir()}, stat.S_IMODE(path.stat().st_mode)
    except OSError:
        if not os.path.lexists(path) or path.is_dir():
            return None  # it is made, or an error says why it cannot be
        kind = "is a file" if path.is_file() else "is no directory"
        kind = kind if path.exists() else "is a symbolic link that leads nowhere"
        return f"--state-dir: {path} {kind}. Name a directory, or what does not exist yet."
    if names & CONTENTS:
        return None
    hint = f"Name one that does not exist yet, such as {path / 'hostmanager'}"
    if not all(map(_may_be_ours, names)):
        return f"--state-dir: {path} is not empty, and nothing in it is a host manager's. {hint}."
    if mode & 0o077:
        return (
            f"--state-dir: users other than its owner can look into {path} (mode {mode:04o}), and the "
            "manager changes the mode of no directory that it has not made. "
            f"{hint}, or `chmod 700 {path}`."
        )
    return None


def _may_be_ours(name: str) -> bool:
    return name in MORE_CONTENTS or name.startswith(tuple(CONTENTS))


def output_dir(log_dir: str | None, working_dir: Path, state: Path) -> tuple[Path, str | None]:
    """Where the output of agents goes: the host's ``log-dir``, else the state directory.

    Returns:
        The directory, and what is wrong with the log-dir, if that is why it is not used, or risky.
    """
    fallback = state / "output"
    if log_dir is None:
        return fallback, None
    path = working_dir / log_dir
    problem = log_dir_problem(path, os.geteuid()) or _foreign_owner_problem(path)
    if problem:
        return fallback, f"the log-dir {path} {problem}; agents' output goes to {fallback}"
    warning = log_dir_warning(path)
    return path, warning and f"the log-dir {path} {warning}"


def _foreign_owner_problem(path: Path) -> str | None:
    """Whether files made there belong to somebody else (some network file systems do that)."""
    with suppress(OSError), tempfile.TemporaryFile(dir=path) as file:
        owner = os.fstat(file.fileno()).st_uid
        if owner != os.geteuid():
            return f"gives files that are made in it to another user (uid {owner})"
    return None


def root_path_warnings(paths: Mapping[str, Path]) -> list[str]:
    """Warn of what another user may change and decides what root runs.

    Args:
        paths: What it is, for people, and where.
    """
    if os.geteuid() != 0:
        return []
    warnings = []
    for name, path in paths.items():
        with suppress(OSError):  # not there yet: nobody's
            if others := untrusted_writers(path.absolute(), 0):
                warnings.append(
                    f"{name} {path} decides what root runs here, and {others}; give it and the "
                    "directories above it to root, or run the manager as another user"
                )
    return warnings
