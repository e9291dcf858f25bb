"""Services without an entry: watched, told up or down once, and otherwise left alone."""

import math

import pytest

from hostmanager.core.model import Kind, Target
from hostmanager.core.record import State
from tests.unit.core.fake_engine import passive, service
from tests.unit.core.fakes import CRASHES, NO_PROGRAM, OBEYS, Behaviour, spec
from tests.unit.core.steps import ask, shown, start

UP, DOWN = Target.UP, Target.DOWN
STOPS_SLOWLY = Behaviour(stops_after=3.0)


@pytest.mark.parametrize("runs", [True, False])
def test_a_passive_service_is_shown_as_it_is_and_left_alone(world, runs):
    if runs:
        world.engine.others_start("a")
    start(world, passive())
    assert shown(world) == ("up" if runs else "down", "passive")
    world.clock.advance(3600)
    assert world.engine.alive("a") is runs
    assert (world.engine.launches, world.engine.signals) == ({}, {})


def test_others_start_and_end_it_freely_and_its_deaths_are_no_failures(world):
    start(world, passive())
    for _ in range(5):
        world.engine.others_start("a")
        assert shown(world) == ("up", "passive")
        world.engine.others_end("a")
        assert shown(world) == ("down", "passive")
    assert (world.record().failures.exit_times, world.record().failures.consecutive) == ((), 0)
    assert (world.engine.launches, world.engine.signals) == ({}, {})


def test_told_up_it_is_launched_and_its_target_shows_that_until_it_runs(world):
    world.engine.plan["a"] = [Behaviour(answers_after=5.0)]
    start(world, passive())
    ask(world, ("a", UP))
    assert shown(world) == ("starting", "up")
    world.clock.advance(6)
    assert shown(world) == ("up", "passive")
    world.engine.others_end("a")
    world.clock.advance(60)
    assert shown(world) == ("down", "passive")  # it was told up once
    assert len(world.engine.launches["a"]) == 1


def test_told_down_it_is_ended_and_its_target_shows_that_until_it_is(world):
    world.engine.others_start("a", STOPS_SLOWLY)
    start(world, passive())
    ask(world, ("a", DOWN))
    assert shown(world) == ("stopping", "down")
    world.clock.advance(4)
    assert shown(world) == ("down", "passive")
    world.engine.others_start("a")
    world.clock.advance(60)
    assert shown(world) == ("up", "passive")
    assert world.engine.signals["a"] == [1]


@pytest.mark.parametrize("target", [UP, DOWN])
def test_told_what_it_is_already_nothing_is_done(world, target):
    if target is UP:
        world.engine.others_start("a")
    start(world, passive())
    ask(world, ("a", target))
    assert shown(world) == (target.value, "passive")
    assert (world.engine.launches, world.engine.signals) == ({}, {})


def test_told_up_again_during_its_stop_it_comes_back_and_is_passive_again(world):
    world.engine.others_start("a", STOPS_SLOWLY)
    start(world, passive())
    ask(world, ("a", DOWN), ("a", UP))
    assert shown(world) == ("stopping", "up")
    world.clock.advance(4)
    assert shown(world) == ("up", "passive")


def test_told_up_and_failing_it_says_so_and_is_tried_until_it_runs(world):
    world.engine.default_behaviour["a"] = NO_PROGRAM
    start(world, passive())
    ask(world, ("a", UP))
    world.clock.advance(30)
    assert shown(world) == ("waiting", "up")
    assert "Launch failed" in world.record().error
    world.engine.default_behaviour["a"] = OBEYS
    world.clock.advance(11)
    assert shown(world) == ("up", "passive")


def test_started_and_failing_it_is_given_up_when_stopped(world):
    world.engine.default_behaviour["a"] = NO_PROGRAM
    start(world, passive())
    ask(world, ("a", UP))
    world.clock.advance(30)
    ask(world, ("a", DOWN))
    assert shown(world) == ("down", "passive")
    launches = len(world.engine.launches["a"])
    world.clock.advance(60)
    assert len(world.engine.launches["a"]) == launches


def test_told_up_and_dying_at_once_it_was_up_and_is_not_brought_back(world):
    world.engine.default_behaviour["a"] = CRASHES
    start(world, passive())
    ask(world, ("a", UP))
    world.clock.advance(60)
    assert shown(world) == ("down", "passive")
    assert len(world.engine.launches["a"]) == 1


def test_somebody_else_may_be_quicker_to_start_it(world):
    world.engine.default_behaviour["a"] = NO_PROGRAM
    start(world, passive())
    ask(world, ("a", UP))
    world.clock.advance(30)
    world.engine.others_start("a")
    assert shown(world) == ("up", "passive")
    launches = len(world.engine.launches["a"])
    world.clock.advance(60)
    assert len(world.engine.launches["a"]) == launches


def test_told_down_during_a_pull_it_is_called_off(world):
    world.engine.plan["a"] = [Behaviour(answers_after=math.inf)]
    start(world, passive())
    ask(world, ("a", UP))
    world.clock.advance(1)
    ask(world, ("a", DOWN))
    world.clock.advance(0.1)
    assert shown(world) == ("down", "passive")


def test_all_down_includes_passive_services(world):
    world.engine.others_start("a")
    start(world, passive("a"), spec("b"))
    ask(world, ("all", DOWN))
    world.clock.advance(1)
    assert shown(world, "a") == ("down", "passive")
    assert shown(world, "b") == ("down", "down")


def test_all_up_includes_passive_services_but_those_with_another_request(world):
    start(world, passive("a"), passive("b"), spec("c", initial_target=DOWN))
    ask(world, ("all", UP), ("b", DOWN))
    world.clock.advance(1)
    assert [shown(world, i) for i in "abc"] == [
        ("up", "passive"),
        ("down", "passive"),
        ("up", "up"),
    ]


def test_a_stop_of_the_manager_neither_ends_passive_services_nor_waits_for_them(world):
    world.engine.others_start("a")
    start(world, passive("a"), service("b"))
    called = []
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: called.append(world.snapshot.unkillable_ids))
    world.clock.advance(1)
    assert called == [()]
    assert shown(world, "a") == ("up", "passive")
    assert shown(world, "b") == ("down", "down")
    assert world.engine.alive("a")


@pytest.mark.parametrize("target", [UP, DOWN])
def test_a_stop_of_the_manager_does_not_wait_for_what_was_requested_of_a_passive_one(world, target):
    if target is DOWN:
        world.engine.others_start("a", Behaviour(stops_after=math.inf))
    world.engine.plan["a"] = [Behaviour(answers_after=math.inf)]
    start(world, passive())
    ask(world, ("a", target))
    called = []
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: called.append(True))
    assert called == [True]


@pytest.mark.parametrize("runs", [True, False])
def test_a_manager_that_begins_again_leaves_passive_services_as_they_are(world, runs):
    if runs:
        world.engine.others_start("a")
    start(world, passive("a"), service("b"))
    world.supervisor.stop_all()
    world.clock.advance(1)
    for known in world.supervisor.specs().values():
        world.supervisor.add(known)
    world.clock.advance(1)
    assert shown(world, "a") == ("up" if runs else "down", "passive")
    assert shown(world, "b") == ("up", "up")
    assert (world.engine.launches["a"], world.engine.signals["a"]) == ([], [])


@pytest.mark.parametrize("how", ["remove_now", "remove"])
def test_a_passive_one_whose_row_goes_goes_on(world, how):
    world.engine.others_start("a")
    start(world, passive())
    getattr(world.supervisor, how)("a")
    assert "a" not in world.snapshot
    world.engine.others_end("a")
    world.engine.others_start("a")
    world.clock.advance(60)
    assert "a" not in world.snapshot
    assert world.engine.signals == {}


def test_a_passive_one_that_gains_an_entry_is_taken_over_under_its_new_id(world):
    world.engine.others_start("a")
    start(world, passive())
    world.supervisor.remove_now("a")
    start(world, service())
    assert shown(world) == ("up", "up")
    assert (world.engine.launches["a"], world.engine.signals["a"]) == ([], [])


def test_a_passive_one_whose_row_becomes_that_of_an_entry_is_taken_over_too(world):
    world.engine.others_start("a")
    start(world, passive())
    world.supervisor.replace(service())  # without a prefix, service and instance have one name
    world.clock.advance(1)
    assert shown(world) == ("up", "up")
    assert (world.engine.launches["a"], world.engine.signals["a"]) == ([], [])


def test_a_passive_one_whose_row_becomes_that_of_an_agent_goes_on_beside_it(world):
    world.engine.others_start("a")
    start(world, passive())
    world.supervisor.replace(spec())
    world.clock.advance(1)
    assert (world.record().state, world.record().spec.kind) == (State.UP, Kind.HOST)
    assert world.engine.alive("a")


def test_an_entry_that_goes_while_its_service_stays_ends_and_is_passive_then(world):
    start(world, service())
    world.supervisor.replace(passive())
    world.clock.advance(1)
    assert shown(world) == ("down", "passive")
    assert world.supervisor.configured_specs() == {}
    assert list(world.supervisor.specs()) == ["a"]


def test_a_stop_waits_for_a_passive_one_that_becomes_managed_meanwhile(world):
    world.engine.others_start("a", STOPS_SLOWLY)
    start(world, passive())
    ask(world, ("a", DOWN))
    world.supervisor.replace(service())
    called = []
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: called.append(True))
    assert called == []
    world.clock.advance(4)
    assert called == [True]
    world.clock.advance(60)
    assert shown(world) == ("down", "down")
    assert world.engine.launches["a"] == []


def test_only_what_has_an_entry_is_listed(world):
    start(world, passive("a"), service("b"), spec("c"))
    assert list(world.supervisor.configured_specs()) == ["b", "c"]
    assert list(world.supervisor.specs()) == ["a", "b", "c"]
