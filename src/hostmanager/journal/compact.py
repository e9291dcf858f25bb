"""Entries in a short form: what a timeline needs of them, a month of a busy host in one answer.

Columns instead of mappings, each distinct text and each distinct data once, numbers as differences;
all of it packed. The last lines of output are left out, and process ids and lengths of runs in texts,
which make each text another one.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from hostmanager.journal.store import Query, open_readonly

COMPACT_KEYS = (
    *("from", "to", "target", "expected", "launched", "event", "operation", "ok"),
    *("seconds", "alive_until"),
)
"""What is kept of the data of an entry."""

MAX_COMPACT_TEXT = 300
"""Characters of a text."""

MAX_UNPACKED_CHARS = 16 * 1024 * 1024
"""Characters of all texts of one answer: what a hostile client could make the manager hold."""

_TEXT = f"""CASE kind WHEN 'launch' THEN ''
    WHEN 'exit' THEN substr(text, 1, CASE instr(text, ' after ') WHEN 0 THEN {MAX_COMPACT_TEXT}
        ELSE min(instr(text, ' after ') - 1, {MAX_COMPACT_TEXT}) END)
    ELSE substr(text, 1, {MAX_COMPACT_TEXT}) END"""
_DATA = f"""json_extract(CASE WHEN json_valid(data) THEN data ELSE '{{}}' END,
    {", ".join(f"'$.{key}'" for key in COMPACT_KEYS)})"""
_COLUMNS = f"id, CAST(time * 1000 AS INTEGER), instance_id, kind, {_DATA}, {_TEXT}"

_LEVEL = 1
"""Of zlib: the fastest; others make it hardly smaller."""

_Row = tuple[int, int, str | None, str, str, str]


@dataclass(frozen=True, slots=True)
class CompactPage:
    """Entries in the short form.

    Attributes:
        text: Base64 of zlib's form of JSON; `docs/operations.md` has what is in it.
        count: How many they are.
        older: What to give as `before` for the next older ones; None: there are none.
    """

    text: str
    count: int
    older: int | None


def read_compact(path: Path, query: Query) -> CompactPage:
    """Read entries in the short form, at most `query.max_chars` characters of it.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    where, values = query.where("kind <> 'output'")
    select = f"SELECT {_COLUMNS} FROM entries {where}ORDER BY id DESC LIMIT ?"
    rows: list[_Row] = []
    chars, has_older = 0, False
    with closing(open_readonly(path)) as database:
        for row in database.execute(select, (*values, query.limit + 1)):
            chars += len(row[-1]) + len(row[-2])
            has_older = len(rows) == query.limit or (bool(rows) and chars > MAX_UNPACKED_CHARS)
            if has_older:
                break
            rows.append(row)
    text = _pack(rows[::-1])
    while query.max_chars is not None and len(text) > query.max_chars and len(rows) > 1:
        del rows[len(rows) // 2 :]
        has_older, text = True, _pack(rows[::-1])
    return CompactPage(text, len(rows), rows[-1][0] if has_older else None)


def _pack(rows: Sequence[_Row]) -> str:
    columns = list(zip(*rows, strict=True)) or [()] * 6
    names, facts, texts = (_Distinct() for _ in range(3))
    packed = {
        "ids": _differences(columns[0]),
        "milliseconds": _differences(columns[1]),
        "instance": [names[name] for name in columns[2]],
        "fact": [facts[fact] for fact in zip(columns[3], columns[4], strict=True)],
        "text": [texts[text] for text in columns[5]],
        "instances": list(names),
        "facts": [[kind, *json.loads(data)] for kind, data in facts],
        "texts": list(texts),
        "keys": COMPACT_KEYS,
    }
    encoded = json.dumps(packed, separators=(",", ":")).encode()
    return base64.b64encode(zlib.compress(encoded, _LEVEL)).decode()


class _Distinct(dict[Any, int]):
    """Distinct values in the order in which they came, each with its place."""

    def __missing__(self, value: Any) -> int:
        self[value] = len(self)
        return self[value]


def _differences(numbers: Sequence[int]) -> list[int]:
    return [number - before for before, number in pairwise((0, *numbers))]
