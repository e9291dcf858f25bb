"""How an operation of OCS is made from a coroutine method, whoever calls it."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Protocol

from ocs import ocs_agent
from twisted.internet.defer import Deferred, succeed

from hostmanager.agent.framework.embedded import EmbeddingError
from hostmanager.agent.host import NotRunningError
from hostmanager.agent.operations.call_validation import MAX_TEXT_CHARS
from hostmanager.util.text import truncate

MESSAGES_KEPT = 200
"""A browser gets all messages of a session each second."""

Result = tuple[bool, str]
Work = Callable[[Any, Any, dict[str, Any]], Coroutine[Any, Any, Result]]
Operation = Callable[..., "Deferred[Result]"]


class Operator(Protocol):
    """The object whose methods are operations."""

    def prepare(self, name: str) -> None:
        """Make ready for an operation.

        Raises:
            EmbeddingError: The manager cannot be run by this program.
            NotRunningError: It has not been started yet.
        """

    async def note(
        self,
        name: str,
        session: Any,
        params: dict[str, Any],
        work: Coroutine[Any, Any, Result],
    ) -> Result:
        """Do what was asked for, and write down both that it was asked for and what came of it."""


def operation(*, noted: bool = True) -> Callable[[Work], Operation]:
    """Make an operation of OCS from a coroutine method, under its ``@ocs_agent.param`` lines.

    OCS has screened the parameters; whoever else calls it may give any, or none. What keeps it
    from being carried out is answered at once, on any reactor.

    Args:
        noted: Whether the journal says that it was asked for, and what came of it.
    """

    def deco(work: Work) -> Operation:
        name = work.__name__

        @wraps(work)
        def called(self: Operator, session: Any, params: Any = None) -> "Deferred[Result]":
            try:
                screens = called._ocs_prescreen  # type: ignore[attr-defined] # by @ocs_agent.param
                given = ocs_agent.ParamHandler(params).batch(screens)
                self.prepare(name)
            except (ocs_agent.ParamError, EmbeddingError, NotRunningError) as error:
                return succeed((False, str(error)))
            answer = work(self, session, given)
            return as_deferred(self.note(name, session, given, answer) if noted else answer)

        return called

    return deco


def as_deferred(coroutine: Coroutine[Any, Any, Result]) -> "Deferred[Result]":
    """Run a coroutine on the loop; Twisted is told of its end."""
    return Deferred.fromFuture(asyncio.ensure_future(coroutine))


def add_message(session: Any, text: str) -> None:
    """Put a message into a session; the latest are kept."""
    session.add_message(truncate(text, MAX_TEXT_CHARS))
    del session.messages[:-MESSAGES_KEPT]
