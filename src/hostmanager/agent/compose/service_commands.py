"""Compose commands for single services, and what forbids them: no second copy, no unset variable."""

import os
from pathlib import Path

from hostmanager.agent.compose.catalog import describe_running_elsewhere, running_elsewhere
from hostmanager.agent.compose.image_pull import IGNORE_ORPHANS_ENV, compose_command
from hostmanager.composefile.command import CompletedCommand
from hostmanager.composefile.loader import project_args
from hostmanager.composefile.model import ComposeFile, ComposeFileError
from hostmanager.composefile.variables import describe_unset
from hostmanager.composefile.watcher import ComposeFileWatcher
from hostmanager.core.model import ServiceRef
from hostmanager.drivers.compose.container import Container, from_list
from hostmanager.drivers.compose.diff import containers_of
from hostmanager.drivers.compose.engine import EngineError
from hostmanager.drivers.compose.watcher import ContainerWatcher


class ServiceCommands:
    """Runs compose commands for services.

    Args:
        files: The compose files.
        watcher: Knows the containers, and the engine.
        cwd: What the paths of the files are relative to.
        prefix: Comes before the instance-id in a service's name.
    """

    def __init__(
        self, files: ComposeFileWatcher, watcher: ContainerWatcher, cwd: Path, prefix: str
    ) -> None:
        self._files, self._watcher = files, watcher
        self._cwd, self._prefix = cwd, prefix

    async def run(self, service: ServiceRef, *args: str) -> CompletedCommand:
        """Run a compose command for a service; without arguments, check whether its file can be used."""
        compose = compose_command(self._files)
        ok, _, text = self._files.status.get(service.file, (True, 0.0, ""))
        if not ok:
            raise ComposeFileError(text)
        file = self._cwd / service.file
        if args[:1] == ("up",) or not args:
            await self._require_single(service)
        if not args:
            self._require_variables(service)
            return CompletedCommand(0, "", "")
        loaded = self._files.files.get(service.file)
        named = project_args(service.project) if loaded and loaded.new_project else ()
        return await compose.run(
            *named, *args, service.name, file=file, extra_env=IGNORE_ORPHANS_ENV
        )

    def _require_variables(self, service: ServiceRef) -> None:
        """Refuse to replace a container by one whose settings lack what a variable should give.

        What runs with these very settings is known to run with them.
        """
        loaded = self._files.files.get(service.file)
        unset = (
            [each for each in loaded.unset if each.service in ("", service.name)] if loaded else []
        )
        if unset and not self._runs_as_loaded(service):
            raise ComposeFileError(describe_unset(unset))

    def _runs_as_loaded(self, service: ServiceRef) -> bool:
        loaded = self._files.files[service.file].services.get(service.name)
        digest = loaded.digest if loaded is not None else ""
        containers = containers_of(service, tuple(self._watcher.containers.values()))
        return any(c.alive and c.digest == digest != "" for c in containers)

    async def _require_single(self, service: ServiceRef) -> None:
        """Refuse a container beside one that another project made of the same agent.

        Only services that are agents by their name: others may run in several projects.
        """
        file = self._files.files.get(service.file)
        if file is None or not service.name.startswith(self._prefix):
            return
        try:
            containers = await self._all_containers()
        except EngineError as error:
            self._watcher.check_connection(error)
            raise ComposeFileError(str(error)) from None
        paths = self._paths(file)
        elsewhere = running_elsewhere(containers, service.project, [service.name], paths)
        if elsewhere:
            raise ComposeFileError(describe_running_elsewhere(elsewhere[0]))

    async def find_running_project(self, file: ComposeFile) -> str:
        """The project in which the agents of a file run, if none of them runs in its own.

        Its name changed while no manager ran. Without an engine nobody knows; then a start is
        refused later, rather than a second copy of an agent made.
        """
        agents = [name for name in file.services if name.startswith(self._prefix)]
        try:
            containers = await self._all_containers()
        except EngineError:
            return ""
        if any(c.alive and c.project == file.project and c.service in agents for c in containers):
            return ""
        elsewhere = running_elsewhere(containers, file.project, agents, self._paths(file))
        projects = {container.project for container in elsewhere}
        return projects.pop() if len(projects) == 1 else ""

    async def _all_containers(self) -> list[Container]:
        engine = self._watcher.engine
        listed = await engine.compose_containers() if engine is not None else []
        return [c for entry in listed if (c := from_list(entry, None)) is not None]

    def _paths(self, file: ComposeFile) -> tuple[str, str]:
        """Its paths, as compose writes them on its containers."""
        return os.path.normpath(self._cwd / file.path), os.fspath(file.resolved_path)
