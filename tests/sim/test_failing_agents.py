"""A day on which many agents fail, break and are mended, beside healthy ones that die at times."""

from random import Random

from hostmanager.core.policy import CpuBudget, Policy
from hostmanager.core.record import State
from tests.support.seeds import chosen_seed
from tests.unit.core.fakes import OBEYS, Behaviour, World, spec

DAY, HOUR = 86_400.0, 3600.0
CPUS = 2
BREAKS_EVERY, MENDED_AFTER = 600.0, 3 * HOUR
"""Mean times, seconds: until another of the 40 breaks, and until it is mended."""


class FailingDay:
    """The day; `spent` has every failed run: when it began and what it cost."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.world = World(Policy(budget=CpuBudget(cpus=CPUS)), seed)
        self.broken: set[str] = set()
        self.breaks = 0
        self.spent: list[tuple[float, float]] = []
        self.late: list[str] = []
        self.world.driver.choose = self.behaviour
        self.names = [f"a{n}" for n in range(40)]
        for name in self.names:
            self.world.supervisor.add(spec(name))
        self._soon(BREAKS_EVERY, self.break_one)
        self._soon(300.0, self.kill_a_healthy_one)

    def behaviour(self, name: str) -> Behaviour:
        if name not in self.broken:
            return OBEYS
        cpu, lasts = self.random.uniform(0.2, 3.0), self.random.choice((0.5, 1.0, 12.0))
        self.spent.append((self.world.clock.mono, cpu))
        return Behaviour(ends_after=lasts, cpu=cpu)

    def _soon(self, mean: float, what) -> None:
        def now() -> None:
            what()
            self._soon(mean, what)

        self.world.clock.call_later(self.random.expovariate(1 / mean), now)

    def break_one(self) -> None:
        whole = [name for name in self.names if name not in self.broken]
        if whole:
            name = self.random.choice(whole)
            self.broken.add(name)
            self.breaks += 1
            self.world.driver.let_die(name)
            mended = self.random.expovariate(1 / MENDED_AFTER)
            self.world.clock.call_later(mended, lambda: self.broken.discard(name))

    def kill_a_healthy_one(self) -> None:
        up = [n for n in self.names if n not in self.broken and self.ran_for(n) > 60]
        if up:
            name = self.random.choice(up)
            self.world.driver.let_die(name)
            if self.world.record(name).state is not State.STARTING:
                self.late.append(name)

    def ran_for(self, name: str) -> float:
        record = self.world.record(name)
        alive = record.state is State.UP and record.run.started_at is not None
        return self.world.clock.mono - record.run.started_at.monotonic if alive else 0.0


def test_failing_agents_keep_to_their_budget_all_day_and_no_healthy_one_pays():
    day = FailingDay(chosen_seed(7))
    started = day.world.clock.mono
    shares = []
    for _ in range(24):
        breaks, since = day.breaks, day.world.clock.mono
        day.world.clock.advance(HOUR)
        spent = sum(cpu for at, cpu in day.spent if at >= since)
        # Who breaks has a few attempts before it is held to its share.
        shares.append((spent - (day.breaks - breaks) * 3 * 3.0) / HOUR / CPUS)
    print(f"{day.breaks} breaks, {len(day.spent)} failed runs, of the CPU each hour: {shares}")
    assert max(shares) <= 0.125
    assert day.late == []
    assert len(day.spent) > 1000
    # Nobody is forgotten: who is mended is up again within its longest pause.
    day.broken.clear()
    day.break_one = day.kill_a_healthy_one = lambda: None
    day.names = []
    day.world.clock.advance(40 * 3.0 / (0.1 * CPUS) * 1.25 + 60)
    assert {record.state for record in day.world.snapshot.values()} == {State.UP}
    assert day.world.clock.mono > started + DAY
