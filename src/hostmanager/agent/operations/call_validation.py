"""What is wrong with a call from a client, before OCS's agent handles it; and whose reply it is.

Anybody at the router can call with anything, and what OCS's agents accept is accepted here too:
clients send whatever they like as parameters of `status`, `wait`, `stop` and `abort`, ocs-web a
list (contract, section 7). So only what is used is checked. What cannot be used gets a reply
that names it, where OCS would fail with a traceback.
"""

from collections.abc import Callable
from math import isnan
from typing import Any, NamedTuple

import ocs

CALL_SIGNATURE = "A request has the form: action, operation, parameters, timeout, password."

MAX_NAME_CHARS = 200
"""Characters of the name of an operation in a call."""

MAX_WAIT_TIMEOUT = 1e9
"""Seconds; a client that requests more waits as long as that."""

MAX_ENDED_SESSIONS = 16
ENDED_SESSION_TTL = 60.0
"""Ended sessions that are kept for the clients that started them, and seconds that each is."""


class Call(NamedTuple):
    """A call of an operation, as the router passes it on: of any types."""

    action: Any
    op_name: Any
    params: Any = None
    timeout: Any = None
    password: Any = None


def invalid_call_reason(call: Call) -> str | None:
    """What is wrong with the form of a call, for people; None: nothing."""
    if not isinstance(call.op_name, str) or len(call.op_name) > MAX_NAME_CHARS:
        return (
            f"{CALL_SIGNATURE} The operation must be a string of at most {MAX_NAME_CHARS} "
            "characters."
        )
    if call.action == "start" and not isinstance(call.params, dict | None):
        return (
            f"{CALL_SIGNATURE} The parameters of 'start' must be named ones: a dictionary, or null."
        )
    return None


def wait_timeout(timeout: Any) -> float | None:
    """Check the timeout of a `wait` that really waits; bounded, in seconds.

    Raises:
        ValueError: It is not a time; the text is for people.
    """
    if timeout is None:
        return None
    if not isinstance(timeout, int | float) or (isinstance(timeout, float) and isnan(timeout)):
        raise ValueError("The timeout of 'wait' must be a number of seconds, or null.")
    return min(timeout, MAX_WAIT_TIMEOUT)


class EndedSessions:
    """The latest sessions of operations that clients start one after another.

    OCS keeps one session of each operation, the latest: a client that starts one and waits for it
    gets that of another client, if that came in between. Here is its own one, which it names by
    ``session_id`` among the parameters of `wait`.

    Args:
        call_later: Schedules a call after a number of seconds.
    """

    def __init__(self, call_later: Callable[..., Any]) -> None:
        self._call_later = call_later
        self._sessions: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, session: Any) -> None:
        """Keep a session that another one of its operation has replaced."""
        self._sessions[session.session_id] = session
        if len(self._sessions) > MAX_ENDED_SESSIONS:
            self._remove(next(iter(self._sessions)))
        self._call_later(ENDED_SESSION_TTL, self._remove, session.session_id)

    def reply(self, op_name: str, params: Any) -> tuple[int, str, dict[str, Any]] | None:
        """Reply to a `wait` for one of them; None: it is about the latest session."""
        session_id = params.get("session_id") if isinstance(params, dict) else None
        session = self._sessions.get(session_id) if isinstance(session_id, int) else None
        if session is None or session.op_name != op_name:
            return None
        return ocs.OK, f'This run of operation "{op_name}" has ended.', session.encoded()

    def _remove(self, session_id: int) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None:  # OCS has each purge its messages every few minutes, for ever
            session.purger.addErrback(lambda _: None)
            session.purger.cancel()
