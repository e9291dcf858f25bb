"""The one truth and those who look at it."""

from hostmanager.core.model import Target
from hostmanager.core.record import Life, State
from hostmanager.core.snapshot import Snapshot
from hostmanager.util.guard import Guard
from tests.core.fake_engine import passive
from tests.core.fakes import FakeClock, spec


def life(state, **more):
    return Life(spec(), Target.UP, state=state, **more)


def test_instances_are_listed_in_the_order_in_which_they_were_tracked():
    snapshot = Snapshot(Guard(FakeClock().call_later))
    for name in ("c", "a", "b"):
        snapshot.set(name, life(State.DOWN))
    snapshot.set("c", life(State.UP))
    assert list(snapshot) == ["c", "a", "b"]
    assert len(snapshot) == 3


def test_what_is_forgotten_is_not_listed():
    snapshot = Snapshot(Guard(FakeClock().call_later))
    snapshot.set("a", life(State.UP))
    snapshot.set("a", None)
    snapshot.set("never there", None)
    assert dict(snapshot) == {}
    assert snapshot.at_rest


def test_down_and_blocked_are_at_rest_and_nothing_else_is():
    for state in State:
        snapshot = Snapshot(Guard(FakeClock().call_later))
        snapshot.set("a", life(state))
        assert snapshot.at_rest == (state in (State.DOWN, State.BLOCKED))
        assert snapshot.restless == (frozenset() if snapshot.at_rest else {"a"})


def test_nobody_waits_for_what_nobody_manages():
    for state in State:
        snapshot = Snapshot(Guard(FakeClock().call_later))
        snapshot.set("a", Life(passive(), Target.PASSIVE, state=state))
        assert snapshot.at_rest
        assert snapshot.hopeless == ()


def test_whether_what_is_disregarded_is_at_rest_is_nobodys_business():
    snapshot = Snapshot(Guard(FakeClock().call_later))
    snapshot.set("a", life(State.UP))
    snapshot.disregard("a")
    assert snapshot.at_rest
    snapshot.set("a", life(State.STARTING))
    assert snapshot.at_rest
    snapshot.set("a", None)
    snapshot.set("a", life(State.UP))  # that is another one
    assert not snapshot.at_rest


def test_nobody_has_to_wait_for_the_hopeless_but_they_are_named():
    snapshot = Snapshot(Guard(FakeClock().call_later))
    snapshot.set("a", life(State.KILLING, stuck=True))
    snapshot.set("b", life(State.STOPPING))
    assert not snapshot.at_rest
    snapshot.set("b", life(State.DOWN))
    assert snapshot.at_rest
    assert snapshot.hopeless == ("a",)


def test_listeners_hear_of_each_change_after_it_was_made():
    snapshot = Snapshot(Guard(FakeClock().call_later))
    heard = []
    snapshot.listen(lambda name, life: heard.append((name, snapshot.get(name) is life)))
    snapshot.set("a", life(State.UP))
    snapshot.set("a", None)
    assert heard == [("a", True), ("a", True)]


def test_a_broken_listener_keeps_nobody_else_from_hearing(caplog):
    snapshot = Snapshot(Guard(FakeClock().call_later))
    heard = []
    snapshot.listen(lambda name, life: 1 / 0)
    snapshot.listen(lambda name, life: heard.append(name))
    snapshot.set("a", life(State.UP))
    assert heard == ["a"]
    assert "a: telling listener 0 of a change failed unexpectedly" in caplog.text
