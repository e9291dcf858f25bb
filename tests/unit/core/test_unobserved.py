"""An engine that does not answer: nothing is decided, nobody waits, and others do not notice."""

import math
from dataclasses import replace

import pytest

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus
from hostmanager.core.model import Kind, Target
from hostmanager.core.record import State
from hostmanager.core.transitions.table import step
from tests.unit.core.fake_engine import NO_ANSWER, foreign, passive, service
from tests.unit.core.fakes import CRASHES, NO_PROGRAM, UNKILLABLE, Behaviour, spec
from tests.unit.core.steps import ask, shown, start

UP, DOWN = Target.UP, Target.DOWN
STOPS_SLOWLY = Behaviour(stops_after=3.0)
NEVER_PULLED = Behaviour(answers_after=math.inf)
OOM = ExitStatus(signal=9)


IN_EVERY_STATE = {
    State.DOWN: (service(initial_target=DOWN), None, None),
    State.BACKOFF: (service(), NO_PROGRAM, None),
    State.STARTING: (service(), NEVER_PULLED, None),
    State.UP: (service(), None, None),
    State.UNOBSERVED: (service(), None, None),
    State.STOPPING: (service(), STOPS_SLOWLY, 0.0),
    State.TERMINATING: (service(), UNKILLABLE, 16.0),
    State.KILLING: (service(), UNKILLABLE, 21.0),
}


def bring_to(world, state):
    entry, behaviour, stopped_for = IN_EVERY_STATE[state]
    if behaviour is NO_PROGRAM:
        world.engine.plan["a"] = [NO_PROGRAM] * 3
    start(world, entry, behaviour=behaviour)
    if state is State.UNOBSERVED:
        world.engine.disconnect()
    if stopped_for is not None:
        ask(world, ("a", DOWN))
        world.clock.advance(stopped_for)
    world.engine.plan["a"] = []
    assert world.record().state is state


@pytest.mark.parametrize("state", IN_EVERY_STATE)
def test_whatever_it_was_it_is_unseen_when_the_engine_is_unobserved(world, state):
    bring_to(world, state)
    world.engine.disconnect()
    assert world.record().state is State.UNOBSERVED
    assert world.record().error == NO_ANSWER
    result = (dict(world.engine.launches), dict(world.engine.signals))
    world.clock.advance(3600)
    assert world.record().state is State.UNOBSERVED
    assert (world.engine.launches, world.engine.signals) == result  # nothing is decided


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("target", [UP, DOWN])
@pytest.mark.parametrize("state", IN_EVERY_STATE)
def test_seen_again_it_becomes_what_is_wanted_by_then(world, state, target, runs):
    bring_to(world, state)
    world.engine.disconnect()
    ask(world, ("a", target))
    world.engine.others_end("a")
    if runs:
        world.engine.others_start("a")
    world.clock.advance(100)
    world.engine.come_back()
    world.engine.finish_up("a")
    world.clock.advance(1)
    assert shown(world) == (target.value, target.value)
    assert world.engine.alive("a") is (target is UP)
    assert world.record().error is None


def test_what_goes_on_unobserved_is_taken_over_as_it_is(world):
    start(world, service())
    before = world.record()
    world.engine.disconnect()
    world.clock.advance(100)
    world.engine.come_back()
    after = world.record()
    assert (after.state, after.run.pid, after.failures.exit_times) == (State.UP, before.run.pid, ())
    assert after.run.started_at.monotonic == pytest.approx(before.run.started_at.monotonic)
    assert len(world.engine.launches["a"]) == 1


def test_what_was_exchanged_unobserved_is_shown_as_what_it_is_now(world):
    start(world, service())
    world.engine.disconnect()
    world.engine.others_end("a")
    world.engine.others_start("a")
    world.engine.come_back()
    assert world.record().state is State.UP
    assert world.record().run.pid == world.engine.containers["a"].pid


def test_an_unobserved_death_is_reported_and_answered_when_it_is_seen(world):
    start(world, service())
    world.engine.disconnect()
    world.engine.others_end("a", OOM)
    world.clock.advance(100)
    world.engine.come_back()
    world.clock.advance(0.1)
    assert world.record().state is State.UP
    assert world.record().last_exit.status == OOM
    assert len(world.engine.launches["a"]) == 2


def test_a_pull_that_fails_because_the_engine_went_decides_nothing(world):
    start(world, service(), behaviour=Behaviour(answers_after=5.0))
    world.engine.disconnect()
    ask(world, ("a", DOWN))
    world.clock.advance(60)
    assert world.record().state is State.UNOBSERVED  # not down: who knows?
    assert world.record().error == NO_ANSWER
    ask(world, ("a", UP))
    world.engine.come_back()
    world.clock.advance(0.1)
    assert shown(world) == ("up", "up")
    assert (world.record().failures.exit_times, world.record().failures.restarts) == ((), 0)


def test_a_pull_that_outlasts_the_outage_is_not_doubled(world):
    start(world, service(), behaviour=Behaviour(answers_after=60.0))
    world.engine.disconnect()
    world.clock.advance(10)
    world.engine.come_back()
    world.clock.advance(10)
    assert len(world.engine.launches["a"]) == 1
    world.clock.advance(60)
    assert shown(world) == ("up", "up")


def test_a_delay_goes_on_to_count_after_an_outage(world):
    world.engine.plan["a"] = [CRASHES] * 6
    start(world, service())
    world.clock.advance(20)
    assert world.record().state is State.BACKOFF
    due = world.record().deadline
    world.engine.disconnect()
    world.engine.come_back()
    assert (world.record().state, world.record().deadline) == (State.BACKOFF, due)


def test_an_engine_that_is_away_from_the_start_is_reported(world):
    world.engine.disconnect()
    start(world, service("a"), passive("b"), service("c", initial_target=DOWN))
    assert [shown(world, i) for i in "abc"] == [
        ("unseen", "up"),
        ("unseen", "passive"),
        ("unseen", "down"),
    ]
    assert world.record().error == NO_ANSWER
    world.clock.advance(3600)
    world.engine.come_back()
    world.clock.advance(0.1)
    assert [shown(world, i) for i in "abc"] == [
        ("up", "up"),
        ("down", "passive"),
        ("down", "down"),
    ]


def test_a_frozen_engine_is_shown_as_so_within_five_seconds(world):
    world.engine.freeze()
    start(world, service())
    assert (world.record().state, world.record().error) == (State.UNOBSERVED, None)
    world.clock.advance(4.1)
    assert "has not answered yet" in world.record().error
    world.engine.come_back()
    world.clock.advance(0.1)
    assert shown(world) == ("up", "up")
    assert world.record().error is None


def test_engine_trouble_does_not_delay_an_agent(world):
    start(world, service("a"), spec("b"))
    world.engine.freeze()
    world.driver.let_die("b", OOM)
    died = world.clock.mono
    world.clock.advance(0.1)
    assert world.driver.launches["b"][-1] == died
    world.engine.disconnect()
    world.driver.let_die("b", OOM)
    ask(world, ("b", DOWN))
    world.clock.advance(0.1)
    assert world.record("b").state is State.DOWN


@pytest.mark.parametrize("state", IN_EVERY_STATE)
def test_a_stop_with_the_engine_unobserved_ends_at_once_and_says_so(world, state):
    bring_to(world, state)
    world.engine.disconnect()
    world.supervisor.add(spec("b"))
    world.clock.advance(1)
    called = []
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: called.append(world.snapshot.unkillable_ids))
    world.clock.advance(0.1)
    assert called == [("a",)]
    assert world.record("a").error == NO_ANSWER
    assert world.record("b").state is State.DOWN


def test_a_stop_under_way_ends_when_the_engine_goes_unobserved(world):
    start(world, service(), behaviour=UNKILLABLE)
    called = []
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: called.append(world.snapshot.unkillable_ids))
    world.clock.advance(1)
    assert called == []
    world.engine.disconnect()
    assert called == [("a",)]


def test_a_stop_waits_no_longer_for_a_frozen_engine_than_five_seconds(world):
    world.engine.freeze()
    start(world, service())
    called = []
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: called.append(world.snapshot.unkillable_ids))
    world.clock.advance(5)
    assert called == [("a",)]


def test_what_was_stopped_unobserved_ends_when_it_is_seen_again(world):
    start(world, service())
    world.engine.disconnect()
    world.supervisor.stop_all()
    world.engine.come_back()
    world.clock.advance(1)
    assert shown(world) == ("down", "down")
    assert not world.engine.alive("a")


def test_hurrying_does_not_help_an_engine_unobserved(world):
    bring_to(world, State.STOPPING)
    world.engine.disconnect()
    world.supervisor.escalate()
    assert world.record().state is State.UNOBSERVED
    assert world.engine.signals["a"] == [1]


# --- entries that change unobserved -------------------------------------------------------


@pytest.mark.parametrize("new", [spec(), service(agent_class="Other")])
def test_what_takes_its_place_waits_until_it_is_seen_that_the_old_one_has_ended(world, new):
    start(world, service(), behaviour=STOPS_SLOWLY)
    world.engine.disconnect()
    world.supervisor.replace(new)
    world.clock.advance(100)
    assert world.record().state is State.UNOBSERVED
    world.engine.come_back()
    world.clock.advance(2)
    assert world.record().state is State.STOPPING
    world.clock.advance(2)
    assert (world.record().state, world.record().spec) == (State.UP, new)


def test_what_is_retired_unobserved_is_forgotten_once_it_has_been_seen_to_end(world):
    start(world, service())
    world.engine.disconnect()
    world.supervisor.remove("a")
    world.clock.advance(100)
    assert "being stopped" in world.supervisor.removing()["a"]
    world.engine.come_back()
    world.clock.advance(1)
    assert "a" not in world.snapshot
    assert not world.engine.alive("a")


def test_an_entry_whose_service_vanishes_unobserved_is_blocked_at_once(world):
    start(world, service())
    world.engine.disconnect()
    world.supervisor.update(foreign())
    assert shown(world) == ("blocked", "up")
    assert not world.record().unkillable
    world.engine.come_back()
    world.clock.advance(60)
    assert shown(world) == ("blocked", "up")
    assert world.engine.signals == {}
    world.engine.disconnect()
    assert shown(world) == ("blocked", "up")


def test_a_service_that_comes_back_unobserved_is_unseen(world):
    world.engine.disconnect()
    start(world, foreign())
    world.supervisor.update(service())
    world.clock.advance(1)
    assert shown(world) == ("unseen", "up")
    world.engine.come_back()
    world.clock.advance(1)
    assert shown(world) == ("up", "up")


# --- passive ones, and forsaken ones --------------------------------------------------------


@pytest.mark.parametrize("target", [UP, DOWN])
@pytest.mark.parametrize("runs", [True, False])
def test_what_is_requested_of_a_passive_one_unobserved_is_done_when_it_is_seen(world, target, runs):
    start(world, passive())
    world.engine.disconnect()
    ask(world, ("a", target))
    assert shown(world) == ("unseen", target.value)
    if runs:
        world.engine.others_start("a")
    world.engine.come_back()
    world.clock.advance(1)
    assert shown(world) == (target.value, "passive")
    assert world.engine.alive("a") is (target is UP)


def test_nobody_waits_for_a_passive_one_unobserved_nor_is_it_called_unstoppable(world):
    start(world, passive())
    world.engine.disconnect()
    called = []
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: called.append(world.snapshot.unkillable_ids))
    assert called == [()]


def test_what_is_abandoned_unobserved_is_left_as_it_is_when_it_is_seen(world):
    start(world, service(initial_target=DOWN))
    world.engine.disconnect()
    world.supervisor.abandon([Kind.DOCKER])
    world.engine.others_start("a")
    world.engine.come_back()
    world.clock.advance(60)
    assert world.engine.alive("a")
    assert world.engine.signals == {}


def test_a_manager_that_begins_again_unobserved_decides_nothing_before_it_sees(world):
    start(world, service())
    world.engine.disconnect()
    world.supervisor.stop_all()
    for known in world.supervisor.specs().values():
        world.supervisor.add(known)
    world.clock.advance(60)
    assert shown(world) == ("unseen", "up")
    world.engine.come_back()
    world.clock.advance(1)
    assert shown(world) == ("up", "up")


def test_a_launch_that_is_repeated_since_the_engine_went_is_one_restart(world):
    start(world, service())
    record, launches = world.record(), 0
    for event in (
        ev.Exited(OOM),
        ev.ObservationLost("The engine does not answer."),
        ev.Absent(),
        ev.Launched(7),
    ):
        record, effects = step(record, event, world.clock.now(), 0.5, world.policy)
        launches += sum(isinstance(effect, ev.Launch) for effect in effects)
    assert (record.state, launches, record.failures.restarts) == (State.UP, 2, 1)
    record, _ = step(record, ev.Exited(OOM), world.clock.now(), 0.5, world.policy)
    later = replace(world.clock.now(), monotonic=world.clock.mono + 10)
    record, _ = step(record, ev.DeadlineReached(), later, 0.5, world.policy)
    assert (record.state, record.failures.restarts) == (State.STARTING, 2)
