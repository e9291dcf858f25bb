"""A Docker Engine that others use, too, and a driver that tells of it as `ports.Driver` says.

`FakeEngine` is both. Containers are started and ended by the driver, by others, and by
themselves; the engine restarts some of them; and it can go unobserved and come back with a
different truth. Whatever a driver should never be asked for is written down in `wrongs`: a
keeper survives the faults of a driver, so an exception alone would go unnoticed.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus, StopStage
from hostmanager.core.model import InstanceSpec, Kind, ObservedRun, ServiceRef, Target
from hostmanager.core.protocols import Driver, ReportObservation
from tests.unit.core.fakes import KILLED, OBEYS, Behaviour, FakeClock, TwoOfThem, World, spec

NO_ANSWER = "The Docker Engine does not answer."
STOPPED = ExitStatus(code=0)


@dataclass(slots=True)
class FakeContainer:
    """One container of a service."""

    name: str
    behaviour: Behaviour
    pid: int
    since: float
    fingerprint: str
    ending: bool = False

    @property
    def run(self) -> str:
        """What tells this run of it from all others."""
        return f"container {self.pid}"


@dataclass(slots=True)
class FakeUp:
    """One ``docker compose up`` under way."""

    spec: InstanceSpec
    behaviour: Behaviour
    report: ReportObservation
    called_off: bool = False


@dataclass
class FakeEngine:
    """Implements the core's `Driver`, for services; see the module.

    Attributes:
        plan: What the coming launches of an instance come to, in order; then its `default_behaviour`.
        choose: Decides instead of the default_behaviour.
        restarting: Instances whose containers the engine starts again after `restart_delay`.
        containers: What runs: the truth.
        unavailable: Instances whose image cannot be had: nothing of them could be launched anew.
        prepare_takes: How long it takes to find out; None: not at all.
        prepared: When it was asked to find out.
        remains: How the last container of an instance ended, until it is removed.
        reported: What the core was told last: True, it runs; False, it does not; None, neither.
        wrongs: What should never have been asked for.
        host_alive: Whether a process of the same instance is alive.
    """

    clock: FakeClock
    plan: dict[str, list[Behaviour]] = field(default_factory=lambda: defaultdict(list))
    default_behaviour: dict[str, Behaviour] = field(
        default_factory=lambda: defaultdict(lambda: OBEYS)
    )
    choose: Callable[[str], Behaviour] | None = None
    restarting: set[str] = field(default_factory=set)
    restart_delay: float = 0.1
    look_takes: float | None = 0.0
    unavailable: set[str] = field(default_factory=set)
    prepare_takes: float | None = 0.0
    prepared: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    containers: dict[str, FakeContainer] = field(default_factory=dict)
    remains: dict[str, ExitStatus] = field(default_factory=dict)
    reported: dict[str, bool | None] = field(default_factory=dict)
    launches: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    looks: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    signals: dict[str, list[StopStage]] = field(default_factory=lambda: defaultdict(list))
    in_flight: dict[str, FakeUp] = field(default_factory=dict)
    wrongs: list[str] = field(default_factory=list)
    host_alive: Callable[[str], bool] = lambda _: False
    pids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(5000))
    _watched: dict[str, ReportObservation] = field(default_factory=dict)
    _ran: set[str] = field(default_factory=set)  # told to run when they went unobserved
    _answers: bool = True
    _lost: bool = False

    def alive(self, instance_id: str) -> bool:
        """Whether a container of it runs, whoever knows."""
        return instance_id in self.containers

    def seen_running(self, instance_id: str) -> bool:
        """Whether the core was told that it runs, and has not let go of it."""
        return self.reported.get(instance_id) is True

    @property
    def connected(self) -> bool:
        """Whether the engine answers."""
        return self._answers

    @property
    def lost(self) -> bool:
        """Whether the driver has noticed that it does not."""
        return self._lost

    # --- what the core asks for -------------------------------------------------------------

    def launch(self, spec: InstanceSpec, report: ReportObservation) -> None:
        name = spec.instance_id
        self._must_be_a_service(spec, "launched")
        if name in self.in_flight:
            self._wrong(f"{name}: `up` beside another `up`")
        if self.reported.get(name) is not False:
            self._wrong(f"{name}: `up` for what was not seen to be down: {self.reported.get(name)}")
        if self.host_alive(name):
            self._wrong(f"{name}: `up` beside a process of the same instance")
        self.launches[name].append(self.clock.mono)
        behaviour = self._behaviour(name)
        up = self.in_flight[name] = FakeUp(spec, behaviour, report)
        self._watched[name] = report
        if behaviour.answers_after is None:
            self._up_ends(up)
        elif behaviour.answers_after != float("inf"):
            self.clock.call_later(behaviour.answers_after, partial(self._up_ends, up))

    def observe(self, spec: InstanceSpec, report: ReportObservation) -> None:
        name = spec.instance_id
        self._must_be_a_service(spec, "looked for")
        self.looks[name].append(self.clock.mono)
        self._watched[name] = report
        self.reported.pop(name, None)
        if self.look_takes is None:
            self._tell(name)
        else:
            self.clock.call_later(self.look_takes, partial(self._tell, name))

    def update_spec(self, spec: InstanceSpec) -> None:
        pass

    def prepare(self, spec: InstanceSpec, report: ReportObservation) -> None:
        name = spec.instance_id
        self._must_be_a_service(spec, "prepared")
        if not self.reported.get(name):
            self._wrong(f"{name}: prepared, but not told to run")
        self.prepared[name].append(self.clock.mono)
        if self.prepare_takes is None:
            self._prepared(name, report)
        else:
            self.clock.call_later(self.prepare_takes, partial(self._prepared, name, report))

    def _prepared(self, name: str, report: ReportObservation) -> None:
        if not self._answers:
            report(ev.PrepareFailed("the engine does not answer"))
        elif name in self.unavailable:
            report(ev.PrepareFailed("its image cannot be had"))
        else:
            report(ev.Prepared())

    def signal(self, instance_id: str, step: StopStage) -> None:
        if instance_id not in self._watched:
            self._wrong(f"{instance_id}: ended, though nobody may")
        self.signals[instance_id].append(step)
        up = self.in_flight.get(instance_id)
        container = self.containers.get(instance_id)
        if up is not None:
            up.called_off = True
            self.clock.call_later(0.0, partial(self._up_ends, up))
        elif container is not None and self._answers and step not in container.behaviour.ignores:
            if container.ending and step is StopStage.INTERRUPT:
                return
            container.ending = True
            later = container.behaviour.stops_after if step is StopStage.INTERRUPT else 0.0
            status = STOPPED if step is StopStage.INTERRUPT else KILLED
            self.clock.call_later(later, partial(self._end, container, status, removed=True))

    def release(self, instance_id: str) -> None:
        self._watched.pop(instance_id, None)
        self.reported.pop(instance_id, None)

    def forget_everything(self) -> None:
        """The manager is killed, and with it the commands that are under way."""
        self.in_flight.clear()
        self.close()
        self.reported.clear()
        self._ran.clear()

    def discover(self) -> Mapping[str, ObservedRun]:
        return {}

    def adopt(self, spec: InstanceSpec, run: ObservedRun, report: ReportObservation) -> None:
        self._wrong(f"{spec.instance_id}: containers are looked for, not adopted")

    def close(self) -> None:
        self._watched.clear()

    def _must_be_a_service(self, spec: InstanceSpec, what: str) -> None:
        if (
            spec.kind is not Kind.DOCKER
            or spec.service is None
            or spec.inoperable_reason is not None
        ):
            self._wrong(f"{spec.instance_id}: {what}, but is no service: {spec}")

    def _wrong(self, text: str) -> None:
        self.wrongs.append(text)
        raise TwoOfThem(text)

    def _behaviour(self, name: str) -> Behaviour:
        if self.plan[name]:
            return self.plan[name].pop(0)
        return self.choose(name) if self.choose else self.default_behaviour[name]

    # --- what comes of it ---------------------------------------------------------------------

    def _up_ends(self, up: FakeUp) -> None:
        name = up.spec.instance_id
        if self.in_flight.get(name) is not up:
            return
        del self.in_flight[name]
        failed = self._why_it_failed(up)
        if failed is None and name not in self.containers:
            self._create(name, up.behaviour, up.spec.fingerprint)
        if self._watched.get(name) is up.report and self._answers and self.alive(name):
            self.reported[name] = True
            up.report(ev.Launched(self.containers[name].pid, run_id=self.containers[name].run))
        elif self._watched.get(name) is up.report:
            up.report(failed or ev.LaunchFailed("engine", NO_ANSWER))
        self._tell(name)

    def _why_it_failed(self, up: FakeUp) -> ev.LaunchFailed | None:
        if up.called_off:
            return ev.LaunchFailed("docker compose up", "it was called off")
        if not self._answers:
            return ev.LaunchFailed("engine", "it does not answer")
        if up.behaviour.fails_at is not None:
            return ev.LaunchFailed(up.behaviour.fails_at, "it is not there")
        return None

    def _create(self, name: str, behaviour: Behaviour, fingerprint: str = "") -> None:
        self.remains.pop(name, None)
        container = FakeContainer(name, behaviour, next(self.pids), self.clock.wall, fingerprint)
        self.containers[name] = container
        if behaviour.ends_after is not None:
            ends = partial(self._end, container, ExitStatus(code=behaviour.code), by_itself=True)
            self.clock.call_later(behaviour.ends_after, ends)

    def _end(
        self,
        container: FakeContainer,
        status: ExitStatus,
        removed: bool = False,
        by_itself: bool = False,
    ) -> None:
        name = container.name
        if self.containers.get(name) is not container:
            return
        del self.containers[name]
        if not removed:
            self.remains[name] = status
        self._tell(name, status)
        if by_itself and name in self.restarting:
            self.clock.call_later(self.restart_delay, partial(self._restart, name))

    def _restart(self, name: str) -> None:
        if name in self.restarting and name not in self.containers:
            self.others_start(name, self._behaviour(name))

    def _tell(self, name: str, status: ExitStatus | None = None) -> None:
        """Report what is so, if that is not what was told last."""
        report = self._watched.get(name)
        if report is None or name in self.in_flight:
            return  # while an `up` is under way, its end tells
        before = self.reported.get(name, "nothing yet")
        if not self._answers:
            if self._lost and before is not None:
                self._lose(name, report)
            return
        container = self.containers.get(name)
        self.reported[name] = container is not None
        ran = name in self._ran
        self._ran.discard(name)
        if container is not None and before is not True:
            observed = ObservedRun(
                *(container.pid, container.since, container.fingerprint), run_id=container.run
            )
            report(ev.Launched(container.pid, observed))
        elif container is None and before is True:
            report(ev.Exited(status or self.remains.get(name, ExitStatus())))
        elif container is None and before is None and ran and name in self.remains:
            report(ev.Exited(self.remains[name]))
        elif container is None and before is not False:
            report(ev.Absent())

    def _lose(self, name: str, report: ReportObservation) -> None:
        if self.reported.get(name):
            self._ran.add(name)
        self.reported[name] = None
        report(ev.ObservationLost(NO_ANSWER))

    # --- what others do -----------------------------------------------------------------------

    def others_start(self, name: str, behaviour: Behaviour = OBEYS) -> None:
        """Somebody, or the engine's restart policy, starts it."""
        if name not in self.containers:
            self._create(name, behaviour)
            self._tell(name)

    def others_end(self, name: str, status: ExitStatus = STOPPED, removed: bool = False) -> None:
        """Somebody, or the kernel, ends it, whatever it ignores."""
        if name in self.containers:
            self._end(self.containers[name], status, removed)

    def finish_up(self, name: str) -> None:
        """The `up` under way, if there is one, comes to its end."""
        if name in self.in_flight:
            self._up_ends(self.in_flight[name])

    def remark(self, name: str, text: str | None, outdated: bool = False) -> None:
        """Something is to be known of it: it is paused, say."""
        if self.reported.get(name):
            self._watched[name](ev.StatusChanged(text, outdated))

    def freeze(self) -> None:
        """Answer nothing from now on; nobody has noticed yet."""
        self._answers = False

    def disconnect(self) -> None:
        """Break the connection; the driver notices at once."""
        self._answers, self._lost = False, True
        for name in list(self._watched):
            if name in self.in_flight and self.reported.get(name) is not None:
                self._lose(name, self._watched[name])
            else:
                self._tell(name)

    def come_back(self) -> None:
        """Answer again, with what is so by now."""
        self._answers, self._lost = True, False
        for name in list(self._watched):
            self._tell(name)


class MixedWorld(World):
    """A supervisor of processes and services."""

    def drivers(self) -> Mapping[Kind, Driver]:
        self.engine = FakeEngine(self.clock, host_alive=self._host_alive)
        self.driver.beside = self.engine.seen_running
        return {Kind.HOST: self.driver, Kind.DOCKER: self.engine}

    def _host_alive(self, name: str) -> bool:
        return self.driver.alive(name) or name in self.driver.in_flight

    @property
    def wrongs(self) -> list[str]:
        return self.driver.wrongs + self.engine.wrongs


def service(instance_id: str = "a", agent_class: str = "FakeAgent", **more: object) -> InstanceSpec:
    """Make an entry with a compose service."""
    ref = ServiceRef("docker-compose.yaml", "site", f"ocs-{instance_id}")
    return spec(instance_id, agent_class, **{"kind": Kind.DOCKER, "service": ref, **more})


def passive(instance_id: str = "a", **more: object) -> InstanceSpec:
    """Make a service without an entry."""
    return service(instance_id, "[docker]", initial_target=Target.PASSIVE, **more)


def foreign(instance_id: str = "a", **more: object) -> InstanceSpec:
    """Make a docker entry without a service."""
    return service(instance_id, service=None, inoperable_reason="no compose file has it", **more)
