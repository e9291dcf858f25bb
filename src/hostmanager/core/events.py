"""What can happen to an instance, and what can follow: the vocabulary of the lifecycle.

Intents come from people (requests, the site file), observations from a driver, time
from a clock. Effects are what the lifecycle asks of the keeper, which asks the driver.
All of them are frozen plain data.
"""

import signal
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import ClassVar

from hostmanager.core.model import Found, InstanceSpec, Target


class EventKind(StrEnum):
    """The columns of the transition table."""

    # Intents
    WANT_UP = "told up"
    WANT_DOWN = "told down"
    UPDATE = "entry updated"
    REPLACE = "entry replaced"
    RETIRE = "entry gone"
    HURRY = "told to hurry"
    RESTART_REQUESTED = "restart requested"
    # Observations
    LAUNCHED = "launched"
    LAUNCH_FAILED = "launch failed"
    ENDED = "ended"
    LEFT_BEHIND = "ended, remnants left"
    GONE = "remnants gone"
    OUTPUT = "output read"
    CONDITION = "condition changed"
    LOST_SIGHT = "out of sight"
    PREPARED = "next run prepared"
    PREPARE_FAILED = "next run not to be had"
    # Time
    TIMER = "timer"


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant on both clocks.

    Attributes:
        mono: Monotonic seconds; the only time that decisions use.
        wall: Unix time, seconds; for display only.
    """

    mono: float
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
class WantUp:
    """Somebody wants the instance up."""

    kind: ClassVar = EventKind.WANT_UP


@dataclass(frozen=True, slots=True)
class WantDown:
    """Somebody wants the instance down."""

    kind: ClassVar = EventKind.WANT_DOWN


@dataclass(frozen=True, slots=True)
class Update:
    """The entry says something else now, but names the same class and kind."""

    spec: InstanceSpec
    kind: ClassVar = EventKind.UPDATE


@dataclass(frozen=True, slots=True)
class Replace:
    """The entry names another class or kind: the old one must end before the new one starts.

    Attributes:
        spec: What the entry says now.
        target: What is wanted of it; None: what the entry names.
    """

    spec: InstanceSpec
    target: Target | None = None
    kind: ClassVar = EventKind.REPLACE


@dataclass(frozen=True, slots=True)
class Retire:
    """The entry is gone: to be forgotten once nothing of it is alive."""

    kind: ClassVar = EventKind.RETIRE


@dataclass(frozen=True, slots=True)
class Hurry:
    """Whatever is being ended is to be ended by the next stronger means, now."""

    kind: ClassVar = EventKind.HURRY


@dataclass(frozen=True, slots=True)
class RestartRequested:
    """An operator wants what runs to be ended, and a new run in its place."""

    kind: ClassVar = EventKind.RESTART_REQUESTED


@dataclass(frozen=True, slots=True)
class Launched:
    """The program runs (it was executed; it need not be ready).

    Attributes:
        pid: Its process id.
        found: What was found of it, if an earlier manager launched it.
        run: The identity of this run, see `Found`; empty if it cannot be told.
    """

    pid: int
    found: Found | None = None
    run: str = ""
    kind: ClassVar = EventKind.LAUNCHED


@dataclass(frozen=True, slots=True)
class LaunchFailed:
    """No process came to be.

    Attributes:
        step: What failed, as a noun: ``program``, ``working directory``, ``output file`` …
        reason: Why, as a sentence without a full stop.
        remote: Whether it lacks what others have to deliver (an image): each attempt costs them
            something, so the pauses grow longer than those after other failures.
    """

    step: str
    reason: str
    remote: bool = False
    kind: ClassVar = EventKind.LAUNCH_FAILED


@dataclass(frozen=True, slots=True)
class Ended:
    """The process ended and nothing of it is left.

    Attributes:
        status: How it ended.
        cpu: Seconds of CPU that it and what it started have used; None if that is not known.
    """

    status: ExitStatus
    cpu: float | None = field(default=None, compare=False)
    kind: ClassVar = EventKind.ENDED


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """The process ended, but others of its group live on.

    Attributes:
        status: How it ended.
        who: The others, each in a few words for people.
        cpu: As of `Ended`, without what the others will use.
    """

    status: ExitStatus
    who: tuple[str, ...] = ()
    cpu: float | None = field(default=None, compare=False)
    kind: ClassVar = EventKind.LEFT_BEHIND


@dataclass(frozen=True, slots=True)
class Gone:
    """The last of what the process had left behind is gone; or nothing was there to be seen."""

    kind: ClassVar = EventKind.GONE


@dataclass(frozen=True, slots=True)
class Output:
    """The last lines that the process wrote before it ended; told after its end."""

    lines: tuple[str, ...]
    kind: ClassVar = EventKind.OUTPUT


@dataclass(frozen=True, slots=True)
class Condition:
    """How it is, beside being alive; told again whenever that changes.

    Attributes:
        remark: What people should know of it (paused, unhealthy), as a sentence; or None.
        outdated: Whether it runs from something else than a new launch would take.
        restarting: Whether it has ended and somebody else (the engine) starts it again.
        found: What runs now, if that has changed without an end that was told.
        launching: Whether its launch, which was asked for, has begun only now.
    """

    remark: str | None = None
    outdated: bool = False
    restarting: bool = False
    found: Found | None = None
    launching: bool = False
    kind: ClassVar = EventKind.CONDITION


@dataclass(frozen=True, slots=True)
class LostSight:
    """The driver cannot tell any more whether it is alive; it reports again once it can.

    Attributes:
        why: For people, as a sentence.
    """

    why: str
    kind: ClassVar = EventKind.LOST_SIGHT


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
class TimerFired:
    """The deadline of the present state has come."""

    kind: ClassVar = EventKind.TIMER


Intent = WantUp | WantDown | Update | Replace | Retire | Hurry | RestartRequested
Preparation = Prepared | PrepareFailed
Sighting = Launched | Ended | LeftBehind | Gone | Output | Condition | LostSight
Observation = Sighting | LaunchFailed | Preparation
Event = Intent | Observation | TimerFired


class StopStep(IntEnum):
    """The means to end an instance, each stronger than the one before."""

    INTERRUPT = 1  # SIGINT to the process
    TERMINATE = 2  # SIGTERM to its process group
    KILL = 3  # SIGKILL to its process group


@dataclass(frozen=True, slots=True)
class Launch:
    """Start the instance."""

    spec: InstanceSpec


@dataclass(frozen=True, slots=True)
class Look:
    """Tell whether it is alive, now and from now on: anybody may start or end it."""

    spec: InstanceSpec


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make sure that a new run could be launched; what runs goes on meanwhile."""

    spec: InstanceSpec


@dataclass(frozen=True, slots=True)
class LetGo:
    """What runs is not its own any more: report nothing of it."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Use this means to end it."""

    step: StopStep


@dataclass(frozen=True, slots=True)
class Forget:
    """Nothing of a retired instance is left: drop it."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a person wants to read.

    Attributes:
        text: One sentence about the instance; its id goes before it.
        warning: Whether somebody should look into it.
    """

    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Oddity:
    """An event that the present state does not expect: for the log, not for people."""

    text: str


Effect = Launch | Prepare | Look | LetGo | Signal | Forget | Note | Oddity
