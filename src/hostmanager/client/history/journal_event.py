"""The entries of a journal in the short form that a timeline needs. Pure.

Managers give that form by ``history(compact=True)``: columns instead of mappings, each distinct text
once, without the last lines of output (`docs/operations.md`, section *History*). Entries in their long
form become the same.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

MAX_COMPACT_BYTES = 64 * 1024 * 1024
"""Bytes of an answer, unpacked; a whole journal of 100,000 entries has 3 MB."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What an entry says, for programs. Entries that say the same share one.

    Attributes:
        kind: Its kind.
        before: The state, or for ``health`` the health, before.
        after: The same afterwards.
        target: The target afterwards.
        expected: Whether an exit was.
        launched: False: a launch is an adoption; an exit is a launch that failed.
        event: What happened to the manager or to the router.
        operation: What was requested.
        ok: Whether a request was carried out.
        seconds: For how long, for a silence.
        alive_until: Until when a manager that was killed is known to have been alive, Unix time.
    """

    kind: str
    before: str | None = None
    after: str | None = None
    target: str | None = None
    expected: bool | None = None
    launched: bool | None = None
    event: str | None = None
    operation: str | None = None
    ok: bool | None = None
    seconds: float | None = None
    alive_until: float | None = None

    @classmethod
    def of_data(cls, kind: str, data: Mapping[str, Any]) -> "Fact":
        """Read the data of an entry; whatever else is in it is ignored."""
        return cls(
            kind,
            before=_word(data.get("from")),
            after=_word(data.get("to")),
            target=_word(data.get("target")),
            expected=_flag(data.get("expected")),
            launched=_flag(data.get("launched")),
            event=_word(data.get("event")),
            operation=_word(data.get("operation")),
            ok=_flag(data.get("ok")),
            seconds=_number(data.get("seconds")),
            alive_until=_number(data.get("alive_until")),
        )


class JournalEvent(NamedTuple):
    """Something that happened.

    Attributes:
        id: The number of the entry.
        time: Unix time by the manager's clock.
        instance_id: The agent; None: the manager itself, or several agents.
        fact: What happened.
        text: The same for people; it may be empty.
    """

    id: int
    time: float
    instance_id: str | None
    fact: Fact
    text: str


def event_of_entry(entry: Mapping[str, Any]) -> JournalEvent:
    """The short form of an entry."""
    fact = Fact.of_data(str(entry["kind"]), entry["data"])
    return JournalEvent(
        int(entry["id"]), float(entry["time"]), entry["instance_id"], fact, str(entry["text"])
    )


def decode_compact(text: str) -> list[JournalEvent]:
    """Read the short form as it comes from a manager, the newest last.

    Raises:
        ValueError: It is not readable.
    """
    try:
        unpacker = zlib.decompressobj()
        unpacked = unpacker.decompress(base64.b64decode(text, validate=True), MAX_COMPACT_BYTES)
        if unpacker.unconsumed_tail:
            raise ValueError(f"it has more than {MAX_COMPACT_BYTES:,} bytes")
        return _events(json.loads(unpacked))
    except (binascii.Error, zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"the manager's short history cannot be read: {error}") from error


def _events(columns: Mapping[str, Any]) -> list[JournalEvent]:
    keys, texts, names = columns["keys"], columns["texts"], columns["instances"]
    facts = [
        Fact.of_data(str(kind), dict(zip(keys, values, strict=True)))
        for kind, *values in columns["facts"]
    ]
    ids = accumulate(columns["ids"])
    times = accumulate(columns["milliseconds"])
    return [
        JournalEvent(entry_id, time / 1000, names[name], facts[fact], texts[text])
        for entry_id, time, name, fact, text in zip(
            ids, times, columns["instance"], columns["fact"], columns["text"], strict=True
        )
    ]


def in_order(events: Iterable[JournalEvent], now: float) -> list[JournalEvent]:
    """Put the times of events in the order in which they happened.

    A clock that is set back leaves times in a journal that are later than those of later entries,
    and than now. The newest are right: an older one is not later than what came after it.
    """
    latest, ordered = now, []
    for event in reversed(list(events)):
        if event.time > latest:
            ordered.append(event._replace(time=latest))
        else:
            latest = event.time
            ordered.append(event)
    ordered.reverse()
    return ordered


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None
