"""Where in the file system something has to change for a path to lead to something else.

A path may go over links, of files and of folders: whoever switches `current` from one release
to the next touches neither the file nor the folder that it is in. So each link on the way counts,
and each is told with its folder as it really is, since that is what the kernel reports on.
"""

from pathlib import Path

MOST_LINKS = 40
"""As many as the kernel follows; more are a loop."""


def watch_targets(path: Path) -> frozenset[Path]:
    """Every place that decides what is found at a path: the links on the way, and its end.

    Args:
        path: Any path, there or not; relative ones start at the working directory.

    Returns:
        Paths whose folders, as far as they exist, are no links.
    """
    found = set()
    here = Path("/")
    rest = list((Path.cwd() / path).parts[1:])
    links = 0
    while rest:
        part = rest.pop(0)
        if part == "..":
            here = here.parent
            continue
        step = here / part
        target = _target(step)
        if target is None or links == MOST_LINKS:
            here = step
            continue
        found.add(step)
        links += 1
        if target.is_absolute():
            here = Path("/")
        rest = [*(p for p in target.parts if p != "/"), *rest]
    return frozenset({*found, here})


def _target(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError:
        return None


def nearest_existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not _is_folder(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # it may not even be looked for
