"""A site file that may be being written at this moment is read once it has left off changing.

An editor, git or scp has a moment in which the file is empty, half there, or not there at all.
Read then, it would lack entries, and a reload would end their agents.
"""

import time
from pathlib import Path
from typing import Any

from hostmanager.siteconfig.diagnostics import DiagnosticCollector
from hostmanager.siteconfig.site_file import SiteFile, load_site_file

QUIET_INTERVAL = 1.0
"""Seconds without a change after which a file counts as complete."""

STABLE_TIMEOUT = 4.0
"""Seconds after which one that goes on changing is refused."""

CHECK_INTERVAL = 0.05
"""Seconds between two looks."""


class StabilityCheck:
    """Looks whether a file has left off changing.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begun = self._since = time.monotonic()
        self._seen: Any = None

    def is_stable(self) -> bool:
        """Look; blocks for the file system only.

        The times of the file tell at once in most cases. Where they are of no use (another
        clock wrote them), it is seen to stay as it is.

        Raises:
            SiteFileError: It has been changing for too long.
        """
        now = time.monotonic()
        seen, changed_at = _state(self._path)
        if seen != self._seen:
            self._seen, self._since = seen, now
        if time.time() - changed_at >= QUIET_INTERVAL or now - self._since >= QUIET_INTERVAL:
            return True
        if now - self._begun > STABLE_TIMEOUT:
            raise DiagnosticCollector(str(self._path)).fatal(
                None,
                f"the file has been changing for {STABLE_TIMEOUT:g} s, and is not read while it does.",
                "Wait until it is written, then ask again.",
            )
        return False


def _state(path: Path) -> tuple[Any, float]:
    """What changes when the file does, and the time when it did last."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None, _changed(path.parent)  # for a moment, perhaps: git unlinks before it writes
    except (OSError, ValueError):
        return None, 0.0  # whoever reads it says why that cannot be done
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns), found.st_mtime


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def load_stable(path: str | Path, host_name: str | None = None) -> SiteFile:
    """Load a site file (see `load`) that has not changed for about a second.

    Raises:
        SiteFileError: It cannot be used, or goes on changing.
    """
    settling = StabilityCheck(Path(path))
    while True:
        while not settling.is_stable():
            time.sleep(CHECK_INTERVAL)
        site = load_site_file(path, host_name)
        if settling.is_stable():
            return site
