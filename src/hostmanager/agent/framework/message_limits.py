"""Messages from the router: what is too large, or cannot be read, is refused in words.

Anybody who reaches the router can call with anything. Decoding a message holds up the event loop,
for half a second with a few megabytes of small lists. So of a message above a limit only the head
is read: enough to answer the call that it is.
"""

import logging
import re
from dataclasses import dataclass
from typing import Any

from autobahn.wamp.message import Invocation
from autobahn.wamp.serializer import (
    JsonObjectSerializer,
    JsonSerializer,
    MsgPackObjectSerializer,
    MsgPackSerializer,
)

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 256 * 1024
"""Bytes of a message that is decoded: some 8,000 requests."""

_HEAD = 256  # bytes that hold the three numbers which an invocation begins with
_JSON_HEAD = re.compile(rb"\s*\[\s*(\d{1,3})\s*,\s*(\d{1,17})\s*,\s*(\d{1,17})\s*,")

Raw = list[list[Any]]


@dataclass(frozen=True, slots=True)
class Refused:
    """In place of the arguments of a call that was not decoded.

    Attributes:
        text: Why, for people.
    """

    text: str


def _refuse(head: list[int] | None, why: str) -> Raw:
    if head is None or head[0] != Invocation.MESSAGE_TYPE:
        log.warning("a message of the router is left out: %s", why)
        return []
    return [[*head, {}, [Refused(f"The request was not read: {why}. Nothing was changed.")]]]


def _why(payload: bytes, error: Exception | None = None) -> str | None:
    if error is not None:
        return f"it cannot be decoded ({type(error).__name__})"
    if len(payload) > MAX_MESSAGE_BYTES:
        return f"it has {len(payload):,} bytes, and at most {MAX_MESSAGE_BYTES:,} are taken"
    return None


class _Bounded:
    """Decodes what is not too large."""

    def unserialize(self, payload: bytes) -> Raw:
        """Decode a message; of one that is refused, what is needed for an answer."""
        why = _why(payload)
        if why is None:
            try:
                raw: Raw = super().unserialize(payload)  # type: ignore[misc]
            except Exception as error:  # what others write is never an exception of ours
                why = _why(payload, error)
            else:
                return raw
        try:
            head = self.head(payload[:_HEAD])
        except Exception:
            head = None
        return _refuse(head, str(why))

    def head(self, payload: bytes) -> list[int] | None:
        """Read type, request and registration from the beginning of a message."""
        raise NotImplementedError


class _BoundedMsgPack(_Bounded, MsgPackObjectSerializer):
    def head(self, payload: bytes) -> list[int] | None:
        unpacker = self.MSGPACK_MODULE.Unpacker()
        unpacker.feed(payload)
        unpacker.read_array_header()
        numbers = [unpacker.unpack() for _ in range(3)]
        return numbers if all(type(number) is int for number in numbers) else None


class _BoundedJson(_Bounded, JsonObjectSerializer):
    def head(self, payload: bytes) -> list[int] | None:
        found = _JSON_HEAD.match(payload)
        return [int(number) for number in found.groups()] if found else None


def serializers() -> list[Any]:
    """Make what is offered to the router: what is light and known to work."""
    packed, text = MsgPackSerializer(), JsonSerializer()
    packed._serializer, text._serializer = _BoundedMsgPack(), _BoundedJson()
    return [packed, text]
