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
        spec: Its specification.
        report: Takes its observations.
        lock_for: Finds the lock of a service: its commands run one after another.
        reported: What was reported last.
        observe_seq: The number of observe requests: a reply to an earlier one is stale.
        launch: The launch that is running.
        launch_seq: The number of launches.
        preparation: The check whether it could be launched again.
        runs_reported: The number of runs that were reported.
        runs_at_launch: The same when the launch was requested.
        lacks_image: Whether the launch failed while its image was still to be pulled or built.
        launch_cancelled: Whether the launch was called off.
        cleanup_pending: Whether it was stopped, and its dead containers are still to be removed.
        replaced_for: Why its container could not be started when a new one could not either; empty
            if one was started since.
        runs_before_launch: The runs that existed before the launch.
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
    lacks_image: bool = False
    launch_cancelled: bool = False
    cleanup_pending: bool = False
    replaced_for: str = ""
    runs_before_launch: frozenset[RunKey] = frozenset()
    fingerprint_by_digest: dict[str, str] = field(default_factory=dict)

    def cancel(self) -> None:
        """Cancel what is running for it."""
        for task in (self.launch, self.preparation):
            if task is not None:
                task.cancel()

    @property
    def is_launching(self) -> bool:
        """Whether a launch is running."""
        return self.launch is not None and not self.launch.done()

    @property
    def service(self) -> ServiceRef:
        """The service that it is."""
        assert self.spec.service is not None, "an instance without a service is never tracked"
        return self.spec.service

    @property
    def lock(self) -> asyncio.Lock:
        """Held while a command of its service runs."""
        return self.lock_for(self.service)
