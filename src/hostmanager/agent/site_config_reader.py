"""Reads the site config within a bounded time: its disk may hang, and requests wait for it.

A reading that takes too long goes on in its thread; until it ends, no other one is begun, so that a
disk that hangs costs one thread.
"""

import asyncio

from hostmanager.agent.settings import ManagerSettings
from hostmanager.siteconfig.diagnostics import DiagnosticCollector, SiteFileError
from hostmanager.siteconfig.plugins.installed_classes import list_classes
from hostmanager.siteconfig.site_file import SiteFile, with_known_classes
from hostmanager.siteconfig.stable_read import load_stable

SITE_CONFIG_TIMEOUT = 30.0
"""Seconds that a reading may take: the plugins may take 20 of them, a file that changes 4."""

_CLOSE_TIMEOUT = 3.0


class SiteConfigReader:
    """Reads the site config, and looks up which agent classes are installed.

    Args:
        settings: Where they are.
    """

    def __init__(self, settings: ManagerSettings) -> None:
        self._settings = settings
        self._reading: asyncio.Task[SiteFile | SiteFileError] | None = None
        self._closed = False

    async def read(self) -> SiteFile | SiteFileError:
        """Read it as it is now; a reading that takes too long is an error like any other.

        Raises:
            CancelledError: It is closed.
        """
        if (
            self._closed
        ):  # the next of several reloads, whose turn has come by the end of the one before
            raise asyncio.CancelledError
        if self._reading is not None:  # an earlier one, which took too long
            await asyncio.wait((self._reading,), timeout=SITE_CONFIG_TIMEOUT)
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._read())
            await asyncio.wait((self._reading,), timeout=SITE_CONFIG_TIMEOUT)
        if not self._reading.done():
            return self._timed_out()
        reading, self._reading = self._reading, None
        return reading.result()

    async def close(self) -> None:
        """Give up a reading that is under way, with the child process that imports the plugins."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,), timeout=_CLOSE_TIMEOUT)

    async def _read(self) -> SiteFile | SiteFileError:
        settings = self._settings
        reading = asyncio.to_thread(_load, settings)
        classes = list_classes(settings.python, settings.working_dir)
        site_config, known = await asyncio.gather(reading, classes)
        if isinstance(site_config, SiteFileError):
            return site_config
        return with_known_classes(site_config, known)

    def _timed_out(self) -> SiteFileError:
        return DiagnosticCollector(str(self._settings.site_file)).fatal(
            None,
            f"reading it has taken {SITE_CONFIG_TIMEOUT:g} s, and is not done.",
            "Does its disk respond? Try again later.",
        )


def _load(settings: ManagerSettings) -> SiteFile | SiteFileError:
    try:
        return load_stable(settings.site_file, settings.host)
    except SiteFileError as error:
        return error
