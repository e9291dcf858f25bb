"""One state of the model: what the manager knows, what is so, and what was asked for.

Times and counters would make every run of the world a state of its own. `normalize` keeps of them
what decides: whether a launch has to wait, whether a failure came before.
"""

import functools
from dataclasses import dataclass, replace

from hostmanager.core.events import Timestamp
from hostmanager.core.model import InstanceSpec, Kind, Target
from hostmanager.core.record import ANY_RUN, NO_RUN, CurrentRun, InstanceRecord, State
from hostmanager.core.restart_budget import NO_BACKOFF, FailedRun

NOW = Timestamp(10_000.0, 1_000_000.0)
"""When everything happens: delays are kept relative to it."""

LATER = 100.0
"""Seconds after which every delay of the model is over."""

THIS_RUN, EARLIER_RUN = "this", "earlier"


@dataclass(frozen=True, slots=True)
class World:
    """What is so outside the manager, whether it knows or not.

    Attributes:
        running: Whether the program is alive.
        remnants: Whether processes that it left behind are alive.
        launching: Whether a launch was asked for and has not been answered.
        preparing: Whether the driver prepares a new run.
        end_unreported: Whether the program has ended and the driver has not reported it.
        observed: Whether the driver reports of it.
        asked: Whether the driver was asked what is so, and has not replied.
        visible: Whether the driver can see anything (an engine that answers).
        stage: The strongest stop stage that was used on what runs.
    """

    running: bool = False
    remnants: bool = False
    launching: bool = False
    preparing: bool = False
    end_unreported: bool = False
    observed: bool = False
    asked: bool = False
    visible: bool = True
    stage: int = 0

    @property
    def alive(self) -> bool:
        """Whether anything of the instance is alive."""
        return self.running or self.remnants


@dataclass(frozen=True, slots=True)
class Wish:
    """What operators and the site config ask for, kept by the model itself.

    Attributes:
        target: Up, down; passive for what nobody manages.
        ends: Whether something that runs has to end although it is wanted up: it was restarted,
            replaced or removed.
        configured: Whether it is in the site config.
    """

    target: Target
    ends: bool = False
    configured: bool = True


@dataclass(frozen=True, slots=True)
class Node:
    """A state of the model; `record` is None once the manager has forgotten the instance."""

    record: InstanceRecord | None
    world: World
    wish: Wish


@functools.cache
def normalize(record: InstanceRecord, passed: float = 0.0) -> InstanceRecord:
    """The same, `passed` seconds later, with times and counts reduced to what decides."""
    record = shift(record, passed)
    failures, run, request = record.failures, record.run, record.request
    waits = failures.next_start_at > NOW.monotonic
    failures = replace(
        failures,
        consecutive=min(failures.consecutive, 2),
        last_run=failures.last_run and FailedRun(0.0, 1.0, NOW.monotonic, None),
        backoff=NO_BACKOFF,
        exit_times=(),
        restarts=0,
        is_followed=False,
        counted=(NOW.monotonic,) * len(failures.counted),
        next_start_at=NOW.monotonic + LATER / 2 if waits else 0.0,
    )
    restart_of = request.restart_of
    if restart_of not in (None, NO_RUN, ANY_RUN):
        restart_of = THIS_RUN if restart_of == run.run_id else EARLIER_RUN
    request = replace(
        request,
        restart_of=restart_of,
        restart_denied=request.restart_denied and "denied",
        replacement=request.replacement,
    )
    starting, alive = record.state is State.STARTING, run.pid is not None
    run = CurrentRun(
        pid=run.pid and 1,
        run_id=run.run_id and THIS_RUN,
        started_at=Timestamp(NOW.monotonic - 5, NOW.wall - 5) if starting or alive else None,
        fingerprint=run.fingerprint if starting or alive else "",
        launch_begun=starting and run.launch_begun,
        launch_cancelled=starting and run.launch_cancelled,
    )
    deadline = record.deadline and NOW.monotonic + LATER / 2
    return replace(
        record,
        deadline=deadline,
        error=record.error and "error",
        last_exit=None,
        last_output=(),
        failures=failures,
        request=request,
        run=run,
        observation=replace(record.observation, notice=None),
    )


def shift(record: InstanceRecord, seconds: float) -> InstanceRecord:
    """The same, `seconds` later, with the time of day as before."""
    failures = record.failures
    later = replace(failures, next_start_at=failures.next_start_at - seconds)
    deadline = None if record.deadline is None else record.deadline - seconds
    return replace(record, failures=later, deadline=deadline)


def is_passive(spec: InstanceSpec) -> bool:
    """Whether others manage it."""
    return spec.initial_target is Target.PASSIVE


def may_rest(record: InstanceRecord) -> bool:
    """Whether it may stay in this state for good."""
    return record.state in (State.UP, State.DOWN, State.INOPERABLE, State.GIVEN_UP)


def is_process(record: InstanceRecord) -> bool:
    """Whether it is a process of the host."""
    return record.spec.kind is Kind.HOST
