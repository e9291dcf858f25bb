"""The manager as an agent of OCS, which outlives its router.

`RouterSession` is OCS's agent with those of its habits changed that end the manager when the
router goes away, when its id is taken, or when a signal comes. Calls of clients are checked here
once: their form, and whether their credentials are sufficient.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ocs
from autobahn.exception import Disconnected
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.types import ComponentConfig
from ocs.ocs_agent import OCSAgent
from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks, maybeDeferred

from hostmanager.agent.framework.message_limits import Refused
from hostmanager.agent.framework.start_queue import StartQueue
from hostmanager.agent.operations.access import authorize, default_rules
from hostmanager.agent.operations.call_validation import (
    CALL_SIGNATURE,
    Call,
    invalid_call_reason,
    wait_timeout,
)
from hostmanager.agent.operator_messages import MAX_TEXT_CHARS
from hostmanager.util.guard import Guard
from hostmanager.util.text import truncate

log = logging.getLogger(__name__)

REFUSED_RETRY_INTERVAL = 2.0
"""Seconds between attempts to register after the router has refused it: the id is taken, say."""

REPLY_FLUSH = 0.15
"""Seconds from a reply to its arrival: the manager leaves thereafter."""

RESULT_POLL_TIMEOUT = 2.0
"""Seconds that a client has to request the result of `die`; later, nobody is there to reply."""


class RouterSession(OCSAgent):
    """OCS's agent, for a manager that outlives its router.

    Attributes:
        refused: The error with which the router refused the latest registration, or None.
        tls_fails: Whether no encrypted connection to the router can be made.
        join_count: How often it was registered.
        left: Set while it is not in the realm.
        closing: Whether the program is about to end.
        starts: Starts of operations by clients.
        on_change: Called when it has come or gone.
        on_router: Called with the reason why the router went, or with None when it came.
    """

    realm_joined: bool
    subscribed_topics: set[str]
    access_config: Any

    def __init__(self, args: Any, address: str) -> None:
        config = ComponentConfig(args.site_realm, {})
        super().__init__(config, args, address=address, class_name=args.agent_class)
        if self.access_config.policy == "none":
            self.access_config = default_rules(self)
        self.refused: str | None = None
        self.tls_fails = False
        self.join_count = 0
        self.left = asyncio.Event()
        self.closing = False
        self._die_acknowledged = asyncio.Event()
        self.on_change: Callable[[], None] = lambda: None
        self.on_router: Callable[[str | None], None] = lambda _: None
        self._refusal_reported = False
        self._guard = Guard(reactor.callLater)
        self.starts = StartQueue(self, reactor.callLater)

    @property
    def status_text(self) -> str:
        """How it is with the router, in two words."""
        if self.realm_joined:
            return "router connected"
        if self.tls_fails:
            return "no TLS with the router"
        return "no router" if self.refused is None else "refused by the router"

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
            self._refusal_reported = self.tls_fails = False
            self.on_router(None)
            log.info("registered with the router as %s", self.agent_address)
        else:
            self._report_refusal(self.refused)
        self.on_change()

    def onLeave(self, details: Any) -> None:  # noqa: N802
        """Leave the realm. OCS would also stop the manager process here."""
        self.left.set()
        if self.heartbeat_call is not None and self.heartbeat_call.running:
            self.heartbeat_call.stop()
        if self.realm_joined and details.reason != "wamp.close.normal":
            log.warning("the router is gone (%s); supervising goes on", details.reason)
            self.on_router(details.reason)
        elif not self.realm_joined and details.reason.startswith("wamp.error."):
            self.refused = details.reason  # no such realm, say: the router is there
            self._report_refusal(self.refused)
        self.subscribed_topics = set()
        self.realm_joined = False
        self.on_change()
        if not self.closing:
            self.disconnect()

    def onDisconnect(self) -> None:  # noqa: N802
        """Do nothing. OCS would stop the reactor after `crossbar_timeout` here."""

    def _report_refusal(self, reason: str) -> None:
        """Report it once, not at each attempt."""
        if self._refusal_reported:
            return
        self._refusal_reported = True
        if reason == "wamp.error.procedure_already_exists":
            text = (
                f"the router already has an agent {self.agent_address}: is a second manager of "
                "this id running somewhere?"
            )
        else:
            text = (
                f"the router refused to register {self.agent_address} ({reason}): do realm "
                "and address root agree with the router's configuration?"
            )
        log.warning("%s Supervising goes on; retrying every %g s", text, REFUSED_RETRY_INTERVAL)

    def publish_to_feed(self, feed_name: str, message: Any, from_reactor: Any = None) -> None:
        """Publish, the heartbeat for one; without a router it is left out, and no error."""
        with suppress(TransportLost, Disconnected):
            super().publish_to_feed(feed_name, message, from_reactor)

    # --- calls of clients -----------------------------------------------------------------

    def _ops_handler(self, *args: Any, **kwargs: Any) -> Any:
        """Take a client's call, if it has the form of one and the client may make it."""
        if args and isinstance(args[0], Refused):
            return ocs.ERROR, args[0].text, {}
        try:
            call = Call(*args, **kwargs)
        except TypeError:
            return ocs.ERROR, CALL_SIGNATURE, {}
        reply = maybeDeferred(self._handle, call)
        return reply.addCallback(self._finish_reply).addErrback(self._unexpected_failure)

    def _handle(self, call: Call) -> Any:
        action, op_name, params, timeout, password = call
        reason = invalid_call_reason(call)
        level = 0
        if reason is None and action in ("start", "stop", "abort"):
            level, reason = authorize(self, op_name, password)
            task = self.tasks.get(op_name)
            if reason is None and action == "abort" and task is not None and task.aborter is None:
                reason = f'The task "{op_name}" cannot be aborted.'
        if reason is not None:
            return ocs.ERROR, reason, {}
        if action == "start":
            return self.starts.start(op_name, params, level)
        if action == "wait":
            ended = self.starts.ended.reply(op_name, params)
            if ended is not None:
                return ended
            session = self.sessions.get(op_name)
            if session is not None and session.status != "done":
                try:
                    timeout = wait_timeout(timeout)
                except ValueError as error:
                    return ocs.ERROR, str(error), {}
        # Credentials have been checked: OCS takes the agent itself as the password of a superuser.
        return super()._ops_handler(action, op_name, params, timeout, password=self)

    def _finish_reply(self, reply: Any) -> Any:
        status, text, session = reply
        if session.get("op_name") == "die" and session.get("status") == "done":
            self._die_acknowledged.set()
        return status, truncate(str(text), MAX_TEXT_CHARS), session

    async def wait_for_result_poll(self) -> None:
        """Give the client that requested `die` the time to get its result."""
        if self.realm_joined:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._die_acknowledged.wait(), RESULT_POLL_TIMEOUT)
        await asyncio.sleep(REPLY_FLUSH)

    def _unexpected_failure(self, failure: Any) -> Any:
        self._guard.call("a call of a client", failure.raiseException)
        text = f"The call failed unexpectedly: {type(failure.value).__name__}. See the log."
        return ocs.ERROR, text, {}

    def _management_handler(self, q: Any = None, *_: Any, **kwargs: Any) -> Any:
        """Describe the agent; a question that makes no sense gets nothing."""
        return super()._management_handler(q, **kwargs)

    def _access_handler(self, _data: Any) -> None:
        """Take new rules from the access director; what makes no sense changes nothing."""
        try:
            super()._access_handler(_data)
        except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            log.warning("a message of the access director makes no sense: %r", error)
