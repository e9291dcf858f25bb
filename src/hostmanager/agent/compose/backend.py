"""The compose side of a host: files followed, services known, containers seen.

`Dockers` is what the host asks; `NoDockers` answers for a manager that was given no compose
file. Nothing here waits for an engine: what it does not answer is shown as not known.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hostmanager.agent.compose.catalog import (
    ServiceCatalog,
    build_catalog,
    find_orphans,
    orphan_view,
)
from hostmanager.composefile.command import CompletedCommand, Compose, ComposeError, find_compose
from hostmanager.composefile.model import ComposeFile, ComposeFileError
from hostmanager.composefile.watcher import ComposeFileWatcher, FileStatus
from hostmanager.core.model import InstanceSpec, ServiceRef
from hostmanager.core.record import InstanceRecord
from hostmanager.drivers.compose.container import Container, unix_time
from hostmanager.drivers.compose.driver import ComposeDriver
from hostmanager.drivers.compose.engine import Engine, EngineError, find_endpoint
from hostmanager.drivers.compose.host_processes import find_listener, local_port
from hostmanager.drivers.compose.watcher import ContainerWatcher
from hostmanager.util.secret import Environment

log = logging.getLogger(__name__)

LOAD_TIMEOUT = 3.0
"""Seconds that a stop waits for the first reading of the compose files at most."""

CLOSE_TIMEOUT = 2.0
"""Seconds that the end waits for what is under way; compose commands are ended for certain."""

ORPHAN_GRACE = 60.0
"""Seconds that an orphan may take to stop; the engine keeps to what its file said."""

POLL_INTERVAL = 1.0
"""Seconds after which it is looked up, during a long command, whether the engine is there."""

LISTENER_TIMEOUT = 2.0
"""Seconds to find out who listens where the router is: names of hosts may take long to look up."""

PROGRESS_INTERVAL = 30.0
"""Seconds after which it is said again that a long command goes on."""

IGNORE_ORPHANS_ENV = {"COMPOSE_IGNORE_ORPHANS": "1"}
"""Orphans are shown by the manager; compose need not warn of them at each command."""

Say = Callable[[str], None]


class EngineComposeBackend:
    """Everything about compose services that is not one instance's.

    Args:
        paths: The compose files, as they were given.
        prefix: What goes before an instance-id in a service's name.
        binary: The compose command to use; None: the one that is found.
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
        self.changed: Callable[[], None] = lambda: None
        self.watcher = ContainerWatcher(self._open_engine)
        self.driver = ComposeDriver(self.watcher, self._run_compose, emit_message)
        self._driver_lost = self.watcher.on_lost
        self._driver_synced = self.watcher.on_synced
        self.watcher.on_lost = self._on_lost
        self.watcher.on_synced = self._on_synced
        self._disconnected = False
        self._closing = False
        self._running_tasks: set[asyncio.Task[tuple[bool, str]]] = set()
        self._reported_status: dict[str, tuple[bool, str]] = {}
        self.file_watcher = ComposeFileWatcher(
            self.paths, lambda: find_compose(binary, self._environ, cwd), cwd, self._on_files_change
        )
        self.services = ServiceCatalog(prefix, self.paths, is_loaded=False)
        self._files: tuple[ComposeFile, ...] = ()  # what `services` was made of

    def start(self) -> None:
        """Begin to follow files and engine; returns at once."""
        self.watcher.start()
        self.file_watcher.start()

    async def wait_loaded(self) -> None:
        """Wait until it is known which services there are; not for long."""
        await self.file_watcher.wait_loaded(LOAD_TIMEOUT)

    async def close(self) -> None:
        """Give up what is under way, and let go of the engine."""
        self._closing = True
        for task in self._running_tasks:
            task.cancel()
        self.driver.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                work = (*self._running_tasks, self.driver.closed())
                await asyncio.gather(*work, return_exceptions=True)
        # In any case, or what they have begun would be left behind.
        await self.file_watcher.close()
        await self.watcher.close()

    def update_spec(self, spec: InstanceSpec) -> None:
        """The entry of an instance, or its service, says something else."""
        self.driver.update_spec(spec)

    async def refresh(self) -> None:
        """Read compose files that have changed without notice."""
        await self.file_watcher.refresh()

    # --- files and engine -------------------------------------------------------------------

    async def _open_engine(self) -> Engine:
        return Engine(await find_endpoint(self._environ, self._cwd))

    async def _on_files_change(self) -> None:
        broken = [path for path, (ok, _, _) in self.file_watcher.status.items() if not ok]
        files = tuple(self.file_watcher.files.values())
        services = build_catalog(files, self.paths, self.prefix, broken)
        # First what can be seen: else what runs would seem not to. A project that no file
        # belongs to any more is followed on: its containers have not ended by that.
        self._projects |= services.projects
        await self.watcher.follow(self._projects)
        self.services, self._files = services, files
        for path, (ok, _, text) in self.status().items():
            if self._reported_status.get(path, (True, ""))[0:2] != (ok, "" if ok else text):
                self._emit_message(path, text)
            self._reported_status[path] = (ok, "" if ok else text)
        self.changed()

    def status(self) -> dict[str, FileStatus]:
        """How the reading of each file went (contract, section 5)."""
        shown = {}
        for path, (ok, when, text) in self.file_watcher.status.items():
            more = self.services.warnings.get(path, "")
            if not ok and path in self.file_watcher.files:
                more = f"What was known of its services stays. {more}".rstrip()
            shown[path] = (ok, when, f"{text} {more}" if more else text)
        return shown

    def _on_lost(self, why: str) -> None:
        if not self._disconnected:
            self._emit_message("docker", f"{why} Nothing is known of containers until it answers.")
        self._disconnected = True
        self._driver_lost(why)

    def _on_synced(self) -> None:
        if self._disconnected:
            self._emit_message("docker", "The Docker Engine answers again.")
        self._disconnected = False
        self._driver_synced()

    async def _run_compose(self, service: ServiceRef, *args: str) -> CompletedCommand:
        """Run a compose command for a service; without one, see whether its file can be used."""
        compose = self._compose_command()
        ok, _, text = self.file_watcher.status.get(service.file, (True, 0.0, ""))
        if not ok:
            raise ComposeFileError(text)
        file = self._cwd / service.file
        if not args:
            return CompletedCommand(0, "", "")
        return await compose.run(*args, service.name, file=file, extra_env=IGNORE_ORPHANS_ENV)

    def _compose_command(self) -> Compose:
        if self.file_watcher.compose is None:
            raise ComposeError("no compose command has been found yet")
        return self.file_watcher.compose

    # --- views ------------------------------------------------------------------------------

    def container(self, spec: InstanceSpec) -> dict[str, Any] | None:
        """Show the container that stands for an instance."""
        container = self.driver.container_of(spec)
        if container is None:
            return None
        return {
            "id": container.id,
            "name": container.name,
            "status": container.status,
            "health": container.health,
            "image": container.image,
            "image_id": container.image_id,
        }

    def orphans(self) -> dict[str, Any]:
        """Show the orphans (contract, section 5)."""
        found = self._orphans().items()
        return {i: orphan_view(container, path) for i, (container, path) in found}

    def _orphans(self) -> dict[str, tuple[Container, str]]:
        files = self._files
        real = {file.path: os.path.normpath(self._cwd / file.path) for file in files}
        return find_orphans(self.watcher.containers.values(), files, real)

    def new_tags(self, lives: Mapping[str, InstanceRecord]) -> dict[str, str]:
        """The images that tracked instances want and that are not here (contract, section 5)."""
        if not self.watcher.synced:
            return {}
        return {
            instance_id: life.spec.service.image
            for instance_id, life in lives.items()
            if life.spec.service is not None
            and life.spec.service.image is not None
            and self.watcher.images.id_of(life.spec.service.image) is None
        }

    async def runs_router(self, url: str, specs: Iterable[InstanceSpec]) -> str | None:
        """Which of these instances runs the router at this address; None: none that is known."""
        own = {c.run_key: s.instance_id for s in specs if (c := self.driver.container_of(s))}
        containers = [c for c in self.watcher.containers.values() if c.run_key in own]

        def find() -> Container | None:
            port = local_port(url)
            return None if port is None else find_listener(port, containers)

        try:
            found = await asyncio.wait_for(asyncio.to_thread(find), LISTENER_TIMEOUT)
        except TimeoutError:
            log.warning("restart: it is not known in time who listens at %s", url)
            return None
        return None if found is None else own[found.run_key]

    async def output(
        self, spec: InstanceSpec, lines: int, since: float
    ) -> tuple[bool, str, list[tuple[float | None, str]]]:
        """The newest lines of a container's log: whether it can be had, a sentence, the lines."""
        container = self.driver.container_of(spec)
        if container is None:
            return False, f"There is no container of '{spec.instance_id}', so no output.", []
        engine = self.watcher.engine
        try:
            if engine is None:
                raise EngineError(str(self.watcher.error))
            found = await engine.read_log(container.id, lines, since)
        except EngineError as error:
            return False, f"The output of '{spec.instance_id}' cannot be read: {error}", []
        timed = [(unix_time(line.partition(" ")[0]), line.partition(" ")[2]) for line in found]
        kept = [(when or None, text) for when, text in timed if when > since or not when]
        return True, f"{len(kept)} lines.", kept

    # --- operations -------------------------------------------------------------------------

    async def remove_orphans(self, say: Say) -> tuple[bool, str]:
        """Stop and remove all orphans; tells whether all went well, and what was done."""
        return await self._cancel_on_close(self._remove_orphans(say))

    async def _remove_orphans(self, say: Say) -> tuple[bool, str]:
        if not self.watcher.synced or self.watcher.engine is None:
            return False, f"Nothing was removed: {self.watcher.error}"
        found = self._orphans()
        if not found:
            return True, "There are no orphans."
        results = await asyncio.gather(
            *(self._remove(container, say) for container, _ in found.values())
        )
        removed = [text for ok, text in results if ok]
        failed = [text for ok, text in results if not ok]
        parts = [f"Removed: {', '.join(removed)}."] if removed else []
        return not failed, " ".join([*parts, *failed])

    async def _remove(self, container: Container, say: Say) -> tuple[bool, str]:
        name = f"{container.service} (container {container.name})"
        engine = self.watcher.engine
        try:
            if engine is None:
                raise EngineError(str(self.watcher.error))
            say(f"Orphan {name}: stopping it.")
            await engine.stop(container.id, ORPHAN_GRACE)
            await engine.remove(container.id)
        except EngineError as error:
            self.watcher.check_connection(error)
            return False, f"{name} could not be removed: {error}"
        return True, name

    async def pull(self, say: Say) -> tuple[bool, str]:
        """Pull the images of all files; one that fails keeps no other from being pulled."""
        return await self._cancel_on_close(self._pull(say))

    async def _pull(self, say: Say) -> tuple[bool, str]:
        files = list(self.file_watcher.files.values())
        try:
            compose = self._compose_command()
        except ComposeError as error:
            return False, f"Nothing was pulled: {error}."
        if not files:
            return False, "Nothing was pulled: no compose file can be used."
        broken = [p for p in self.paths if not self.file_watcher.status.get(p, (False,))[0]]
        failed = [f"{path} cannot be used, so nothing of it was pulled." for path in broken]
        for file in files:
            if file.path not in broken:
                failed += await self._pull_file(compose, file, say)
        return not failed, " ".join(failed or ["All images were pulled."])

    async def _pull_file(self, compose: Compose, file: ComposeFile, say: Say) -> list[str]:
        """Pull what one file names, each image once, one after another; returns what failed."""
        by_image: dict[str, str] = {}
        built = []
        for service in file.services.values():
            if service.build:
                built.append(service.name)
            elif service.image:
                by_image.setdefault(service.image, service.name)
        if built:
            say(f"{file.path}: built here, so not pulled: {', '.join(built)}.")
        failed = []
        for number, (image, service_name) in enumerate(by_image.items(), start=1):
            say(f"{file.path}: pulling {image} ({number} of {len(by_image)}).")
            ok, text = await self._pull_image(compose, file, image, service_name, say)
            if ok:
                say(text)
            else:
                failed.append(text)  # said once, as the result
        return failed

    async def _pull_image(
        self, compose: Compose, file: ComposeFile, image: str, service: str, say: Say
    ) -> tuple[bool, str]:
        with suppress(EngineError):
            await self.watcher.refresh_images()
        before = self.watcher.images.id_of(image)
        command = compose.run(
            "pull", service, file=self._cwd / file.path, extra_env=IGNORE_ORPHANS_ENV
        )
        try:
            done = await self._run_with_progress(
                command, f"{file.path}: still pulling {image}", say
            )
        except (ComposeError, EngineError) as error:
            return False, f"{image} was not pulled: {error}"
        if done.exit_code != 0:
            return False, f"{image} was not pulled: {done.reason.rstrip('.')}."
        with suppress(EngineError):
            await self.watcher.refresh_images()
        new = self.watcher.images.id_of(image) != before
        return True, f"{image}: {'new' if new else 'up to date'}."

    async def _run_with_progress(
        self, command: Coroutine[Any, Any, CompletedCommand], what: str, say: Say
    ) -> CompletedCommand:
        """Await a command that may take long: say so now and then, and give up with the engine."""
        begun = said = time.monotonic()
        task = asyncio.ensure_future(command)
        try:
            while not task.done():
                await asyncio.wait((task,), timeout=POLL_INTERVAL)
                if not task.done() and not self.watcher.synced:
                    raise EngineError(str(self.watcher.error))
                if not task.done() and time.monotonic() - said >= PROGRESS_INTERVAL:
                    said = time.monotonic()
                    say(f"{what}, for {said - begun:.0f} s by now.")
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _cancel_on_close(
        self, work: Coroutine[Any, Any, tuple[bool, str]]
    ) -> tuple[bool, str]:
        """Do what may take long; the end of the manager does not wait for it."""
        task = asyncio.ensure_future(work)
        self._running_tasks.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if not self._closing:
                raise
            return False, "It was given up, since the host manager ends."
        finally:
            task.cancel()
            self._running_tasks.discard(task)
