"""Reports to systemd: ready, reloading, stopping, alive, and a line of status.

An idle manager sends nothing but the watchdog's ``WATCHDOG=1``, from a timer on the loop: a
loop that hangs is a manager that hangs, and systemd ends it and starts the next one, which
adopts the agents.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable

from hostmanager.core.protocols import Clock, guard_of
from hostmanager.core.record import InstanceRecord, State
from hostmanager.util.network.notify_socket import NotifySocket

log = logging.getLogger(__name__)

STATUS_INTERVAL = 1.0
"""Seconds between two lines of status, and before a message is sent again that found the
socket full."""

MAX_UNSENT_MESSAGES = 16

STATUS_LABELS = {
    State.STARTING: "starting",
    State.BACKOFF: "waiting",
    State.STOPPING: "stopping",
    State.TERMINATING: "stopping",
    State.KILLING: "stopping",
    State.INOPERABLE: "blocked",
    State.GIVEN_UP: "given up",
    State.DOWN: "down",
}
"""How the states other than up are counted, in this order; one that is not here: "unknown"."""


class Notifier:
    """Reports the state of the manager.

    Args:
        notify_socket: Where to.
        clock: For intervals and the watchdog.
        status: Returns the line of status; called when something has changed.
    """

    def __init__(
        self, notify_socket: NotifySocket, clock: Clock, status: Callable[[], str]
    ) -> None:
        self._socket = notify_socket
        self._clock = clock
        self._guard = guard_of(clock)
        self._status = status
        self._ready = False
        self._stopping = False
        self._reloads = 0
        self._last_status = ""
        self._status_sent_at = float("-inf")
        self._status_scheduled = False
        self._unsent: deque[str] = deque(maxlen=MAX_UNSENT_MESSAGES)

    @property
    def enabled(self) -> bool:
        """Whether anybody listens."""
        return self._socket.address is not None

    def ready(self) -> None:
        """The agents are being supervised."""
        if not self.enabled:
            return
        self._ready = True
        self._send("READY=1")
        self._send_status()
        if self._socket.watchdog_timeout is not None:
            self._ping_watchdog(self._socket.watchdog_timeout / 2)

    def reloading(self) -> None:
        """The site config is being read again."""
        self._reloads += 1
        if self._ready and not self._stopping and self._reloads == 1:
            usec = int(self._clock.now().monotonic * 1e6)
            self._send(f"RELOADING=1\nMONOTONIC_USEC={usec}")

    def reloaded(self) -> None:
        """It has been read; systemd expects another message that all is ready."""
        self._reloads -= 1
        if self._ready and not self._stopping and self._reloads == 0:
            self._send("READY=1")

    def stopping(self) -> None:
        """The manager is on its way out."""
        if self.enabled and not self._stopping:
            self._stopping = True
            self._send("STOPPING=1")
            self._send_status()

    def changed(self) -> None:
        """The line of status may have changed: report it soon, and not too often."""
        if self._ready and not self._status_scheduled:
            self._status_scheduled = True
            at = max(self._clock.now().monotonic, self._status_sent_at + STATUS_INTERVAL)
            self._call_at(at, "the status for systemd", self._send_status)

    def _send_status(self) -> None:
        self._status_scheduled = False
        text = ("stopping; " if self._stopping else "") + self._status()
        if text != self._last_status:
            self._last_status, self._status_sent_at = text, self._clock.now().monotonic
            if not self._socket.send(f"STATUS={text}"):
                self._last_status = ""
                self.changed()

    def _send(self, text: str) -> None:
        self._unsent.append(text)
        if len(self._unsent) == 1:
            self._send_all()

    def _send_all(self) -> None:
        while self._unsent:
            if not self._socket.send(self._unsent[0]):
                at = self._clock.now().monotonic + STATUS_INTERVAL
                self._call_at(at, "a message to systemd", self._send_all)
                return
            self._unsent.popleft()

    def _ping_watchdog(self, interval: float) -> None:
        self._socket.send("WATCHDOG=1")
        at = self._clock.now().monotonic + interval
        self._call_at(at, "the watchdog of systemd", lambda: self._ping_watchdog(interval))

    def _call_at(self, at: float, name: str, work: Callable[[], None]) -> None:
        self._clock.call_at(at, self._guard.callback(name, work))


def status_line(records: Iterable[InstanceRecord], *, running: bool, router: str) -> str:
    """Describe the manager in one line: ``48 of 50 up, 1 waiting, 1 blocked; router connected``.

    Args:
        records: Of all instances.
        running: Whether the manager process is.
        router: How it is with the router.
    """
    counts = Counter(
        "up" if record.state is State.UP else STATUS_LABELS.get(record.state, "unknown")
        for record in records
    )
    labels = dict.fromkeys((*STATUS_LABELS.values(), "unknown"))
    others = "".join(f", {counts[label]} {label}" for label in labels if counts[label])
    stopped = "" if running else "manager process stopped; "
    return f"{stopped}{counts['up']} of {counts.total()} up{others}; {router}"
