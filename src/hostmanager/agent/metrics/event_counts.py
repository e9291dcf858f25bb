"""Counts what happens: exits by reason, how long starts and requests take.

Fed by the entries that the journal gets, by changes of health and by operations; between events
it does nothing.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from hostmanager.agent.monitoring.health_monitor import HealthChange
from hostmanager.core.events import Timestamp
from hostmanager.core.health import RunHealth
from hostmanager.core.record import InstanceRecord
from hostmanager.journal import Entry, EntryKind

READY_BUCKETS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
REQUEST_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds, seconds."""

EXIT_REASONS = {
    "requested": "it was being stopped, or is a one-shot that is done",
    "success": "exit code 0, unexpectedly",
    "error": "another exit code",
    "signal": "a signal that nobody sent by this manager",
    "launch_failed": "it could not be launched",
    "unknown": "nobody knows how it ended",
}


class Histogram:
    """Observations, counted in buckets.

    Args:
        bounds: The upper bounds of the buckets, ascending.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count an observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> "Histogram":
        """The same as of now."""
        other = Histogram(self.bounds)
        other.counts, other.total = list(self.counts), self.total
        return other

    def cumulative(self) -> list[tuple[str, float]]:
        """The buckets as Prometheus has them: bound, observations up to it."""
        names = [*map(str, self.bounds), "+Inf"]
        return [(name, float(sum(self.counts[: n + 1]))) for n, name in enumerate(names)]


class EventCounts:
    """What has happened since the manager started.

    Attributes:
        exits: How often a run ended, by instance-id and reason.
        start_to_ready: From the launch of an agent to its first heartbeat.
        requests: How long operations took, by their name and result ("done", "failed").
    """

    def __init__(self) -> None:
        self.exits: Counter[tuple[str, str]] = Counter()
        self.start_to_ready = Histogram(READY_BUCKETS)
        self.requests: dict[tuple[str, str], Histogram] = {}
        self._ready_at: dict[str, Timestamp] = {}

    def on_entry(self, entry: Entry) -> None:
        """An entry for the journal."""
        instance_id = entry.instance_id
        if instance_id is None:
            return
        if entry.kind is EntryKind.EXIT:
            self.exits[instance_id, exit_reason(entry.data)] += 1
        elif entry.kind is EntryKind.STATE and entry.data.get("to") is None:  # it was removed
            self._ready_at.pop(instance_id, None)
            for key in [key for key in self.exits if key[0] == instance_id]:
                del self.exits[key]

    def on_health(
        self, change: HealthChange, record: InstanceRecord | None, run: RunHealth | None
    ) -> None:
        """The health of an instance has changed: the first heartbeat of a run may have come."""
        if record is None or run is None or run.ready_at is None or record.run.started_at is None:
            return
        if self._ready_at.get(change.instance_id) is not run.ready_at:
            self._ready_at[change.instance_id] = run.ready_at
            took = run.ready_at.monotonic - record.run.started_at.monotonic
            self.start_to_ready.observe(max(0.0, took))

    async def timed(
        self, operation: str, work: Coroutine[Any, Any, tuple[bool, str]]
    ) -> tuple[bool, str]:
        """Do the work of an operation, and count how long it took."""
        begun, result = time.monotonic(), "failed"
        try:
            ok, text = await work
            result = "done" if ok else "failed"
        finally:
            key = operation, result
            histogram = self.requests.setdefault(key, Histogram(REQUEST_BUCKETS))
            histogram.observe(time.monotonic() - begun)
        return ok, text


def exit_reason(data: Any) -> str:
    """The reason of an exit, one of `EXIT_REASONS`, from the data of its entry."""
    if data.get("launched") is False:
        return "launch_failed"
    if data.get("expected"):
        return "requested"
    if data.get("signal"):
        return "signal"
    code = data.get("code")
    return "unknown" if code is None else "error" if code else "success"
