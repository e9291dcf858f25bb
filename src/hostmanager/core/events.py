"""What can happen to an instance, and what can follow: the vocabulary of the lifecycle.

Intents come from people (requests, the site file), observations from a driver, time
from a clock. Effects are what the lifecycle asks of the keeper, which asks the driver.
All of them are frozen plain data.
"""

import signal
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import ClassVar

from hostmanager.core.model import InstanceSpec, ObservedRun, Target


class EventKind(StrEnum):
    """The columns of the transition table."""

    # Intents
    START_REQUESTED = "told up"
    STOP_REQUESTED = "told down"
    SPEC_CHANGED = "entry updated"
    SPEC_REPLACED = "entry replaced"
    UNCONFIGURED = "entry gone"
    ESCALATE = "told to hurry"
    RESTART_REQUESTED = "restart requested"
    # Observations
    LAUNCHED = "launched"
    LAUNCH_FAILED = "launch failed"
    EXITED = "ended"
    EXITED_WITH_REMNANTS = "ended, remnants left"
    REMNANTS_GONE = "remnants gone"
    LAST_OUTPUT = "output read"
    STATUS_CHANGED = "condition changed"
    OBSERVATION_LOST = "out of sight"
    PREPARED = "next run prepared"
    PREPARE_FAILED = "next run not to be had"
    # Time
    DEADLINE = "timer"


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
    """How a process ended: by a code of its own or by a signal; both None if unknown.

    Attributes:
        code: Exit code.
        signal: Number of the signal.
        detail: What else is known of it, for people; it comes in parentheses.
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
    """Somebody wants the instance up."""

    kind: ClassVar = EventKind.START_REQUESTED


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Somebody wants the instance down."""

    kind: ClassVar = EventKind.STOP_REQUESTED


@dataclass(frozen=True, slots=True)
class SpecChanged:
    """The entry says something else now, but names the same class and kind."""

    spec: InstanceSpec
    kind: ClassVar = EventKind.SPEC_CHANGED


@dataclass(frozen=True, slots=True)
class SpecReplaced:
    """The entry names another class or kind: the old one must end before the new one starts.

    Attributes:
        spec: What the entry says now.
        target: What is wanted of it; None: what the entry names.
    """

    spec: InstanceSpec
    target: Target | None = None
    kind: ClassVar = EventKind.SPEC_REPLACED


@dataclass(frozen=True, slots=True)
class Unconfigured:
    """The entry is gone: to be forgotten once nothing of it is alive."""

    kind: ClassVar = EventKind.UNCONFIGURED


@dataclass(frozen=True, slots=True)
class Escalate:
    """Whatever is being ended is to be ended by the next stronger means, now."""

    kind: ClassVar = EventKind.ESCALATE


@dataclass(frozen=True, slots=True)
class RestartRequested:
    """An operator wants what runs to be ended, and a new run in its place."""

    kind: ClassVar = EventKind.RESTART_REQUESTED


@dataclass(frozen=True, slots=True)
class Launched:
    """The program runs (it was executed; it need not be ready).

    Attributes:
        pid: Its process id.
        adopted: What was found of it, if an earlier manager launched it.
        run_id: The identity of this run, see `Found`; empty if it cannot be told.
    """

    pid: int
    adopted: ObservedRun | None = None
    run_id: str = ""
    kind: ClassVar = EventKind.LAUNCHED


@dataclass(frozen=True, slots=True)
class LaunchFailed:
    """No process came to be.

    Attributes:
        stage: What failed, as a noun: ``program``, ``working directory``, ``output file`` …
        reason: Why, as a sentence without a full stop.
        remote: Whether it lacks what others have to deliver (an image): each attempt costs them
            something, so the pauses grow longer than those after other failures.
    """

    step: str
    reason: str
    remote: bool = False
    kind: ClassVar = EventKind.LAUNCH_FAILED


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended and nothing of it is left.

    Attributes:
        status: How it ended.
        cpu: Seconds of CPU that it and what it started have used; None if that is not known.
    """

    status: ExitStatus
    cpu: float | None = field(default=None, compare=False)
    kind: ClassVar = EventKind.EXITED


@dataclass(frozen=True, slots=True)
class ExitedWithRemnants:
    """The process ended, but others of its group live on.

    Attributes:
        status: How it ended.
        remnants: The others, each in a few words for people.
        cpu: As of `Ended`, without what the others will use.
    """

    status: ExitStatus
    remnants: tuple[str, ...] = ()
    cpu: float | None = field(default=None, compare=False)
    kind: ClassVar = EventKind.EXITED_WITH_REMNANTS


@dataclass(frozen=True, slots=True)
class RemnantsGone:
    """The last of what the process had left behind is gone; or nothing was there to be seen."""

    kind: ClassVar = EventKind.REMNANTS_GONE


@dataclass(frozen=True, slots=True)
class LastOutput:
    """The last lines that the process wrote before it ended; told after its end."""

    lines: tuple[str, ...]
    kind: ClassVar = EventKind.LAST_OUTPUT


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """How it is, beside being alive; told again whenever that changes.

    Attributes:
        notice: What people should know of it (paused, unhealthy), as a sentence; or None.
        image_outdated: Whether it runs from something else than a new launch would take.
        engine_restarting: Whether it has ended and somebody else (the engine) starts it again.
        new_run: What runs now, if that has changed without an end that was told.
        launching: Whether its launch, which was asked for, has begun only now.
    """

    notice: str | None = None
    image_outdated: bool = False
    engine_restarting: bool = False
    new_run: ObservedRun | None = None
    launching: bool = False
    kind: ClassVar = EventKind.STATUS_CHANGED


@dataclass(frozen=True, slots=True)
class ObservationLost:
    """The driver cannot tell any more whether it is alive; it reports again once it can.

    Attributes:
        reason: For people, as a sentence.
    """

    reason: str
    kind: ClassVar = EventKind.OBSERVATION_LOST


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a new run needs is here (its image): what runs may be ended for it."""

    kind: ClassVar = EventKind.PREPARED


@dataclass(frozen=True, slots=True)
class PrepareFailed:
    """What a new run needs cannot be had, so what runs has to go on.

    Attributes:
        reason: Why, as a sentence without a full stop.
    """

    reason: str
    kind: ClassVar = EventKind.PREPARE_FAILED


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """The deadline of the present state has come."""

    kind: ClassVar = EventKind.DEADLINE


Intent = (
    StartRequested
    | StopRequested
    | SpecChanged
    | SpecReplaced
    | Unconfigured
    | Escalate
    | RestartRequested
)
Preparation = Prepared | PrepareFailed
RunObservation = (
    Launched
    | Exited
    | ExitedWithRemnants
    | RemnantsGone
    | LastOutput
    | StatusChanged
    | ObservationLost
)
Observation = RunObservation | LaunchFailed | Preparation
Event = Intent | Observation | DeadlineReached


class StopStage(IntEnum):
    """The means to end an instance, each stronger than the one before."""

    INTERRUPT = 1  # SIGINT to the process
    TERMINATE = 2  # SIGTERM to its process group
    KILL = 3  # SIGKILL to its process group


@dataclass(frozen=True, slots=True)
class Launch:
    """Start the instance."""

    spec: InstanceSpec


@dataclass(frozen=True, slots=True)
class Observe:
    """Tell whether it is alive, now and from now on: anybody may start or end it."""

    spec: InstanceSpec


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make sure that a new run could be launched; what runs goes on meanwhile."""

    spec: InstanceSpec


@dataclass(frozen=True, slots=True)
class Unobserve:
    """What runs is not its own any more: report nothing of it."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Use this means to end it."""

    stage: StopStage


@dataclass(frozen=True, slots=True)
class Remove:
    """Nothing of a retired instance is left: drop it."""


@dataclass(frozen=True, slots=True)
class OperatorMessage:
    """Something that a person wants to read.

    Attributes:
        text: One sentence about the instance; its id goes before it.
        warning: Whether somebody should look into it.
    """

    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class LogUnexpected:
    """An event that the present state does not expect: for the log, not for people."""

    text: str


Effect = Launch | Prepare | Observe | Unobserve | Signal | Remove | OperatorMessage | LogUnexpected
