"""Since when an instance is not at its target.

An agent in a crash loop is up for a moment again and again: only after a minute without a fault does
the time begin anew. A new target begins a new time, too.
"""

from dataclasses import dataclass, replace

from hostmanager.core.model import Target
from hostmanager.core.protocols import Clock
from hostmanager.core.record import InstanceRecord, State
from hostmanager.core.snapshot import Snapshot

STEADY_AFTER = 60.0
"""Seconds at its target after which an instance that leaves it begins a new time."""


@dataclass(frozen=True, slots=True)
class _Period:
    """When an instance left its target (Unix time), and when it was there again (monotonic)."""

    target: Target
    since: float
    reached_at: float | None = None


class OffTargetTimes:
    """Since when each instance of a snapshot is not at its target.

    Args:
        snapshot: What is followed.
        clock: The manager's.
    """

    def __init__(self, snapshot: Snapshot, clock: Clock) -> None:
        self._clock = clock
        self._periods: dict[str, _Period] = {}
        snapshot.subscribe(self._on_change)

    def since(self, instance_id: str) -> float | None:
        """Unix time since when it is not at its target; None: it is."""
        period = self._periods.get(instance_id)
        return None if period is None or period.reached_at is not None else period.since

    def _on_change(self, instance_id: str, record: InstanceRecord | None) -> None:
        if record is None:
            self._periods.pop(instance_id, None)
            return
        now, period = self._clock.now(), self._periods.get(instance_id)
        if is_at_target(record):
            if period is not None and period.reached_at is None:
                self._periods[instance_id] = replace(period, reached_at=now.monotonic)
            return
        reached_at = period.reached_at if period else None
        was_steady = reached_at is not None and now.monotonic - reached_at >= STEADY_AFTER
        if period is None or was_steady or period.target is not record.target:
            self._periods[instance_id] = _Period(record.target, now.wall)
        elif reached_at is not None:
            self._periods[instance_id] = replace(period, reached_at=None)


def is_at_target(record: InstanceRecord) -> bool:
    """Whether an instance is at its target."""
    if record.target is Target.UP:
        return record.state is State.UP and not record.observation.engine_restarting
    return record.target is Target.PASSIVE or record.state is State.DOWN
