"""What the core needs from the world, as protocols: a driver and a clock.

Real ones live in `hostmanager.drivers` and `hostmanager.agent`; the tests have fakes of
both, so that the core can be run through a day in a second.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from hostmanager.core.events import Observation, StopStage, Timestamp
from hostmanager.core.model import InstanceSpec, ObservedRun
from hostmanager.util.guard import Guard

ReportObservation = Callable[[Observation], None]
"""Takes an observation of one run; always called on the loop's thread, never from within
`launch` or `signal`'s caller in a way that would matter: keepers queue what they are told."""


class Timer(Protocol):
    """A call that has been arranged."""

    def cancel(self) -> None:
        """Make sure that the call does not happen. Harmless when it already has."""


class Clock(Protocol):
    """Time, and being woken."""

    def now(self) -> Timestamp:
        """Tell the present."""

    def call_at(self, mono: float, callback: Callable[[], None]) -> Timer:
        """Arrange for `callback` at `mono` seconds of the monotonic clock, or soon after."""


def guard_of(clock: Clock) -> Guard:
    """Make a guard that makes calls again by this clock."""
    return Guard(lambda delay, call: clock.call_at(clock.now().monotonic + delay, call))


class Driver(Protocol):
    """Makes instances of one kind run and end, and tells what became of them.

    No call should raise. If `launch` does, nothing was launched, and it is a failed launch; any
    other call is made again, and has to bear that.

    Calls return at once; what follows is reported. A driver reports for each
    `launch` either `LaunchFailed`, or `Launched` and later `Ended`, or `Launched`,
    `LeftBehind` and `Gone`.

    A driver that has launches wait for their turn reports `Condition(launching=True)` when that
    has come. A launch that is called off (by `signal`, while it is under way) is answered by
    `LaunchFailed`, unless it had come to be `Launched`. A driver that may lose sight of what it
    runs reports `LostSight`, and once it sees again, for each instance `Launched`, `Ended` or
    `Gone`, and its `Condition` anew.
    """

    def launch(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Start the instance. Nothing of it may be alive."""

    def discover(self) -> Mapping[str, ObservedRun]:
        """Get ready, and look for what an earlier manager launched and is still alive.

        Called once, before anything is launched.
        """

    def adopt(self, spec: InstanceSpec, found: ObservedRun, report: ReportObservation) -> None:
        """Take over what the survey found, and report on it as if it had been launched.

        If meanwhile nothing of it is left, that is reported as its end.
        """

    def observe(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Tell whether the instance is alive, by `Launched` or `Gone`, or `LostSight`.

        Asked only of drivers of what others may start and end, too; from then on such a driver
        reports every `Launched` and `Ended`, whoever brings it about, until it is told to
        `launch`, to `look` again, or to `forget`. The same goes for what it launched.
        """

    def prepare(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Make sure that the instance could be launched again, while it runs; harmless twice.

        Answered by `Prepared` or `PrepareFailed`; by nothing, if it is ended or launched first.
        """

    def signal(self, instance_id: str, step: StopStage) -> None:
        """Use this means to end the instance. Harmless when nothing of it is alive."""

    def release(self, instance_id: str) -> None:
        """The instance is no more, or not this driver's; nothing is reported of it."""

    def close(self) -> None:
        """Let go of threads and connections; nothing is launched any more."""
