"""What the host needs from a compose backend, and the backend of a host without compose files.

A manager without compose files imports nothing else of it: no client of the engine, no memory.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hostmanager.agent.compose.catalog import ServiceCatalog
from hostmanager.composefile.model import FileStatus
from hostmanager.core import events as ev
from hostmanager.core.events import StopStage
from hostmanager.core.model import InstanceSpec, ObservedRun
from hostmanager.core.protocols import Driver, ReportObservation
from hostmanager.core.record import InstanceRecord

AddMessage = Callable[[str], None]
"""Adds a message to the session of an operation."""


TaskOutcome = tuple[bool, str]
"""Whether an operation succeeded, and a sentence."""

ContainerOutput = tuple[bool, str, list[tuple[float | None, str]]]
"""Whether a log could be read, a sentence, and its lines, each with its Unix time if known."""


class NullDriver:
    """The driver of a manager without compose files: there are no containers."""

    def launch(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Report a failure."""
        report(ev.LaunchFailed("compose file", "the manager was given none"))

    def prepare(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Report a failure."""
        report(ev.PrepareFailed("the manager was given no compose file"))

    def update_spec(self, spec: InstanceSpec) -> None:
        """There is none to change."""

    def discover(self) -> Mapping[str, ObservedRun]:
        """There is nothing to discover."""
        return {}

    def adopt(self, spec: InstanceSpec, observed: ObservedRun, report: ReportObservation) -> None:
        """Report that there is none."""
        report(ev.Absent())

    def observe(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Report that there is none."""
        report(ev.Absent())

    def signal(self, instance_id: str, step: StopStage) -> None:
        """There is nothing to stop."""

    def release(self, instance_id: str) -> None:
        """There is nothing to release."""

    def close(self) -> None:
        """There is nothing to close."""


class ComposeBackend:
    """What a host asks about compose services, and the answers of one without compose files.

    `agent.compose.backend.EngineComposeBackend` has those of a host with compose files.

    Attributes:
        on_change: Called when files or containers have changed.
        driver: Runs the services.
        services: The services of the compose files.
    """

    on_change: Callable[[], None]
    driver: Driver
    services: ServiceCatalog

    def __init__(self) -> None:
        self.on_change = lambda: None
        self.driver = NullDriver()
        self.services = ServiceCatalog()

    def start(self) -> None:
        """Start watching files and engine."""

    async def wait_loaded(self) -> None:
        """Wait until the services are known; not for long."""

    async def close(self) -> None:
        """Cancel what is running, and close the connection."""

    async def refresh(self) -> None:
        """Load compose files that have changed without an event."""

    def status(self) -> Mapping[str, FileStatus]:
        """Whether each file could be loaded (contract, section 5)."""
        return {}

    def container(self, spec: InstanceSpec) -> dict[str, Any] | None:
        """Show the container of an instance."""
        return None

    def warnings(self) -> Mapping[str, str]:
        """What should be put right in the compose files that can be used, by file."""
        return {}

    def orphans(self) -> dict[str, Any]:
        """Show the orphans."""
        return {}

    def orphan_of(self, instance_id: str) -> str | None:
        """The container of an instance's service that is in no file any more; None without one."""
        return None

    def end_orphan_of(self, instance_id: str) -> None:
        """Stop and remove it; what fails becomes a message."""

    def new_tags(self, records: Mapping[str, InstanceRecord]) -> dict[str, str]:
        """The images that instances need and that are not on this machine."""
        return {}

    async def runs_router(self, url: str, records: Mapping[str, InstanceRecord]) -> str | None:
        """The instance that runs the router at this URL; None if none does, or it is not known."""
        return None

    async def output(self, spec: InstanceSpec, lines: int, since: float) -> ContainerOutput:
        """The newest lines of a container's log."""
        return False, f"There is no container of '{spec.instance_id}'.", []

    async def remove_orphans(self, add_message: AddMessage) -> TaskOutcome:
        """Stop and remove all orphans."""
        return True, "No compose file is managed here (--docker-compose), so there are no orphans."

    async def pull(self, add_message: AddMessage) -> TaskOutcome:
        """Pull the images of all files."""
        return True, "No compose file is managed here (--docker-compose); nothing was pulled."
