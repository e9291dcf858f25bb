"""Since when something is not at its target: a crash loop is one time, not a hundred."""

from dataclasses import replace

import pytest
from tests.unit.core.fakes import FakeClock

from hostmanager.agent.monitoring.off_target import STEADY_AFTER, OffTargetTimes
from hostmanager.core.model import InstanceSpec, Target
from hostmanager.core.record import InstanceRecord, State
from hostmanager.core.snapshot import Snapshot
from hostmanager.util.guard import Guard

RECORD = InstanceRecord(InstanceSpec("a", "FakeDataAgent"), Target.UP)


class World:
    """An instance whose state is set by hand, and what is told of it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.snapshot = Snapshot(Guard(lambda delay, call: None))
        self.times = OffTargetTimes(self.snapshot, self.clock)
        self.begin = self.clock.wall

    def put(self, state: State, after: float = 0.0, target: Target = Target.UP) -> float | None:
        """Set its state after so many seconds; returns since when it is off its target."""
        self.clock.mono += after
        self.clock.wall += after
        self.snapshot.put("a", replace(RECORD, state=state, target=target))
        since = self.times.since("a")
        return None if since is None else since - self.begin


@pytest.fixture
def world():
    return World()


def test_at_its_target_there_is_no_time(world):
    assert world.put(State.UP) is None
    assert world.put(State.DOWN, target=Target.DOWN) is None
    assert world.put(State.UP, target=Target.PASSIVE) is None


def test_a_crash_loop_is_one_time(world):
    assert world.put(State.STARTING) == 0
    assert world.put(State.UP, 1) is None
    assert world.put(State.BACKOFF, 3) == 0
    assert world.put(State.STARTING, 8) == 0
    assert world.put(State.UP, 1) is None


def test_after_a_steady_minute_a_fault_begins_anew(world):
    world.put(State.STARTING)
    world.put(State.UP, 1)
    assert world.put(State.BACKOFF, STEADY_AFTER) == STEADY_AFTER + 1


def test_a_new_target_begins_anew(world):
    world.put(State.BACKOFF)
    assert world.put(State.STOPPING, 100, Target.DOWN) == 100
    assert world.put(State.DOWN, 5, Target.DOWN) is None


def test_what_is_gone_is_forgotten(world):
    world.put(State.BACKOFF)
    world.snapshot.put("a", None)
    assert world.times.since("a") is None
