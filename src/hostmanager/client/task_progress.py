"""Following an operation that takes long: its messages as they come, then how it ended."""

import time
from collections.abc import Callable
from typing import Any

from hostmanager.client.manager_client import (
    FailureKind,
    ManagerClient,
    ManagerError,
    OperationResult,
)

PAUSE = 0.5


class Reader:
    """Hands on each message of a session once, but for what OCS itself says in it."""

    def __init__(self, news: Callable[[str], None]) -> None:
        self._news = news
        self._read = 0.0
        self._last: list[str] = []

    def feed(self, session: dict[str, Any]) -> None:
        """Read the messages of a session."""
        for when, text in session.get("messages") or []:
            fresh = when > self._read or (when == self._read and text not in self._last)
            if not fresh:
                continue
            self._last = [text] if when > self._read else [*self._last, text]
            self._read = when
            if not str(text).startswith("Status is now"):
                self._news(str(text))


def run_and_stream(
    manager: ManagerClient, operation: str, limit: float, answer_time: float, reader: Reader
) -> OperationResult:
    """Run a task and read its messages; one that is under way already is followed.

    Raises:
        AskError: No answer for longer than `answer_time`, or no end within `limit` seconds.
    """
    session = manager.session(operation)
    if session.get("status") not in ("starting", "running"):
        session = manager.start(operation)
    until = time.monotonic() + limit
    heard = time.monotonic()
    while session.get("status") != "done":
        if time.monotonic() > until:
            raise ManagerError(FailureKind.TIMEOUT, f"not done within {limit:g} s; it goes on.")
        time.sleep(PAUSE)
        try:
            session = manager.own(operation, session)
            heard = time.monotonic()
        except ManagerError as error:
            if error.kind is FailureKind.REFUSED or time.monotonic() - heard > answer_time:
                raise
            continue
        if session.get("status") != "done":
            reader.feed(session)
    messages = [str(text) for _, text in session.get("messages") or []]
    said = [text for text in messages if not text.startswith("Status is now")]
    return OperationResult(
        bool(session.get("success")), said[-1] if said else "", session.get("data") or {}
    )
