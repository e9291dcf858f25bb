"""Tells systemd how the manager is: ready, reloading, stopping, alive, and a line of status.

The protocol is sd_notify(3): one datagram with lines ``NAME=value`` to the socket that
`NOTIFY_SOCKET` names. Without that variable nothing here does anything. The Python packages
for it (`sdnotify`, `systemd-watchdog`) send with a socket that blocks when systemd does not read,
which must not happen on the loop, and leave ``RELOADING=1`` to the caller; sending is the
small part, so they do not earn their place.

An idle manager sends nothing but the watchdog's ``WATCHDOG=1``, from a timer on the loop: a
loop that hangs is a manager that hangs, and systemd ends it and starts the next one, which
takes the agents over.
"""

import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass

from hostmanager.core.protocols import Clock, guard_of
from hostmanager.core.record import InstanceRecord, State
from hostmanager.util.numbers import parse_number

log = logging.getLogger(__name__)

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

STATUS_INTERVAL = 1.0
"""Seconds between two lines of status, and before a message is tried again that found the
socket full."""

MAX_UNSENT_MESSAGES = 16

STATUS_LABELS = {
    State.STARTING: "starting",
    State.BACKOFF: "waiting",
    State.STOPPING: "stopping",
    State.TERMINATING: "stopping",
    State.KILLING: "stopping",
    State.INOPERABLE: "blocked",
    State.DOWN: "down",
}
"""How the states other than up are counted, in this order; one that is not here: "unknown"."""


@dataclass(frozen=True, slots=True)
class NotifySocket:
    """The line to systemd.

    Attributes:
        address: Of its socket; None: nobody listens.
        watchdog_timeout: Seconds without ``WATCHDOG=1`` after which the manager counts as hung, or None.
    """

    address: str | None = None
    watchdog_timeout: float | None = None

    def send(self, text: str) -> bool:
        """Send one message, without waiting; False: the socket is full, try again."""
        if self.address is None:
            return True
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.sendto(text.encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL, address)
        except BlockingIOError:
            return False
        except (OSError, ValueError) as error:  # gone, or never was a socket: it is only a report
            log.debug("NOTIFY_SOCKET=%s: %s", self.address, error)
        return True


def from_environ(environ: MutableMapping[str, str], pid: int | None = None) -> NotifySocket:
    """Take systemd's variables out of the environment: they are for this process alone.

    A child that inherited them could speak for the manager.

    Args:
        environ: The environment, `os.environ` as a rule.
        pid: Ours; a watchdog that is meant for another process is not ours to feed.
    """
    address, usec, meant = (environ.pop(name, "") for name in VARIABLES)
    if not address.startswith(("/", "@")) or len(address) < 2:
        return NotifySocket()
    ours = meant in ("", str(os.getpid() if pid is None else pid))
    each = parse_number(usec) if ours else None
    return NotifySocket(address, each / 1e6 if each else None)


class Notifier:
    """Speaks for the manager.

    Args:
        line: Where to.
        clock: For the pauses and the watchdog.
        status: Asked for the line of status, when something has changed.
    """

    def __init__(self, line: NotifySocket, clock: Clock, status: Callable[[], str]) -> None:
        self._line = line
        self._clock = clock
        self._guard = guard_of(clock)
        self._status = status
        self._ready = False
        self._stopping = False
        self._reloads = 0
        self._last_status = ""
        self._told_at = float("-inf")
        self._due = False
        self._unsent: deque[str] = deque(maxlen=MAX_UNSENT_MESSAGES)

    @property
    def enabled(self) -> bool:
        """Whether anybody listens."""
        return self._line.address is not None

    def ready(self) -> None:
        """The agents are being supervised."""
        if not self.enabled:
            return
        self._ready = True
        self._tell("READY=1")
        self._tell_status()
        if self._line.watchdog_timeout is not None:
            self._ping_watchdog(self._line.watchdog_timeout / 2)

    def reloading(self) -> None:
        """The site config is being read again."""
        self._reloads += 1
        if self._ready and not self._stopping and self._reloads == 1:
            usec = int(self._clock.now().monotonic * 1e6)
            self._tell(f"RELOADING=1\nMONOTONIC_USEC={usec}")

    def reloaded(self) -> None:
        """It has been read; systemd wants to be told that all is ready again."""
        self._reloads -= 1
        if self._ready and not self._stopping and self._reloads == 0:
            self._tell("READY=1")

    def stopping(self) -> None:
        """The manager is on its way out."""
        if self.enabled and not self._stopping:
            self._stopping = True
            self._tell("STOPPING=1")
            self._tell_status()

    def changed(self) -> None:
        """Something may read differently now: have it told, soon, and not too often."""
        if self._ready and not self._due:
            self._due = True
            at = max(self._clock.now().monotonic, self._told_at + STATUS_INTERVAL)
            self._later(at, "the status for systemd", self._tell_status)

    def _tell_status(self) -> None:
        self._due = False
        text = ("stopping; " if self._stopping else "") + self._status()
        if text != self._last_status:
            self._last_status, self._told_at = text, self._clock.now().monotonic
            if not self._line.send(f"STATUS={text}"):
                self._last_status = ""
                self.changed()

    def _tell(self, text: str) -> None:
        self._unsent.append(text)
        if len(self._unsent) == 1:
            self._send_all()

    def _send_all(self) -> None:
        while self._unsent:
            if not self._line.send(self._unsent[0]):
                at = self._clock.now().monotonic + STATUS_INTERVAL
                self._later(at, "a message to systemd", self._send_all)
                return
            self._unsent.popleft()

    def _ping_watchdog(self, every: float) -> None:
        self._line.send("WATCHDOG=1")
        at = self._clock.now().monotonic + every
        self._later(at, "the sign of life for systemd", lambda: self._ping_watchdog(every))

    def _later(self, at: float, what: str, work: Callable[[], None]) -> None:
        self._clock.call_at(at, self._guard.callback(what, work))


def status_line(lives: Iterable[InstanceRecord], *, running: bool, router: str) -> str:
    """Say in one line how it is: ``48 of 50 up, 1 waiting, 1 blocked; router connected``.

    Args:
        lives: Of all instances.
        running: Whether the manager process is.
        router: How it is with the router.
    """
    counts = Counter(
        "up" if life.state is State.UP else STATUS_LABELS.get(life.state, "unknown")
        for life in lives
    )
    words = dict.fromkeys((*STATUS_LABELS.values(), "unknown"))
    others = "".join(f", {counts[word]} {word}" for word in words if counts[word])
    agents = f"{counts['up']} of {counts.total()} up{others}"
    stopped = "" if running else "manager process stopped; "
    return f"{stopped}{agents}; {router}"
