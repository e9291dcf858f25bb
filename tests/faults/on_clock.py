"""Faults of the wall clock: set back and forth by seconds, hours, years."""

import time
from random import Random

from tests.faults.environment import World
from tests.faults.fault_registry import NotNowError, kind
from tests.faults.invariants import ViolationError

YEAR = 365 * 86400
FARTHEST = 20 * YEAR


def _no_clock(world: World) -> str:
    return world.clock.impossible


def _set(world: World, rng: Random) -> int:
    """Set it by some amount; returns the seconds."""
    step = rng.choice([1, 60, 3600, 86400, YEAR, 10 * YEAR]) * rng.choice([-1, 1])
    step = round(step * (0.5 + rng.random())) or 1
    if abs(world.clock.ahead + step) > FARTHEST:
        step = -world.clock.ahead  # right again
    world.clock.ahead += step
    return step


@kind("wall clock set", 5, _no_clock)
def clock_set(world: World, rng: Random) -> str:
    return f"by {_set(world, rng)} s"


@kind("wall clock set: nobody is ended", 2, _no_clock)
def clock_alone(world: World, rng: Random) -> str:
    if world.active_faults or not world.answers():
        raise NotNowError
    world.settle()
    started, steps = time.monotonic(), []
    for _ in range(rng.randint(1, 4)):
        steps.append(_set(world, rng))
        time.sleep(rng.random() * 0.1)
    world.settle()
    if ended := world.told_to_end_since(started):
        raise ViolationError(f"the wall clock was set by {steps} s, and that ended {ended}")
    return f"by {steps} s"
