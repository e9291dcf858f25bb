"""Whatever raises, at whichever call: no instance is left that nobody looks after.

A day in the life of four instances is played once without a fault, and then once for each call
of a driver, a listener, a clock or a note-taker that was made: that call raises, and the day has
to end as it did without.
"""

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from hostmanager.core import controller
from hostmanager.core import events as ev
from hostmanager.core.model import Kind, ObservedRun, Target
from hostmanager.core.record import State
from hostmanager.core.requests import Request
from tests.unit.core.fake_engine import MixedWorld, passive, service
from tests.unit.core.fakes import IGNORES_SIGINT, LEAVES_SOME, Behaviour, FakeProcess, World, spec

pytestmark = pytest.mark.exhaustive

METHODS = ("launch", "adopt", "observe", "signal", "release")
LONG = 120.0


class Fault(Exception):  # noqa: N818 - what raises is no error of ours
    """What a driver was never expected to raise."""


@dataclass
class Faults:
    """Raises at some calls, and counts all of them."""

    name: str = ""
    number: int = 0
    times: int = 1
    late: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    raised: int = 0

    def around(self, name: str, call: Any) -> Any:
        def called(*args: Any, **more: Any) -> Any:
            self.calls[name] += 1
            due = name == self.name and self.calls[name] >= self.number and self.raised < self.times
            self.raised += due
            if due and not self.late:
                raise Fault(name)
            result = call(*args, **more)
            if due:
                raise Fault(name)
            return result

        return called


class Faulty:
    """A driver some of whose calls raise."""

    def __init__(self, driver: Any, faults: Faults, kind: Kind) -> None:
        self._driver, self._faults, self._kind = driver, faults, kind

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._driver, name)
        return self._faults.around(f"{self._kind} {name}", call) if name in METHODS else call


class FaultyWorld(MixedWorld):
    """A supervisor whose surroundings raise."""

    def __init__(self, faults: Faults, **more: Any) -> None:
        self.faults = faults
        super().__init__(**more)
        self.driver.adopt = self._adopt  # type: ignore[attr-defined]
        around = self.supervisor._deps
        emit = faults.around("note", around.emit_message)
        object.__setattr__(around, "emit_message", emit)
        self.last_states: dict[str, Any] = {}
        self.snapshot.subscribe(faults.around("listener", self._hear))
        call_at = faults.around("clock call_at", self.clock.call_at)
        now = faults.around("clock now", self.clock.now)
        object.__setattr__(around, "clock", SimpleNamespace(call_at=call_at, now=now))
        self.supervisor.guard._call_later = lambda delay, call: call_at(
            now().monotonic + delay, call
        )

    def _hear(self, instance_id: str, record: Any) -> None:
        self.last_states[instance_id] = record and record.state

    def drivers(self) -> Any:
        drivers = super().drivers()
        return {kind: Faulty(driver, self.faults, kind) for kind, driver in drivers.items()}

    def _adopt(self, what: Any, run: ObservedRun, report: Any) -> None:
        name = what.instance_id
        if name not in self.driver.processes:
            process = FakeProcess(name, Behaviour(), report, run.pid or 0)
            self.driver.processes[name] = process
        self.driver.processes[name].report = report
        report(ev.Launched(run.pid, run))


def a_day(world: FaultyWorld) -> dict[str, Any]:
    """Play it; returns how it ends."""
    supervisor, clock = world.supervisor, world.clock

    def later(act: Any) -> None:
        act()
        clock.advance(LONG)

    world.driver.default_behaviour["stubborn"] = IGNORES_SIGINT
    world.driver.plan["messy"] = [LEAVES_SOME]
    later(lambda: supervisor.add(spec("h")))
    later(lambda: supervisor.add(service("s")))
    later(lambda: supervisor.add(spec("stubborn")))
    later(lambda: supervisor.add(spec("messy")))
    later(lambda: supervisor.add(passive("p")))
    later(lambda: supervisor.add(spec("adopted"), observed_run=ObservedRun(77, clock.wall, "")))
    later(lambda: supervisor.adopt_unlisted("unlisted", ObservedRun(78, clock.wall, "")))
    later(lambda: world.driver.let_die("h"))
    later(lambda: world.engine.others_end("s"))
    later(lambda: world.engine.others_start("p"))
    later(world.engine.disconnect)
    later(world.engine.come_back)
    later(lambda: supervisor.apply_requests([Request("all", Target.DOWN)]))
    later(lambda: supervisor.apply_requests([Request("all", Target.UP)]))
    later(lambda: supervisor.replace(service("h")))  # a process becomes a service
    later(lambda: supervisor.replace(spec("s")))  # and a service a process
    later(lambda: supervisor.remove("stubborn"))
    later(lambda: supervisor.remove("p"))
    later(lambda: supervisor.add(spec("stubborn")))
    later(lambda: supervisor.remove("messy"))
    later(supervisor.stop_all)
    later(lambda: supervisor.apply_requests([Request("h", Target.UP), Request("s", Target.UP)]))
    at_rest = []
    supervisor.when_idle(lambda: at_rest.append(True))
    later(supervisor.stop_all)
    later(lambda: supervisor.apply_requests([Request("s", Target.UP)]))
    later(supervisor.escalate)  # without a clock, a retry waits for the next call
    return {
        "states": {i: record.state for i, record in world.snapshot.items()},
        "alive": sorted(world.driver.processes) + sorted(world.engine.containers),
        "last_states": {i: state for i, state in world.last_states.items() if state},
        "at rest": at_rest,
    }


def without_faults() -> tuple[dict[str, Any], Counter[str]]:
    faults = Faults()
    end = a_day(FaultyWorld(faults))
    return end, Counter(faults.calls)


EXPECTED, CALLS = without_faults()


def test_the_day_uses_everything_that_can_raise():
    assert EXPECTED["states"] == {
        **{"h": State.DOWN, "s": State.UP},
        **{"adopted": State.DOWN, "stubborn": State.DOWN},
    }
    assert EXPECTED["alive"] == ["s", "p"], "what nobody manages is left alone"
    assert EXPECTED["at rest"] == [True]
    used = {name for name in CALLS if CALLS[name]}
    assert used >= {f"host {m}" for m in METHODS if m != "observe"}
    assert used >= {f"docker {m}" for m in METHODS if m != "adopt"}
    assert used >= {"note", "listener", "clock call_at", "clock now"}


def cases() -> Any:
    for name, count in sorted(CALLS.items()):
        numbers = range(1, count + 1)
        if count > 60:  # the clock's and the listeners': each tenth
            numbers = range(1, count + 1, 10)
        # A launch that raises has launched nothing; all others may raise after the deed.
        lates = (False,) if name.endswith("launch") or name.startswith("clock") else (False, True)
        for number, late, times in itertools.product(numbers, lates, (1, 3)):
            yield name, number, late, times


@pytest.mark.parametrize("name", sorted(CALLS))
def test_whatever_raises_the_day_ends_as_without(name):
    bad = defaultdict(list)
    for case in cases():
        if case[0] != name:
            continue
        faults = Faults(name, case[1], times=case[3], late=case[2])
        world = FaultyWorld(faults)
        end = a_day(world)
        assert faults.raised, "the fault never came"
        if end != EXPECTED or world.wrongs:
            bad[case] = [{k: v for k, v in end.items() if v != EXPECTED[k]}, world.wrongs]
    assert not bad


def test_an_instance_that_is_gone_is_gone_though_its_driver_cannot_let_go(world: World):
    # It stayed "down, retiring" for ever.
    tries = []

    def forget(instance_id):
        tries.append(instance_id)
        raise OSError("no")

    world.driver.release = forget
    world.supervisor.add(spec())
    world.clock.advance(1)
    world.supervisor.remove("a")
    world.clock.advance(60)
    assert "a" not in world.snapshot
    assert len(tries) > 3, "it is tried again"
    world.supervisor.add(spec())
    before = len(tries)
    world.clock.advance(60)
    assert world.record().state is State.UP
    assert len(tries) == before, "what is here again is not let go of"


def test_a_fault_that_stays_is_not_logged_again_and_again(world: World, caplog):
    def look(*_):
        raise OSError("no")

    mixed = MixedWorld()
    mixed.engine.observe = look
    mixed.supervisor.add(service())
    mixed.clock.advance(3600)
    assert mixed.record().state is State.UNOBSERVED
    assert "OSError: no" in str(mixed.record().error)
    assert len(caplog.records) < 15


def test_what_cannot_be_handled_is_handled_later(world: World, monkeypatch):
    step, left = controller.step, [3]

    def failing(record, event, *more, **named):
        if isinstance(event, ev.Exited) and left[0]:
            left[0] -= 1
            raise MemoryError
        return step(record, event, *more, **named)

    monkeypatch.setattr(controller, "step", failing)
    world.supervisor.add(spec())
    world.clock.advance(1)
    world.driver.let_die("a")
    world.clock.advance(10)
    assert world.record().failures.restarts == 1
    assert world.record().state is State.UP
