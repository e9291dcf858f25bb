"""What can happen to an instance, and what can follow: the vocabulary of the transitions.

Intents come from operators and the site config, observations from a driver, time from a clock.
Effects are what the transitions request of the controller, which calls the driver. All of them
are frozen plain data.
"""

import re
import signal
from dataclasses import dataclass, field
from enum import IntEnum
from typing import get_args

from hostmanager.core.model import InstanceSpec, ObservedRun, Target


@dataclass(frozen=True, slots=True)
class Timestamp:
    """One instant on both clocks.

    Attributes:
        monotonic: Monotonic seconds; the only time that decisions use.
        wall: Unix time, seconds; for display only.
    """

    monotonic: float
    wall: float


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended: by an exit code or by a signal; both None if unknown.

    Attributes:
        code: Exit code.
        signal: Number of the signal.
        detail: What else is known, for operators; shown in parentheses.
    """

    code: int | None = None
    signal: int | None = None
    detail: str = ""

    @property
    def signal_name(self) -> str | None:
        """``SIGKILL`` and the like; None when no signal ended it."""
        if self.signal is None:
            return None
        try:
            return signal.Signals(self.signal).name
        except ValueError:
            return f"signal {self.signal}"  # a real-time signal has no name

    def __str__(self) -> str:
        """Complete the sentence "the agent …"."""
        detail = f" ({self.detail})" if self.detail else ""
        if self.signal is not None:
            return f"was ended by {self.signal_name}{detail}"
        if self.code is not None:
            return f"exited with code {self.code}{detail}"
        return f"ended in an unknown way{detail}"


@dataclass(frozen=True, slots=True)
class StartRequested:
    """The instance should be up."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The instance should be down.

    Attributes:
        in_order: Whether it keeps running until it is released; see `core.stop_order`.
    """

    in_order: bool = False


@dataclass(frozen=True, slots=True)
class SpecChanged:
    """The entry has changed, but names the same class and kind."""

    spec: InstanceSpec


@dataclass(frozen=True, slots=True)
class SpecReplaced:
    """The entry names another class or kind: the old one must end before the new one starts.

    Attributes:
        spec: The entry as it is now.
        target: The requested target; None: that of the entry.
    """

    spec: InstanceSpec
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class Unconfigured:
    """The entry is gone: the instance is removed once nothing of it is alive."""


@dataclass(frozen=True, slots=True)
class Escalate:
    """An instance that is being stopped goes to the next stop stage now."""


@dataclass(frozen=True, slots=True)
class RestartRequested:
    """The current run is to be ended (as in `StopRequested`), and a new one launched."""

    in_order: bool = False


@dataclass(frozen=True, slots=True)
class StopReleased:
    """Those that come after it have ended, or had their time: it may be stopped."""


@dataclass(frozen=True, slots=True)
class Launched:
    """The program runs (it was executed; it need not be ready).

    Attributes:
        pid: Its process id.
        adopted: The run that is adopted, if an earlier manager launched it.
        run_id: See `ObservedRun`; empty if it is not known.
    """

    pid: int
    adopted: ObservedRun | None = None
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class LaunchFailed:
    """No process was started.

    Attributes:
        step: What failed, as a noun: ``program``, ``working directory``, ``output file`` …
        reason: Why, as a sentence without a full stop.
        remote: Whether it lacks what others have to deliver (an image): each attempt costs them
            something, so the delays grow longer than those after other failures.
    """

    step: str
    reason: str
    remote: bool = False


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended and left nothing behind.

    Attributes:
        status: How it ended.
        cpu: Seconds of CPU that it and its descendants used; None if not known.
    """

    status: ExitStatus
    cpu: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ExitedWithRemnants:
    """The process ended, but other processes of the run are alive.

    Attributes:
        status: How it ended.
        remnants: Descriptions of the other processes, for operators.
        cpu: As in `Exited`, without what the others will use.
    """

    status: ExitStatus
    remnants: tuple[str, ...] = ()
    cpu: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class RemnantsGone:
    """The last process that an exited run had left behind is gone."""


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing of the instance is alive, as its driver was asked or can observe again."""


@dataclass(frozen=True, slots=True)
class LastOutput:
    """The last lines that the process wrote; reported after its end."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """The status of a live instance; reported whenever it changes.

    Attributes:
        notice: What operators should know (paused, unhealthy), as a sentence; or None.
        image_outdated: Whether it runs from another image than a new launch would use.
        engine_restarting: Whether it has ended and the engine starts it again.
        new_run: What runs now, if that changed without a reported end.
        launching: Whether its launch, which was queued, begins now.
        settings_at_restart: Keys of changed settings that only a new run can have.
    """

    notice: str | None = None
    image_outdated: bool = False
    engine_restarting: bool = False
    new_run: ObservedRun | None = None
    launching: bool = False
    settings_at_restart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObservationLost:
    """The driver cannot observe whether it is alive (why, as a sentence); it reports once it can."""

    reason: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a new run needs is here (its image): the old run may be ended for it."""


@dataclass(frozen=True, slots=True)
class PrepareFailed:
    """What a new run needs is missing (a sentence without its stop): the old one has to go on."""

    reason: str


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """The deadline of the present state is reached."""


Intent = (
    StartRequested
    | StopRequested
    | SpecChanged
    | SpecReplaced
    | Unconfigured
    | Escalate
    | RestartRequested
    | StopReleased
)
Preparation = Prepared | PrepareFailed
RunObservation = (
    Launched
    | Exited
    | ExitedWithRemnants
    | RemnantsGone
    | Absent
    | LastOutput
    | StatusChanged
    | ObservationLost
)
Observation = RunObservation | LaunchFailed | Preparation
Event = Intent | Observation | DeadlineReached
EventType = type[Event]
EVENT_TYPES: tuple[EventType, ...] = get_args(Event)
"""The columns of the transition table."""


def event_name(event_type: EventType) -> str:
    """``StartRequested`` as ``start requested``."""
    return re.sub("(?<!^)(?=[A-Z])", " ", event_type.__name__).lower()


class StopStage(IntEnum):
    """The stages of a stop, each with stronger means than the one before."""

    INTERRUPT = 1  # SIGINT to the process
    TERMINATE = 2  # SIGTERM to its process group
    KILL = 3  # SIGKILL to its process group


@dataclass(frozen=True, slots=True)
class Launch:
    """Start the instance."""

    spec: InstanceSpec


@dataclass(frozen=True, slots=True)
class Observe:
    """Report whether it is alive, now and from now on: others may start and stop it."""

    spec: InstanceSpec


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make sure that a new run could be launched; the old run goes on meanwhile."""

    spec: InstanceSpec


@dataclass(frozen=True, slots=True)
class Unobserve:
    """Stop reporting: the run does not belong to the instance any more."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Use the means of this stop stage."""

    stage: StopStage


@dataclass(frozen=True, slots=True)
class Remove:
    """Nothing of an unconfigured instance is left: remove it."""


@dataclass(frozen=True, slots=True)
class OperatorMessage:
    """A message for operators.

    Attributes:
        text: One sentence about the instance, which its id precedes.
        warning: Whether it needs attention.
    """

    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class LogUnexpected:
    """An event that should not happen in the present state: for the log, not for operators."""

    text: str


Effect = Launch | Prepare | Observe | Unobserve | Signal | Remove | OperatorMessage | LogUnexpected
