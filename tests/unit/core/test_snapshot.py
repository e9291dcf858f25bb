"""The one truth and those who look at it."""

from hostmanager.core.model import Target
from hostmanager.core.record import InstanceRecord, State
from hostmanager.core.snapshot import Snapshot
from hostmanager.util.guard import Guard
from tests.unit.core.fake_engine import passive
from tests.unit.core.fakes import FakeClock, spec


def record(state, **more):
    return InstanceRecord(spec(), Target.UP, state=state, **more)


def test_instances_are_listed_in_the_order_in_which_they_were_tracked():
    snapshot = Snapshot(Guard(FakeClock().call_later))
    for name in ("c", "a", "b"):
        snapshot.put(name, record(State.DOWN))
    snapshot.put("c", record(State.UP))
    assert list(snapshot) == ["c", "a", "b"]
    assert len(snapshot) == 3


def test_what_is_forgotten_is_not_listed():
    snapshot = Snapshot(Guard(FakeClock().call_later))
    snapshot.put("a", record(State.UP))
    snapshot.put("a", None)
    snapshot.put("never there", None)
    assert dict(snapshot) == {}
    assert snapshot.is_idle


def test_what_is_not_started_any_more_is_at_rest_and_nothing_else_is():
    for state in State:
        snapshot = Snapshot(Guard(FakeClock().call_later))
        snapshot.put("a", record(state))
        assert snapshot.is_idle == (state in (State.DOWN, State.INOPERABLE, State.GIVEN_UP))


def test_nobody_waits_for_what_nobody_manages():
    for state in State:
        snapshot = Snapshot(Guard(FakeClock().call_later))
        snapshot.put("a", InstanceRecord(passive(), Target.PASSIVE, state=state))
        assert snapshot.is_idle
        assert snapshot.unkillable_ids == ()


def test_whether_what_is_disregarded_is_at_rest_is_nobodys_business():
    snapshot = Snapshot(Guard(FakeClock().call_later))
    snapshot.put("a", record(State.UP))
    snapshot.exclude("a")
    assert snapshot.is_idle
    snapshot.put("a", record(State.STARTING))
    assert snapshot.is_idle
    snapshot.put("a", None)
    snapshot.put("a", record(State.UP))  # that is another one
    assert not snapshot.is_idle


def test_nobody_has_to_wait_for_the_unstoppable_but_they_are_named():
    snapshot = Snapshot(Guard(FakeClock().call_later))
    snapshot.put("a", record(State.KILLING, unkillable=True))
    snapshot.put("b", record(State.STOPPING))
    assert not snapshot.is_idle
    snapshot.put("b", record(State.DOWN))
    assert snapshot.is_idle
    assert snapshot.unkillable_ids == ("a",)


def test_listeners_hear_of_each_change_after_it_was_made():
    snapshot = Snapshot(Guard(FakeClock().call_later))
    received = []
    snapshot.subscribe(lambda name, record: received.append((name, snapshot.get(name) is record)))
    snapshot.put("a", record(State.UP))
    snapshot.put("a", None)
    assert received == [("a", True), ("a", True)]


def test_a_broken_listener_keeps_nobody_else_from_hearing(caplog):
    snapshot = Snapshot(Guard(FakeClock().call_later))
    received = []
    snapshot.subscribe(lambda name, record: 1 / 0)
    snapshot.subscribe(lambda name, record: received.append(name))
    snapshot.put("a", record(State.UP))
    assert received == ["a"]
    assert "a: listener 0 of changes failed unexpectedly" in caplog.text
