"""What can be seen of the containers: a table that follows the engine's events.

One list call at every (re)connect, then the stream of events. An event is only a hint that a
container has to be looked at again: what is believed is what `inspect` says, so that a lost,
doubled or late event can delay, never mislead. Each container is looked at by a task of its
own. One that the engine says nothing about, though it lists it, holds up nobody else: then what
the list says of it has to do, and it is asked about again after a while.

An engine that is frozen keeps its connections open and says nothing. So while nothing
happens, it is asked every few seconds whether it is still there. That is the only thing that
an idle manager does here.
"""

import asyncio
import logging
import reprlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from hostmanager.drivers.compose.container import (
    PROJECT_LABEL,
    Container,
    from_inspect,
    from_list,
    listed_project,
    with_previous_run,
)
from hostmanager.drivers.compose.engine import Engine, EngineError, NoSuchContainerError
from hostmanager.drivers.compose.images import Images
from hostmanager.util.guard import Guard
from hostmanager.util.numbers import parse_number

log = logging.getLogger(__name__)

PING_INTERVAL = 2.5
"""Seconds of silence after which the engine is asked whether it is there."""

PING_TIMEOUT = 2.0
"""Seconds that it may take to answer that."""

TIMER_SLACK = 0.01
"""Seconds that a timer may ring early."""

RECONNECT_DELAYS = (0.1, 0.2, 0.5, 1.0)
"""Seconds between attempts to reach it; the last goes on. A unix socket costs next to nothing."""

SHORT_LIVED = 5.0
"""Seconds; a connection that did not last as long is not made anew at once."""

IMAGE_DEBOUNCE = 0.1
"""Seconds that image events are gathered: one pull makes several."""

INSPECT_RETRY = 10.0
"""Seconds until the engine is asked again about a container that it did not answer for."""

MALFORMED_ANSWER = (AttributeError, KeyError, TypeError, ValueError)
"""What comes of an answer of another form than expected."""

CONNECTION_CUT = "The connection to the Docker Engine was cut."

NOT_ASKED_YET = "The Docker Engine has not been asked yet."

OpenEngine = Callable[[], Awaitable[Engine]]


class ContainerWatcher:
    """Follows the containers of some compose projects.

    Those who are told (`on_change` and so on) see to it themselves that they do not raise.

    Args:
        open_engine: Makes a connection to the engine.

    Attributes:
        guard: Makes the calls that may fail, here and for those who are told.
        engine: The present connection; None while there is none.
        containers: What is known of each container of the followed projects, by id.
        images: Which images there are.
        synced: Whether all that is the present truth.
        error: Why not, as a sentence; None if it is.
        exit_codes: What the engine told when a container ended, by id; the latest run's.
        on_change: Told of the container (what was known of it, what is known) after a change.
        on_synced: Told when sight was gained.
        on_lost: Told when it was lost.
        on_images: Told when the images may have changed.
    """

    def __init__(self, open_engine: OpenEngine) -> None:
        self.guard = Guard(lambda pause, call: asyncio.get_running_loop().call_later(pause, call))
        self.engine: Engine | None = None
        self.containers: dict[str, Container] = {}
        self.images = Images()
        self.synced = False
        self.error: str | None = NOT_ASKED_YET
        self.exit_codes: dict[str, int] = {}
        self.on_change: Callable[[Container | None, Container | None], None] = lambda *_: None
        self.on_synced: Callable[[], None] = lambda: None
        self.on_lost: Callable[[str], None] = lambda _: None
        self.on_images: Callable[[], None] = lambda: None
        self._failures = 0
        self._open = open_engine
        self._projects: frozenset[str] = frozenset()
        self._listed: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._inspections: dict[str, asyncio.Task[None]] = {}
        self._images_stale = False
        self._reinspect: set[str] = set()
        self._next_inspect_at: dict[str, float] = {}
        self._listing = asyncio.Lock()
        self._image_refresh_task: asyncio.Task[None] | None = None
        self._last_activity = 0.0  # when the engine said something last, by the loop's clock
        self._probe_requested = asyncio.Event()
        self._probe_reason: EngineError | None = None
        self._cut_reason: EngineError | None = None

    def start(self) -> None:
        """Begin to follow; returns at once."""
        if self._task is None:
            what = "following the Docker Engine"
            follow = self.guard.run_forever(
                what, self._connect, self._reconnect_delay, self._on_malformed_answer
            )
            self._task = asyncio.ensure_future(follow)

    async def close(self) -> None:
        """Stop following."""
        await _cancel(
            *(t for t in (self._task, self._image_refresh_task, *self._inspections.values()) if t)
        )

    def is_synced(self, project: str) -> bool:
        """Whether what is known of the containers of a project is the present truth."""
        return self.synced and project in self._listed

    async def follow(self, projects: frozenset[str]) -> None:
        """Follow the containers of these projects; returns once that is so, or sight is lost.

        Args:
            projects: Those that were followed, and more.
        """
        if projects == self._projects:
            return
        self._projects = projects
        if self.synced and self.engine is not None:
            try:
                await self._list(self.engine)
            except EngineError as error:
                self.check_connection(error)

    def check_connection(self, error: EngineError) -> None:
        """A call failed: if the engine is gone, find out now rather than at the next ping."""
        log.debug("docker: %s", error)
        self._probe_reason = error
        self._probe_requested.set()

    # --- the connection ---------------------------------------------------------------------

    async def _connect(self) -> None:
        """Have a connection, until it is cut."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            await self._watch_connection()
        except EngineError as error:
            self._set_lost(str(error))
        finally:
            self._failures = self._failures + 1 if loop.time() - begun < SHORT_LIVED else 0

    def _on_malformed_answer(self, error: Exception) -> None:
        text = reprlib.repr(error)
        self._set_lost(f"The Docker Engine's answer is not understood: {text}.")

    def _reconnect_delay(self) -> float:
        return RECONNECT_DELAYS[min(self._failures, len(RECONNECT_DELAYS) - 1)]

    async def _watch_connection(self) -> None:
        engine = await self._open()
        self._cut_reason = None
        try:
            self._probe_requested.clear()
            self._probe_reason = None
            await engine.ping(PING_TIMEOUT)
            # From before the list on, so that nothing is missed between the two.
            events = asyncio.ensure_future(self._read_events(engine, await engine.server_time()))
            try:
                await self._list_images(engine)
                while await self._list(engine) != self._projects:
                    pass  # a file was read meanwhile
                self._set_synced(engine)
                pings = asyncio.ensure_future(self._ping(engine))
                try:
                    await asyncio.wait((events, pings), return_when=asyncio.FIRST_COMPLETED)
                    for task in (pings, events):
                        if task.done():
                            task.result()
                finally:
                    await _cancel(pings)
            finally:
                await _cancel(events)
        except EngineError as error:
            self._cut_reason = error  # for those whose looks end by it, too
            raise
        finally:
            self.engine = None
            # What is being asked over this connection will not be answered over another.
            await _cancel(*self._inspections.values())
            with suppress(Exception):
                await engine.close()

    def _set_synced(self, engine: Engine) -> None:
        self.engine = engine
        self.synced, self.error = True, None
        self.on_synced()

    def _set_lost(self, why: str) -> None:
        changed = self.synced or self.error != why
        self.synced, self.error = False, why
        if changed:
            self.on_lost(why)

    async def _ping(self, engine: Engine) -> None:
        """Make sure now and then that it is there; ends by an error."""
        loop = asyncio.get_running_loop()
        self._last_activity = loop.time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._last_activity + PING_INTERVAL):
                    await self._probe_requested.wait()
            silence = loop.time() - self._last_activity
            if self._probe_requested.is_set() or silence >= PING_INTERVAL - TIMER_SLACK:
                self._probe_requested.clear()
                await engine.ping(PING_TIMEOUT)
                self._last_activity = loop.time()
                if self._probe_reason is not None:
                    self._probe_reason = None
                    await self._list(engine)  # what was asked in vain
                    self.on_synced()

    # --- what it tells ----------------------------------------------------------------------

    async def _read_events(self, engine: Engine, since: float) -> None:
        async for event in engine.events(since):
            self._last_activity = asyncio.get_running_loop().time()
            try:
                if event.get("Type") == "image":
                    self._schedule_image_refresh(engine)
                else:
                    self._handle_event(engine, event)
            except MALFORMED_ANSWER:
                log.warning("docker: an event that makes no sense: %s", reprlib.repr(event))

    def _handle_event(self, engine: Engine, event: Mapping[str, Any]) -> None:
        actor = event.get("Actor") or {}
        labels = actor.get("Attributes") or {}
        container_id = str(actor.get("ID") or "")
        if not container_id or labels.get(PROJECT_LABEL) not in self._projects:
            return
        code = parse_number(str(labels.get("exitCode")))
        if event.get("Action") == "die" and code is not None:
            self.exit_codes[container_id] = code
        if event.get("Action") in ("destroy", "remove") and container_id not in self._inspections:
            self._put(container_id, None)  # else an older answer would bring it back
        else:
            self._schedule_inspect(engine, container_id)

    def _schedule_inspect(self, engine: Engine, container_id: str) -> None:
        """Look at it; if it is being looked at, once more after that."""
        before = self._inspections.get(container_id)
        if before is not None and not before.done():
            self._reinspect.add(container_id)
            return
        task = asyncio.ensure_future(self._inspect(engine, container_id))
        self._inspections[container_id] = task
        what = f"container {container_id[:12]}: what was seen of it"
        looked = self.guard.callback(what, lambda: self._inspect_done(engine, container_id, task))
        task.add_done_callback(lambda _: looked())

    def _inspect_done(self, engine: Engine, container_id: str, task: "asyncio.Task[None]") -> None:
        if self._inspections.get(container_id) is task:
            del self._inspections[container_id]
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, EngineError):
            self.check_connection(error)
        elif error is not None:
            what = f"container {container_id[:12]}: looking at it"
            again = self._reinspect_if_known(engine, container_id)
            self.guard.call(what, task.result, lambda _: self.guard.schedule(what, again))

    def _reinspect_if_known(self, engine: Engine, container_id: str) -> Callable[[], None]:
        def look() -> None:
            if self.engine is engine:
                self._schedule_inspect(engine, container_id)

        return self.guard.callback(f"container {container_id[:12]}: looking at it again", look)

    async def _inspect(self, engine: Engine, container_id: str) -> None:
        while True:
            self._reinspect.discard(container_id)
            try:
                self._put(container_id, await self._read_container(engine, container_id))
            except NoSuchContainerError:
                self._put(container_id, None)
            if container_id not in self._reinspect:
                return

    async def _read_container(self, engine: Engine, container_id: str) -> Container | None:
        """How it is; if the engine does not tell, what its list says."""
        now = asyncio.get_running_loop().time()
        if self._next_inspect_at.get(container_id, now) <= now:
            try:
                inspected = await engine.inspect(container_id)
                found = from_inspect(inspected) if inspected["Id"] else None
            except NoSuchContainerError:
                raise
            except (EngineError, *MALFORMED_ANSWER) as error:
                log.warning("docker: nothing is told of %s: %s", container_id[:12], error)
            else:
                self._next_inspect_at.pop(container_id, None)
                return found
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
        loop.call_later(INSPECT_RETRY, self._reinspect_if_known(engine, container_id))

    def _put(self, container_id: str, now: Container | None) -> None:
        before = self.containers.get(container_id)
        if now is None:
            self.containers.pop(container_id, None)
        else:
            now = with_previous_run(now, before)
            self.containers[container_id] = now
        if now != before:
            self.on_change(before, now)
        if now is None:
            self.exit_codes.pop(container_id, None)
            self._next_inspect_at.pop(container_id, None)

    async def refresh_project(self, project: str) -> None:
        """Look at all containers of a project now, the new ones included.

        Raises:
            EngineError: The engine does not tell.
        """
        engine = self.engine
        if engine is None:
            raise EngineError(self.error or NOT_ASKED_YET)
        await self._list(engine, project)

    async def _list(self, engine: Engine, project: str | None = None) -> frozenset[str]:
        """Look at every container of the followed projects, or of one; returns which."""
        async with self._listing:
            listed = await engine.compose_containers()
            projects = self._projects if project is None else frozenset({project})
            ids = {str(c["Id"]) for c in listed if listed_project(c) in projects}
            await self._refresh_all(engine, ids)
            # Last, and by no means on the word of the list, which may be from before they were
            # made: what has replaced one is to be seen before that is gone.
            known = self.containers.items()
            await self._refresh_all(
                engine, {i for i, c in known if c.project in projects and i not in ids}
            )
            if project is None:
                self._listed = projects
            return projects

    async def _refresh_all(self, engine: Engine, ids: set[str]) -> None:
        """By the same way as after events: an older answer never replaces a newer one."""
        for container_id in ids:
            self._schedule_inspect(engine, container_id)
        looks = [self._inspections[container_id] for container_id in ids]
        if looks:
            await asyncio.wait(looks)  # who is tired of waiting must not end them
        for look in looks:
            if look.cancelled():
                raise EngineError(str(self._cut_reason or CONNECTION_CUT))
            look.result()

    # --- images -----------------------------------------------------------------------------

    def _schedule_image_refresh(self, engine: Engine) -> None:
        self._images_stale = True
        if self._image_refresh_task is None or self._image_refresh_task.done():
            look = self._refresh_images_due(engine)
            self._image_refresh_task = self.guard.task("looking at the images", look)

    async def _refresh_images_due(self, engine: Engine) -> None:
        while self._images_stale:  # also what happens while they are being listed
            await asyncio.sleep(IMAGE_DEBOUNCE)
            self._images_stale = False
            try:
                await self._list_images(engine)
            except EngineError as error:
                self.check_connection(error)

    async def refresh_images(self) -> None:
        """Look now; raises EngineError if the engine does not tell."""
        if self.engine is not None:
            await self._list_images(self.engine)

    async def _list_images(self, engine: Engine) -> None:
        self.images = Images(await engine.images())
        self.on_images()


async def _cancel(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
