"""Reading a site config only when it has stopped changing.

While an editor, git or scp writes the file, it is empty, incomplete or missing for a moment.
Read then, it would lack entries, and a reload would stop their agents.
"""

import time
from pathlib import Path
from typing import Any

from hostmanager.siteconfig.diagnostics import DiagnosticCollector
from hostmanager.siteconfig.site_file import SiteFile, load_site_file

QUIET_INTERVAL = 1.0
"""Seconds without a change after which a file counts as complete."""

STABLE_TIMEOUT = 4.0
"""Seconds after which a file that keeps changing is refused."""

STABLE_CHECK_INTERVAL = 0.05
"""Seconds between two checks."""


class StabilityCheck:
    """Whether a file has stopped changing.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._started_at = self._unchanged_since = time.monotonic()
        self._last_state: Any = None

    def is_stable(self) -> bool:
        """Check now; blocks for the file system only.

        The modification time shows it at once in most cases. Where it cannot be trusted (another
        clock wrote it), the file has to stay the same for a while.

        Raises:
            SiteFileError: It has been changing for too long.
        """
        now = time.monotonic()
        state, changed_at = _state(self._path)
        if state != self._last_state:
            self._last_state, self._unchanged_since = state, now
        if (
            time.time() - changed_at >= QUIET_INTERVAL
            or now - self._unchanged_since >= QUIET_INTERVAL
        ):
            return True
        if now - self._started_at > STABLE_TIMEOUT:
            raise DiagnosticCollector(str(self._path)).fatal(
                None,
                f"the file has been changing for {STABLE_TIMEOUT:g} s, and is not read while it does.",
                "Wait until it is written, then ask again.",
            )
        return False


def _state(path: Path) -> tuple[Any, float]:
    """What changes when the file changes, and its modification time."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None, _modified_at(path.parent)  # perhaps for a moment: git unlinks before it writes
    except (OSError, ValueError):
        return None, 0.0  # the reader says why it cannot be read
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns), status.st_mtime


def _modified_at(directory: Path) -> float:
    try:
        return directory.stat().st_mtime
    except OSError:
        return 0.0


def load_stable(path: str | Path, host_name: str | None = None) -> SiteFile:
    """Load a site config that has not changed for about a second; see `load_site_file`.

    Raises:
        SiteFileError: It cannot be used, or keeps changing.
    """
    check = StabilityCheck(Path(path))
    while True:
        while not check.is_stable():
            time.sleep(STABLE_CHECK_INTERVAL)
        site = load_site_file(path, host_name)
        if check.is_stable():
            return site
