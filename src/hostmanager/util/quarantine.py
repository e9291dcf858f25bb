"""Moving a broken file out of the way: renamed, not overwritten, since it may show the cause.

Its new name is ``NAME.broken-TIME``. Of each file, the latest three are kept.
"""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

MAX_QUARANTINED = 3
"""Broken files that are kept beside each file."""


def quarantine(path: Path, side_files: tuple[str, ...] = ()) -> Path | None:
    """Rename whatever is at a path, and its side files, to ``NAME.broken-TIME``.

    Args:
        path: The file; a directory or a broken link is renamed as well.
        side_files: Suffixes of the files that belong to it, such as ``-wal``. They are renamed
            even if the file itself is gone: a new one must not be opened with them.

    Returns:
        The new name; None if nothing was at the path.

    Raises:
        OSError: It cannot be renamed.
    """
    target = _free_name(path)
    renamed = True
    try:
        path.rename(target)
    except FileNotFoundError:
        renamed = False
    for suffix in side_files:
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))
    with suppress(OSError):  # the directory may be gone, too
        _remove_oldest(path, target, side_files)
    return target if renamed else None


def _free_name(path: Path) -> Path:
    stem = f"{path.name}.broken-{time.time():.0f}"
    target, count = path.with_name(stem), 1
    while os.path.lexists(target):
        count += 1
        target = path.with_name(f"{stem}.{count}")
    return target


def _remove_oldest(path: Path, latest: Path, side_files: tuple[str, ...]) -> None:
    files = [file for file in path.parent.iterdir() if file.name.startswith(f"{path.name}.broken-")]
    broken = [file for file in files if not file.name.endswith(side_files)]
    broken.sort(key=lambda file: (file == latest, file.lstat().st_ctime, file.name))
    for old in broken[:-MAX_QUARANTINED]:
        for file in (old, *(old.with_name(old.name + suffix) for suffix in side_files)):
            _remove(file)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
