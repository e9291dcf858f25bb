"""Rounds of faults, drawn from a seed, until the time is over; and what came of it.

A round injects a few faults, one soon after the other, mends what they broke, and waits until
all that is wanted is so again. Each fault has a source of chance of its own,
made from the seed and its number: the same seed gives the same faults in the same order.
"""

import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random

from tests.faults import (  # noqa: F401 - they fill the list of kinds
    on_agents,
    on_clock,
    on_files,
    on_log_daemon,
    on_managers,
    on_requests,
    on_router,
)
from tests.faults.environment import World
from tests.faults.fault_registry import KINDS, Kind, NotNowError
from tests.faults.invariants import ViolationError

SHOWN = 20
"""Faults that are told before a violation."""

ROUND = (1, 8)
"""Faults of a round, at least and at most."""


@dataclass
class Campaign:
    """Attributes tell what was done so far.

    Attributes:
        world: Where to.
        seed: The same seed, the same faults.
        only: Names of kinds; empty: all.
        stop: Asked between rounds: whether to end before the time is over.
        name: Of this campaign, where there are several; part of the seed.
        missed: Faults that made no sense when they were drawn.
        settling: Seconds that the rounds took to settle.
        problem: What did not hold, with the story; empty: all did.
    """

    world: World
    seed: int
    only: Collection[str] = ()
    stop: Callable[[], bool] = lambda: False
    name: str = "1"
    injected: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    history: list[str] = field(default_factory=list)
    settling: list[float] = field(default_factory=list)
    problem: str = ""
    begun: float = 0.0
    seconds: float = 0.0

    def run(self, seconds: float) -> None:
        """Inject faults for that long, then end the manager; a violation ends it at once."""
        self.begun = time.monotonic()
        try:
            self._rounds(self.begun + seconds)
            self.world.end()
        except ViolationError as error:
            self.problem = self._explain(str(error))
        except Exception:  # of the suite itself
            self.problem = self._explain(traceback.format_exc())
        finally:
            self.seconds = time.monotonic() - self.begun

    def _rounds(self, until: float) -> None:
        kinds = [k for k in KINDS.values() if not self.only or k.name in self.only]
        possible = [kind for kind in kinds if not kind.impossible(self.world)]
        weights = [kind.weight for kind in possible]
        seed, drawn = f"{self.seed}/{self.name}", 0
        drawing = Random(seed)
        self.world.settle()
        while time.monotonic() < until and not self.stop():
            for kind in drawing.choices(possible, weights, k=drawing.randint(*ROUND)):
                drawn += 1
                self._inject(kind, Random(f"{seed}/{drawn}"))
            self._mend_and_settle()

    def _inject(self, kind: Kind, rng: Random) -> None:
        at = time.monotonic() - self.begun
        self.history.append(f"{at:7.2f} s  {kind.name} …")
        try:
            what = kind.inject(self.world, rng)
        except NotNowError:
            self.missed[kind.name] += 1
            self.history.pop()
            return
        self.history[-1] = f"{at:7.2f} s  {kind.name}{': ' if what else ''}{what}"
        self.injected[kind.name] += 1
        self.world.check()
        if rng.random() < 0.3:
            time.sleep(rng.random() * 0.3)  # at any moment
            self.world.check()

    def _mend_and_settle(self) -> None:
        world = self.world
        while world.active_faults:
            _, undo = world.active_faults.popitem()
            undo()
        started = time.monotonic()
        world.settle()
        self.settling.append(time.monotonic() - started)
        self.survived = self.injected.copy()

    def _explain(self, error: str) -> str:
        """What was seen, and what had been done before."""
        run = self.world.run
        self.world.keep_evidence()
        return "\n".join(
            [
                f"VIOLATION: {error}",
                f"seed {self.seed}, site {self.name}; the last faults, the latest at the end:",
                *self.history[-SHOWN:],
                f"logs of the managers: {self.world.site.directory / 'logs'}",
                f"the latest manager: {run.log if run else 'none runs'}",
                f"output of agents and state directory: {self.world.site.directory / 'kept'}",
            ]
        )
