"""Makes an operation of OCS from a coroutine method."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Protocol

from ocs import ocs_agent
from twisted.internet.defer import Deferred, succeed

from hostmanager.agent import audit
from hostmanager.agent.daemon.journald import log_fields
from hostmanager.agent.framework.embedded import EmbeddingError
from hostmanager.agent.host import NotRunningError
from hostmanager.agent.operator_messages import MAX_TEXT_CHARS
from hostmanager.agent.parts import ManagerParts
from hostmanager.core.request_origin import REQUEST_PARAMS, validate_origin
from hostmanager.core.requests import RequestError
from hostmanager.util.text import truncate

MAX_SESSION_MESSAGES = 200
"""A browser gets all messages of a session each second."""

TaskResult = tuple[bool, str]
Work = Callable[[Any, Any, dict[str, Any]], Coroutine[Any, Any, TaskResult]]
Operation = Callable[..., "Deferred[TaskResult]"]


class ManagedHost(Protocol):
    """The `HostManager` that an operation is a method of, as far as operations need it."""

    @property
    def parts(self) -> ManagerParts:
        """The parts; raises `NotRunningError` before the manager process was started."""

    async def wait_started(self) -> None:
        """Wait for a manager process that reads its site config; not for ever."""


def operation(*, journaled: bool = True) -> Callable[[Work], Operation]:
    """Make an operation of OCS from a coroutine method, under its ``@ocs_agent.param`` lines.

    OCS has screened the parameters; any other caller may give any, or none. The object's `prepare`
    may refuse it, and `journaled` records it; a refusal is the result at once, on any reactor.

    Args:
        journaled: Whether it changes something: it takes who requests it and why, and the journal
            has the request and its result.
    """

    def decorate(work: Work) -> Operation:
        name = work.__name__

        @wraps(work)
        def start(self: Any, session: Any, params: Any = None) -> "Deferred[TaskResult]":
            try:
                screens = start._ocs_prescreen  # type: ignore[attr-defined] # by @ocs_agent.param
                checked = ocs_agent.ParamHandler(params).batch(screens)
                if journaled:
                    checked["requested_by"], checked["reason"] = validate_origin(checked)
                self.prepare(name)
            except (
                *(ocs_agent.ParamError, RequestError),
                *(EmbeddingError, NotRunningError),
            ) as error:
                return succeed((False, str(error)))
            result = work(self, session, checked)
            recorded = self.journaled(name, session, checked, result) if journaled else None
            result = recorded or _or_refusal(result)
            if name != "manager":  # it goes on for days
                result = self.parts.event_counts.timed(name, result)
            return as_deferred(result)

        for param in REQUEST_PARAMS if journaled else ():
            ocs_agent.param(param, default=None)(start)
        return start

    return decorate


def announce_request(manager: ManagedHost, session: Any, params: dict[str, Any], text: str) -> None:
    """Say in the messages and the log who requested what, and why."""
    origin = audit.session_origin(session, params)
    with log_fields(event="request"):
        manager.parts.messages.emit(audit.request_message(text, origin))


async def _or_refusal(work: Coroutine[Any, Any, TaskResult]) -> TaskResult:
    try:
        return await work
    except RequestError as error:
        return False, str(error)


def as_deferred(coroutine: Coroutine[Any, Any, TaskResult]) -> "Deferred[TaskResult]":
    """Run a coroutine on the loop; its result is that of a Deferred."""
    return Deferred.fromFuture(asyncio.ensure_future(coroutine))


def add_message(session: Any, text: str) -> None:
    """Add a message to a session; the latest are kept."""
    session.add_message(truncate(text, MAX_TEXT_CHARS))
    del session.messages[:-MAX_SESSION_MESSAGES]
