"""A long task: run it, and stream its messages as they come."""

import time
from collections.abc import Callable
from typing import Any

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.managers.manager_client import ManagerClient, OperationResult

MESSAGE_INTERVAL = 0.5


class MessageReader:
    """Passes on each message of a session once, except those of OCS itself."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._latest = 0.0
        self._texts_at_latest: list[str] = []

    def feed(self, session: dict[str, Any]) -> None:
        """Read the messages of a session."""
        for when, text in session.get("messages") or []:
            if when < self._latest or (when == self._latest and text in self._texts_at_latest):
                continue
            self._texts_at_latest = [
                *([] if when > self._latest else self._texts_at_latest),
                text,
            ]
            self._latest = when
            if not str(text).startswith("Status is now"):
                self._show(str(text))


def run_and_stream(
    manager: ManagerClient,
    operation: str,
    limit: float,
    answer_timeout: float,
    reader: MessageReader,
) -> OperationResult:
    """Run a task and read its messages; a run that is under way already is followed.

    Raises:
        ManagerError: No answer for longer than `answer_timeout`, or no end within `limit` seconds.
    """
    session = manager.session(operation)
    if session.get("status") not in ("starting", "running"):
        session = manager.start(operation)
    deadline = time.monotonic() + limit
    answered_at = time.monotonic()
    while session.get("status") != "done":
        if time.monotonic() > deadline:
            raise ManagerError(
                FailureKind.TIMEOUT, f"not finished within {limit:g} s; it continues."
            )
        time.sleep(MESSAGE_INTERVAL)
        try:
            session = manager.refresh_session(operation, session)
            answered_at = time.monotonic()
        except ManagerError as error:
            if not error.unreachable or time.monotonic() - answered_at > answer_timeout:
                raise
            continue
        if session.get("status") != "done":
            reader.feed(session)
    return OperationResult.of_session(session)
