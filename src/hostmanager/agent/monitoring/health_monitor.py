"""Follows the heartbeats of the host's agents, at little cost.

To follow all of them all the time would cost more than everything else that a manager does. So all
are listened to every `WINDOW_INTERVAL` seconds until they are heard, for `WINDOW` at most; whoever
was not heard then, and whoever has not registered yet, is listened to until it is heard. That one is
silent costs nothing: no message comes.

What a heartbeat means is decided in `core.health`; how one is listened to, in `agent.framework`.
"""

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from hostmanager.core.health import ROUTER_GRACE, Health, OperationState, RunHealth, health_of
from hostmanager.core.model import InstanceSettings
from hostmanager.core.protocols import Clock, Timer
from hostmanager.core.record import InstanceRecord, State
from hostmanager.core.snapshot import Snapshot
from hostmanager.util.guard import Guard
from hostmanager.util.text import join_names

WINDOW, WINDOW_INTERVAL = 1.2, 10.0
"""Seconds that all are listened to, a little longer than the interval of heartbeats; and seconds
from the beginning of one such window to that of the next."""

STEP = 1.0
"""Seconds between two looks at those who are silent."""


class HeartbeatSource(Protocol):
    """Where heartbeats come from: the router."""

    def listen_to(self, instance_ids: Collection[str]) -> None:
        """Deliver the heartbeats of these instances, and of no others, from now on."""

    def is_listening_to(self, instance_id: str) -> bool:
        """Whether the heartbeats of an instance would be delivered by now."""

    def request_processes(self, instance_id: str) -> None:
        """Ask an agent which of its operations are processes; answered by `set_processes`."""


@dataclass(frozen=True, slots=True)
class HealthChange:
    """The health of an instance has changed.

    Attributes:
        instance_id: The instance.
        before: What it was.
        after: What it is.
        text: A sentence or less, for operators, which the id precedes.
    """

    instance_id: str
    before: Health | None
    after: Health
    text: str


@dataclass(slots=True)
class _Followed:
    key: tuple[Any, ...]
    run: RunHealth
    settings: InstanceSettings
    health: Health | None = None
    in_doubt: bool = True
    asked: bool = False


class HealthMonitor:
    """The health of each agent of the host that runs.

    Args:
        snapshot: What is known of the instances.
        clock: Time.
        guard: Makes the calls.
        on_change: Gets each change of a health.

    Attributes:
        listeners: Get each change of a health.
        on_remote_beat: Gets the id of an instance of another host that was heard.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        clock: Clock,
        guard: Guard,
        on_change: Callable[[HealthChange], None],
    ) -> None:
        self._clock, self._guard = clock, guard
        self.listeners = [on_change]
        self._followed: dict[str, _Followed] = {}
        self._sessions: dict[str, RunHealth] = {}  # of the run before, of what does not run now
        self._launching: set[str] = set()
        self._remote: frozenset[str] = frozenset()
        self.on_remote_beat: Callable[[str], object] = lambda _: None
        self._enabled = False
        self._source: HeartbeatSource | None = None
        self._router_since: float | None = None
        self._window_ends: float | None = None
        self._next_window = 0.0
        self._stepped_at = 0.0
        self._timer: Timer | None = None
        for instance_id, record in snapshot.items():
            self._on_record(instance_id, record)
        snapshot.subscribe(self._on_record)

    # --- what is known -------------------------------------------------------------------------

    def health(self, instance_id: str) -> Health | None:
        """The health of an instance; None if it does not run, or nobody follows it."""
        followed = self._known(instance_id)
        return None if followed is None else followed.health

    def run(self, instance_id: str) -> RunHealth | None:
        """What was heard of the present run of an instance; None as `health`."""
        followed = self._known(instance_id)
        return None if followed is None else followed.run

    def message(self, instance_id: str) -> str:
        """What a person should know of its health, as a sentence; empty: nothing."""
        followed = self._known(instance_id)
        text = "" if followed is None else _text(followed, None, followed.health)
        return f"It {text}." if text else ""

    def _known(self, instance_id: str) -> _Followed | None:
        return self._followed.get(instance_id) if self._enabled else None

    # --- what happens ----------------------------------------------------------------------------

    def _on_record(self, instance_id: str, record: InstanceRecord | None) -> None:
        if record is not None and record.state is State.STARTING:
            self._launching.add(instance_id)
        followed = self._followed.get(instance_id)
        key = None if record is None else _run_key(record)
        if key is None or record is None:
            if followed is not None and (record is None or record.run.pid is None):
                self._sessions[instance_id] = followed.run
                del self._followed[instance_id]
            return
        settings = record.spec.settings
        if settings.heartbeat_timeout <= 0:
            self._followed.pop(instance_id, None)
            return
        if followed is not None and followed.key == key:
            followed.settings = settings
            return
        before = followed.run if followed else self._sessions.pop(instance_id, RunHealth())
        # Of a run that an earlier manager launched, the first heartbeat may be long gone.
        run = before.next_run(launched_here=instance_id in self._launching)
        self._launching.discard(instance_id)
        self._followed[instance_id] = _Followed(key, run, settings)
        self._judge(instance_id)
        self._schedule()

    def enable(self) -> None:
        """Heartbeats will come as soon as there is a router; without this, no health is known."""
        self._enabled = True

    def listen_for(self, instance_ids: frozenset[str]) -> None:
        """Report the heartbeats of these instances of other hosts, by `on_remote_beat`."""
        self._remote = instance_ids
        self._listen()

    def connected(self, source: HeartbeatSource) -> None:
        """The router is there: from now on, heartbeats come from this source."""
        self._source, self._router_since = source, self._now()
        self._next_window = self._now() + random.uniform(0.0, WINDOW_INTERVAL)
        for instance_id, followed in self._followed.items():
            followed.in_doubt = True
            self._judge(instance_id)
        self._schedule()

    def disconnected(self) -> None:
        """The router is gone; nothing is known before it is back."""
        self._source = self._router_since = self._window_ends = None
        for instance_id, followed in self._followed.items():
            followed.run = followed.run.router_lost()
            self._judge(instance_id)

    def beat(self, instance_id: str, session: str, op_codes: Mapping[str, int]) -> None:
        """A heartbeat came."""
        followed = self._followed.get(instance_id)
        if followed is None:
            if instance_id in self._remote:
                self.on_remote_beat(instance_id)
            return
        run = followed.run.beat(session, op_codes, self._clock.now())
        if run is followed.run:
            return  # of an earlier run
        followed.run, was_in_doubt, followed.in_doubt = run, followed.in_doubt, False
        states = set(run.operations.values())
        if not followed.asked and states & {OperationState.FAILED, OperationState.DEGRADED}:
            followed.asked = True
            if self._source is not None:
                self._source.request_processes(instance_id)
        self._judge(instance_id)
        if not was_in_doubt:
            return
        if self._window_ends is None:
            self._listen()
        elif not any(each.in_doubt for each in self._followed.values()):
            self._window_ends = None  # all were heard: a sixth of the messages less
            self._schedule()

    def set_processes(self, instance_id: str, names: Collection[str]) -> None:
        """Which of the operations of an agent are processes."""
        followed = self._followed.get(instance_id)
        if followed is not None:
            followed.run = followed.run.with_processes(names)
            self._judge(instance_id)

    # --- time ------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._clock.now().monotonic

    def _schedule(self) -> None:
        """Set the timer for what comes next: the next window, its end, the next step."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._source is None:
            return
        self._listen()
        if not self._followed:
            return
        due = self._next_window if self._window_ends is None else self._window_ends
        if any(followed.in_doubt for followed in self._followed.values()):
            due = min(due, self._now() + STEP)
        callback = self._guard.callback("the health of the agents", self._step)
        self._stepped_at = self._now()
        self._timer = self._clock.call_at(due, callback)

    def _step(self) -> None:
        self._timer = None
        try:
            self._count_silence()
            now = self._now()
            if self._window_ends is not None and now >= self._window_ends:
                self._window_ends = None
            elif self._window_ends is None and now >= self._next_window:
                self._open_window(now)
        finally:
            self._schedule()

    def _count_silence(self) -> None:
        passed, source = self._now() - self._stepped_at, self._source
        for instance_id, followed in self._followed.items():
            if followed.in_doubt and source is not None and source.is_listening_to(instance_id):
                followed.run = followed.run.listened(passed)
                self._judge(instance_id)

    def _open_window(self, now: float) -> None:
        self._window_ends, self._next_window = now + WINDOW, now + WINDOW_INTERVAL
        for followed in self._followed.values():
            followed.in_doubt = True

    def _listen(self) -> None:
        is_window = self._window_ends is not None
        if self._source is not None:
            self._source.listen_to(
                [
                    *self._remote,
                    *(i for i, each in self._followed.items() if each.in_doubt or is_window),
                ]
            )

    def _judge(self, instance_id: str) -> None:
        followed = self._followed[instance_id]
        since = self._router_since
        after = health_of(
            followed.run,
            followed.settings,
            connected=since is not None,
            settled=since is not None and self._now() - since >= ROUTER_GRACE,
        )
        before = followed.health
        if before is after:
            return
        followed.health = after
        change = HealthChange(instance_id, before, after, _text(followed, before, after))
        for listener in self.listeners:
            self._guard.call(f"{instance_id}: its health", partial(listener, change))


def _run_key(record: InstanceRecord) -> tuple[Any, ...] | None:
    """What tells one run from another; None if nothing runs that could be followed."""
    spec, run = record.spec, record.run
    if spec.is_unmanaged or record.state is not State.UP or run.pid is None:
        return None
    return run.run_id, run.pid, spec.agent_class


def _text(followed: _Followed, before: Health | None, after: Health | None) -> str:
    """What to tell operators of a change; empty: nothing."""
    settings, run = followed.settings, followed.run
    match after:
        case Health.UNREGISTERED:
            return (
                f"has not registered with the router within {settings.ready_timeout:g} s; its output "
                "may say why"
            )
        case Health.NO_HEARTBEAT:
            return (
                f"runs, but has sent no heartbeat for {settings.heartbeat_timeout:g} s; it may hang"
            )
        case Health.FAILED:
            return f"answers, but has failed processes: {join_names(run.failing(OperationState.FAILED))}"
        case Health.DEGRADED:
            return f"answers, but has degraded processes: {join_names(run.failing(OperationState.DEGRADED))}"
        case Health.OK if before in (Health.NO_HEARTBEAT, Health.UNREGISTERED):
            return "answers again" if before is Health.NO_HEARTBEAT else "has registered"
        case _:
            return ""
