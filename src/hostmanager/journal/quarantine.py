"""Putting aside what is in the journal's place and is no journal of ours.

It is renamed, never overwritten: it may be somebody's, and it may tell what went wrong. Only
the latest three are kept.
"""

import shutil
import time
from contextlib import suppress
from pathlib import Path

from hostmanager.journal.file_check import SQLITE_SIDE_FILES

KEPT = 3


def quarantine(path: Path) -> Path | None:
    """Rename whatever is at `path`, and what belongs to it, to ``….broken-<unix time>``.

    Returns:
        The new name; None if nothing was there.

    Raises:
        OSError: It cannot be renamed.
    """
    target = _free_name(path)
    moved = True
    try:
        path.rename(target)
    except FileNotFoundError:
        moved = False  # deleted; what it left beside it must not be taken for a new one's
    for companion in SQLITE_SIDE_FILES:
        with suppress(FileNotFoundError):
            path.with_name(path.name + companion).rename(target.with_name(target.name + companion))
    with suppress(OSError):  # the folder may be gone, too
        _remove_old(path, target)
    return target if moved else None


def _free_name(path: Path) -> Path:
    stem = f"{path.name}.broken-{time.time():.0f}"
    target, count = path.with_name(stem), 1
    while _is_there(target):
        count += 1
        target = path.with_name(f"{stem}.{count}")
    return target


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _remove_old(path: Path, latest: Path) -> None:
    """Keep the latest three, with what belongs to them."""
    found = [p for p in path.parent.iterdir() if p.name.startswith(f"{path.name}.broken-")]
    broken = [p for p in found if not p.name.endswith(SQLITE_SIDE_FILES)]
    broken.sort(key=lambda p: (p == latest, p.lstat().st_ctime, p.name))
    kept = {p.name for p in broken[-KEPT:]}
    for old in found:
        name = old.name
        for companion in SQLITE_SIDE_FILES:
            name = name.removesuffix(companion)
        if name not in kept and name != latest.name:
            _remove(old)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
