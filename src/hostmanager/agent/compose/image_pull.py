"""Pulling the images of compose files, each once, one after another, with progress messages."""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from hostmanager.agent.compose.protocol import AddMessage, TaskOutcome
from hostmanager.composefile.command import CompletedCommand, Compose, ComposeError
from hostmanager.composefile.model import ComposeFile
from hostmanager.composefile.watcher import ComposeFileWatcher
from hostmanager.drivers.compose.engine import EngineError
from hostmanager.drivers.compose.watcher import ContainerWatcher

POLL_INTERVAL = 1.0
"""Seconds between checks of the connection to the engine during a pull."""

PROGRESS_INTERVAL = 30.0
"""Seconds between messages that a pull is still running."""

IGNORE_ORPHANS_ENV = {"COMPOSE_IGNORE_ORPHANS": "1"}
"""The manager shows orphans; compose need not warn of them at each command."""


def compose_command(files: ComposeFileWatcher) -> Compose:
    """The compose command, if it was found.

    Raises:
        ComposeError: Not yet.
    """
    if files.compose is None:
        raise ComposeError("no compose command has been found yet")
    return files.compose


class ImagePull:
    """Pulls images.

    Args:
        files: The compose files.
        watcher: Knows the images, and whether the engine answers.
        cwd: What the paths of the files are relative to.
    """

    def __init__(self, files: ComposeFileWatcher, watcher: ContainerWatcher, cwd: Path) -> None:
        self._files = files
        self._watcher = watcher
        self._cwd = cwd

    async def run(self, add_message: AddMessage) -> TaskOutcome:
        """Pull the images of all files; returns whether all succeeded, and a sentence."""
        files = list(self._files.files.values())
        try:
            compose = compose_command(self._files)
        except ComposeError as error:
            return False, f"Nothing was pulled: {error}."
        if not files:
            return False, "Nothing was pulled: no compose file can be used."
        broken = [p for p in self._files.paths if not self._files.status.get(p, (False,))[0]]
        failed = [f"{path} cannot be used, so nothing of it was pulled." for path in broken]
        for file in files:
            if file.path not in broken:
                failed += await self._pull_file(compose, file, add_message)
        return not failed, " ".join(failed or ["All images were pulled."])

    async def _pull_file(
        self, compose: Compose, file: ComposeFile, add_message: AddMessage
    ) -> list[str]:
        """Pull the images that one file names, one after another; returns the failures."""
        by_image: dict[str, str] = {}
        built = []
        for service in file.services.values():
            if service.build:
                built.append(service.name)
            elif service.image:
                by_image.setdefault(service.image, service.name)
        if built:
            add_message(f"{file.path}: built on this machine, so not pulled: {', '.join(built)}.")
        failed = []
        for number, (image, service_name) in enumerate(by_image.items(), start=1):
            add_message(f"{file.path}: pulling {image} ({number} of {len(by_image)}).")
            ok, text = await self._pull_image(compose, file, image, service_name, add_message)
            if ok:
                add_message(text)
            else:
                failed.append(text)  # for the result
        return failed

    async def _pull_image(
        self, compose: Compose, file: ComposeFile, image: str, service: str, add_message: AddMessage
    ) -> TaskOutcome:
        with suppress(EngineError):
            await self._watcher.refresh_images()
        before = self._watcher.images.id_of(image)
        command = compose.run(
            "pull", service, file=self._cwd / file.path, extra_env=IGNORE_ORPHANS_ENV
        )
        try:
            result = await self._run_with_progress(
                command, f"{file.path}: still pulling {image}", add_message
            )
        except (ComposeError, EngineError) as error:
            return False, f"{image} was not pulled: {error}"
        if result.exit_code != 0:
            return False, f"{image} was not pulled: {result.reason.rstrip('.')}."
        with suppress(EngineError):
            await self._watcher.refresh_images()
        is_new = self._watcher.images.id_of(image) != before
        return True, f"{image}: {'new' if is_new else 'up to date'}."

    async def _run_with_progress(
        self,
        command: Coroutine[Any, Any, CompletedCommand],
        description: str,
        add_message: AddMessage,
    ) -> CompletedCommand:
        """Await a command that may take long: report progress; cancel it if the engine is lost."""
        started = reported = time.monotonic()
        task = asyncio.ensure_future(command)
        try:
            while not task.done():
                await asyncio.wait((task,), timeout=POLL_INTERVAL)
                if not task.done() and not self._watcher.synced:
                    raise EngineError(str(self._watcher.error))
                if not task.done() and time.monotonic() - reported >= PROGRESS_INTERVAL:
                    reported = time.monotonic()
                    add_message(f"{description}, for {reported - started:.0f} s so far.")
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
