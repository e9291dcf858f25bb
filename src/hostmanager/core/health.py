"""Whether an agent works, by the heartbeats that it publishes.

Every OCS agent publishes a heartbeat each second once it is registered with the router, and says in
it how each of its operations is. A process that exists and publishes none is not up in any way that
a user can use: it has not registered yet, it hangs, or its router connection is lost.

Heartbeats are not followed all the time: that would cost more than the rest of the manager. So time
does not count as silence; only time that was *listened* does. Whoever follows them reports
how long it listened (`listened`); `is_in_doubt` says to whom it must keep listening.

Pure: times are arguments, seconds on a monotonic clock.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from hostmanager.core.model import InstanceSettings

if TYPE_CHECKING:  # commands need what is here, and none of the events
    from hostmanager.core.events import Timestamp

ROUTER_GRACE = 30.0
"""Seconds after the router's return in which agents may find back to it. Autobahn waits up to 15 s
between attempts after an outage (measured)."""

MAX_STEP = 2.0
"""Seconds that one step of listening counts at most: a longer one shows that the manager itself was
held up, and what came meanwhile is not delivered yet."""


class Health(StrEnum):
    """How well an instance works."""

    STARTING = "starting"
    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"
    NO_HEARTBEAT = "no_heartbeat"
    UNREGISTERED = "unregistered"
    UNKNOWN = "unknown"


READY = frozenset({Health.OK, Health.DEGRADED, Health.FAILED})
"""The agent answers, whatever its operations do."""


class OperationState(StrEnum):
    """How an operation of an agent is."""

    RUNNING = "running"
    FAILED = "failed"
    DEGRADED = "degraded"
    IDLE = "idle"


_OPERATION_STATES = {
    2: OperationState.RUNNING,  # starting
    3: OperationState.RUNNING,
    4: OperationState.RUNNING,  # stopping
    6: OperationState.FAILED,
    8: OperationState.DEGRADED,
}
"""By the op code in a heartbeat (`ocs.base.OpCode`); all others are idle."""


def operation_state(op_code: int) -> OperationState:
    """The state that an op code of OCS stands for."""
    return _OPERATION_STATES.get(op_code, OperationState.IDLE)


@dataclass(frozen=True, slots=True)
class RunHealth:
    """What was heard of one run of an agent.

    Attributes:
        session: Its session with the router, as it says in its heartbeats; empty before the first.
        earlier_session: That of the run before: a heartbeat of it that comes late does not count.
        heard_at: When the latest heartbeat came (monotonic seconds); None: never.
        ready_at: When the first one came; None too if it was not listened for from its launch.
        silence: Seconds of listening since the latest one, or since the launch.
        operations: The state of each operation by its name.
        processes: The operations that are processes: one of them that fails is a failure of the
            agent. A task that failed is history.
        launched_here: Whether it was listened for from its launch.
        is_current: Whether a heartbeat came since the router was lost the last time.
    """

    session: str = ""
    earlier_session: str = ""
    heard_at: float | None = None
    ready_at: "Timestamp | None" = None
    silence: float = 0.0
    operations: Mapping[str, OperationState] = field(default_factory=dict)
    processes: frozenset[str] = frozenset()
    launched_here: bool = True
    is_current: bool = False

    def next_run(self, *, launched_here: bool = True) -> "RunHealth":
        """Nothing is known of the next run."""
        earlier = self.session or self.earlier_session
        return RunHealth(earlier_session=earlier, launched_here=launched_here)

    def beat(self, session: str, op_codes: Mapping[str, int], now: "Timestamp") -> "RunHealth":
        """A heartbeat came."""
        if session and session == self.earlier_session:
            return self
        is_first = self.heard_at is None and self.launched_here
        return replace(
            self,
            session=session,
            heard_at=now.monotonic,
            ready_at=now if is_first else self.ready_at,
            silence=0.0,
            is_current=True,
            operations={name: operation_state(code) for name, code in op_codes.items()},
        )

    def listened(self, seconds: float) -> "RunHealth":
        """Count time in which the agent was listened to, without a heartbeat."""
        return replace(self, silence=self.silence + min(seconds, MAX_STEP))

    def router_lost(self) -> "RunHealth":
        """Forget the silence: without a router, it means nothing."""
        return replace(self, silence=0.0, is_current=False)

    def with_processes(self, names: Collection[str]) -> "RunHealth":
        """Add the names of the operations that are processes."""
        return replace(self, processes=frozenset(names))

    def failing(self, state: OperationState) -> list[str]:
        """The processes of the agent that are in this state."""
        return [n for n, s in self.operations.items() if s is state and n in self.processes]


def health_of(
    run: RunHealth, settings: InstanceSettings, *, connected: bool, settled: bool
) -> Health:
    """Judge a run that is alive.

    Args:
        run: What was heard of it.
        settings: What counts.
        connected: Whether there is a router.
        settled: Whether it has been there for `ROUTER_GRACE`, so that agents are back as well.
    """
    if run.heard_at is None:
        if run.silence >= settings.ready_timeout and settled:
            return Health.UNREGISTERED
        return Health.STARTING if connected and run.launched_here else Health.UNKNOWN
    if run.silence >= settings.heartbeat_timeout and settled:
        return Health.NO_HEARTBEAT
    if not settled and not run.is_current:
        return Health.UNKNOWN
    if run.failing(OperationState.FAILED):
        return Health.FAILED
    return Health.DEGRADED if run.failing(OperationState.DEGRADED) else Health.OK
