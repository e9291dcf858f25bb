"""One entry of the journal, and how it is put into a row and taken out again.

What is recorded comes from anywhere, requests of unknown clients included. Here it becomes
what every reader can take: valid UTF-8, strict JSON, and no longer than it needs to be.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

LONGEST_TEXT = 2_000
"""Characters of a text, and of the id of an instance."""

LONGEST_DATA = 16_000
"""Characters of an entry's data as JSON: twenty lines of output fit in."""

Row = tuple[float, str, str | None, str, str]
"""Time, kind, instance-id, text, data: the columns without the number."""


class Kind(StrEnum):
    """What an entry is about."""

    MANAGER = "manager"  # the manager itself started or ended
    REQUEST = "request"  # somebody asked for something
    RESULT = "result"  # what became of it
    RELOAD = "reload"  # the site config was read
    LAUNCH = "launch"  # a process came to be, or was taken up
    EXIT = "exit"  # a process ended
    STATE = "state"  # neither, but the state changed
    OUTPUT = "output"  # the last lines of a process that ended
    ROUTER = "router"  # the router went, or came back
    JOURNAL = "journal"  # of the journal itself: what was lost, what was set aside


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened.

    Attributes:
        time: Unix time, seconds.
        kind: What it is about.
        text: A sentence or less, for people.
        instance_id: Whom it concerns; None: not one instance alone.
        data: The same for programs. Not to be changed once it was recorded.
    """

    time: float
    kind: Kind
    text: str
    instance_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def to_row(entry: Entry) -> Row:
    """Put an entry into a row; whatever is in it, this works."""
    try:
        instance_id = None if entry.instance_id is None else _text(entry.instance_id)
        return float(entry.time), str(entry.kind), instance_id, _text(entry.text), _json(entry.data)
    except Exception as error:  # one that cannot be written must not keep the rest from being
        text = f"an entry could not be written down ({type(error).__name__})"
        return time.time(), Kind.JOURNAL.value, None, text, "{}"


def from_row(row: tuple[Any, ...]) -> dict[str, Any]:
    """Make what clients get: `row` has the number before the rest."""
    number, time, kind, instance_id, text, data = row
    return {
        "id": number,
        "time": time,
        "kind": kind,
        "instance_id": instance_id,
        "text": text,
        "data": _data(data),
    }


def _text(text: str) -> str:
    text = str(text)
    if len(text) > LONGEST_TEXT:
        text = text[: LONGEST_TEXT - 1] + "…"
    return _valid(text)


def _valid(text: str) -> str:
    """Replace lone surrogates: neither SQLite nor WAMP takes them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _json(data: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(data, default=str, allow_nan=False, ensure_ascii=False)
    except Exception:  # NaN, a key that is no string, a loop, a `__str__` that raises
        return json.dumps({"unreadable": "it was not JSON"})
    if len(text) > LONGEST_DATA:
        return json.dumps({"clipped": _valid(text[: LONGEST_DATA // 2])}, ensure_ascii=False)
    return _valid(text)


def _data(text: Any) -> dict[str, Any]:
    """Read the data of a row; somebody may have edited the file."""
    try:
        found = json.loads(text, parse_constant=lambda name: None)
    except (ValueError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
