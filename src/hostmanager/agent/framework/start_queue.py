"""Starts of operations by clients: one after the other, where that is wanted."""

from collections.abc import Callable
from typing import Any

import ocs
from twisted.internet.defer import DeferredLock

from hostmanager.agent.operations.call_validation import EndedSessions

MAX_WAITING_CALLS = 100
"""Calls of one operation that wait for their turn; one more is refused."""

Reply = tuple[int, str, dict[str, Any]]


class StartQueue:
    """Starts operations of an agent of OCS.

    Args:
        agent: The agent. Credentials have been checked: it is given itself as the password.
        call_later: Schedules a call after a number of seconds.

    Attributes:
        ended: The sessions that others of their operation have replaced.
    """

    def __init__(self, agent: Any, call_later: Callable[..., Any]) -> None:
        self._agent, self._call_later = agent, call_later
        self._turns: dict[str, DeferredLock] = {}
        self.ended = EndedSessions(call_later)

    def queue(self, *operations: str) -> None:
        """Have starts of operations wait for their turn while they run, rather than be refused.

        A client that clicks twice does not get "already in progress" (contract, section 4).
        """
        self._turns |= {operation: DeferredLock() for operation in operations}

    def start(self, op_name: str, params: Any, level: int) -> Any:
        """Start an operation for a client of this credential level; its reply, perhaps later.

        One whose starts are queued is started after those requested before.
        """
        turns = self._turns.get(op_name)
        if turns is None:
            return self._start_now(op_name, params, level)
        if len(turns.waiting) >= MAX_WAITING_CALLS:
            text = f'{len(turns.waiting)} calls of "{op_name}" wait already; try again in a moment.'
            return ocs.ERROR, text, {}
        turn = turns.acquire()
        return turn.addCallback(lambda _: self._start_now(op_name, params, level, turns.release))

    def _start_now(
        self, op_name: str, params: Any, level: int, on_end: Callable[[], None] = lambda: None
    ) -> Reply:
        sessions = self._agent.sessions
        before = session = sessions.get(op_name)
        try:
            status, text, data = self._agent.start(op_name, params, password=self._agent)
            session = sessions.get(op_name)
        finally:
            if session is None or session is before:  # refused: nothing runs that could end
                self._call_later(0, on_end)
        if session is None or session is before:
            return status, text, data
        if before is not None:
            self.ended.add(before)
        session.cred_level = level

        def ended(result: Any) -> Any:
            on_end()
            return result

        session.d.addBoth(ended)
        return status, text, session.encoded()
