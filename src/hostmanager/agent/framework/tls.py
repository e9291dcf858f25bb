"""Finds out whether TLS is why the router cannot be joined, and reports it once."""

import asyncio
import logging

from hostmanager.util.tls import try_tls

log = logging.getLogger(__name__)


class TlsWatch:
    """Finds out why TLS fails with a router that cannot be joined, and reports it once."""

    def __init__(self, url: str, host: str, port: int) -> None:
        self._url, self._host, self._port = url, host, port
        self._lost_reason, self._fails = "", False

    async def fails(self, lost_reason: str) -> bool:
        """Whether TLS is why a connection came to nothing, which was lost for this reason."""
        if lost_reason != self._lost_reason:  # else trying once more would find the same
            self._lost_reason = lost_reason
            failure = await asyncio.to_thread(try_tls, self._host, self._port)
            self._fails = failure is not None
            if failure is not None:
                log.warning(
                    "no encrypted connection to the router at %s can be made: %s. %s Supervising "
                    "goes on; retrying",
                    *(self._url, failure.text, failure.remedy),
                )
        return self._fails
