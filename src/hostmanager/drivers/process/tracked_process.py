"""One process of the driver, from its launch until nothing of it is left."""

from dataclasses import dataclass, field

from hostmanager.core.events import ExitStatus, StopStage
from hostmanager.core.model import InstanceSpec
from hostmanager.core.protocols import ReportObservation
from hostmanager.drivers.process.limits.live_limits import LiveLimits
from hostmanager.drivers.process.output.output_sink import OutputPosition
from hostmanager.drivers.process.ownership.descendants import Descendants
from hostmanager.drivers.process.spawn import LaunchCommand, SpawnedProcess


@dataclass(slots=True)
class TrackedProcess:
    """What the driver knows of it."""

    spec: InstanceSpec
    command: LaunchCommand
    report: ReportObservation
    spawned: SpawnedProcess
    descendants: Descendants
    exit_status: ExitStatus | None = None  # how it ended; None: it has not
    cpu: float | None = None  # seconds of CPU that it used until then
    exit_reported: bool = False  # whether its end was reported
    finished: bool = False  # whether nothing is left of it, and that was reported
    stage: StopStage = StopStage.TERMINATE  # the last stop stage so far, or that for remnants
    remnants: dict[int, int] = field(default_factory=dict)  # pid: pidfd
    next_output_start: OutputPosition | None = None  # where the next run's output begins
    stop_requested: bool = False  # whether a stop was requested
    lock_held_since: float | None = None  # an unknown process has held its lock since, loop time
    limits: LiveLimits | None = None  # what it has of its settings; None once it has ended

    @property
    def instance_id(self) -> str:
        """Whose process it is."""
        return self.spec.instance_id
