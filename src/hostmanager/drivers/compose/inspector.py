"""The table of containers, and the inspections that keep it up to date.

Each container is inspected by a task of its own, so one that the engine does not answer for
delays no other. An answer never overtakes a later one: while an inspection runs, another one of the
same container waits for it.
"""

import asyncio
import logging
from collections.abc import Callable

from hostmanager.drivers.compose.container import (
    Container,
    from_inspect,
    from_list,
    with_previous_run,
)
from hostmanager.drivers.compose.engine import Engine, EngineError, NoSuchContainerError
from hostmanager.util.guard import Guard

log = logging.getLogger(__name__)

INSPECT_RETRY = 10.0
"""Seconds until a container is inspected again that the engine did not answer for."""

MALFORMED_ANSWER = (AttributeError, KeyError, TypeError, ValueError)
"""What an answer in an unexpected form raises."""


class ContainerInspector:
    """Keeps what is known of containers.

    Args:
        guard: Makes the calls that may fail.
        is_current: Whether a connection is still the present one.
        on_change: Called with a container as it was known before and as it is now.
        on_error: Called with the error when the engine does not answer at all.

    Attributes:
        containers: Each container, by id.
        exit_codes: The exit code of a container's latest run, from its event, by id.
    """

    def __init__(
        self,
        guard: Guard,
        is_current: Callable[[Engine], bool],
        on_change: Callable[[Container | None, Container | None], None],
        on_error: Callable[[EngineError], None],
    ) -> None:
        self.containers: dict[str, Container] = {}
        self.exit_codes: dict[str, int] = {}
        self._guard = guard
        self._is_current = is_current
        self._on_change = on_change
        self._on_error = on_error
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._reinspect: set[str] = set()
        self._next_inspect_at: dict[str, float] = {}  # of those without an answer

    def is_inspecting(self, container_id: str) -> bool:
        """Whether an inspection of a container is running."""
        return container_id in self._tasks

    async def cancel_all(self) -> None:
        """Cancel the inspections that are running."""
        await cancel(*self._tasks.values())

    async def inspect_all(self, engine: Engine, ids: set[str]) -> bool:
        """Inspect containers now; returns whether no inspection was cancelled.

        Raises:
            EngineError: The engine does not answer.
        """
        for container_id in ids:
            self.schedule(engine, container_id)
        tasks = [self._tasks[container_id] for container_id in ids]
        if tasks:
            await asyncio.wait(tasks)  # cancelling the wait does not cancel them
        for task in tasks:
            if task.cancelled():
                return False
            task.result()
        return True

    def schedule(self, engine: Engine, container_id: str) -> None:
        """Inspect it; if an inspection is running, once more after that."""
        before = self._tasks.get(container_id)
        if before is not None and not before.done():
            self._reinspect.add(container_id)
            return
        task = asyncio.ensure_future(self._inspect(engine, container_id))
        self._tasks[container_id] = task
        name = f"container {container_id[:12]}: after its inspection"
        on_done = self._guard.callback(name, lambda: self._on_done(engine, container_id, task))
        task.add_done_callback(lambda _: on_done())

    def _on_done(self, engine: Engine, container_id: str, task: "asyncio.Task[None]") -> None:
        if self._tasks.get(container_id) is task:
            del self._tasks[container_id]
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, EngineError):
            self._on_error(error)
        elif error is not None:
            name = f"container {container_id[:12]}: inspecting it"
            inspect_again = self._reinspect_later(engine, container_id)
            self._guard.call(name, task.result, lambda _: self._guard.schedule(name, inspect_again))

    def _reinspect_later(self, engine: Engine, container_id: str) -> Callable[[], None]:
        def inspect() -> None:
            if self._is_current(engine):
                self.schedule(engine, container_id)

        return self._guard.callback(f"container {container_id[:12]}: inspecting it again", inspect)

    async def _inspect(self, engine: Engine, container_id: str) -> None:
        while True:
            self._reinspect.discard(container_id)
            try:
                self.put(container_id, await self._read(engine, container_id))
            except NoSuchContainerError:
                self.put(container_id, None)
            if container_id not in self._reinspect:
                return

    async def _read(self, engine: Engine, container_id: str) -> Container | None:
        """Inspect it; if the engine does not answer for it, use its list."""
        now = asyncio.get_running_loop().time()
        if self._next_inspect_at.get(container_id, now) <= now:
            try:
                inspected = await engine.inspect(container_id)
                container = from_inspect(inspected) if inspected["Id"] else None
            except NoSuchContainerError:
                raise
            except (EngineError, *MALFORMED_ANSWER) as error:
                log.warning("docker: no answer for container %s: %s", container_id[:12], error)
            else:
                self._next_inspect_at.pop(container_id, None)
                return container
        known = self.containers.get(container_id)
        listed = await engine.compose_containers(container_id)
        self._schedule_retry(engine, container_id)
        try:
            return from_list(listed[0], known) if listed else None
        except MALFORMED_ANSWER:
            return known

    def _schedule_retry(self, engine: Engine, container_id: str) -> None:
        loop = asyncio.get_running_loop()
        if self._next_inspect_at.get(container_id, 0.0) > loop.time():
            return
        self._next_inspect_at[container_id] = loop.time() + INSPECT_RETRY
        loop.call_later(INSPECT_RETRY, self._reinspect_later(engine, container_id))

    def put(self, container_id: str, now: Container | None) -> None:
        """Replace what is known of a container; None: it does not exist any more."""
        before = self.containers.get(container_id)
        if now is None:
            self.containers.pop(container_id, None)
        else:
            now = with_previous_run(now, before)
            self.containers[container_id] = now
        if now != before:
            self._on_change(before, now)
        if now is None:
            self.exit_codes.pop(container_id, None)
            self._next_inspect_at.pop(container_id, None)


async def cancel(*tasks: "asyncio.Task[None]") -> None:
    """Cancel tasks, and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
