"""The connection to the router: there or not, supervising goes on.

`RouterSession` is OCS's agent with those of its habits changed that end the manager when
the router goes away, when its id is taken, or when a signal comes. `Connection` keeps
trying to reach the router, for ever and at least once a second.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ocs
from autobahn.exception import Disconnected
from autobahn.twisted.websocket import WampWebSocketClientFactory, WampWebSocketClientProtocol
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.message import Publish
from autobahn.wamp.types import ComponentConfig
from autobahn.websocket.util import parse_url
from ocs.base import OpCode
from ocs.ocs_agent import OCSAgent
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.ssl import optionsForClientTLS

from hostmanager.agent.framework.message_limits import Refused, serializers
from hostmanager.agent.framework.tls import NoTls, TlsWatch
from hostmanager.agent.operations.access import default_rules, denial_reason, normalize_password
from hostmanager.agent.operations.call_validation import (
    CALL_SIGNATURE,
    MAX_TEXT_CHARS,
    EndedSessions,
    invalid_call_reason,
    wait_seconds,
)
from hostmanager.util.guard import Guard
from hostmanager.util.text import truncate

log = logging.getLogger(__name__)

RETRY_FIRST = 0.1
RETRY_LONGEST = 1.0
REFUSED_RETRY = 2.0
"""Pauses between attempts to reach the router, seconds: at first, at most, and after it
refused the registration (another manager has this id)."""

STARTUP_GRACE = 3.0
"""A router that is away for less than this many seconds at the start is not remarked upon."""

IDLE = OpCode.NONE.value
"""What a beat says of an operation that never ran."""

LARGEST_MESSAGE = 16 * 1024 * 1024
"""Bytes; the connection is cut by a message of the router that is larger, and made anew."""

MAX_WAITING_CALLS = 100
"""Calls of one operation that wait for their turn; one more is refused."""

WEBSOCKET = {
    # A router that was frozen or unplugged is noticed within 15 s, and one that accepts a
    # connection but says nothing within 2 s.
    "autoPingInterval": 10.0,
    "autoPingTimeout": 5.0,
    "autoPingSize": 12,
    "autoPingRestartOnAnyTraffic": True,
    "openHandshakeTimeout": 2.0,
    "closeHandshakeTimeout": 0.5,
    "failByDrop": True,
    "tcpNoDelay": True,
    "maxFramePayloadSize": LARGEST_MESSAGE,
    "maxMessagePayloadSize": LARGEST_MESSAGE,
    "autoFragmentSize": 65536,
}


class RouterSession(OCSAgent):
    """OCS's agent, for a manager that outlives its router.

    Attributes:
        queued: Operations whose starts are queued rather than refused while they run.
        refused: The error with which the router refused the latest registration, or None.
        tls_fails: Whether no encrypted connection to the router can be made.
        join_count: How often it was registered.
        left: Set while it is not in the realm.
        closing: Whether the program is about to end.
        die_acknowledged: Set once a client has been told that `die` is done.
        changed: Called when it has come or gone.
        on_router: Told of the router: why it went, or None when it came.
    """

    realm_joined: bool
    subscribed_topics: set[str]
    access_config: Any

    def __init__(self, args: Any, address: str) -> None:
        config = ComponentConfig(args.site_realm, {})
        super().__init__(config, args, address=address, class_name=args.agent_class)
        if self.access_config.policy == "none":
            self.access_config = default_rules(self)
        self.queued: set[str] = set()
        self.refused: str | None = None
        self.tls_fails = False
        self.join_count = 0
        self.left = asyncio.Event()
        self.closing = False
        self.die_acknowledged = asyncio.Event()
        self.changed: Callable[[], None] = lambda: None
        self.on_router: Callable[[str | None], None] = lambda _: None
        self._told_refused = False
        self._guard = Guard(reactor.callLater)
        self._next_beat: asyncio.TimerHandle | None = None
        self._queued_starts: dict[str, deque[tuple[Deferred[Any], Any, Any]]] = {}
        self._ended = EndedSessions(reactor.callLater)

    # --- joining and leaving --------------------------------------------------------------

    def onConnect(self) -> None:  # noqa: N802 - autobahn's name
        """Join. OCS would also take over the process's signals here."""
        self.join(self.config.realm)

    @inlineCallbacks
    def register(self, *args: Any, **kwargs: Any) -> Any:
        """Register a procedure; remember why the router refused."""
        try:
            return (yield super().register(*args, **kwargs))
        except ApplicationError as error:
            self.refused = error.error
            raise

    @inlineCallbacks
    def onJoin(self, details: Any) -> Any:  # noqa: N802
        """Register the agent. Refused: OCS leaves, and the connection tries again."""
        self.refused = None
        self.left.clear()
        try:
            yield super().onJoin(details)
        except (TransportLost, Disconnected):
            return  # the router went away in between; the connection tries again
        if self.refused is None:
            self.join_count += 1
            self._told_refused = self.tls_fails = False
            self._take_over_heartbeat()
            self.on_router(None)
            log.info("registered with the router as %s", self.agent_address)
        else:
            self._tell_refused(self.refused)
        self.changed()

    @property
    def status_text(self) -> str:
        """How it is with the router, in two words."""
        if self.realm_joined:
            return "router connected"
        if self.tls_fails:
            return "no TLS with the router"
        return "no router" if self.refused is None else "refused by the router"

    def _tell_refused(self, reason: str) -> None:
        """Say it once, not at each attempt."""
        if not self._told_refused:
            self._told_refused = True
            log.warning("%s", self._explain(reason))

    def _take_over_heartbeat(self) -> None:
        """Beat as OCS does, at less than half the cost: this is all that an idle manager does."""
        self.heartbeat_call.stop()
        feed = self.feeds["heartbeat"]
        self._send_heartbeat(feed.address, feed.encoded())

    def _send_heartbeat(self, topic: str, feed: dict[str, Any]) -> None:
        if self._next_beat is not None:
            self._next_beat.cancel()  # the one before has failed, and was made again
        beat_again = self._guard.callback(
            "the heartbeat", lambda: self._send_heartbeat(topic, feed)
        )
        self._next_beat = asyncio.get_running_loop().call_later(1.0, beat_again)
        codes = dict.fromkeys(self.sessions, IDLE) | {
            name: session.op_code.value for name, session in self.sessions.items() if session
        }
        # What `publish` would make of it: nobody acknowledges a beat, or waits for that.
        beat = Publish(self._request_id_gen.next(), topic, args=[(codes, feed)])
        if not self.is_attached():
            return
        with suppress(TransportLost, Disconnected):
            self._transport.send(beat)
            # At once, rather than by another turn of the loop.
            self._transport.transport.doWrite()

    def _explain(self, refused: str) -> str:
        if refused == "wamp.error.procedure_already_exists":
            return (
                f"the router has an agent {self.agent_address} already: is a second manager of "
                "this id running somewhere? Supervising goes on; retrying every "
                f"{REFUSED_RETRY:g} s"
            )
        return (
            f"the router refused to register {self.agent_address} ({refused}): do realm "
            "and address root agree with the router's configuration? Supervising goes on; "
            f"retrying every {REFUSED_RETRY:g} s"
        )

    def onLeave(self, details: Any) -> None:  # noqa: N802
        """Leave the realm. OCS would also stop the manager process here."""
        self.left.set()
        if self.heartbeat_call is not None and self.heartbeat_call.running:
            self.heartbeat_call.stop()
        if self._next_beat is not None:
            self._next_beat.cancel()
        if self.realm_joined and details.reason != "wamp.close.normal":
            log.warning("the router is gone (%s); supervising goes on", details.reason)
            self.on_router(details.reason)
        elif not self.realm_joined and details.reason.startswith("wamp.error."):
            self.refused = details.reason  # no such realm, say: it is there, but not for us
            self._tell_refused(self.refused)
        self.subscribed_topics = set()
        self.realm_joined = False
        self.changed()
        if not self.closing:
            self.disconnect()

    def onDisconnect(self) -> None:  # noqa: N802
        """Do nothing. OCS would stop the reactor after `crossbar_timeout` here."""

    # --- operations -----------------------------------------------------------------------

    def _ops_handler(self, *args: Any, **kwargs: Any) -> Any:
        """Take a client's call, if it has the form of one."""
        if args and isinstance(args[0], Refused):
            return ocs.ERROR, args[0].text, {}
        try:
            wrong = invalid_call_reason(*args, **kwargs)
        except TypeError:
            wrong = CALL_SIGNATURE
        if wrong:
            return ocs.ERROR, wrong, {}
        earlier = self._ended_for(*args, **kwargs)
        if earlier is not None:
            return earlier
        answering = maybeDeferred(super()._ops_handler, *args, **kwargs)
        return answering.addCallback(self._note_end).addErrback(self._not_foreseen)

    def _not_foreseen(self, failure: Any) -> Any:
        self._guard.call("a call of a client", failure.raiseException)
        text = f"The call failed unexpectedly: {type(failure.value).__name__}. See the log."
        return ocs.ERROR, text, {}

    def _ended_for(self, action: Any, op_name: Any, params: Any = None, *_: Any, **__: Any) -> Any:
        """The answer to one who waits for a session that is not the latest any more."""
        return self._ended.answer(op_name, params) if action == "wait" else None

    def _note_end(self, answer: Any) -> Any:
        answer = (answer[0], truncate(str(answer[1]), MAX_TEXT_CHARS), answer[2])
        session = answer[2]
        if session.get("op_name") == "die" and session.get("status") == "done":
            self.die_acknowledged.set()
        return answer

    def _management_handler(self, q: Any = None, *_: Any, **kwargs: Any) -> Any:
        """Tell what there is; with a question that makes no sense, nothing."""
        return super()._management_handler(q, **kwargs)

    def _access_handler(self, _data: Any) -> None:
        """Take new rules from the access director; what makes no sense changes nothing."""
        try:
            super()._access_handler(_data)
        except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            log.warning("what came from the access director makes no sense: %r", error)

    def wait(self, op_name: str, timeout: Any = None, password: Any = None) -> Any:
        """Wait for the end of an operation; a timeout matters only if there is one to wait for."""
        session = self.sessions.get(op_name)
        if session is not None and session.status != "done":
            try:
                timeout = wait_seconds(timeout)
            except ValueError as error:
                return (ocs.ERROR, str(error), {})
        return super().wait(op_name, timeout, password)

    def stop(self, op_name: str, params: Any = None, password: Any = None) -> Any:
        """Stop a process, for who may."""
        password = normalize_password(password, self)
        refused = denial_reason(self, op_name, password)
        return (ocs.ERROR, refused, {}) if refused else super().stop(op_name, params, password)

    def abort(self, op_name: str, params: Any = None, password: Any = None) -> Any:
        """Abort a task, if it can be: OCS trips over one that cannot."""
        password = normalize_password(password, self)
        refused = denial_reason(self, op_name, password)
        if refused:
            return (ocs.ERROR, refused, {})
        task = self.tasks.get(op_name)
        if task is not None and task.aborter is None:
            return (ocs.ERROR, f'The task "{op_name}" cannot be aborted.', {})
        return super().abort(op_name, params, password)

    def start(self, op_name: str, params: Any = None, password: Any = None) -> Any:
        """Start an operation, after those of its kind that were asked for before.

        Whoever clicks twice is not told "already in progress" (contract, section 4).
        """
        password = normalize_password(password, self)
        refused = denial_reason(self, op_name, password)
        if refused:
            return (ocs.ERROR, refused, {})
        session = self.sessions.get(op_name)
        active = session is not None and session.status != "done"
        if op_name not in self.queued or not (active or self._queued_starts.get(op_name)):
            return self._start_now(op_name, params, password)
        waiting = self._queued_starts.setdefault(op_name, deque())
        if len(waiting) >= MAX_WAITING_CALLS:
            text = f'{len(waiting)} calls of "{op_name}" wait already; ask again in a moment.'
            return (ocs.ERROR, text, {})
        answer: Deferred[Any] = Deferred()
        waiting.append((answer, params, password))
        return answer

    def _start_now(self, op_name: str, params: Any, password: Any) -> Any:
        before = self.sessions.get(op_name)
        answer = super().start(op_name, params, password)
        session = self.sessions.get(op_name)
        if before is not None and session is not before:
            self._ended.add(before)
        if op_name in self.queued:
            if session is not None and session is not before:
                session.d.addBoth(self._start_next, op_name)
            elif self._queued_starts.get(op_name):  # refused: nothing will end that could go on
                reactor.callLater(0, self._start_next, None, op_name)
        return answer

    def _start_next(self, result: Any, op_name: str) -> Any:
        waiting = self._queued_starts.get(op_name)
        if waiting:
            answer, params, password = waiting.popleft()
            started = maybeDeferred(self._start_now, op_name, params, password)
            started.addCallbacks(answer.callback, answer.errback)
        return result


class _Protocol(WampWebSocketClientProtocol):
    """A connection that tells when it is gone, however far it had come."""

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802 - Twisted's name
        """The transport is gone."""
        super().connectionLost(reason)
        self.factory.why_lost = str(reason and reason.value)
        self.factory.lost.set()


class RouterConnection:
    """Keeps the session connected to the router."""

    def __init__(self, url: str, session: RouterSession) -> None:
        self._url = url
        self._session = session
        self._endpoint = _endpoint(url)
        self._factory = _factory(url, session)
        self._trying: asyncio.Task[None] | None = None
        self._protocol: Any = None
        secure, host, port, *_ = parse_url(url)
        self._tls = TlsWatch(url, host, port) if secure else NoTls()
        self._guard = Guard(reactor.callLater)
        self._failures = 0

    def start(self) -> None:
        """Begin to connect, and never give up."""
        trying = self._guard.run_forever("reaching the router", self._try_once, self._pause)
        self._trying = asyncio.ensure_future(trying)
        reactor.callLater(STARTUP_GRACE, self._remark)

    def _remark(self) -> None:
        session = self._session
        if not session.realm_joined and session.refused is None and not session.tls_fails:
            log.warning("no router at %s yet; supervising without, and retrying", self._url)

    async def _try_once(self) -> None:
        self._failures += 1
        if await self._connect_once():
            self._failures = 0

    async def _connect_once(self) -> bool:
        """Connect, and stay until the connection is gone; tells whether it came to joining."""
        self._factory.lost.clear()
        joined = self._session.join_count
        try:
            connecting = self._endpoint.connect(self._factory)
            self._protocol = await connecting.asFuture(asyncio.get_running_loop())
            await self._factory.lost.wait()
            if self._session.join_count == joined:
                self._session.tls_fails = await self._tls.fails(self._factory.why_lost)
                self._session.changed()
        except Exception as error:  # the network has many ways to fail; each is tried again
            log.debug("router %s: %s", self._url, error)
        return self._session.join_count > joined

    def _pause(self) -> float:
        if self._session.refused is not None:
            return REFUSED_RETRY
        longest = min(RETRY_LONGEST, RETRY_FIRST * 2.0 ** min(self._failures, 10))
        # Less, never more: the managers of a site do not come back all at once.
        return longest * random.uniform(0.5, 1.0)

    async def close(self, patience: float) -> None:
        """Say goodbye to the router; give up on politeness after `patience` seconds."""
        if self._trying is not None:
            self._trying.cancel()
        if not self._session.is_attached():
            return
        self._session.closing = True
        self._session.leave()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._session.left.wait(), patience)
        # WAMP's goodbye is what counts; the websocket's own would take half a second more.
        self._protocol.transport.abortConnection()


def _endpoint(url: str) -> Any:
    secure, host, port, *_ = parse_url(url)
    endpoint = HostnameEndpoint(reactor, host, port, timeout=5)
    return wrapClientTLS(optionsForClientTLS(host), endpoint) if secure else endpoint


def _factory(url: str, session: RouterSession) -> Any:
    factory = WampWebSocketClientFactory(lambda: session, url=url, serializers=serializers())
    factory.protocol = _Protocol
    factory.setProtocolOptions(**WEBSOCKET)
    factory.noisy = False
    factory.lost = asyncio.Event()
    return factory
