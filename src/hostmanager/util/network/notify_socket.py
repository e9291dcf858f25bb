"""The socket by which systemd takes reports of a service.

The protocol is sd_notify(3): one datagram with lines ``NAME=value`` to the socket that
`NOTIFY_SOCKET` names. Without that variable nothing here does anything. The Python packages
for it (`sdnotify`, `systemd-watchdog`) send with a socket that blocks when systemd does not read,
which must not happen on the loop, and leave ``RELOADING=1`` to the caller; sending is the
small part, so they do not earn their place.
"""

import logging
import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

from hostmanager.util.numbers import parse_number

log = logging.getLogger(__name__)

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


@dataclass(frozen=True, slots=True)
class NotifySocket:
    """Where systemd takes messages.

    Attributes:
        address: Of its socket; None: nobody listens.
        watchdog_timeout: Seconds without ``WATCHDOG=1`` after which the manager counts as hung,
            or None.
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
        pid: Ours; a watchdog that is meant for another process is ignored.
    """
    address, usec, watched_pid = (environ.pop(name, "") for name in VARIABLES)
    if not address.startswith(("/", "@")) or len(address) < 2:
        return NotifySocket()
    is_ours = watched_pid in ("", str(os.getpid() if pid is None else pid))
    microseconds = parse_number(usec) if is_ours else None
    return NotifySocket(address, microseconds / 1e6 if microseconds else None)
