"""In which order instances are started: the setting ``after``.

An instance with ``after: [registry]`` is launched once `registry` is ready. That orders what is due
to start at the same time, and nothing else: who is down on purpose or done is not waited for, nor
who was ready before, and nothing that runs is stopped because another one dies. No wait is endless:
after the `ready-timeout` of the other one the instance is started anyway, and says so.

Of an instance of another host only its heartbeats are known here: one of them, heard while somebody
waits, is enough. Whether it is wanted, and whether a one-shot is done, only its own manager knows. So
it is waited for as the site config has it, and not when an instance is restarted after a failure:
then each restart would take a minute while the other host is off.

The functions are pure; `StartGate` stands between a controller and its driver. While an instance
waits there it is STARTING with a launch that has not begun, as one that is queued for its launch.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from hostmanager.core.health import READY, Health
from hostmanager.core.model import InstanceSpec, RemoteInstance, Target
from hostmanager.core.protocols import Clock, Timer
from hostmanager.core.record import RESTING_STATES, InstanceRecord, State
from hostmanager.util.guard import Guard
from hostmanager.util.text import join_names

ROUTER_WAIT_TIMEOUT = 10.0
"""Seconds that one that runs and whose health is unknown is waited for. When a host boots, its
manager finds the router a moment after its agents start; one it takes over is heard within a
window of listening."""

AfterGraph = Mapping[str, Collection[str]]
"""After which others each instance is started."""


def find_cycle(graph: AfterGraph, start: str) -> list[str]:
    """The shortest way from an instance back to itself, it at both ends; empty if there is none."""
    paths, seen = [[start]], set()
    for path in paths:
        for following in graph.get(path[-1], ()):
            if following == start:
                return [*path, start]
            if following not in seen:
                seen.add(following)
                paths.append([*path, following])
    return []


def without_cycles(graph: AfterGraph, instance_id: str) -> list[str]:
    """After whom an instance is started, without those that are in a cycle with it."""
    return [
        other
        for other in graph.get(instance_id, ())
        if other != instance_id and instance_id not in _reachable(graph, other)
    ]


def _reachable(graph: AfterGraph, start: str) -> set[str]:
    seen, to_do = set(), [start]
    while to_do:
        for following in graph.get(to_do.pop(), ()):
            if following not in seen:
                seen.add(following)
                to_do.append(following)
    return seen


class Wait(Enum):
    """Whether an instance has to be waited for."""

    OVER = "over"
    NEEDED = "needed"
    GIVEN_UP = "given up"


def after_graph(records: Mapping[str, InstanceRecord]) -> dict[str, tuple[str, ...]]:
    """After which others each of the host's instances is started."""
    return {name: record.spec.settings.after for name, record in records.items()}


def judge_remote(remote: RemoteInstance, waited: float, *, heard: bool) -> Wait:
    """Whether an instance of another host has to be waited for.

    Args:
        remote: The instance.
        waited: Seconds that it has been waited for.
        heard: Whether a heartbeat of it came meanwhile.
    """
    if heard or not remote.is_awaited:
        return Wait.OVER
    return Wait.GIVEN_UP if waited >= remote.ready_timeout else Wait.NEEDED


def judge(record: InstanceRecord | None, health: Health | None, waited: float) -> Wait:
    """Whether one has to be waited for.

    Args:
        record: What is known of it; None: this host has no such instance.
        health: Its health; None if nobody follows it: then it is ready when it runs.
        waited: Seconds that it has been waited for.
    """
    if record is None or record.target is not Target.UP or record.state in RESTING_STATES:
        return Wait.OVER
    ends = record.is_restarting or record.must_stop
    if record.state is State.UP and not record.spec.settings.one_shot and not ends:
        if health is None or health in READY or health is Health.NO_HEARTBEAT:
            return Wait.OVER
        if health is Health.UNREGISTERED:
            return Wait.GIVEN_UP
        if health is Health.UNKNOWN and waited >= ROUTER_WAIT_TIMEOUT:
            return Wait.GIVEN_UP
    return Wait.GIVEN_UP if waited >= record.spec.settings.ready_timeout else Wait.NEEDED


@dataclass(frozen=True, slots=True)
class StartWait:
    """How long the latest launch of an instance waited for others.

    Attributes:
        seconds: How long.
        last: For whom it waited last.
        given_up: Who was not known to be ready when it was launched all the same.
    """

    seconds: float
    last: tuple[str, ...]
    given_up: tuple[str, ...]


@dataclass(slots=True)
class _Waiting:
    launch: Callable[[], object]
    since: float
    for_ids: tuple[str, ...] = ()
    last_ids: tuple[str, ...] = ()
    remote_too: bool = True
    given_up: list[str] = field(default_factory=list)


class StartGate:
    """Holds launches back until those that they come after are ready. On the loop's thread only.

    Args:
        records: What is known of the instances.
        clock: Time.
        guard: Makes the calls.
        report: Gets an instance-id and a sentence for operators.

    Attributes:
        health: Gives the health of an instance; None: nobody follows it.
        remote: The instances of other hosts, by instance-id.
        listen_for: Gets the instances of other hosts whose heartbeats are to be reported by `heard`.
        waits: How long the latest launch of each instance waited, if it did.
    """

    def __init__(
        self,
        records: Mapping[str, InstanceRecord],
        clock: Clock,
        guard: Guard,
        report: Callable[[str, str], object],
    ) -> None:
        self.health: Callable[[str], Health | None] = lambda _: None
        self.remote: Mapping[str, RemoteInstance] = {}
        self.listen_for: Callable[[frozenset[str]], object] = lambda _: None
        self.waits: dict[str, StartWait] = {}
        self._listening: frozenset[str] = frozenset()
        self._heard_at: dict[str, float] = {}
        self._records, self._clock, self._guard = records, clock, guard
        self._report = report
        self._waiting: dict[str, _Waiting] = {}
        self._timer: Timer | None = None
        self._due: float | None = None

    def enter(self, spec: InstanceSpec, launch: Callable[[], object]) -> None:
        """Launch now, or once those are ready that it comes after.

        Who comes after others is decided in the next turn of the loop: those that are due to
        start at the same time are known only then.
        """
        self.waits.pop(spec.instance_id, None)
        if not spec.settings.after:
            launch()
            return
        record = self._records.get(spec.instance_id)
        waiting = _Waiting(launch, self._now(), spec.settings.after)
        waiting.remote_too = record is None or not record.failures.consecutive
        self._waiting[spec.instance_id] = waiting
        self._check_at(self._now())

    def cancel(self, instance_id: str) -> bool:
        """Do not launch it; returns whether it waited."""
        if self._waiting.pop(instance_id, None) is None:
            return False
        self._listen()
        return True

    def waiting_for(self, instance_id: str) -> tuple[str, ...]:
        """For whom an instance waits; empty: it does not."""
        waiting = self._waiting.get(instance_id)
        return waiting.for_ids if waiting is not None else ()

    def name(self, instance_id: str) -> str:
        """An instance as operators know it: with its host, if that is another one."""
        if instance_id in self._records or instance_id not in self.remote:
            return instance_id
        return f"{instance_id} (host {self.remote[instance_id].host})"

    def heard(self, instance_id: str) -> None:
        """A heartbeat of an instance of another host came."""
        self._heard_at[instance_id] = self._now()
        self.changed()

    def changed(self) -> None:
        """Something has changed: whoever waits may not have to wait any more."""
        if self._waiting:
            self._check_at(self._now())

    def _now(self) -> float:
        return self._clock.now().monotonic

    def _check_at(self, due: float) -> None:
        if self._due is not None and self._due <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._clock.call_at(due, self._guard.callback("the start order", self._check))

    def _check(self) -> None:
        self._timer = self._due = None
        remote = {name: remote.after for name, remote in self.remote.items()}
        graph = {**remote, **after_graph(self._records)}  # once: a site may have thousands
        ready = [name for name in list(self._waiting) if self._is_over(name, graph)]
        if self._waiting:
            self._check_at(self._now() + 1.0)
        for instance_id in ready:
            waiting = self._waiting.pop(instance_id, None)
            if waiting is None:
                continue
            if waiting.last_ids:
                seconds, given_up = self._now() - waiting.since, tuple(waiting.given_up)
                self.waits[instance_id] = StartWait(seconds, waiting.last_ids, given_up)
            if waiting.given_up:
                names = join_names([self.name(other) for other in waiting.given_up])
                verb = "are" if len(waiting.given_up) > 1 else "is"
                text = f"is started although {names} {verb} not known to be ready"
                self._report(instance_id, text)
            self._guard.call(f"{instance_id}: its launch", waiting.launch)
        self._listen()

    def _is_over(self, instance_id: str, graph: AfterGraph) -> bool:
        waiting = self._waiting[instance_id]
        judged = {
            other: self._judge(other, waiting) for other in without_cycles(graph, instance_id)
        }
        waiting.for_ids = tuple(o for o, wait in judged.items() if wait is Wait.NEEDED)
        waiting.last_ids = waiting.for_ids or waiting.last_ids
        waiting.given_up = [o for o, wait in judged.items() if wait is Wait.GIVEN_UP]
        return not waiting.for_ids

    def _judge(self, other: str, waiting: _Waiting) -> Wait:
        waited, remote = self._now() - waiting.since, self.remote.get(other)
        if remote is None or other in self._records:
            return judge(self._records.get(other), self.health(other), waited)
        heard = self._heard_at.get(other, -1.0) >= waiting.since
        return judge_remote(remote, waited, heard=heard or not waiting.remote_too)

    def _listen(self) -> None:
        awaited = {other for waiting in self._waiting.values() for other in waiting.for_ids}
        awaited &= self.remote.keys() - self._records.keys()
        if awaited != self._listening:
            self._listening = frozenset(awaited)
            self.listen_for(self._listening)
