"""Rounds of faults, drawn from a seed, until the time is over; and what came of it.

A round injects one to six faults, one soon after the other, mends what they broke, and
waits until all that is wanted is so again. Each fault has a source of chance of its own,
made from the seed and its number: the same seed gives the same faults in the same order.
"""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random

from tests.faults import (  # noqa: F401 - they fill the list of kinds
    on_agents,
    on_clock,
    on_files,
    on_managers,
    on_requests,
    on_router,
    on_scribe,
)
from tests.faults.judge import ViolationError
from tests.faults.kinds import KINDS, Kind, NotNowError
from tests.faults.world import World

SHOWN = 20
"""Faults that are told before a violation."""


@dataclass
class Campaign:
    """Attributes tell what was done so far.

    Attributes:
        world: Where to.
        seed: The same seed, the same faults.
        only: Names of kinds; empty: all.
        tell: Takes a line of progress.
    """

    world: World
    seed: int
    only: Collection[str] = ()
    tell: Callable[[str], None] = lambda _line: None
    injected: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    history: list[str] = field(default_factory=list)
    settling: list[float] = field(default_factory=list)
    begun: float = 0.0
    seconds: float = 0.0

    def run(self, seconds: float) -> None:
        """Inject faults for that long, then end the manager.

        Raises:
            ViolationError: An invariant did not hold; the faults stop there.
        """
        self.begun = time.monotonic()
        kinds = [k for k in KINDS.values() if not self.only or k.name in self.only]
        possible = [kind for kind in kinds if not kind.impossible(self.world)]
        drawing, number = Random(self.seed), 0
        try:
            self.world.settle()
            while time.monotonic() < self.begun + seconds:
                weights = [kind.weight for kind in possible]
                for kind in drawing.choices(possible, weights, k=drawing.randint(1, 6)):
                    number += 1
                    self._inject(kind, Random(f"{self.seed}/{number}"))
                self._mend_and_settle()
            self.world.end()
        finally:
            self.seconds = time.monotonic() - self.begun

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
            time.sleep(rng.random() * 0.3)
            self.world.check()

    def _mend_and_settle(self) -> None:
        world = self.world
        while world.hurt:
            _, undo = world.hurt.popitem()
            undo()
        begun = time.monotonic()
        world.settle()
        self.settling.append(time.monotonic() - begun)
        self.survived = self.injected.copy()
        total = sum(self.survived.values())
        self.tell(f"{time.monotonic() - self.begun:6.1f} s: {total} faults survived")

    def report(self) -> str:
        """The table."""
        width = max(map(len, KINDS))
        lines = [f"{'fault':{width}}  injected  survived"]
        for kind in KINDS.values():
            if self.only and kind.name not in self.only:
                continue
            why = kind.impossible(self.world)
            row = f"{self.injected[kind.name]:8}  {self.survived[kind.name]:8}"
            lines.append(f"{kind.name:{width}}  " + (f"skipped: {why}" if why else row))
        total, survived = self.injected.total(), self.survived.total()
        lines.append(f"{'total':{width}}  {total:8}  {survived:8}")
        lines.append("")
        lines.append(
            f"seed {self.seed}, {self.seconds:.0f} s, {self.world.runs} managers started, "
            f"{self.world.eyes.launched} launches of agents seen"
        )
        lines += _spread("rounds settled in", self.settling)
        took = [seconds for _, seconds in self.world.adoptions]
        count = max((n for n, _ in self.world.adoptions), default=0)
        lines += _spread(f"manager started → up to {count} agents adopted", took)
        lines += [f"{what}: {number}" for what, number in self.world.seen.items()]
        lines += [f"reached late: {what}"[:200] for what in self.world.slow[:10]]
        return "\n".join(lines)

    def explain(self, error: ViolationError) -> str:
        """What was seen, and what had been done before."""
        run = self.world.run
        self.world.keep_evidence()
        return "\n".join(
            [
                f"VIOLATION: {error}",
                f"seed {self.seed}; the last faults, the latest at the end:",
                *self.history[-SHOWN:],
                f"logs of the managers: {self.world.site.folder / 'logs'}",
                f"the latest manager: {run.log if run else 'none runs'}",
                f"output of agents and state folder: {self.world.site.folder / 'kept'}",
            ]
        )


def _spread(what: str, values: list[float]) -> list[str]:
    if not values:
        return []
    middle, worst = statistics.median(values), max(values)
    return [f"{what}: median {middle:.2f} s, worst {worst:.2f} s, n = {len(values)}"]
