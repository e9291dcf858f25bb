"""What the driver keeps of each instance that it reports on."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from hostmanager.core.model import InstanceSpec, ServiceRef
from hostmanager.core.protocols import ReportObservation
from hostmanager.drivers.compose.diff import ReportedState, RunKey


@dataclass
class TrackedService:
    """One instance that is reported on.

    Attributes:
        spec: What it is.
        report: Whom to tell.
        lock_for: The commands of one service are carried out one after another.
        reported: What was told.
        observe_seq: How often it was asked for: an answer to an earlier question is stale.
        launch: The launch that is under way.
        launch_seq: How many there were.
        runs_reported: How many runs were told.
        failed_launch_seq: The last launch that was told to have ended before it was seen to run.
        preparation: What makes sure that it could be launched again.
        lacks_image: Whether the launch failed while its image was still to be pulled or built.
        launch_cancelled: Whether the launch is to come to nothing.
        cleanup_pending: Whether it was ended on purpose, and its dead containers are still to go.
        runs_at_launch: How many that were when the launch was asked for.
        runs_before_launch: The runs that there had been before the launch.
        fingerprint_by_digest: The fingerprint of the spec that a container was made from, by its
            digest.
    """

    spec: InstanceSpec
    report: ReportObservation
    lock_for: Callable[[ServiceRef], asyncio.Lock]
    reported: ReportedState = field(default_factory=ReportedState)
    observe_seq: int = 0
    launch: "asyncio.Task[None] | None" = None
    launch_seq: int = 0
    preparation: "asyncio.Task[None] | None" = None
    runs_reported: int = 0
    runs_at_launch: int = 0
    failed_launch_seq: int = 0
    lacks_image: bool = False
    launch_cancelled: bool = False
    cleanup_pending: bool = False
    runs_before_launch: frozenset[RunKey] = frozenset()
    fingerprint_by_digest: dict[str, str] = field(default_factory=dict)

    def cancel(self) -> None:
        """Give up what is under way for it."""
        for task in (self.launch, self.preparation):
            if task is not None:
                task.cancel()

    @property
    def service(self) -> ServiceRef:
        """The service that it is."""
        assert self.spec.service is not None, "an instance without a service is never attended"
        return self.spec.service

    @property
    def lock(self) -> asyncio.Lock:
        """Held by whoever carries out a command of its service."""
        return self.lock_for(self.service)
