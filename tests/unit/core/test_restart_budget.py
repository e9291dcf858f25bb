"""The CPU that failing agents may use together: who waits how long, and why."""

import math
from dataclasses import replace
from itertools import pairwise
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostmanager.core.model import Target
from hostmanager.core.policy import CpuBudget, Policy, RestartPolicy
from hostmanager.core.record import State
from hostmanager.core.requests import Request
from hostmanager.core.restart_budget import Backoff, FailedRun, decide_backoff, fair_share
from tests.unit.core.fakes import OBEYS, Behaviour, World, spec

RESTART = RestartPolicy()
TWO_CPUS = CpuBudget(share=0.1, cpus=2)
IMPORTS = FailedRun(cpu=0.9, duration=1.0)
"""What an agent of today costs that fails while it imports."""

COSTS = st.floats(0.0, 1000.0)


def backoff(run=IMPORTS, others=(), *, streak=6, rounds=1, chance=0.5, budget=TWO_CPUS) -> Backoff:
    run = replace(run, jitter_sample=chance)
    return decide_backoff(RESTART, budget, run, others, streak=streak, rounds=rounds)


# --- fair shares ---------------------------------------------------------------------------


@given(st.lists(COSTS, max_size=50), st.floats(0.001, 100.0))
def test_no_demands_together_get_more_than_the_budget_nor_less_while_somebody_wants_more(
    demands, budget
):
    share = fair_share(demands, budget)
    used = sum(min(demand, share) for demand in demands)
    assert used <= budget * (1 + 1e-9) + 1e-9
    if any(demand > share for demand in demands):
        assert used == pytest.approx(budget)
    else:
        assert share == math.inf


@given(st.lists(COSTS, min_size=1, max_size=50), st.floats(0.001, 100.0))
def test_whoever_demands_no_more_than_an_equal_share_gets_it_whatever_the_others_demand(
    demands, budget
):
    assert fair_share(demands, budget) >= budget / len(demands) * (1 - 1e-9)


# --- decisions -----------------------------------------------------------------------------


@given(st.integers(1, 100), st.floats(0, 1), st.integers(0, 1), st.floats(0, 60))
def test_within_the_budget_the_restart_policy_alone_decides(streak, chance, others, lasted):
    run = FailedRun(0.9, lasted)
    decided = backoff(run, [IMPORTS] * others, streak=streak, chance=chance)
    assert decided == Backoff(RESTART.delay(streak, chance))


def test_three_that_fail_at_once_are_more_than_two_cpus_have_for_them():
    decided = backoff(others=[IMPORTS] * 2)
    assert decided.delay == pytest.approx(3 * 0.9 / 0.2 - 1.0)
    assert decided.reason == (
        "It and 2 other failing agents together may use 10 % of this host's CPU, and would use "
        "more, so the restart is delayed; `up` restarts it now."
    )


def test_twenty_six_that_fail_wait_for_minutes():
    decided = backoff(others=[IMPORTS] * 25)
    assert decided.delay == pytest.approx(26 * 0.9 / 0.2 - 1.0)
    assert decided.delay > 110


def test_the_first_failure_is_answered_at_once_however_many_fail():
    assert backoff(others=[IMPORTS] * 500, streak=1, rounds=0) == Backoff(0.0)


def test_a_cheap_one_is_not_held_up_by_an_expensive_one():
    expensive = FailedRun(cpu=40.0, duration=30.0)
    assert backoff(FailedRun(0.05, 0.1), [expensive]).delay == RESTART.max_delay
    assert backoff(expensive, [FailedRun(0.05, 0.1)]).delay > 150


def test_who_fail_together_do_not_return_together():
    delays = [
        backoff(others=[IMPORTS] * 25, streak=2, rounds=0, chance=n / 25).delay for n in range(26)
    ]
    assert delays[0] == RESTART.delay(2, 0.0)
    steps = [later - sooner for sooner, later in pairwise(delays[1:])]
    assert steps == [pytest.approx(117 / 25)] * 24


@given(
    st.lists(st.builds(FailedRun, COSTS, st.floats(0, 60)), max_size=30),
    st.builds(FailedRun, COSTS, st.floats(0, 60)),
    st.integers(2, 10**6),
    st.integers(0, 10),
    st.floats(0, 1),
)
def test_no_decision_is_sooner_than_the_policy_or_later_than_the_longest_period(
    others, run, streak, rounds, chance
):
    decided = backoff(run, others, streak=streak, rounds=rounds, chance=chance)
    assert RESTART.delay(streak, chance) <= decided.delay
    assert decided.delay <= max(RESTART.max_delay, TWO_CPUS.longest_period * (1 + RESTART.jitter))
    assert bool(decided.reason) == (decided.rounds > 0)


@given(st.lists(st.builds(FailedRun, st.floats(0.01, 60), st.floats(0, 60)), max_size=30))
def test_in_the_long_run_all_together_keep_to_the_budget(runs):
    """Each run costs what it did, and is followed by the delay that was decided."""
    budget = replace(TWO_CPUS, longest_period=math.inf)
    used = 0.0
    for number, run in enumerate(runs):
        others = [*runs[:number], *runs[number + 1 :]]
        used += run.cpu / (run.duration + backoff(run, others, budget=budget).delay)
    assert used <= budget.rate * (1 + 1e-6)


# --- a host ----------------------------------------------------------------------------------

FAILS = Behaviour(ends_after=1.0, cpu=0.9)
POLICY = Policy(budget=TWO_CPUS)


def world_of(failing: int, healthy: int = 0, behaviour: Behaviour = FAILS) -> World:
    world = World(POLICY)
    for number in range(failing):
        world.driver.default_behaviour[f"bad{number}"] = behaviour
        world.supervisor.add(spec(f"bad{number}"))
    for number in range(healthy):
        world.supervisor.add(spec(f"good{number}"))
    return world


def used(world: World, seconds: float, cpu: float = 0.9) -> float:
    """The part of the host's CPU that launches of failing agents come to use in that time."""
    before = sum(map(len, world.driver.launches.values()))
    world.clock.advance(seconds)
    return (sum(map(len, world.driver.launches.values())) - before) * cpu / seconds / 2


def test_a_minute_after_the_start_many_failing_agents_use_a_tenth_of_the_cpu():
    world = world_of(failing=26, healthy=20)
    world.clock.advance(60)
    assert used(world, 600) <= 0.11


def test_who_fails_before_the_others_do_keeps_no_larger_share():
    """As on a host of real size, where agents begin one after the other. Attempts come at random
    moments, so half a minute of one host tells little: the median of twelve hosts.
    """
    shares = []
    for seed in range(12):
        world = World(POLICY, seed)
        for number in range(26):
            world.driver.default_behaviour[f"bad{number}"] = FAILS
            world.supervisor.add(spec(f"bad{number}"))
            world.clock.advance(2.0)
        world.clock.advance(8.0)
        shares.append(used(world, 30))
    assert median(shares) <= 0.11


def test_one_that_fails_alone_is_tried_again_within_a_few_seconds_as_ever():
    world = world_of(failing=1, healthy=50)
    world.clock.advance(120)
    gaps = [later - sooner for sooner, later in pairwise(world.driver.launches["bad0"])]
    assert max(gaps) <= 11 and len(gaps) > 9


def test_a_healthy_one_that_dies_beside_them_is_back_at_once_and_within_a_few_seconds_then():
    world = world_of(failing=26, healthy=1)
    world.clock.advance(600)
    for delay in (0.1, 1.3):
        world.driver.let_die("good0")
        world.clock.advance(delay)
        assert world.record("good0").state is State.UP


def test_what_they_wait_for_is_reported_with_its_reason():
    world = world_of(failing=26)
    world.clock.advance(60)
    record = world.record("bad7")
    assert record.state is State.BACKOFF
    assert record.failures.backoff.reason.startswith(
        "It and 25 other failing agents together may use 10 %"
    )
    messages = [text for text in world.messages_of("bad7") if "10 %" in text]
    assert messages and all("restarting in" in text for text in messages)


def test_whoever_says_up_is_obeyed_at_once():
    world = world_of(failing=26)
    world.clock.advance(60)
    name = next(
        n for n in world.snapshot if world.record(n).failures.next_start_at > world.clock.mono + 20
    )
    world.supervisor.apply_requests([Request(name, Target.UP)])
    assert world.record(name).state is State.STARTING


def test_when_the_others_are_gone_one_that_fails_is_tried_again_within_a_few_seconds():
    world = world_of(failing=26)
    world.clock.advance(300)
    for number in range(1, 26):
        world.supervisor.apply_requests([Request(f"bad{number}", Target.DOWN)])
    world.clock.advance(180)
    assert used(world, 60) * 60 * 2 / 0.9 >= 5


def test_who_has_run_for_a_minute_fails_no_more():
    world = world_of(failing=26)
    world.clock.advance(60)
    for number in range(1, 26):
        world.driver.default_behaviour[f"bad{number}"] = OBEYS
    world.clock.advance(300 + 60)
    assert {world.record(f"bad{n}").state for n in range(1, 26)} == {State.UP}
    world.clock.advance(150)
    assert used(world, 60) * 60 * 2 / 0.9 >= 5


def test_what_an_agent_used_while_it_worked_is_no_cost_of_its_failures():
    world = world_of(failing=3, behaviour=Behaviour(ends_after=100.0, cpu=90.0))
    world.clock.advance(1000)
    launches = world.driver.launches["bad0"]
    assert {later - sooner for sooner, later in pairwise(launches)} == {100.0}


def test_a_cost_that_nobody_knows_is_that_of_the_run_before():
    world = World(POLICY)
    world.driver.plan["a"] = [FAILS]
    world.driver.default_behaviour["a"] = Behaviour(ends_after=1.0, cpu=None)
    world.supervisor.add(spec())
    world.clock.advance(30)
    run = world.record().failures.last_run
    assert (run.cpu, run.duration) == (0.9, pytest.approx(1.0))


@pytest.mark.parametrize("failing", [2, 5, 26, 100])
def test_all_that_fail_alike_are_tried_equally_often(failing):
    hours = 3 * 3600.0
    world = world_of(failing)
    world.clock.advance(hours)
    counts = [len(world.driver.launches[f"bad{n}"]) for n in range(failing)]
    assert max(counts) <= 1.3 * min(counts) + 2
    assert sum(counts) * 0.9 / hours / 2 <= 0.11
