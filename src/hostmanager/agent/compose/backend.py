"""The compose backend of a host: its files, services, containers and their operations.

Nothing here waits for an engine: what it does not answer is shown as unknown.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hostmanager.agent.compose.catalog import ServiceCatalog, build_catalog
from hostmanager.agent.compose.image_pull import ImagePull
from hostmanager.agent.compose.orphan_containers import OrphanContainers
from hostmanager.agent.compose.protocol import (
    AddMessage,
    ComposeBackend,
    ContainerOutput,
    TaskOutcome,
)
from hostmanager.agent.compose.service_commands import ServiceCommands
from hostmanager.composefile.command import find_compose
from hostmanager.composefile.model import ComposeFile, FileStatus
from hostmanager.composefile.variables import describe_unset
from hostmanager.composefile.watcher import ComposeFileWatcher, describe_new_project
from hostmanager.core.model import InstanceSpec
from hostmanager.core.record import InstanceRecord
from hostmanager.drivers.compose.container import Container, unix_time
from hostmanager.drivers.compose.driver import ComposeDriver
from hostmanager.drivers.compose.engine import Engine, EngineError, find_endpoint
from hostmanager.drivers.compose.host_processes import find_listener, local_port
from hostmanager.drivers.compose.watcher import ContainerWatcher
from hostmanager.util.secret import Environment

log = logging.getLogger(__name__)

LOAD_TIMEOUT = 3.0
"""Seconds that a stop waits at most for the compose files to be loaded once."""

CLOSE_TIMEOUT = 2.0
"""Seconds that the end waits for what is running; compose commands are killed for certain."""

LISTENER_TIMEOUT = 2.0
"""Seconds to find the container that runs the router: looking up host names may take long."""


class EngineComposeBackend(ComposeBackend):
    """Everything about compose services that does not concern one instance.

    Args:
        paths: The compose files, as they were given.
        prefix: Comes before the instance-id in a service's name.
        binary: The compose command; None: the one that is found.
        cwd: The working directory.
        environ: The environment of the compose command.
        emit_message: Takes a message for operators: the instance-id or other subject, a sentence.
    """

    def __init__(
        self,
        paths: Sequence[str],
        prefix: str,
        *,
        binary: Path | None,
        cwd: Path,
        environ: Mapping[str, str],
        emit_message: Callable[[str, str], None],
    ) -> None:
        self.paths = tuple(paths)
        self.prefix = prefix
        self._cwd = cwd
        self._environ = Environment(environ)
        self._emit_message = emit_message
        self._projects: frozenset[str] = frozenset()
        self.on_change: Callable[[], None] = lambda: None
        self.watcher = ContainerWatcher(self._open_engine)
        self.file_watcher = ComposeFileWatcher(
            self.paths, lambda: find_compose(binary, self._environ, cwd), cwd, self._on_files_change
        )
        commands = ServiceCommands(self.file_watcher, self.watcher, cwd, prefix)
        self.file_watcher.is_project_in_use = self._has_running
        self.file_watcher.find_running_project = commands.find_running_project
        self.driver: ComposeDriver = ComposeDriver(self.watcher, commands.run, emit_message)
        self._driver_lost = self.watcher.on_lost
        self._driver_synced = self.watcher.on_synced
        self.watcher.on_lost = self._on_lost
        self.watcher.on_synced = self._on_synced
        self._disconnected = False
        self._closing = False
        self._running_tasks: set[asyncio.Task[TaskOutcome]] = set()
        self._reported_status: dict[str, tuple[bool, str]] = {}
        self._image_pull = ImagePull(self.file_watcher, self.watcher, cwd)
        self.services = ServiceCatalog(prefix, self.paths, is_loaded=False)
        self._orphans = OrphanContainers(self.watcher, cwd)

    def start(self) -> None:
        """Start watching files and engine; returns at once."""
        self.watcher.start()
        self.file_watcher.start()

    async def wait_loaded(self) -> None:
        """Wait until the services are known; not for long."""
        await self.file_watcher.wait_loaded(LOAD_TIMEOUT)

    async def close(self) -> None:
        """Cancel what is running, and close the connection to the engine."""
        self._closing = True
        for task in self._running_tasks:
            task.cancel()
        self.driver.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                work = (*self._running_tasks, self.driver.closed())
                await asyncio.gather(*work, return_exceptions=True)
        # In any case, or what they have started would be left behind.
        await self.file_watcher.close()
        await self.watcher.close()

    async def refresh(self) -> None:
        """Load compose files that have changed without an event."""
        await self.file_watcher.refresh()

    # --- files and engine -------------------------------------------------------------------

    async def _open_engine(self) -> Engine:
        return Engine(await find_endpoint(self._environ, self._cwd))

    async def _on_files_change(self) -> None:
        broken = [path for path, (ok, _, _) in self.file_watcher.status.items() if not ok]
        files = tuple(self.file_watcher.files.values())
        services = build_catalog(files, self.paths, self.prefix, broken)
        # First the containers: else what runs would seem to be down. A project without a file is
        # still watched: its containers run on.
        self._projects |= services.projects
        await self.watcher.follow(self._projects)
        self.services, self._orphans.files = services, files
        for path, (ok, _, text) in self.status().items():
            reported = (ok, self.warnings().get(path, "") if ok else text)
            if self._reported_status.get(path, (True, "")) != reported:
                self._emit_message(path, text)
            self._reported_status[path] = reported
        self.on_change()

    def warnings(self) -> dict[str, str]:
        """What should be put right in the files that can be used, by file."""
        usable = [path for path, (ok, _, _) in self.file_watcher.status.items() if ok]
        return {path: notice for path in usable if (notice := self._notice(path))}

    def _notice(self, path: str) -> str:
        file = self.file_watcher.files.get(path)
        own = (describe_unset(file.unset), describe_new_project(file)) if file else ()
        return " ".join(filter(None, (*own, self.services.warnings.get(path))))

    def _has_running(self, file: ComposeFile) -> bool:
        """Whether containers of its services run."""
        return any(
            container.alive and not container.oneoff and container.service in file.services
            for container in self.watcher.containers.values()
            if container.project == file.project
        )

    def status(self) -> dict[str, FileStatus]:
        """Whether each file could be loaded (contract, section 5)."""
        shown = {}
        for path, (ok, when, text) in self.file_watcher.status.items():
            notice = self._notice(path) if ok else self.services.warnings.get(path, "")
            if not ok and path in self.file_watcher.files:
                notice = f"Its services stay as they were loaded before. {notice}".rstrip()
            shown[path] = (ok, when, f"{text} {notice}" if notice else text)
        return shown

    def _on_lost(self, reason: str) -> None:
        if not self._disconnected:
            self._emit_message(
                "docker", f"{reason} The state of containers is unknown until it answers."
            )
        self._disconnected = True
        self._driver_lost(reason)

    def _on_synced(self) -> None:
        if self._disconnected:
            self._emit_message("docker", "The Docker Engine answers again.")
        self._disconnected = False
        self._driver_synced()

    # --- views ------------------------------------------------------------------------------

    def container(self, spec: InstanceSpec) -> dict[str, Any] | None:
        """Show the container of an instance."""
        container = self.driver.container_of(spec)
        names = ("id", "name", "status", "health", "image", "image_id")
        return None if container is None else {name: getattr(container, name) for name in names}

    def orphans(self) -> dict[str, Any]:
        """Show the orphans (contract, section 5)."""
        return self._orphans.view()

    def orphan_of(self, instance_id: str) -> str | None:
        """The container of an instance's service that is in no file any more; None without one."""
        containers = self._orphans.of_service(f"{self.prefix}{instance_id}")
        return containers[0].name if containers else None

    def end_orphan_of(self, instance_id: str) -> None:
        """Stop and remove the containers of `orphan_of`; what fails becomes a message."""
        for container in self._orphans.of_service(f"{self.prefix}{instance_id}"):
            work = self._end_orphan(instance_id, container)
            self.watcher.guard.task(f"{instance_id}: ending its orphan", work)

    async def _end_orphan(self, instance_id: str, container: Container) -> None:
        ok, text = await self._cancel_on_close(self._orphans.remove(container, lambda _: None))
        self._emit_message(instance_id, f"its orphan was removed: {text}." if ok else text)

    def new_tags(self, records: Mapping[str, InstanceRecord]) -> dict[str, str]:
        """The images that instances need and that are not here (contract, section 5)."""
        if not self.watcher.synced:
            return {}
        return {
            instance_id: record.spec.service.image
            for instance_id, record in records.items()
            if record.spec.service is not None
            and record.spec.service.image is not None
            and self.watcher.images.id_of(record.spec.service.image) is None
        }

    async def runs_router(self, url: str, records: Mapping[str, InstanceRecord]) -> str | None:
        """The instance that runs the router at this URL; None if none does, or it is not known."""
        specs = [record.spec for record in records.values() if record.spec.service is not None]
        own = {c.run_key: s.instance_id for s in specs if (c := self.driver.container_of(s))}
        if not own:
            return None
        containers = [c for c in self.watcher.containers.values() if c.run_key in own]

        def find() -> Container | None:
            port = local_port(url)
            return None if port is None else find_listener(port, containers)

        try:
            container = await asyncio.wait_for(asyncio.to_thread(find), LISTENER_TIMEOUT)
        except TimeoutError:
            log.warning("restart: timed out looking for the container that listens at %s", url)
            return None
        return None if container is None else own[container.run_key]

    async def output(self, spec: InstanceSpec, lines: int, since: float) -> ContainerOutput:
        """The newest lines of a container's log."""
        container = self.driver.container_of(spec)
        if container is None:
            return False, f"'{spec.instance_id}' has no container, so there is no output.", []
        engine = self.watcher.engine
        try:
            if engine is None:
                raise EngineError(str(self.watcher.error))
            log_lines = await engine.read_log(container.id, lines, since)
        except EngineError as error:
            return False, f"The output of '{spec.instance_id}' cannot be read: {error}", []
        timed = [(unix_time(line.partition(" ")[0]), line.partition(" ")[2]) for line in log_lines]
        newer = [(when or None, text) for when, text in timed if when > since or not when]
        return True, f"{len(newer)} lines.", newer

    # --- operations -------------------------------------------------------------------------

    async def remove_orphans(self, add_message: AddMessage) -> TaskOutcome:
        """Stop and remove all orphans."""
        return await self._cancel_on_close(self._orphans.remove_all(add_message))

    async def pull(self, add_message: AddMessage) -> TaskOutcome:
        """Pull the images of all files; a failed one does not keep others from being pulled."""
        return await self._cancel_on_close(self._image_pull.run(add_message))

    async def _cancel_on_close(self, work: Coroutine[Any, Any, TaskOutcome]) -> TaskOutcome:
        """Run what may take long; the end of the manager does not wait for it."""
        task = asyncio.ensure_future(work)
        self._running_tasks.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if not self._closing:
                raise
            return False, "It was cancelled, because the host manager stops."
        finally:
            task.cancel()
            self._running_tasks.discard(task)
