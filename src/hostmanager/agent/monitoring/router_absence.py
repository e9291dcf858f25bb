"""When the router was away: recorded in the journal, and the reason why OCS's agents end.

OCS's own agents end by themselves, with code 0, `crossbar_timeout` seconds (10) after the router
went, unless the host's block says ``crossbar_timeout: 0``. No manager keeps them from it; this one
names the reason, and launches them again.
"""

from collections.abc import Callable

from hostmanager.agent import audit
from hostmanager.core.events import Timestamp
from hostmanager.journal import Journal

EXIT_REASON_GRACE = 15.0
"""Seconds after the router came back in which an agent may still end because it had gone."""

EXIT_REASON = "by its own crossbar_timeout: the router {}"


class RouterAbsence:
    """Remembers when the router went and came back.

    Args:
        journal: Where that is recorded.
        now: Returns the present.

    Attributes:
        is_connected: Whether the manager is registered there.
        registrations: How often it was.
    """

    def __init__(self, journal: Journal, now: Callable[[], Timestamp]) -> None:
        self._journal = journal
        self._now = now
        self.is_connected = False
        self.registrations = 0
        self._lost_at: Timestamp | None = None
        self._back_at: Timestamp | None = None

    def on_lost(self, reason: str) -> None:
        """The connection to the router is gone."""
        self.is_connected = False
        if self._lost_at is None:
            self._lost_at = self._now()
            audit.record_router_lost(self._journal, reason)

    def on_connected(self) -> None:
        """The router is there (again)."""
        self.is_connected = True
        self.registrations += 1
        if self._lost_at is not None:
            self._back_at = self._now()
            audit.record_router_back(
                self._journal, self._back_at.monotonic - self._lost_at.monotonic
            )
            self._lost_at = None

    def exit_reason(self) -> str:
        """Why an agent may have ended just now by itself, with code 0; empty: not by this."""
        if self._lost_at is not None:
            return EXIT_REASON.format("is away")
        if self._back_at is None:
            return ""
        since = self._now().monotonic - self._back_at.monotonic
        return EXIT_REASON.format("was away") if since < EXIT_REASON_GRACE else ""
