"""A clock that is turned by hand, and a driver whose processes do as they are told.

`FakeDriver` launches `FakeProcess`es that follow a `Behaviour`. It writes down in `wrongs`, and
raises `TwoOfThem`, the moment a second process of an instance would be alive: nothing in this
project is worse. (A keeper survives a driver that raises; so who tests looks at `wrongs`.)
"""

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus, StopStage, Timestamp
from hostmanager.core.model import InstanceSpec, Kind, ObservedRun
from hostmanager.core.policy import Policy
from hostmanager.core.protocols import Driver, ReportObservation
from hostmanager.core.record import InstanceRecord
from hostmanager.core.supervisor import Supervisor

KILLED = ExitStatus(signal=9)
TERMED = ExitStatus(signal=15)


class TwoOfThem(AssertionError):  # noqa: N818 - it reads better where it is raised
    """Two processes of one instance at the same time."""


@dataclass(slots=True)
class FakeTimer:
    """A call that has been arranged."""

    callback: Callable[[], None] | None

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """Time that passes only when told to; the wall clock can jump, as real ones do.

    Args:
        mono: The present, monotonic seconds.
        early: Timers ring so many seconds early, as uvloop's do, which rounds.
    """

    def __init__(self, mono: float = 1000.0, early: float = 0.0) -> None:
        self.mono = mono
        self.early = early
        self.wall = 1_700_000_000.0
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._order = itertools.count()

    def now(self) -> Timestamp:
        return Timestamp(self.mono, self.wall)

    def call_at(self, mono: float, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(callback)
        if mono - self.early > self.mono:
            mono -= self.early
        heapq.heappush(self._timers, (mono, next(self._order), timer))
        return timer

    def call_later(self, delay: float, callback: Callable[[], None]) -> FakeTimer:
        return self.call_at(self.mono + delay, callback)

    @property
    def has_timers(self) -> bool:
        """Whether anything is arranged for later."""
        return any(timer.callback is not None for _, _, timer in self._timers)

    def jump(self, seconds: float) -> None:
        """Set the wall clock, as an operator or NTP does; no time passes."""
        self.wall += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that was arranged for it, in order."""
        end = self.mono + seconds
        while self._timers and self._timers[0][0] <= end:
            at, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                self._pass_until(at)
                callback, timer.callback = timer.callback, None
                callback()
        self._pass_until(end)

    def _pass_until(self, mono: float) -> None:
        self.wall += max(0.0, mono - self.mono)
        self.mono = max(self.mono, mono)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a launch comes to. The default: it runs until told to stop, then ends at once.

    Attributes:
        fails_at: The launch fails at this step.
        answers_after: Seconds until the driver answers the launch; None: at once, from
            within the call; `inf`: never.
        ends_after: Seconds of running until it ends by itself.
        code: How it ends by itself.
        ignores: The means to end it that it does not heed.
        stops_after: Seconds that it takes to heed one.
        leaves: How many others it leaves behind.
        remnants_ignore: The means that those do not heed.
        gets_its_turn: Whether its launch begins; else it waits until it is answered.
        cpu: Seconds of CPU that a run takes, or None: nobody can tell.
    """

    fails_at: str | None = None
    answers_after: float | None = 0.0
    ends_after: float | None = None
    code: int = 1
    ignores: frozenset[StopStage] = frozenset()
    stops_after: float = 0.0
    leaves: int = 0
    remnants_ignore: frozenset[StopStage] = frozenset()
    cpu: float | None = 0.0
    gets_its_turn: bool = True


OBEYS = Behaviour()
IGNORES_SIGINT = Behaviour(ignores=frozenset({StopStage.INTERRUPT}))
IGNORES_SIGTERM = Behaviour(ignores=frozenset({StopStage.INTERRUPT, StopStage.TERMINATE}))
UNKILLABLE = Behaviour(ignores=frozenset(StopStage))
CRASHES = Behaviour(ends_after=0.0)
LEAVES_SOME = Behaviour(ends_after=5.0, leaves=2)
NO_PROGRAM = Behaviour(fails_at="program")
SLOW_DISK = Behaviour(answers_after=3.0)


@dataclass(slots=True)
class FakeProcess:
    """One process and what it leaves behind."""

    instance_id: str
    behaviour: Behaviour
    report: ReportObservation
    pid: int
    alive: bool = True
    remnants: int = 0
    ending: bool = False
    since: float = 0.0

    @property
    def run(self) -> str:
        """What tells this run from all others."""
        return f"{self.pid}/{self.since}"


@dataclass
class FakeDriver:
    """Implements the core's `Driver`; see the module.

    Attributes:
        plan: What the coming launches of an instance come to, in order; then its `default_behaviour`.
        default_behaviour: What all launches of an instance come to that have no plan.
        launches: When each instance was launched, monotonic seconds.
        signals: What was sent to each instance.
        wrongs: What should never have been asked for.
        beside: Whether a service of the same instance is known to run.
    """

    clock: FakeClock
    plan: dict[str, list[Behaviour]] = field(default_factory=lambda: defaultdict(list))
    default_behaviour: dict[str, Behaviour] = field(
        default_factory=lambda: defaultdict(lambda: OBEYS)
    )
    choose: Callable[[str], Behaviour] | None = None
    launches: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    specs: dict[str, list[InstanceSpec]] = field(default_factory=lambda: defaultdict(list))
    signals: dict[str, list[StopStage]] = field(default_factory=lambda: defaultdict(list))
    in_flight: set[str] = field(default_factory=set)
    processes: dict[str, FakeProcess] = field(default_factory=dict)
    reports: dict[str, list[ReportObservation]] = field(default_factory=lambda: defaultdict(list))
    pids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(100))
    wrongs: list[str] = field(default_factory=list)
    beside: Callable[[str], bool] = lambda _: False

    def alive(self, instance_id: str) -> bool:
        """Whether a process of it, or anything that one left behind, is alive."""
        return instance_id in self.processes

    def launch(self, spec: InstanceSpec, report: ReportObservation) -> None:
        name = spec.instance_id
        if name in self.processes or name in self.in_flight or self.beside(name):
            self._wrong(f"{name} launched at {self.clock.mono} beside another")
        if spec.inoperable_reason is not None:
            self._wrong(f"{name} launched in spite of: {spec.inoperable_reason}")
        if spec.kind is not Kind.HOST:
            self._wrong(f"{name} launched, but is a service")
        behaviour = self._behaviour(name)
        self.launches[name].append(self.clock.mono)
        self.specs[name].append(spec)
        self.reports[name].append(report)
        self.in_flight.add(name)
        if behaviour.gets_its_turn and behaviour.answers_after is not None:
            report(ev.StatusChanged(launching=True))
        answer = partial(self._answer, name, behaviour, report)
        if behaviour.answers_after is None:
            answer()
        elif behaviour.answers_after != float("inf"):
            self.clock.call_later(behaviour.answers_after, answer)

    def _wrong(self, text: str) -> None:
        self.wrongs.append(text)
        raise TwoOfThem(text)

    def _behaviour(self, name: str) -> Behaviour:
        if self.plan[name]:
            return self.plan[name].pop(0)
        return self.choose(name) if self.choose else self.default_behaviour[name]

    def _answer(self, name: str, behaviour: Behaviour, report: ReportObservation) -> None:
        if self.reports[name][-1:] != [report] or name not in self.in_flight:
            return  # its manager was killed first
        self.in_flight.discard(name)
        if behaviour.fails_at is not None:
            report(ev.LaunchFailed(behaviour.fails_at, "it is not there"))
            return
        process = FakeProcess(name, behaviour, report, next(self.pids), remnants=behaviour.leaves)
        process.since = self.clock.wall
        self.processes[name] = process
        if behaviour.ends_after is not None:
            ends = partial(self._end, process, ExitStatus(code=behaviour.code))
            self.clock.call_later(behaviour.ends_after, ends)
        report(ev.Launched(process.pid, run_id=process.run))

    def forget_everything(self) -> None:
        """The manager is killed: nobody hears of anything any more, and no launch is finished."""
        self.in_flight.clear()
        for process in self.processes.values():
            process.report = lambda _: None

    def discover(self) -> Mapping[str, ObservedRun]:
        return {
            name: ObservedRun(
                p.pid if p.alive else None, p.since, "", run_id=p.run if p.alive else ""
            )
            for name, p in self.processes.items()
        }

    def adopt(self, spec: InstanceSpec, run: ObservedRun, report: ReportObservation) -> None:
        process = self.processes[spec.instance_id]
        process.report = report
        if process.alive:
            report(ev.Launched(process.pid, run))
        else:
            report(ev.ExitedWithRemnants(ExitStatus(), ("a child",)))

    def update_spec(self, spec: InstanceSpec) -> None:
        pass

    def prepare(self, spec: InstanceSpec, report: ReportObservation) -> None:
        self._wrong(f"{spec.instance_id} prepared, but a process needs nothing")

    def observe(self, spec: InstanceSpec, report: ReportObservation) -> None:
        self._wrong(f"{spec.instance_id} looked for, but a process of ours is always known")

    def release(self, instance_id: str) -> None:
        if self.alive(instance_id):
            self._wrong(f"{instance_id} forgotten while something is alive")

    def signal(self, instance_id: str, step: StopStage) -> None:
        self.signals[instance_id].append(step)
        process = self.processes.get(instance_id)
        if process is None:
            return
        if process.alive and not process.ending and step not in process.behaviour.ignores:
            process.ending = True
            status = {1: ExitStatus(code=0), 2: TERMED, 3: KILLED}[step]
            later = 0.0 if step is StopStage.KILL else process.behaviour.stops_after
            self.clock.call_later(later, partial(self._end, process, status))
        elif process.alive and step is StopStage.KILL and step not in process.behaviour.ignores:
            self.clock.call_later(0.0, partial(self._end, process, KILLED))
        if not process.alive and step not in process.behaviour.remnants_ignore:
            self.clock.call_later(0.0, partial(self._remnants_gone, process))

    def _end(self, process: FakeProcess, status: ExitStatus) -> None:
        if not process.alive:
            return
        process.alive = False
        if process.remnants:
            who = tuple(f"pid {process.pid}{n}: child" for n in range(process.remnants))
            process.report(ev.ExitedWithRemnants(status, who, process.behaviour.cpu))
        else:
            del self.processes[process.instance_id]
            process.report(ev.Exited(status, process.behaviour.cpu))
        process.report(ev.LastOutput((f"last words of {process.pid}",)))

    def _remnants_gone(self, process: FakeProcess) -> None:
        if self.processes.get(process.instance_id) is process:
            del self.processes[process.instance_id]
            process.report(ev.RemnantsGone())

    def let_die(self, instance_id: str, status: ExitStatus = KILLED) -> None:
        """End it from outside, whatever it ignores (the kernel's out-of-memory killer, say)."""
        process = self.processes.get(instance_id)
        if process is not None:
            self._end(process, status)

    def unblock(self, instance_id: str) -> None:
        """The disk or driver that an unkillable one waited for answers again."""
        process = self.processes.get(instance_id)
        if process is None:
            return
        if process.alive:
            self._end(process, KILLED)
        self._remnants_gone(process)


class World:
    """A supervisor in a world of fakes."""

    def __init__(self, policy: Policy | None = None, seed: int = 1, early: float = 0.0) -> None:
        self.clock = FakeClock(early=early)
        self.driver = FakeDriver(self.clock)
        self.notes: list[tuple[str, ev.OperatorMessage]] = []
        self.policy, self.random = policy or Policy(), Random(seed)
        self.all_drivers = self.drivers()
        self.start_manager()

    def start_manager(self) -> None:
        """A new manager in the same world; it knows of nothing yet."""
        self.supervisor = Supervisor(
            self.all_drivers,
            self.clock,
            self.policy,
            self.random,
            lambda instance_id, note: self.emit_message(instance_id, note),  # noqa: PLW0108 - tests set it
        )
        self.snapshot = self.supervisor.snapshot

    def emit_message(self, instance_id: str, note: ev.OperatorMessage) -> None:
        self.notes.append((instance_id, note))

    def drivers(self) -> Mapping[Kind, Driver]:
        return {Kind.HOST: self.driver}

    @property
    def wrongs(self) -> list[str]:
        """What should never have been asked of a driver."""
        return self.driver.wrongs

    def record(self, instance_id: str = "a") -> InstanceRecord:
        return self.snapshot[instance_id]

    def messages_of(self, instance_id: str = "a") -> list[str]:
        return [note.text for name, note in self.notes if name == instance_id]


def spec(instance_id: str = "a", agent_class: str = "FakeAgent", **more: object) -> InstanceSpec:
    """Make an entry of the site file."""
    return InstanceSpec(instance_id, agent_class, **more)  # type: ignore[arg-type]
