"""Listens at the router: which manager has something new, and who is there at all.

A message of a manager's feed `agents` is taken as a sign that something has changed there, no more:
what it says is asked of the manager itself. So a message that is lost costs time, and one that
somebody forged a question.

OCS's default configuration of crossbar permits what is below the address root alone, so no WAMP meta
API reports who is there. Heartbeats do, one a second of each agent of the site: they are listened to
for some seconds each minute. Those of the managers are listened to all the time.
"""

import asyncio
import logging
import os
import random
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.types import ComponentConfig, SubscribeOptions
from autobahn.websocket.util import parse_url

from hostmanager.client.site_model import Site
from hostmanager.client.watch.heartbeats import SILENT_AFTER, HeardAgents, ManagerHeartbeats
from hostmanager.util.network.tls import tls_failure
from hostmanager.util.network.websocket import KEPT_CONNECTION

log = logging.getLogger(__name__)

MIN_RETRY_INTERVAL, MAX_RETRY_INTERVAL = 0.1, 2.0
"""Seconds between attempts to reach the router."""

JOIN_TIMEOUT = 5.0
"""Seconds that a connection, and the router's welcome, may take each."""

HEARTBEAT_WINDOW = 3.0
"""Seconds in which each agent beats at least once, were it late."""

HEARTBEAT_PAUSE = 57.0
"""Seconds between two windows. All heartbeats of 1,000 agents cost the router a quarter of a core."""

MAX_HEARD_BYTES = 16 * 1024 * 1024

LISTENER_OPTIONS = KEPT_CONNECTION | {
    "openHandshakeTimeout": JOIN_TIMEOUT,
    "maxFramePayloadSize": MAX_HEARD_BYTES,
    "maxMessagePayloadSize": MAX_HEARD_BYTES,
}


class FeedEvents(Protocol):
    """What the listener reports; in the thread of its loop."""

    def feed_joined(self) -> None:
        """It listens: whatever may have changed before is unknown."""

    def feed_lost(self) -> None:
        """The router is gone, or still away, or lets nobody listen."""

    def manager_changed(self, host: str) -> None:
        """A manager has something new, or comes or goes."""

    def agents_heard(self, agents: Mapping[str, str]) -> None:
        """Gets the class of each agent that beats, by instance-id."""


class FeedListener:
    """A session at the router that is made again and again.

    Args:
        site: The router, and the managers.
        events: Gets what is heard.
    """

    def __init__(self, site: Site, events: FeedEvents) -> None:
        hub = site.config.hub.data
        self._url, self._realm = str(hub["wamp_server"]), str(hub["wamp_realm"])
        self._root = str(hub["address_root"])
        self._managers = site.managers
        self._events = events
        self._problem = ""

    async def run(self) -> None:
        """Listen, until this is cancelled."""
        # Each router outage would be a warning of autobahn's, beside what is said of it here.
        logging.getLogger("autobahn").setLevel(logging.ERROR)
        failures = 0
        while True:
            try:
                has_listened = await self._listen_once()
            except Exception as error:  # the network has many ways to fail; each is retried
                has_listened = False
                self.report(error)
            self._events.feed_lost()
            failures = 0 if has_listened else min(failures + 1, 10)
            longest = min(MAX_RETRY_INTERVAL, MIN_RETRY_INTERVAL * 2.0**failures)
            await asyncio.sleep(longest * random.uniform(0.5, 1.0))

    def report(self, error: Exception) -> None:
        """Say once why nothing can be heard, unless there is just no router."""
        log.debug("router %s: %s", self._url, error)
        failure = tls_failure(error)
        if failure is not None:
            text = f"{failure.text}. {failure.hint}"
        elif isinstance(error, OSError | TimeoutError) or _is_lost(error):
            return
        else:
            text = str(error)
        if text != self._problem:
            self._problem = text
            log.warning("the router at %s reports no changes: %s", self._url, text)

    async def _listen_once(self) -> bool:
        """Connect, and listen until the connection is gone; False: it was not to be had."""
        # Here: whatever imports it decides that autobahn is for asyncio in this process.
        from autobahn.asyncio.wamp import ApplicationSession  # noqa: PLC0415

        session = ApplicationSession(ComponentConfig(self._realm))
        joined: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        session.on("join", lambda *_: _accept(joined))
        session.on("leave", lambda _, details: _refuse(joined, details))
        protocol = await self._connect(session)
        try:
            async with asyncio.timeout(JOIN_TIMEOUT):
                await asyncio.wait([joined, protocol.is_closed], return_when="FIRST_COMPLETED")
            if not joined.done():
                return False
            joined.result()
            heartbeats = await self._follow_managers(session)
            self._events.feed_joined()
            self._problem = ""
            await self._stay(session, protocol, heartbeats)
        finally:
            joined.cancel()
            with suppress(Exception):
                protocol.transport.abort()
        return True

    async def _connect(self, session: Any) -> Any:
        from autobahn.asyncio.websocket import WampWebSocketClientFactory  # noqa: PLC0415 - as above
        from autobahn.wamp.serializer import (  # noqa: PLC0415 - after that
            JsonSerializer,
            MsgPackSerializer,
        )

        secure, host, port, *_ = parse_url(self._url)
        loop = asyncio.get_running_loop()
        factory = WampWebSocketClientFactory(
            lambda: session,
            url=self._url,
            serializers=[MsgPackSerializer(), JsonSerializer()],
            loop=loop,
        )
        factory.setProtocolOptions(**LISTENER_OPTIONS)
        async with asyncio.timeout(JOIN_TIMEOUT):
            _, protocol = await loop.create_connection(
                factory, host, port, ssl=_tls_context() if secure else None
            )
        return protocol

    async def _follow_managers(self, session: Any) -> ManagerHeartbeats:
        heartbeats = ManagerHeartbeats(self._managers, time.monotonic())

        def changed(host: str, *_: Any, **__: Any) -> None:
            self._events.manager_changed(host)

        def heard(host: str, *_: Any, **__: Any) -> None:
            if heartbeats.hear(host, time.monotonic()):
                self._events.manager_changed(host)

        subscribing = []
        for host, manager in self._managers.items():
            address = f"{self._root}.{manager}.feeds"
            subscribing += [
                session.subscribe(partial(changed, host), f"{address}.agents"),
                session.subscribe(partial(heard, host), f"{address}.heartbeat"),
            ]
        await asyncio.gather(*subscribing)
        return heartbeats

    async def _stay(self, session: Any, protocol: Any, heartbeats: ManagerHeartbeats) -> None:
        windows = asyncio.create_task(self._listen_to_all(session))
        pulses = asyncio.create_task(self._watch_heartbeats(heartbeats))
        try:
            await asyncio.shield(protocol.is_closed)
        finally:
            for task in (windows, pulses):
                task.cancel()
            await asyncio.gather(windows, pulses, return_exceptions=True)

    async def _watch_heartbeats(self, heartbeats: ManagerHeartbeats) -> None:
        while True:
            await asyncio.sleep(SILENT_AFTER / 3)
            for host in heartbeats.fallen_silent(time.monotonic()):
                self._events.manager_changed(host)

    async def _listen_to_all(self, session: Any) -> None:
        """Hear who beats, for some seconds each minute."""
        options = SubscribeOptions(match="wildcard", details_arg="details")
        topic = f"{self._root}..feeds.heartbeat"
        while True:
            agents = HeardAgents(self._root)

            def heard(*message: Any, details: Any, agents: HeardAgents = agents, **_: Any) -> None:
                agents.hear(str(details.topic), message)

            try:
                subscription = await session.subscribe(heard, topic, options)
                await asyncio.sleep(HEARTBEAT_WINDOW)
                await subscription.unsubscribe()
            except Exception as error:  # the router refuses it, or is gone
                log.debug("heartbeats of all agents: %s", error)
            else:
                self._events.agents_heard(agents.classes)
            await asyncio.sleep(HEARTBEAT_PAUSE)


def _accept(joined: "asyncio.Future[bool]") -> None:
    if not joined.done():
        joined.set_result(True)


def _refuse(joined: "asyncio.Future[bool]", details: Any) -> None:
    """The router says goodbye: before it was joined, that is a refusal."""
    if not joined.done():
        reason = f"{details.reason}: {details.message}" if details.message else details.reason
        joined.set_exception(ConnectionRefusedByRouterError(f"it refuses: {reason}"))


class ConnectionRefusedByRouterError(Exception):
    """The router answers, and lets nobody in: no such realm, say."""


def _is_lost(error: Exception) -> bool:
    """Whether the connection was lost while the router was asked for something."""
    lost = (ApplicationError.CLOSE_REALM, "wamp.close.transport_lost")
    return isinstance(error, TransportLost) or getattr(error, "error", "") in lost


def _tls_context() -> ssl.SSLContext:
    """Trust whom agents trust (SSL_CERT_FILE), and whom OCS's client does."""
    context = ssl.create_default_context()
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(name):
            with suppress(OSError):  # OCS's client says what is wrong with it
                is_directory = Path(path).is_dir()
                context.load_verify_locations(*((None, path) if is_directory else (path,)))
    return context
