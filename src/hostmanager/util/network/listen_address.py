"""Where a server listens: ``[HOST:]PORT``, and in words why it cannot."""

import errno
import socket
from typing import NamedTuple

LOOPBACK = "127.0.0.1"


class ListenAddress(NamedTuple):
    """An address to listen at.

    Attributes:
        host: A name or an address of this host; empty: all.
        port: The port; 0: any that is free.
    """

    host: str
    port: int

    def __str__(self) -> str:
        """As it is written on the command line."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_listen_address(text: str) -> ListenAddress:
    """Read ``PORT``, ``HOST:PORT``, ``:PORT`` (all interfaces) or ``[IPV6]:PORT``.

    Raises:
        ValueError: It is none of them; the text says what is right.
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        host = LOOPBACK
    bracketed = host.startswith("[") and host.endswith("]")
    is_host = bracketed or not set(host) & set(":[]/ ")
    if not is_host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ValueError(
            f"{text!r} is not PORT, HOST:PORT or [IPV6]:PORT (a port is a number up to 65535)"
        )
    return ListenAddress(host[1:-1] if bracketed else host, int(port))


def why_not_listening(error: OSError | UnicodeError) -> str:
    """Say why nothing can listen at an address, and what to do."""
    match error:
        case OSError(errno=errno.EADDRINUSE):
            return "the port is taken by another program; choose another one"
        case OSError(errno=errno.EACCES):
            return "this user may not listen there; choose a port above 1023"
        case OSError(errno=errno.EADDRNOTAVAIL) | socket.gaierror() | UnicodeError():
            return "this host has no such address; leave out the host for 127.0.0.1"
        case _:
            return getattr(error, "strerror", None) or str(error)
