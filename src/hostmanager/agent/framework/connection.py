"""The connection to the router: there or not, supervising goes on.

It is tried for ever, and at least once a second. Autobahn's own runner waits up to 15 s after an
outage.
"""

import asyncio
import logging
import random
from contextlib import suppress
from typing import Any

from autobahn.twisted.websocket import WampWebSocketClientFactory, WampWebSocketClientProtocol
from autobahn.websocket.util import parse_url
from twisted.internet import reactor
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS

from hostmanager.agent.framework.message_limits import serializers
from hostmanager.agent.framework.router_session import REFUSED_RETRY_INTERVAL, RouterSession
from hostmanager.util.guard import Guard
from hostmanager.util.network.tls import try_tls
from hostmanager.util.network.websocket import KEPT_CONNECTION

log = logging.getLogger(__name__)

MIN_RETRY_INTERVAL, MAX_RETRY_INTERVAL = 0.1, 1.0
"""Seconds between attempts to reach the router."""

STARTUP_GRACE = 3.0
"""Seconds that a router may be away at the start before the log mentions it."""

ROUTER_CONNECT_TIMEOUT = 5

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""Bytes; the connection is cut by a message of the router that is larger, and made anew."""

WEBSOCKET_OPTIONS = KEPT_CONNECTION | {
    # One that accepts a connection but does not answer is noticed within 2 s.
    "openHandshakeTimeout": 2.0,
    "maxFramePayloadSize": MAX_FRAME_BYTES,
    "maxMessagePayloadSize": MAX_FRAME_BYTES,
    "autoFragmentSize": 65536,
}


class _Protocol(WampWebSocketClientProtocol):
    """A connection that reports when it is lost, however far it had come."""

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802 - Twisted's name
        """The transport is gone."""
        super().connectionLost(reason)
        self.factory.lost_reason = str(reason and reason.value)
        self.factory.lost.set()


class TlsWatch:
    """Finds out why TLS fails with a router that cannot be joined, and reports it once."""

    def __init__(self, url: str, host: str, port: int) -> None:
        self._url, self._host, self._port = url, host, port
        self._lost_reason, self._fails = "", False

    async def fails(self, lost_reason: str) -> bool:
        """Whether TLS is why a connection came to nothing, which was lost for this reason."""
        if lost_reason != self._lost_reason:  # else trying once more would find the same
            self._lost_reason = lost_reason
            failure = await asyncio.to_thread(try_tls, self._host, self._port)
            self._fails = failure is not None
            if failure is not None:
                log.warning(
                    "no encrypted connection to the router at %s can be made: %s. %s Supervising "
                    "goes on; retrying",
                    *(self._url, failure.text, failure.hint),
                )
        return self._fails


class RouterConnection:
    """Keeps the session connected to the router."""

    def __init__(self, url: str, session: RouterSession) -> None:
        self._url = url
        self._session = session
        secure, host, port, *_ = parse_url(url)
        endpoint = HostnameEndpoint(reactor, host, port, timeout=ROUTER_CONNECT_TIMEOUT)
        self._endpoint = _with_tls(host, endpoint) if secure else endpoint
        self._tls = TlsWatch(url, host, port) if secure else None
        self._factory = _make_factory(url, session)
        self._connecting: asyncio.Task[None] | None = None
        self._protocol: Any = None
        self._guard = Guard(reactor.callLater)
        self._failures = 0

    def start(self) -> None:
        """Begin to connect, and never give up."""
        connecting = self._guard.run_forever(
            "reaching the router", self._connect, self._retry_interval
        )
        self._connecting = asyncio.ensure_future(connecting)
        reactor.callLater(STARTUP_GRACE, self._report_absence)

    def _report_absence(self) -> None:
        session = self._session
        if not session.realm_joined and session.refused is None and not session.tls_fails:
            log.warning("no router at %s yet; supervising without, and retrying", self._url)

    async def _connect(self) -> None:
        """Connect, and stay until the connection is gone."""
        session, factory = self._session, self._factory
        self._failures += 1
        factory.lost.clear()
        joined = session.join_count
        try:
            connecting = self._endpoint.connect(factory)
            self._protocol = await connecting.asFuture(asyncio.get_running_loop())
            await factory.lost.wait()
            if session.join_count == joined and self._tls is not None:
                session.tls_fails = await self._tls.fails(factory.lost_reason)
                session.on_change()
        except Exception as error:  # the network has many ways to fail; each is retried
            log.debug("router %s: %s", self._url, error)
        if session.join_count > joined:
            self._failures = 0

    def _retry_interval(self) -> float:
        if self._session.refused is not None:
            return REFUSED_RETRY_INTERVAL
        longest = min(MAX_RETRY_INTERVAL, MIN_RETRY_INTERVAL * 2.0 ** min(self._failures, 10))
        # Less, never more: the managers of a site do not come back all at once.
        return longest * random.uniform(0.5, 1.0)

    async def close(self, max_seconds: float) -> None:
        """Leave the realm, and cut the connection after `max_seconds` at most."""
        if self._connecting is not None:
            self._connecting.cancel()
        if not self._session.is_attached():
            return
        self._session.closing = True
        self._session.leave()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._session.left.wait(), max_seconds)
        # WAMP's goodbye is what counts; the websocket's own would take half a second more.
        self._protocol.transport.abortConnection()


def _with_tls(host: str, endpoint: Any) -> Any:
    from twisted.internet.ssl import optionsForClientTLS  # noqa: PLC0415 - few need it

    return wrapClientTLS(optionsForClientTLS(host), endpoint)


def _make_factory(url: str, session: RouterSession) -> Any:
    factory = WampWebSocketClientFactory(lambda: session, url=url, serializers=serializers())
    factory.protocol = _Protocol
    factory.setProtocolOptions(**WEBSOCKET_OPTIONS)
    factory.noisy = False
    factory.lost = asyncio.Event()
    return factory
