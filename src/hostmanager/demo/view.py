"""What an OCS client sees of the manager: read through the router, a few times a second.

The demo has no other source: what it shows is what any client of the site would see.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

POLL = 0.25
"""Seconds between two looks."""

Message = tuple[float, str]
"""Unix time and text."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How the latest run of an instance ended.

    Attributes:
        text: ``code 3`` or ``SIGKILL``.
        at: Unix time.
        ran_for: Seconds.
        expected: Whether it had been told to end.
        output: Its last lines.
    """

    text: str
    at: float
    ran_for: float
    expected: bool
    output: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One instance, as in `child_states` (contract, section 5)."""

    name: str
    agent_class: str
    target: str
    state: str
    pid: int | None
    uptime: float | None
    restarts: int
    stability: float
    last_exit: Exit | None
    message: str
    output: str | None


@dataclass(frozen=True, slots=True)
class View:
    """One look at the manager.

    Attributes:
        rows: All its instances; as last seen, when it did not answer.
        messages: Those of its session, the oldest first.
        problem: Why there is nothing newer; empty when all is well.
    """

    rows: tuple[Row, ...] = ()
    messages: tuple[Message, ...] = ()
    problem: str = ""


def read_session(session: dict[str, Any]) -> View:
    """Understand a session of the `manager` operation."""
    data = session.get("data") or {}
    rows = tuple(_row(child) for child in data.get("child_states", ()))
    messages = tuple((float(at), str(text)) for at, text in session.get("messages", ()))
    status = session.get("status")
    problem = "" if status == "running" else f"The manager process is {status}."
    return View(rows, messages, problem)


def _row(child: dict[str, Any]) -> Row:
    return Row(
        name=child["instance_id"],
        agent_class=child["agent_class"],
        target=child["target_state"],
        state=child["next_action"],
        pid=child.get("pid"),
        uptime=child.get("uptime"),
        restarts=child.get("restarts", 0),
        stability=child["stability"],
        last_exit=_exit(child.get("last_exit")),
        message=child.get("message") or "",
        output=child.get("output"),
    )


def _exit(data: dict[str, Any] | None) -> Exit | None:
    if data is None:
        return None
    text = data["signal"] or f"code {data['code']}"
    return Exit(text, data["time"], data["ran_for"], data["expected"], tuple(data["output"]))


class Watcher(threading.Thread):
    """Looks at the manager again and again, and hands over each `View`.

    In a thread of its own, since a client waits for ever for the answer of a frozen router.

    Args:
        instance_id: The manager's.
        args: The site options.
        hand_over: Called from the thread.
    """

    def __init__(
        self, instance_id: str, args: list[str], hand_over: Callable[[View], None]
    ) -> None:
        super().__init__(daemon=True)
        self._instance_id = instance_id
        self._args = args
        self._hand_over = hand_over
        self._stopped = threading.Event()

    def run(self) -> None:
        """Look until stopped."""
        client: Any = None
        last = View()
        while not self._stopped.wait(POLL):
            try:
                if client is None:
                    client = self._client()
                last = read_session(client.manager.status().session or {})
            except Exception as error:
                client = None
                last = View(last.rows, last.messages, _explain(error))
            if not self._stopped.is_set():
                self._hand_over(last)

    def stop(self) -> None:
        """Look no more. Does not wait for the thread."""
        self._stopped.set()

    def _client(self) -> Any:
        from ocs.ocs_client import OCSClient  # noqa: PLC0415 - half a second; crossbar takes 3

        return OCSClient(self._instance_id, args=self._args)


def _explain(error: Exception) -> str:
    """Say in a sentence why a client got no answer."""
    with contextlib.suppress(LookupError, TypeError, AttributeError):
        uri = str(error.args[0][4])
        if uri == "wamp.error.no_such_procedure":
            return "The manager is not registered at the router."
        if uri == "client_http.error.connection_error":
            return "The router does not answer."
    return f"The manager cannot be asked: {error}"


def clock(at: float) -> str:
    """A Unix time as the wall clock shows it."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def length(seconds: float | None) -> str:
    """A length of time, short: ``7s``, ``3:05``, ``2:00:09``."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest}s"
