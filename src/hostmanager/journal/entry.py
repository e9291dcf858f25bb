"""One entry of the journal, and its conversion into a row of the table and back.

An entry may hold anything, requests of unknown clients included. Here it becomes what every
reader can take: valid UTF-8, strict JSON, and of a bounded length.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_ENTRY_TEXT_CHARS = 2_000
"""Characters of a text, and of an instance id."""

MAX_DATA_CHARS = 16_000
"""Characters of an entry's data as JSON: twenty lines of output fit in."""

EntryRow = tuple[float, str, str | None, str, str]
"""Time, kind, instance id, text, data: the columns without the number."""


class EntryKind(StrEnum):
    """The subject of an entry."""

    MANAGER = "manager"  # the manager itself started or ended
    REQUEST = "request"  # a request of an operator or client
    RESULT = "result"  # its result
    RELOAD = "reload"  # the site config was read
    LAUNCH = "launch"  # a process was launched or adopted
    EXIT = "exit"  # a process ended
    STATE = "state"  # neither, but the state changed
    OUTPUT = "output"  # the last lines of a process that ended
    HEALTH = "health"  # whether it answers, and how its operations are, has changed
    ROUTER = "router"  # the connection to the router was lost, or is back
    JOURNAL = "journal"  # the journal itself: lost entries, a corrupt file


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened.

    Attributes:
        time: Unix time, seconds.
        kind: What it is about.
        text: A sentence or less, for people.
        instance_id: The instance; None: it is not about one instance alone.
        data: The same for programs. Not to be changed once it was recorded.
    """

    time: float
    kind: EntryKind
    text: str
    instance_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def to_row(entry: Entry) -> EntryRow:
    """Convert an entry into a row; whatever is in it, this works."""
    try:
        instance_id = None if entry.instance_id is None else _text(entry.instance_id)
        return float(entry.time), str(entry.kind), instance_id, _text(entry.text), _json(entry.data)
    except Exception as error:  # one entry that cannot be written must not block the others
        text = f"an entry could not be written ({type(error).__name__})"
        return time.time(), EntryKind.JOURNAL.value, None, text, "{}"


def from_row(row: tuple[Any, ...]) -> dict[str, Any]:
    """Convert a row, with its number first, into what clients get."""
    names = ("id", "time", "kind", "instance_id", "text")
    return {**dict(zip(names, row, strict=False)), "data": _data(row[-1])}


def _text(text: str) -> str:
    text = str(text)
    return _valid(
        text if len(text) <= MAX_ENTRY_TEXT_CHARS else text[: MAX_ENTRY_TEXT_CHARS - 1] + "…"
    )


def _valid(text: str) -> str:
    """Replace lone surrogates: neither SQLite nor WAMP accepts them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _json(data: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(data, default=str, allow_nan=False, ensure_ascii=False)
    except Exception:  # NaN, a key that is no string, a loop, a `__str__` that raises
        return json.dumps({"unreadable": "it was not JSON"})
    if len(text) > MAX_DATA_CHARS:
        return json.dumps({"clipped": _valid(text[: MAX_DATA_CHARS // 2])}, ensure_ascii=False)
    return _valid(text)


def _data(text: Any) -> dict[str, Any]:
    """Read the data of a row; somebody may have edited the file."""
    try:
        data = json.loads(text, parse_constant=lambda name: None)
    except (ValueError, TypeError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
