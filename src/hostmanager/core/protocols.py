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
"""Takes an observation of one run; called on the loop's thread, possibly from within a call of
the driver: controllers queue their events."""


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel the call. Harmless when it was made already."""


class Clock(Protocol):
    """Time, and calls at a time."""

    def now(self) -> Timestamp:
        """Return the present."""

    def call_at(self, monotonic: float, callback: Callable[[], None]) -> Timer:
        """Schedule `callback` for a time of the monotonic clock, or soon after."""


def guard_of(clock: Clock) -> Guard:
    """Make a guard that retries by this clock."""
    return Guard(lambda delay, call: clock.call_at(clock.now().monotonic + delay, call))


class Driver(Protocol):
    """Starts and stops instances of one kind, and reports what became of them.

    No call should raise. If `launch` does, nothing was launched, and it is a failed launch; any
    other call is retried, so it has to tolerate being repeated.

    Calls return at once; results are reported. A driver reports for each `launch` either
    `LaunchFailed`, or `Launched` and later `Exited`, or `Launched`, `ExitedWithRemnants` and
    `RemnantsGone`.

    A driver that queues launches reports `StatusChanged(launching=True)` when one begins. A
    launch that is cancelled (by `signal`, while it is under way) is answered by `LaunchFailed`,
    unless it was `Launched` before. A driver that may be unable to observe what it runs reports
    `ObservationLost`, and once it can again, for each instance `Launched`, `Exited` or `Absent`,
    and its `StatusChanged` anew.
    """

    def launch(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Start the instance. Nothing of it may be alive."""

    def discover(self) -> Mapping[str, ObservedRun]:
        """Find what an earlier manager launched and is still alive, by instance-id.

        Called once, before anything is launched.
        """

    def adopt(
        self, spec: InstanceSpec, observed_run: ObservedRun, report: ReportObservation
    ) -> None:
        """Adopt a discovered run, and report on it as if it had been launched.

        If nothing of it is left by then, its end is reported.
        """

    def observe(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Report whether the instance is alive, by `Launched`, `Absent` or `ObservationLost`.

        Called only for kinds that others may start and stop as well. From then on the driver
        reports every `Launched` and `Exited`, whatever caused it, until the next `launch`,
        `observe` or `release`. The same goes for what it launched.
        """

    def prepare(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Make sure that the instance could be launched again, while it runs; harmless twice.

        Answered by `Prepared` or `PrepareFailed`; by nothing, if it ends or is launched first.
        """

    def update_spec(self, spec: InstanceSpec) -> None:
        """Apply changed settings to a live instance; what it cannot have is a `StatusChanged`."""

    def signal(self, instance_id: str, stage: StopStage) -> None:
        """Use the means of a stop stage. Harmless when nothing of the instance is alive."""

    def release(self, instance_id: str) -> None:
        """The instance was removed, or has another driver now; report nothing of it."""

    def close(self) -> None:
        """Close threads and connections; nothing is launched any more."""
