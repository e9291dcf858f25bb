"""Agents and services side by side: from one kind to the other, and the end of the manager."""

import math

from hostmanager.core.model import Kind, Target
from hostmanager.core.record import State
from tests.unit.core.fake_engine import STOPPED, foreign, service
from tests.unit.core.fakes import UNKILLABLE, Behaviour, spec
from tests.unit.core.steps import shown, start

DOWN = Target.DOWN
NEVER_PULLED = Behaviour(answers_after=math.inf)
STOPS_SLOWLY = Behaviour(stops_after=3.0)


# --- from one kind to the other ---------------------------------------------------------------


def test_a_service_ends_before_the_agent_that_takes_its_place_starts(world):
    start(world, service(), behaviour=STOPS_SLOWLY)
    world.supervisor.replace(spec())
    world.clock.advance(2)
    assert world.driver.launches["a"] == []
    world.clock.advance(2)
    assert (world.record().state, world.record().spec.kind) == (State.UP, Kind.HOST)
    assert not world.engine.alive("a")
    world.engine.others_start("a")  # that is nobody's business any more
    world.clock.advance(1)
    assert world.record().run.pid == world.driver.processes["a"].pid


def test_an_agent_ends_before_the_service_that_takes_its_place_is_launched(world):
    world.driver.plan["a"] = [STOPS_SLOWLY]
    start(world, spec())
    world.supervisor.replace(service())
    world.clock.advance(2)
    assert world.engine.launches["a"] == []
    world.clock.advance(2)
    assert (world.record().state, world.record().spec.kind) == (State.UP, Kind.DOCKER)
    assert not world.driver.alive("a")


def test_an_agent_whose_entry_becomes_one_without_a_service_ends_and_is_blocked(world):
    start(world, spec())
    world.supervisor.replace(foreign())
    world.clock.advance(1)
    assert shown(world) == ("blocked", "up")
    assert not world.driver.alive("a")


def test_an_agent_takes_the_place_of_an_entry_without_a_service_at_once(world):
    world.engine.others_start("a")
    start(world, foreign())
    world.supervisor.replace(spec())
    world.clock.advance(0.1)
    assert (world.record().state, world.record().spec.kind) == (State.UP, Kind.HOST)
    assert world.engine.alive("a")  # it was not its own


def test_a_pull_for_a_service_that_is_replaced_by_an_agent_is_called_off(world):
    start(world, service(), behaviour=NEVER_PULLED)
    world.supervisor.replace(spec())
    world.clock.advance(0.1)
    assert (world.record().state, world.record().spec.kind) == (State.UP, Kind.HOST)


# --- the end of the manager ---------------------------------------------------------------------


def test_services_that_are_abandoned_are_left_as_they_are_and_agents_end(world):
    start(world, service("a"), service("b", initial_target=DOWN), spec("c"))
    called = []
    world.supervisor.abandon([Kind.DOCKER])
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: called.append(True))
    world.clock.advance(1)
    assert called == [True]
    assert world.engine.alive("a")
    assert not world.driver.alive("c")
    world.engine.others_end("a")
    world.engine.others_start("b")
    world.clock.advance(60)
    assert len(world.engine.launches["a"]) == 1
    assert world.engine.signals == {}


def test_who_waits_for_rest_hears_of_it_when_what_was_left_is_abandoned(world):
    start(world, service(), behaviour=UNKILLABLE)
    called = []
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: called.append(True))
    world.clock.advance(1)
    assert called == []
    world.supervisor.abandon([Kind.DOCKER])
    assert called == [True]


def test_a_service_that_was_to_take_the_place_of_an_agent_is_left_as_it_is_if_abandoned(world):
    world.driver.plan["a"] = [STOPS_SLOWLY]
    world.engine.others_start("a")
    start(world, spec())
    world.supervisor.replace(service())
    world.supervisor.abandon([Kind.DOCKER])
    world.supervisor.stop_all()
    world.clock.advance(10)
    assert not world.driver.alive("a")
    assert world.engine.alive("a")
    assert world.engine.signals == {}


def test_stop_ends_services_and_agents_alike(world):
    start(world, service("a"), spec("b"), behaviour=STOPS_SLOWLY)
    called = []
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: called.append(world.snapshot.unkillable_ids))
    world.clock.advance(5)
    assert called == [()]
    assert not world.engine.alive("a")
    assert world.record("a").last_exit.status == STOPPED
