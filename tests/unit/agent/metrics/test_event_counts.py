"""What is counted, and under which reason."""

from dataclasses import replace

import pytest

from hostmanager.agent.metrics.event_counts import EXIT_REASONS, EventCounts, Histogram, exit_reason
from hostmanager.agent.monitoring.health_monitor import HealthChange
from hostmanager.core.events import ExitStatus, Timestamp
from hostmanager.core.health import Health, RunHealth
from hostmanager.core.model import InstanceSpec, Target
from hostmanager.core.record import CurrentRun, InstanceRecord, LastExit, State
from hostmanager.journal import Entry, EntryKind, entries_for_change

STARTED = Timestamp(100.0, 1000.0)
UP = InstanceRecord(
    InstanceSpec("a", "FakeDataAgent"),
    Target.UP,
    State.UP,
    run=CurrentRun(pid=7, started_at=STARTED),
)


def ended(status: ExitStatus, *, expected: bool = False) -> InstanceRecord:
    last = LastExit(status, Timestamp(110.0, 1010.0), expected, 10.0)
    return replace(UP, state=State.BACKOFF, run=CurrentRun(), last_exit=last)


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (ended(ExitStatus(code=0)), "success"),
        (ended(ExitStatus(code=1)), "error"),
        (ended(ExitStatus(signal=9)), "signal"),
        (ended(ExitStatus(signal=2), expected=True), "requested"),
        (ended(ExitStatus()), "unknown"),
    ],
)
def test_an_exit_is_counted_by_its_reason(after, reason):
    counts = EventCounts()
    for entry in entries_for_change(UP, after, 1010.0):
        counts.on_entry(entry)
    assert counts.exits == {("a", reason): 1}


def test_what_could_not_be_launched_has_a_reason_of_its_own():
    assert exit_reason({"launched": False}) == "launch_failed"
    assert "launch_failed" in EXIT_REASONS


def test_what_is_removed_is_forgotten_and_others_are_not():
    counts = EventCounts()
    for instance_id in ("a", "b"):
        counts.on_entry(Entry(1.0, EntryKind.EXIT, "", instance_id, {"code": 1}))
    for entry in entries_for_change(UP, None, 1010.0):
        counts.on_entry(entry)
    assert counts.exits == {("b", "error"): 1}


def test_a_start_is_counted_once_however_its_health_changes():
    counts = EventCounts()
    run = RunHealth(heard_at=103.0, ready_at=Timestamp(103.0, 1003.0))
    for before, after in ((Health.STARTING, Health.OK), (Health.UNKNOWN, Health.OK)):
        counts.on_health(HealthChange("a", before, after, ""), UP, run)
    assert (sum(counts.start_to_ready.counts), counts.start_to_ready.total) == (1, 3.0)


async def test_requests_are_timed_by_operation_and_result():
    counts = EventCounts()

    async def work(ok: bool) -> tuple[bool, str]:
        return ok, "text"

    async def broken() -> tuple[bool, str]:
        raise ValueError

    assert await counts.timed("update", work(True)) == (True, "text")
    await counts.timed("update", work(False))
    with pytest.raises(ValueError):
        await counts.timed("restart", broken())
    assert set(counts.requests) == {
        ("update", "done"),
        ("update", "failed"),
        ("restart", "failed"),
    }


def test_buckets_are_cumulative_and_a_bound_belongs_to_its_bucket():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    assert histogram.cumulative() == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert histogram.total == 12.0
