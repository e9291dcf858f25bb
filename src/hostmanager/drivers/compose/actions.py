"""Stops, kills, starts and reads containers through the engine.

Not through compose: this concerns exactly these containers, works while their compose file is
broken, and takes a millisecond instead of a process.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from hostmanager.drivers.compose.container import Container, log_start
from hostmanager.drivers.compose.engine import EngineError, NoSuchContainerError, RefusedError
from hostmanager.drivers.compose.watcher import NOT_CONTACTED_YET, ContainerWatcher

log = logging.getLogger(__name__)

LAST_LOG_LINES = 20
"""Lines of a container's output that are reported after its end."""


class ContainerActions:
    """Acts on containers; reports what fails, and lets the watcher check the connection then.

    Args:
        watcher: Has the connection to the engine.
        emit_message: Takes a message for operators: instance-id and sentence.
    """

    def __init__(self, watcher: ContainerWatcher, emit_message: Callable[[str, str], None]) -> None:
        self._watcher = watcher
        self._emit_message = emit_message

    async def stop(self, instance_id: str, containers: Sequence[Container], grace: float) -> bool:
        """Stop and remove containers, as compose would; the engine kills them after `grace` seconds.

        Returns:
            Whether the engine has answered; what it refused need not be retried.
        """
        ends = (self._end(instance_id, container, grace) for container in containers)
        return all(await asyncio.gather(*ends))

    async def kill(self, instance_id: str, containers: Sequence[Container]) -> None:
        """Kill and remove containers, also while their stop hangs."""
        await asyncio.gather(*(self._end(instance_id, container, None) for container in containers))

    async def _end(self, instance_id: str, container: Container, grace: float | None) -> bool:
        """Stop and remove a container, or kill it (None); returns whether the engine has answered."""
        engine, is_kill = self._watcher.engine, grace is None
        if engine is None:
            return False  # disconnected, which is reported; the stop is repeated after reconnection
        try:
            if container.alive:
                end = (
                    engine.kill(container.id) if grace is None else engine.stop(container.id, grace)
                )
                await end
            await engine.remove(container.id, force=is_kill)
        except NoSuchContainerError:
            pass  # somebody else was faster
        except EngineError as error:
            self._report_failure(instance_id, "killed" if is_kill else "stopped", error)
            return isinstance(error, RefusedError)
        return True

    async def start(self, container: Container) -> None:
        """Start a container as it was created.

        Raises:
            EngineError: It does not start.
        """
        engine = self._watcher.engine
        if engine is None:
            raise EngineError(self._watcher.error or NOT_CONTACTED_YET)
        await engine.start(container.id)

    async def last_log_lines(self, container: Container) -> tuple[str, ...] | None:
        """The last lines of a container's latest run; None if they cannot be read."""
        engine = self._watcher.engine
        if engine is None:
            return None
        try:
            lines = await engine.read_log(container.id, LAST_LOG_LINES, log_start(container))
        except EngineError as error:
            log.debug("docker: no output of %s: %s", container.name, error)
            return None  # it is removed already, or logs elsewhere
        return tuple(line.partition(" ")[2].rstrip() for line in lines)

    def _report_failure(self, instance_id: str, action: str, error: EngineError) -> None:
        self._emit_message(instance_id, f"its container could not be {action}: {error}")
        self._watcher.check_connection(error)
