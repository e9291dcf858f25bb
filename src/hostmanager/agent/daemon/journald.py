"""Lines of the log with structured fields, where systemd's journal takes them.

A service's standard output leads to journald, which makes one entry of each line and knows nothing
else of it. Journald's native protocol has fields: one datagram for each entry, with lines
``NAME=value`` (systemd.io/JOURNAL_NATIVE_PROTOCOL). The Python package for it (`systemd-python`)
needs a C compiler and libsystemd's headers on every host; the protocol is twenty lines.
"""

import logging
import os
import socket
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from struct import pack

JOURNALD_SOCKET = "/run/systemd/journal/socket"

PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
"""Of syslog; above an error, 2."""

SEND_TIMEOUT = 5.0
"""Seconds that journald may take for an entry; then the line goes to standard output."""

FIELDS_ATTRIBUTE = "journald_fields"
"""Name under which a record of the log has its fields."""

_fields: ContextVar[Mapping[str, str] | None] = ContextVar("journald_fields", default=None)


@contextmanager
def log_fields(**fields: object) -> Iterator[None]:
    """Give fields to all that is logged meanwhile: ``instance="acu1"``; None: there is none.

    They are called ``HOSTMANAGER_INSTANCE`` and so on; only `priority` is journald's own.
    """
    known = {name: str(value) for name, value in fields.items() if value is not None}
    token = _fields.set({**current_fields(), **known})
    try:
        yield
    finally:
        _fields.reset(token)


def current_fields() -> Mapping[str, str]:
    """The fields of what is logged now."""
    return _fields.get() or {}


def leads_to_journald(fd: int, environ: MutableMapping[str, str]) -> bool:
    """Whether a descriptor is the one that systemd has connected to journald (JOURNAL_STREAM)."""
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def encode_entry(message: str, level: int, identifier: str, fields: Mapping[str, str]) -> bytes:
    """Write an entry in journald's form."""
    priority = PRIORITIES.get(level, 6 if level < logging.ERROR else 2)
    own = {name: value for name, value in fields.items() if name != "priority"}
    entry = {
        "MESSAGE": message,
        "PRIORITY": fields.get("priority", str(priority)),
        "SYSLOG_IDENTIFIER": identifier,
        **{f"HOSTMANAGER_{name.upper()}": value for name, value in own.items()},
    }
    return b"".join(_encode_field(name, value) for name, value in entry.items())


def _encode_field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" in data:  # with its length before it
        return b"%s\n%s%s\n" % (name.encode(), pack("<Q", len(data)), data)
    return b"%s=%s\n" % (name.encode(), data)


class JournaldClient:
    """Sends entries to journald.

    Args:
        identifier: ``SYSLOG_IDENTIFIER`` of the entries.
    """

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(SEND_TIMEOUT)

    def send(self, record: logging.LogRecord) -> None:
        """Send a record; waits as long as journald does not read.

        Raises:
            OSError: Journald is away, or does not read.
        """
        fields = getattr(record, FIELDS_ATTRIBUTE, {})
        entry = encode_entry(record.getMessage(), record.levelno, self._identifier, fields)
        self._socket.sendto(entry, JOURNALD_SOCKET)
