"""A day in the life of a host: agents, services, every kind of failure, operators, reloads.

Everything follows from one seed, so that a day that went wrong can be lived again.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

from hostmanager.core.model import InstanceSettings, InstanceSpec, Kind, Target
from hostmanager.core.record import InstanceRecord
from hostmanager.core.requests import Request
from tests.sim.engine import EngineDay, with_service
from tests.sim.invariants import Watch
from tests.unit.core.fake_engine import MixedWorld, passive, service
from tests.unit.core.fakes import OBEYS, Behaviour, spec

DAY = 86_400.0
CALM = 900.0
"""Seconds at the end of the day without anything new going wrong."""

TARGETS = (Target.UP, Target.DOWN)


class Day:
    """One day. `live` it, then look at what is left.

    Args:
        seed: Decides over everything.
        agents: How many there are in the beginning.
        services: How many of them are compose services, beside those.
        passive_ones: How many services there are without an entry.
        one_shots: How many programs there are that are done once they have ended well.
        manual_services: How many services have an entry that says so.
        length: Seconds.
    """

    def __init__(
        self,
        seed: int,
        agents: int = 50,
        services: int = 10,
        passive_ones: int = 3,
        *,
        manual_services: int = 3,
        one_shots: int = 4,
        length: float = DAY,
    ) -> None:
        self.world = MixedWorld(seed=seed, early=0.0005)  # as hasty as a real loop
        self.watch = Watch(self.world)
        self.names = [f"agent{n}" for n in range(agents)]
        self.names += [f"service{n}" for n in range(services)]
        self.random = Random(seed)
        self.counts: Counter[str] = Counter()
        self.wanted: dict[str, Target] = {}
        self.story = hashlib.sha256()
        self.world.driver.choose = self.behaviour
        self.engine_day = EngineDay(self.world, self.random, self.behaviour)
        self.world.snapshot.subscribe(self._tell)
        self.quiet_from = self.world.clock.mono + length - CALM
        self.ends = self.world.clock.mono + length
        self._edition = 0
        for name in self.names:
            self._add(name)
        self.passive = [f"passive{n}" for n in range(passive_ones)]
        for name in self.passive:
            self.world.supervisor.add(passive(name))
        self.one_shots = [f"task{number}" for number in range(one_shots)]
        for number, name in enumerate(self.one_shots):
            make = service if number % 2 else spec
            limit = 3 if number >= 2 else 0  # two of them are given up, too
            settings = InstanceSettings(one_shot=True, restart_give_up_failures=limit)
            self.world.supervisor.add(make(name, settings=settings))
        for number in range(manual_services):
            self.passive.append(f"manual{number}")
            manual = InstanceSettings(manual=True)
            self.world.supervisor.add(service(self.passive[-1], settings=manual))

    def _tell(self, name: str, record: InstanceRecord | None) -> None:
        state = record.state if record else "forgotten"
        self.story.update(f"{self.world.clock.mono:.6f} {name} {state}\n".encode())
        self.counts["changes"] += 1

    # --- what goes wrong --------------------------------------------------------------------

    def behaviour(self, name: str) -> Behaviour:
        """What a launch comes to: mostly well, sometimes anything."""
        self.counts["launches"] += 1
        chance, uniform = self.random.random, self.random.uniform
        if self.world.clock.mono >= self.quiet_from or chance() < 0.4:
            return OBEYS
        ignores = {n for n, likely in ((1, 0.3), (2, 0.15), (3, 0.02)) if chance() < likely}
        return Behaviour(
            fails_at=self.random.choice(("program", "output file")) if chance() < 0.1 else None,
            answers_after=self.random.choice((None, 0.0, 0.01, uniform(0.0, 20.0))),
            ends_after=self.random.choice((None, uniform(0.0, 5.0), uniform(0.0, 1800.0))),
            code=self.random.choice((0, 1, 127)),
            ignores=frozenset(ignores),
            stops_after=uniform(0.0, 15.0) if chance() < 0.3 else 0.0,
            leaves=self.random.randrange(1, 4) if chance() < 0.15 else 0,
            remnants_ignore=frozenset({2} if chance() < 0.3 else ()),
            cpu=self.random.choice((None, 0.0, 0.05, 0.9)),
        )

    def _crash(self) -> None:
        alive = list(self.world.driver.processes)
        if alive:
            self.world.driver.let_die(self.random.choice(alive))
            self.counts["killed from outside"] += 1

    def _power_glitch(self) -> None:
        for name in list(self.world.driver.processes):
            self.world.driver.let_die(name)
            self.counts["killed from outside"] += 1

    def _unblock(self) -> None:
        for name in list(self.world.driver.processes):
            if self.world.snapshot[name].unkillable:
                self.world.driver.unblock(name)
                self.counts["unkillable ones let go"] += 1

    def _jump(self) -> None:
        self.world.clock.jump(self.random.uniform(-7200, 7200))

    # --- what people do -------------------------------------------------------------------

    def _request(self) -> None:
        requested = TARGETS[self.random.random() < 0.3]
        name = self.random.choice([*self.wanted, *self.passive, *self.one_shots])
        if self.random.random() < 0.02:
            self.ask("all", requested)
        else:
            for _ in range(self.random.choice((1, 1, 1, 10))):
                self.ask(name, requested)

    def _restart(self) -> None:
        name = self.random.choice(list(self.wanted))
        self.ask(name, Target.DOWN)
        self.ask(name, Target.UP)

    def ask(self, name: str, requested: Target) -> None:
        self.counts["requests"] += 1
        everybody = (*self.wanted, *self.passive)
        for each in everybody if name == "all" else (name,):
            if each in self.one_shots:
                continue
            says = self.watch.asked if each in self.passive else self.wanted
            says[each] = requested
        self.world.supervisor.apply_requests([Request(name, requested)])

    def _hurry(self) -> None:
        self.world.supervisor.escalate()

    def _reload(self) -> None:
        self.counts["reloads"] += 1
        for name, old in self._managed_specs().items():
            what = self.random.random()
            if what < 0.02:
                self.world.supervisor.remove(name)
                del self.wanted[name]
            elif what < 0.06:
                self._replace(name)
            elif what < 0.10:
                self._update(name, old, blocked=self.random.random() < 1 / 3)
        for name in sorted(set(self.names) - set(self.wanted)):
            if self.random.random() < 0.5:
                self._add(name)

    def _managed_specs(self) -> dict[str, InstanceSpec]:
        specs = self.world.supervisor.configured_specs()
        return {name: spec for name, spec in specs.items() if name in self.wanted}

    def _update(self, name: str, old: InstanceSpec, blocked: bool) -> None:
        new = self._edit(name, old)
        if new.kind is Kind.DOCKER:
            new = with_service(new, blocked)
        else:
            new = replace(new, inoperable_reason="no such class" if blocked else None)
        self.world.supervisor.update(new)

    def _edit(self, name: str, old: InstanceSpec) -> InstanceSpec:
        self._edition += 1
        return replace(old, fingerprint=str(self._edition))

    def _add(self, name: str) -> None:
        self.wanted[name] = self.random.choice((Target.UP, Target.UP, Target.DOWN))
        make = service if name.startswith("service") else spec
        self.world.supervisor.add(
            make(name, initial_target=self.wanted[name], settings=self._order(name))
        )

    def _order(self, name: str) -> InstanceSettings:
        """Of each five: one after a one-shot, two more in a chain behind it; two in a circle."""
        number = self.names.index(name)
        before, behind = self.names[number - 1], self.names[(number + 1) % len(self.names)]
        after = {2: ("task0",), 3: (before, "nobody"), 4: (before,)}.get(number % 5, ())
        circle = {10: (behind,), 11: (before,)}.get(number, ())
        return InstanceSettings(after=(*after, *circle))

    def _replace(self, name: str) -> None:
        self.wanted[name] = self.random.choice(TARGETS)
        make = self.random.choice((spec, service))
        entry = make(name, agent_class=f"Class{self._edition}", initial_target=self.wanted[name])
        entry = replace(entry, settings=self._order(name))
        self.world.supervisor.replace(self._edit(name, entry))

    # --- the day ----------------------------------------------------------------------------

    def live(self) -> "Day":
        """Let the day pass."""
        every: list[tuple[float, Callable[[], None]]] = [
            *((15.0, self._crash), (5000.0, self._power_glitch), (300.0, self._unblock)),
            *((45.0, self._request), (200.0, self._restart), (120.0, self._hurry)),
            *((600.0, self._reload), (3000.0, self._jump)),
            *((60.0, self.engine_day.others_start), (40.0, self.engine_day.others_end)),
            *((900.0, self.engine_day.outage), (300.0, self.engine_day.unblock)),
            (600.0, self.engine_day.change_restart_policy),
        ]
        for mean, what in every:
            self._again(mean, what)
        while self.world.clock.mono < self.quiet_from:
            self.world.clock.advance(min(60.0, self.quiet_from - self.world.clock.mono))
            self._check()
        self._clear_obstacles()
        while self.world.clock.mono < self.ends:
            self.world.clock.advance(60.0)
            self._unblock()
            self._crash_what_was_launched_badly()
            self.engine_day.unblock()
            self.engine_day.calm_down()
            self._check()
        self.world.clock.advance(60.0)
        self.counts["failures"] = self.watch.failures
        return self

    def _again(self, mean: float, what: Callable[[], None]) -> None:
        at = self.world.clock.mono + self.random.expovariate(1 / mean)

        def now() -> None:
            what()
            self._again(mean, what)

        if at < self.quiet_from:
            self.world.clock.call_at(at, now)

    def _clear_obstacles(self) -> None:
        for name, old in self._managed_specs().items():
            self._update(name, old, blocked=False)

    def _crash_what_was_launched_badly(self) -> None:
        """Those would go on to fail by plan; the new ones do not."""
        for name, process in list(self.world.driver.processes.items()):
            if process.behaviour is not OBEYS:
                self.world.driver.let_die(name)

    def _check(self) -> None:
        self.watch.everything_is_as_wanted_or_explained()
        self.watch.failures_in_a_row_are_answered_no_sooner_than_the_policy_says()
        self.watch.the_first_failure_of_an_agent_is_answered_at_once_whatever_the_engine_does()
        self.watch.a_passive_one_is_never_started_or_ended_unless_somebody_asked()
        self.watch.nothing_was_asked_of_a_driver_that_must_never_be()
        self.watch.what_is_shown_at_rest_has_nothing_alive()
        self.watch.what_is_out_of_sight_is_shown_as_such()
        snapshot = self.world.snapshot
        for name in self.wanted:
            assert snapshot[name].target is self.wanted[name], f"a request for {name} was lost"
        assert set(self._managed_specs()) == set(self.wanted)
        assert set(self.world.supervisor.specs()) == {
            *(*self.wanted, *self.passive),
            *self.one_shots,
        }
        for name in self.one_shots:
            is_done = snapshot[name].completion is not None
            assert not (is_done and self.world.driver.alive(name)), f"{name} is done, and alive"
        assert set(self.world.driver.processes) <= set(snapshot)
