"""A unit test starts no process and opens no connection; one that does fails here by name."""

import sys
from collections.abc import Iterator

import pytest

FORBIDDEN = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.system",
    "socket.connect",
    "subprocess.Popen",
}
"""Audit events. Pairs of sockets, as an event loop has one, raise none of these."""

_events: list[str] | None = None
"""Forbidden events of the test that runs; None while none does."""


def _audit(event: str, _arguments: object) -> None:
    if _events is not None and event in FORBIDDEN:
        _events.append(event)


sys.addaudithook(_audit)  # for good: an audit hook cannot be removed


@pytest.fixture(autouse=True)
def no_process_and_no_connection() -> Iterator[None]:
    global _events  # noqa: PLW0603 - an audit hook has no other way to know
    _events = []
    yield
    events, _events = _events, None
    assert not events, f"not a unit test, it belongs into tests/integration: {events}"
