"""When the router was away: written into the journal, and why agents of OCS end meanwhile.

OCS's own agents end by themselves, with code 0, `crossbar_timeout` seconds (10) after the router
went, unless the host's block says ``crossbar_timeout: 0``. No manager keeps them from it; this one
says what happened, and launches them again.
"""

from collections.abc import Callable

from hostmanager.agent.operations import audit as record
from hostmanager.core.events import Timestamp
from hostmanager.journal import Journal

AFTERWARDS = 15.0
"""Seconds after the router came back in which an agent may still end because it had gone."""

WHY_ENDED = "by its own crossbar_timeout: the router {}"


class RouterAbsence:
    """Remembers when the router went and came back.

    Args:
        journal: Where that is written down.
        now: Tells the time.
    """

    def __init__(self, journal: Journal, now: Callable[[], Timestamp]) -> None:
        self._journal = journal
        self._now = now
        self._gone: Timestamp | None = None
        self._back: Timestamp | None = None

    def went(self, reason: str) -> None:
        """The connection to the router is gone."""
        if self._gone is None:
            self._gone = self._now()
            record.router_went(self._journal, reason)

    def came(self) -> None:
        """It is there (again)."""
        if self._gone is not None:
            self._back = self._now()
            record.router_came(self._journal, self._back.monotonic - self._gone.monotonic)
            self._gone = None

    def why_ended(self) -> str:
        """Why an agent may have ended just now by itself, with code 0; empty: not by this."""
        if self._gone is not None:
            return WHY_ENDED.format("is away")
        if self._back is not None and self._now().monotonic - self._back.monotonic < AFTERWARDS:
            return WHY_ENDED.format("was away")
        return ""
