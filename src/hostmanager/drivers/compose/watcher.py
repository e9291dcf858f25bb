"""Watches the containers: a table that is updated after the engine's events.

One list call at every (re)connect, then the stream of events. An event is only a hint to
inspect a container again: the truth is what `inspect` returns, so that a lost, doubled or late
event can delay, never mislead.

A frozen engine keeps its connections open and is silent. So while nothing happens, it is pinged
every few seconds. An idle manager does nothing else here.
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
    listed_project,
)
from hostmanager.drivers.compose.engine import Engine, EngineError
from hostmanager.drivers.compose.images import Images
from hostmanager.drivers.compose.inspector import MALFORMED_ANSWER, ContainerInspector, cancel
from hostmanager.util.guard import Guard
from hostmanager.util.numbers import parse_number

log = logging.getLogger(__name__)

PING_INTERVAL = 2.5
"""Seconds of silence after which the engine is pinged."""

PING_TIMEOUT = 2.0
"""Seconds that it may take to answer a ping."""

TIMER_SLACK = 0.01
"""Seconds that a timer may fire early."""

RECONNECT_DELAYS = (0.1, 0.2, 0.5, 1.0)
"""Seconds between attempts to connect; the last repeats. A unix socket costs almost nothing."""

SHORT_LIVED = 5.0
"""Seconds; after a connection shorter than this, the delay to the next one grows."""

IMAGE_DEBOUNCE = 0.1
"""Seconds that image events are collected: one pull causes several."""

CONNECTION_CUT = "The connection to the Docker Engine was cut."

NOT_CONTACTED_YET = "The Docker Engine has not been contacted yet."

OpenEngine = Callable[[], Awaitable[Engine]]


class ContainerWatcher:
    """Watches the containers of some compose projects.

    The callbacks (`on_change` and so on) must not raise.

    Args:
        open_engine: Opens a connection to the engine.

    Attributes:
        guard: Makes the calls that may fail, here and for the callbacks.
        engine: The present connection; None while there is none.
        containers: Each container of the watched projects, by id.
        images: The images on the machine.
        synced: Whether all that is up to date.
        error: Why not, as a sentence; None if it is.
        exit_codes: See `ContainerInspector`.
        on_change: Called with a container as it was known before and as it is now.
        on_synced: Called when everything is up to date.
        on_lost: Called with the reason when it no longer is.
        on_images: Called when the images may have changed.
    """

    def __init__(self, open_engine: OpenEngine) -> None:
        self.guard = Guard(lambda pause, call: asyncio.get_running_loop().call_later(pause, call))
        self.engine: Engine | None = None
        self.images = Images()
        self.synced = False
        self.error: str | None = NOT_CONTACTED_YET
        self.on_change: Callable[[Container | None, Container | None], None] = lambda *_: None
        self.on_synced: Callable[[], None] = lambda: None
        self.on_lost: Callable[[str], None] = lambda _: None
        self.on_images: Callable[[], None] = lambda: None
        self.inspector = ContainerInspector(
            self.guard,
            lambda engine: self.engine is engine,
            lambda before, now: self.on_change(before, now),  # noqa: PLW0108 - it is set later
            self.check_connection,
        )
        self.containers = self.inspector.containers
        self.exit_codes = self.inspector.exit_codes
        self._failures = 0
        self._open = open_engine
        self._projects: frozenset[str] = frozenset()
        self._listed: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._images_stale = False
        self._listing = asyncio.Lock()
        self._image_refresh_task: asyncio.Task[None] | None = None
        self._last_activity = 0.0  # of the engine, by the loop's clock
        self._probe_requested = asyncio.Event()
        self._probe_reason: EngineError | None = None
        self._cut_reason: EngineError | None = None

    def start(self) -> None:
        """Start watching; returns at once."""
        if self._task is None:
            name = "watching the Docker Engine"
            follow = self.guard.run_forever(
                name, self._connect, self._reconnect_delay, self._on_malformed_answer
            )
            self._task = asyncio.ensure_future(follow)

    async def close(self) -> None:
        """Stop watching."""
        await cancel(*(task for task in (self._task, self._image_refresh_task) if task))
        await self.inspector.cancel_all()

    def is_synced(self, project: str) -> bool:
        """Whether what is known of the containers of a project is up to date."""
        return self.synced and project in self._listed

    async def follow(self, projects: frozenset[str]) -> None:
        """Watch the containers of these projects; returns when they are known, or disconnected.

        Args:
            projects: Those that were watched before, and more.
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
        """Ping the engine now, after a failed call, rather than when the next ping is due."""
        log.debug("docker: %s", error)
        self._probe_reason = error
        self._probe_requested.set()

    # --- the connection ---------------------------------------------------------------------

    async def _connect(self) -> None:
        """Keep a connection until it is cut."""
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
        self._set_lost(f"The Docker Engine's answer is malformed: {text}.")

    def _reconnect_delay(self) -> float:
        return RECONNECT_DELAYS[min(self._failures, len(RECONNECT_DELAYS) - 1)]

    async def _watch_connection(self) -> None:
        engine = await self._open()
        self._cut_reason = None
        try:
            self._probe_requested.clear()
            self._probe_reason = None
            await engine.ping(PING_TIMEOUT)
            # From before the list on, so that no event between the two is missed.
            events = asyncio.ensure_future(self._read_events(engine, await engine.server_time()))
            try:
                await self._list_images(engine)
                while await self._list(engine) != self._projects:
                    pass  # a compose file was loaded meanwhile
                self._set_synced(engine)
                pings = asyncio.ensure_future(self._ping(engine))
                try:
                    await asyncio.wait((events, pings), return_when=asyncio.FIRST_COMPLETED)
                    for task in (pings, events):
                        if task.done():
                            task.result()
                finally:
                    await cancel(pings)
            finally:
                await cancel(events)
        except EngineError as error:
            self._cut_reason = error  # for those that wait for an inspection
            raise
        finally:
            self.engine = None
            # What was asked over this connection will not be answered over another.
            await self.inspector.cancel_all()
            with suppress(Exception):
                await engine.close()

    def _set_synced(self, engine: Engine) -> None:
        self.engine = engine
        self.synced, self.error = True, None
        self.on_synced()

    def _set_lost(self, reason: str) -> None:
        changed = self.synced or self.error != reason
        self.synced, self.error = False, reason
        if changed:
            self.on_lost(reason)

    async def _ping(self, engine: Engine) -> None:
        """Ping it now and then; ends with an error."""
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
                    await self._list(engine)  # for the calls that have failed
                    self.on_synced()

    # --- events -----------------------------------------------------------------------------

    async def _read_events(self, engine: Engine, since: float) -> None:
        async for event in engine.events(since):
            self._last_activity = asyncio.get_running_loop().time()
            try:
                if event.get("Type") == "image":
                    self._schedule_image_refresh(engine)
                else:
                    self._handle_event(engine, event)
            except MALFORMED_ANSWER:
                log.warning("docker: malformed event: %s", reprlib.repr(event))

    def _handle_event(self, engine: Engine, event: Mapping[str, Any]) -> None:
        actor = event.get("Actor") or {}
        labels = actor.get("Attributes") or {}
        container_id = str(actor.get("ID") or "")
        if not container_id or labels.get(PROJECT_LABEL) not in self._projects:
            return
        code = parse_number(str(labels.get("exitCode")))
        if event.get("Action") == "die" and code is not None:
            self.exit_codes[container_id] = code
        if event.get("Action") in ("destroy", "remove") and not self.inspector.is_inspecting(
            container_id
        ):
            self.inspector.put(container_id, None)
        else:
            self.inspector.schedule(engine, container_id)

    async def refresh_project(self, project: str) -> None:
        """Inspect all containers of a project now, the new ones included.

        Raises:
            EngineError: The engine does not answer.
        """
        engine = self.engine
        if engine is None:
            raise EngineError(self.error or NOT_CONTACTED_YET)
        await self._list(engine, project)

    async def _list(self, engine: Engine, project: str | None = None) -> frozenset[str]:
        """Inspect every container of the watched projects, or of one; returns the projects."""
        async with self._listing:
            listed = await engine.compose_containers()
            projects = self._projects if project is None else frozenset({project})
            ids = {str(c["Id"]) for c in listed if listed_project(c) in projects}
            await self._inspect_all(engine, ids)
            # Last: what has replaced one is to be known before that is gone. And not by the list,
            # which may be older than they are.
            known = self.containers.items()
            await self._inspect_all(
                engine, {i for i, c in known if c.project in projects and i not in ids}
            )
            if project is None:
                self._listed = projects
            return projects

    async def _inspect_all(self, engine: Engine, ids: set[str]) -> None:
        if not await self.inspector.inspect_all(engine, ids):
            raise EngineError(str(self._cut_reason or CONNECTION_CUT))

    # --- images -----------------------------------------------------------------------------

    def _schedule_image_refresh(self, engine: Engine) -> None:
        self._images_stale = True
        if self._image_refresh_task is None or self._image_refresh_task.done():
            refresh = self._refresh_images_due(engine)
            self._image_refresh_task = self.guard.task("listing the images", refresh)

    async def _refresh_images_due(self, engine: Engine) -> None:
        while self._images_stale:  # also what changes while they are being listed
            await asyncio.sleep(IMAGE_DEBOUNCE)
            self._images_stale = False
            try:
                await self._list_images(engine)
            except EngineError as error:
                self.check_connection(error)

    async def refresh_images(self) -> None:
        """List the images now; raises EngineError if the engine does not answer."""
        if self.engine is not None:
            await self._list_images(self.engine)

    async def _list_images(self, engine: Engine) -> None:
        self.images = Images(await engine.images())
        self.on_images()
