"""Messages from the router: what is too large, or cannot be decoded, is refused with a reason.

Anybody who reaches the router can call with anything. Decoding a message holds up the event loop,
for half a second with a few megabytes of small lists. So of a message above a limit only the head
is read: enough to reply to the call that it is.
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
    Serializer,
)

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 256 * 1024
"""Bytes of a message that is decoded: some 8,000 requests."""

_HEAD_BYTES = 256  # bytes that hold the three numbers which an invocation begins with
_JSON_HEAD = re.compile(rb"\s*\[\s*(\d{1,3})\s*,\s*(\d{1,17})\s*,\s*(\d{1,17})\s*,")

RawMessages = list[list[Any]]


@dataclass(frozen=True, slots=True)
class Refused:
    """In place of the arguments of a call that was not decoded.

    Attributes:
        text: Why, for people.
    """

    text: str


class _BoundedDecoder:
    """Decodes what is not too large; total, since others write it."""

    def unserialize(self, payload: bytes) -> RawMessages:
        """Decode messages; of one that is refused, what is needed for a reply."""
        reason = f"it has {len(payload):,} bytes, and at most {MAX_MESSAGE_BYTES:,} are taken"
        if len(payload) <= MAX_MESSAGE_BYTES:
            try:
                messages: RawMessages = super().unserialize(payload)  # type: ignore[misc]
            except Exception as error:
                reason = f"it cannot be decoded ({type(error).__name__})"
            else:
                return messages
        try:
            head = self.head(payload[:_HEAD_BYTES])
        except Exception:
            head = None
        if head is None or head[0] != Invocation.MESSAGE_TYPE:
            log.warning("a message of the router is dropped: %s", reason)
            return []
        return [[*head, {}, [Refused(f"The request was not read: {reason}. Nothing was changed.")]]]

    def head(self, payload: bytes) -> list[int] | None:
        """Read type, request and registration from the beginning of a message."""
        raise NotImplementedError


class _BoundedMsgPack(_BoundedDecoder, MsgPackObjectSerializer):
    def head(self, payload: bytes) -> list[int] | None:
        unpacker = self.MSGPACK_MODULE.Unpacker()
        unpacker.feed(payload)
        unpacker.read_array_header()
        numbers = [unpacker.unpack() for _ in range(3)]
        return numbers if all(type(number) is int for number in numbers) else None


class _BoundedJson(_BoundedDecoder, JsonObjectSerializer):
    def head(self, payload: bytes) -> list[int] | None:
        match = _JSON_HEAD.match(payload)
        return [int(number) for number in match.groups()] if match else None


class _MsgPackSerializer(MsgPackSerializer):
    def __init__(self) -> None:
        Serializer.__init__(self, _BoundedMsgPack())


class _JsonSerializer(JsonSerializer):
    def __init__(self) -> None:
        Serializer.__init__(self, _BoundedJson())


def serializers() -> list[Any]:
    """Make what is offered to the router: what is light and known to work."""
    return [_MsgPackSerializer(), _JsonSerializer()]
