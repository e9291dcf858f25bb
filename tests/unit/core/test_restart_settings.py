"""The settings of an instance for its stop and its restarts."""

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
