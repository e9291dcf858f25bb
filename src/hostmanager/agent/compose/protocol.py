"""What the host asks of its compose side, and the answer where there is none.

A manager without compose files imports nothing of it: no client of the engine, no memory.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from hostmanager.agent.compose.catalog import ServiceCatalog
from hostmanager.core import events as ev
from hostmanager.core.events import StopStage
from hostmanager.core.model import InstanceSpec, ObservedRun
from hostmanager.core.protocols import Driver, ReportObservation
from hostmanager.core.record import InstanceRecord

Say = Callable[[str], None]
Status = tuple[bool, float, str]
Result = tuple[bool, str]
Output = tuple[bool, str, list[tuple[float | None, str]]]


class ComposeBackend(Protocol):
    """See `hostmanager.agent.compose.backend.Dockers`."""

    changed: Callable[[], None]

    @property
    def driver(self) -> Driver:
        """Runs the services."""

    @property
    def services(self) -> ServiceCatalog:
        """Which services there are."""

    def start(self) -> None:
        """Begin to follow files and engine."""

    async def wait_loaded(self) -> None:
        """Wait until it is known which services there are; not for long."""

    async def close(self) -> None:
        """Let go of everything."""

    async def refresh(self) -> None:
        """Read compose files that have changed without notice."""

    def update_spec(self, spec: InstanceSpec) -> None:
        """The entry of an instance, or its service, says something else."""

    def status(self) -> Mapping[str, Status]:
        """How the reading of each file went."""

    def container(self, spec: InstanceSpec) -> dict[str, Any] | None:
        """Show the container of an instance."""

    def orphans(self) -> dict[str, Any]:
        """Show the orphans."""

    def new_tags(self, lives: Mapping[str, InstanceRecord]) -> dict[str, str]:
        """The images that are wanted and not here."""

    async def runs_router(self, url: str, specs: Iterable[InstanceSpec]) -> str | None:
        """Which of these instances runs the router that has this address."""

    async def output(self, spec: InstanceSpec, lines: int, since: float) -> Output:
        """The newest lines of a container's log: whether there are any, a sentence, the lines."""

    async def remove_orphans(self, say: Say) -> Result:
        """Stop and remove all orphans."""

    async def pull(self, say: Say) -> Result:
        """Pull the images of all files."""


class NullDriver:
    """The driver for docker entries where no compose file is managed: there are no containers."""

    def launch(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Say that there is none."""
        report(ev.LaunchFailed("compose file", "the manager was given none"))

    def prepare(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Say that there is none."""
        report(ev.PrepareFailed("the manager was given no compose file"))

    def discover(self) -> Mapping[str, ObservedRun]:
        """Find nothing."""
        return {}

    def adopt(self, spec: InstanceSpec, found: ObservedRun, report: ReportObservation) -> None:
        """Say that there is none."""
        report(ev.Absent())

    def observe(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Say that there is none."""
        report(ev.Absent())

    def signal(self, instance_id: str, step: StopStage) -> None:
        """There is nothing to end."""

    def release(self, instance_id: str) -> None:
        """There is nothing to forget."""

    def close(self) -> None:
        """There is nothing to let go of."""


class NullComposeBackend:
    """The compose side of a manager that was given no compose file."""

    def __init__(self) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.driver = NullDriver()
        self.services = ServiceCatalog()

    def start(self) -> None:
        """There is nothing to follow."""

    async def wait_loaded(self) -> None:
        """There is nothing to wait for."""

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def refresh(self) -> None:
        """There is nothing to read."""

    def update_spec(self, spec: InstanceSpec) -> None:
        """There is nothing to tell."""

    def status(self) -> Mapping[str, Status]:
        """No file."""
        return {}

    def container(self, spec: InstanceSpec) -> dict[str, Any] | None:
        """No container."""
        return None

    def orphans(self) -> dict[str, Any]:
        """No orphan."""
        return {}

    def new_tags(self, lives: Mapping[str, InstanceRecord]) -> dict[str, str]:
        """No image."""
        return {}

    async def runs_router(self, url: str, specs: Iterable[InstanceSpec]) -> str | None:
        """No container."""
        return None

    async def output(self, spec: InstanceSpec, lines: int, since: float) -> Output:
        """No container, no log."""
        return False, f"There is no container of '{spec.instance_id}'.", []

    async def remove_orphans(self, say: Say) -> Result:
        """Say that there are none."""
        return True, "No compose file is managed here (--docker-compose), so there are no orphans."

    async def pull(self, say: Say) -> Result:
        """Say that there is nothing to pull."""
        return True, "No compose file is managed here (--docker-compose); nothing was pulled."
