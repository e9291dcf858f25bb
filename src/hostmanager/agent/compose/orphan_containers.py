"""Containers of services that are in no compose file any more, and their removal."""

import asyncio
import os
from pathlib import Path
from typing import Any

from hostmanager.agent.compose.catalog import find_orphans, orphan_view
from hostmanager.agent.compose.protocol import AddMessage, TaskOutcome
from hostmanager.composefile.model import ComposeFile
from hostmanager.drivers.compose.container import Container
from hostmanager.drivers.compose.engine import EngineError
from hostmanager.drivers.compose.watcher import ContainerWatcher

ORPHAN_GRACE = 60.0
"""Seconds that an orphan may take to stop; the engine uses the grace period of its file."""


class OrphanContainers:
    """The orphans of a host.

    Args:
        watcher: Knows the containers, and the engine that removes them.
        cwd: What the paths of the files are relative to.

    Attributes:
        files: The compose files that can be used.
    """

    def __init__(self, watcher: ContainerWatcher, cwd: Path) -> None:
        self._watcher = watcher
        self._cwd = cwd
        self.files: tuple[ComposeFile, ...] = ()

    def view(self) -> dict[str, Any]:
        """Show them (contract, section 5)."""
        return {i: orphan_view(container, path) for i, (container, path) in self._orphans().items()}

    def of_service(self, service: str) -> list[Container]:
        """Those of a service."""
        return [each for each, _ in self._orphans().values() if each.service == service]

    def _orphans(self) -> dict[str, tuple[Container, str]]:
        paths = {file.path: os.path.normpath(self._cwd / file.path) for file in self.files}
        return find_orphans(self._watcher.containers.values(), self.files, paths)

    async def remove_all(self, add_message: AddMessage) -> TaskOutcome:
        """Stop and remove all of them; returns whether all succeeded, and a sentence."""
        if not self._watcher.synced or self._watcher.engine is None:
            return False, f"Nothing was removed: {self._watcher.error}"
        orphans = self._orphans()
        if not orphans:
            return True, "There are no orphans."
        results = await asyncio.gather(
            *(self.remove(container, add_message) for container, _ in orphans.values())
        )
        removed = [text for ok, text in results if ok]
        failed = [text for ok, text in results if not ok]
        parts = [f"Removed: {', '.join(removed)}."] if removed else []
        return not failed, " ".join([*parts, *failed])

    async def remove(self, container: Container, add_message: AddMessage) -> TaskOutcome:
        """Stop and remove one; returns whether that succeeded, and its name, or why not."""
        name = f"{container.service} (container {container.name})"
        engine = self._watcher.engine
        try:
            if engine is None:
                raise EngineError(str(self._watcher.error))
            add_message(f"Orphan {name}: stopping it.")
            await engine.stop(container.id, ORPHAN_GRACE)
            await engine.remove(container.id)
        except EngineError as error:
            self._watcher.check_connection(error)
            return False, f"{name} could not be removed: {error}"
        return True, name
