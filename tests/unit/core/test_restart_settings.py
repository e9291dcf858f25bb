"""The settings of an instance for its stop and its restarts."""

from dataclasses import replace

import pytest

from hostmanager.core.model import InstanceSettings, Target
from hostmanager.core.policy import RestartPolicy
from hostmanager.core.record import State
from hostmanager.core.restart_budget import CpuBudget, FailedRun, decide_backoff
from tests.unit.core.fake_engine import service
from tests.unit.core.fakes import Behaviour, spec
from tests.unit.core.steps import ask, start

UP, DOWN = Target.UP, Target.DOWN
DEAF = Behaviour(ignores=frozenset({1}))
DIES = Behaviour(ends_after=1.0, code=1)


@pytest.mark.parametrize(
    ("entry", "patience"),
    [
        (spec(settings=InstanceSettings(stop_timeout=90.0)), 90),
        (spec(), 10),
        (service(settings=InstanceSettings(stop_timeout=90.0), stop_grace=3.0), 95),
        (service(stop_grace=3.0), 8),
    ],
)
def test_each_has_the_time_to_stop_that_its_entry_gives_it(world, entry, patience):
    world.driver.plan["a"].append(DEAF)
    world.engine.plan["a"].append(DEAF)
    start(world, entry)
    ask(world, ("a", DOWN))
    world.clock.advance(patience - 1)
    assert world.record().state is State.STOPPING
    world.clock.advance(2)
    assert world.record().state is not State.STOPPING


def test_a_changed_stop_timeout_counts_for_the_next_stop(world):
    world.driver.plan["a"].append(DEAF)
    start(world, spec())
    world.supervisor.update(spec(settings=InstanceSettings(stop_timeout=90.0)))
    ask(world, ("a", DOWN))
    world.clock.advance(89)
    assert world.record().state is State.STOPPING


@pytest.mark.parametrize(("longest", "expected"), [(2.0, 2.0), (None, 10.0), (120.0, 120.0)])
def test_the_longest_delay_is_that_of_the_entry(world, longest, expected):
    world.driver.plan["a"] += [DIES] * 14
    start(world, spec(settings=InstanceSettings(restart_delay_max=longest)))
    delays = []
    for _ in range(4000):
        world.clock.advance(1)
        record = world.record()
        if record.failures.last_run:
            delays.append(record.failures.next_start_at - record.failures.last_run.ended_at)
    assert 0.75 * expected <= max(delays) <= expected


def test_the_cpu_budget_knows_the_longest_delay_of_each():
    """One that is tried every two minutes only leaves its part to the others."""
    restart, budget = RestartPolicy(), CpuBudget(share=0.08, cpus=1)
    run = FailedRun(cpu=0.5, duration=1.0, jitter_sample=0.5)
    often = [FailedRun(cpu=0.5, duration=1.0)]
    rarely = [FailedRun(cpu=0.5, duration=1.0, max_delay=120.0)]
    beside = [decide_backoff(restart, budget, run, o, streak=9, rounds=0) for o in (often, rarely)]
    assert (bool(beside[0].reason), bool(beside[1].reason)) == (True, False)


GIVES_UP = InstanceSettings(restart_give_up_failures=3, restart_give_up_within=60.0)


@pytest.fixture(params=[spec, service], ids=["process", "service"])
def entry(request):
    """An instance that is given up after three failures within a minute."""
    return request.param(settings=GIVES_UP)


def launches(world):
    return len(world.driver.launches["a"]) + len(world.engine.launches["a"])


def plan(world, *behaviours):
    world.driver.plan["a"] += behaviours
    world.engine.plan["a"] += behaviours


def give_up(world, entry):
    plan(world, DIES, DIES, DIES)
    start(world, entry)
    world.clock.advance(3600)
    record = world.record()
    assert (record.state, record.target, launches(world)) == (State.GIVEN_UP, UP, 3)


def test_what_fails_too_often_is_left_so_and_says_what_to_do(world, entry):
    give_up(world, entry)
    record = world.record()
    assert record.error == (
        "It exited with code 1. It is not restarted any more after 3 failures within 60 s. When "
        "the cause is fixed, `hostmanager up a` starts it."
    )
    told = [text for text in world.messages_of() if "not restarted any more" in text]
    assert len(told) == 1
    assert world.engine.signals.get("a") is None  # a dead container stays, with its output
    assert not record.failing  # it takes no part of the CPU budget from others


@pytest.mark.parametrize(
    "request_it",
    [
        lambda world, _: ask(world, ("a", UP)),
        lambda world, _: ask(world, ("all", UP)),
        lambda world, _: world.supervisor.restart("a"),
        lambda world, entry: world.supervisor.update(replace(entry, fingerprint="new")),
        lambda world, entry: world.supervisor.replace(replace(entry, agent_class="Other")),
    ],
    ids=["up", "all up", "restart", "another entry", "another class"],
)
def test_it_is_tried_anew_when_somebody_asks_or_its_entry_changes(world, entry, request_it):
    give_up(world, entry)
    plan(world, DIES, DIES)  # one less than it takes to be given up again
    request_it(world, entry)
    world.clock.advance(60)
    assert (world.record().state, launches(world)) == (State.UP, 6)


def test_down_leaves_nothing_of_it(world, entry):
    give_up(world, entry)
    ask(world, ("a", DOWN))
    world.clock.advance(5)
    record = world.record()
    assert (record.state, record.error, record.failures.counted) == (State.DOWN, None, ())
    dead_container_removed = entry.service is not None
    assert world.engine.signals.get("a", []) == ([1] if dead_container_removed else [])


def test_failures_that_are_further_apart_do_not_count(world):
    settings = InstanceSettings(restart_give_up_failures=2, restart_give_up_within=60.0)
    plan(world, *[Behaviour(ends_after=61.0, code=1)] * 20)
    start(world, spec(settings=settings))
    world.clock.advance(900)
    assert world.record().state is State.UP


def test_a_launch_that_fails_counts_and_says_why(world):
    plan(world, *[Behaviour(fails_at="program")] * 3)
    start(world, spec(settings=GIVES_UP))
    world.clock.advance(60)
    assert world.record().state is State.GIVEN_UP
    assert world.record().error.startswith("Launch failed at the program: ")


def test_a_manual_one_that_cannot_be_started_is_given_up_too(world):
    plan(world, *[Behaviour(fails_at="program")] * 3)
    start(world, spec(settings=replace(GIVES_UP, manual=True)))
    ask(world, ("a", UP))
    world.clock.advance(60)
    assert (world.record().state, world.record().target) == (State.GIVEN_UP, Target.PASSIVE)
    ask(world, ("a", UP))
    world.clock.advance(1)
    assert (world.record().state, world.record().target) == (State.UP, Target.PASSIVE)
