"""Reading the site file without waiting for ever: its disk may hang, and requests come after it.

A reading that takes too long goes on in its thread; until it ends, no other one is begun, so that a
disk that hangs costs one thread.
"""

import asyncio

from hostmanager.agent.options import Settings
from hostmanager.siteconfig.diagnostics import DiagnosticCollector, SiteFileError
from hostmanager.siteconfig.plugins.installed_classes import list_classes
from hostmanager.siteconfig.site_file import SiteFile, with_known_classes
from hostmanager.siteconfig.stable_read import load_stable

LONGEST = 30.0
"""Seconds that a reading may take: the plugins may take 20 of them, a file that changes 4."""


class SiteReader:
    """Reads the site file, and looks up which agent classes are installed.

    Args:
        settings: Where they are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._late: asyncio.Task[SiteFile | SiteFileError] | None = None

    async def read(self) -> SiteFile | SiteFileError:
        """Read it as it is now; one that takes too long is an error like any other."""
        if self._late is not None:
            await asyncio.wait((self._late,), timeout=LONGEST)
            if not self._late.done():
                return self._takes_long()
        self._late = asyncio.ensure_future(self._read())
        await asyncio.wait((self._late,), timeout=LONGEST)
        if not self._late.done():
            return self._takes_long()
        done, self._late = self._late, None
        return done.result()

    async def _read(self) -> SiteFile | SiteFileError:
        settings = self._settings
        reading = asyncio.to_thread(_load, settings)
        classes = list_classes(settings.python, settings.working_dir)
        site, known = await asyncio.gather(reading, classes)
        return site if isinstance(site, SiteFileError) else with_known_classes(site, known)

    def _takes_long(self) -> SiteFileError:
        return DiagnosticCollector(str(self._settings.site_file)).fatal(
            None,
            f"reading it has taken {LONGEST:g} s, and is not done.",
            "Does its disk answer? It can be asked for again.",
        )


def _load(settings: Settings) -> SiteFile | SiteFileError:
    try:
        return load_stable(settings.site_file, settings.host)
    except SiteFileError as error:
        return error
