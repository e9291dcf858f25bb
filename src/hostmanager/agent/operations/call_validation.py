"""What is wrong with a call from a client, before OCS's agent acts on it; and whose answer it is.

Anybody at the router can call with anything, and what OCS's agents accept is accepted here too:
clients send whatever they like as parameters of `status`, `wait`, `stop` and `abort`, ocs-web a
list (contract, section 7). So only what is used is looked at. What cannot be used gets an answer
that says so, where OCS would fail with a traceback.
"""

from collections.abc import Callable
from math import isnan
from typing import Any

import ocs

CALL_SIGNATURE = "A request has the form: action, operation, parameters, timeout, password."

MAX_TEXT_CHARS = 4_000
"""Characters of the sentence that answers a call, and of a message of a session."""

MAX_NAME_CHARS = 200
"""Characters of the name of an operation in a call."""

LONGEST_WAIT = 1e9
"""Seconds; a client that asks for more waits as long as that."""


def invalid_call_reason(
    action: Any, op_name: Any, params: Any = None, timeout: Any = None, password: Any = None
) -> str | None:
    """Tell what is wrong with a call of an operation; None: nothing.

    The parameters are those that the router passes on, whatever their types.

    Raises:
        TypeError: It does not even have these parts.
    """
    del timeout, password  # looked at where they are used, if they are
    if not isinstance(op_name, str) or len(op_name) > MAX_NAME_CHARS:
        return f"{CALL_SIGNATURE} The operation must be a string of at most {MAX_NAME_CHARS} characters."
    if action == "start" and not isinstance(params, dict | None):
        return (
            f"{CALL_SIGNATURE} The parameters of 'start' must be named ones: a dictionary, or null."
        )
    return None


def wait_seconds(timeout: Any) -> float | None:
    """Take the timeout of a `wait` that really waits.

    Raises:
        ValueError: It is no time; the text is for people.
    """
    if timeout is None:
        return None
    if not isinstance(timeout, int | float) or (isinstance(timeout, float) and isnan(timeout)):
        raise ValueError("The timeout of 'wait' must be a number of seconds, or null.")
    return min(timeout, LONGEST_WAIT)


SESSIONS_KEPT = 16
SESSION_KEPT = 60.0
"""So many ended sessions are kept, for so many seconds, for the clients that started them."""


class EndedSessions:
    """The latest sessions of operations that clients start one after another.

    OCS knows one session of each operation, the latest: a client that starts one and waits for it
    gets that of another client, if that came in between. Here is the one that it asks for, by
    ``session_id`` among the parameters of `wait`.

    Args:
        call_later: Arranges for a call, in so many seconds.
    """

    def __init__(self, call_later: Callable[..., Any]) -> None:
        self._call_later = call_later
        self._kept: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, session: Any) -> None:
        """Keep a session that another one of its operation has replaced."""
        self._kept[session.session_id] = session
        if len(self._kept) > SESSIONS_KEPT:
            self._drop(next(iter(self._kept)))
        self._call_later(SESSION_KEPT, self._drop, session.session_id)

    def answer(self, op_name: str, params: Any) -> tuple[int, str, dict[str, Any]] | None:
        """Answer a `wait` for one of them; None: the latest session is what there is."""
        wanted = params.get("session_id") if isinstance(params, dict) else None
        session = self._kept.get(wanted) if isinstance(wanted, int) else None
        if session is None or session.op_name != op_name:
            return None
        return ocs.OK, f'This run of operation "{op_name}" has ended.', session.encoded()

    def _drop(self, number: int) -> None:
        session = self._kept.pop(number, None)
        if session is not None:
            release(session)


def release(session: Any) -> None:
    """Let go of a session: OCS has each purge its messages every few minutes, for ever."""
    session.purger.addErrback(lambda _: None)
    session.purger.cancel()
