"""Where in the file system something has to change for a path to lead to something else.

A path may lead over symbolic links to files and to directories: whoever switches `current` from
one release to the next touches neither the file nor its directory. So each link on the way
counts, with the real path of its directory, since that is what the kernel reports on.
"""

import os
from pathlib import Path

MAX_LINKS = 40
"""As many as the kernel follows; more are a loop."""


def watch_targets(path: Path) -> frozenset[Path]:
    """Every path that decides what is found at a path: the links on the way, and its end.

    Args:
        path: Any path, there or not; relative ones start at the working directory.

    Returns:
        Paths whose directories, as far as they exist, are no links.
    """
    targets = set()
    path = Path.cwd() / path
    for _ in range(MAX_LINKS):
        prefixes = reversed((path, *path.parents))
        links = ((p, target) for p in prefixes if (target := _read_link(p)) is not None)
        link, target = next(links, (None, path))
        if link is None:
            break
        targets.add(_normalize(link))
        path = link.parent / target / path.relative_to(link)
    return frozenset({*targets, _normalize(path)})


def _read_link(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError:
        return None


def _normalize(path: Path) -> Path:
    """Take out ``..``, for a path without links but at its end."""
    return Path(os.path.normpath(path))


def nearest_existing(directory: Path) -> Path:
    """The directory, or the nearest one above it that exists."""
    # Unlike this, Path.is_dir raises where it may not look.
    while not os.path.isdir(directory) and directory != directory.parent:  # noqa: PTH112
        directory = directory.parent
    return directory
