"""Which output of an agent a page shows: what was asked for, and how it is read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hostmanager.client.logs.log_filter import (
    LEVELS,
    FollowedFilter,
    LogFilter,
    LogLine,
    level_of,
    split_records,
)
from hostmanager.client.logs.log_reader import LogSource
from hostmanager.client.text import format_time, parse_since, sanitize, strip_timestamp
from hostmanager.util.text import truncate
from hostmanager.web.errors import PageError
from hostmanager.web.feeds.output import Batch

LINES = 200
"""Lines that a page shows; a live one begins with them."""

MAX_LINES = 5_000
"""Lines that a page shows at most: browsers get slow."""

MAX_DOWNLOAD_LINES = 100_000

MAX_PAGES = 40
"""Answers of a manager, of 10,000 lines or half a MiB each, that are searched."""

MAX_SEARCH_CHARS = 200


@dataclass(frozen=True, slots=True)
class OutputQuery:
    """What is asked for.

    Attributes:
        search: A text that a record has, in any case; empty: any. No regular expression: one that
            takes for ever would stop the server.
        level: The name of the least level; empty: any.
        since: Of the time of the lines, as typed; empty: any.
        until: The same; the end is not part of it.
        lines: How many.
    """

    search: str = ""
    level: str = ""
    since: str = ""
    until: str = ""
    lines: int = LINES

    @classmethod
    def of(
        cls, fields: Mapping[str, str], default: int = LINES, most: int = MAX_LINES
    ) -> "OutputQuery":
        """Read it.

        Args:
            fields: As they came from a browser.
            default: Lines, if the query names no number.
            most: Lines at most.

        Raises:
            PageError: It makes no sense.
        """
        given = {name: fields.get(name, "").strip() for name in ("level", "since", "until")}
        level = given["level"].lower()
        if level and level not in LEVELS:
            raise PageError(f"{level!r:.60} is not a level; they are {', '.join(LEVELS)}.")
        search = fields.get("search", "")
        if len(search) > MAX_SEARCH_CHARS:
            raise PageError(f"The text to search has more than {MAX_SEARCH_CHARS} characters.")
        lines = fields.get("lines", "")
        if lines and not (lines.isdecimal() and len(lines) < 9 and 1 <= int(lines) <= most):
            raise PageError(f"'lines' is {truncate(lines, 40)!r}; it must be from 1 to {most}.")
        query = cls(search, level, given["since"], given["until"], int(lines or default))
        query.times()
        return query

    def times(self) -> tuple[float | None, float | None]:
        """Both times; ages are turned into times by the manager's clock when it is asked.

        Raises:
            PageError: One makes no sense.
        """
        try:
            since, until = (
                parse_since(text[:60]) if text else None for text in (self.since, self.until)
            )
        except (ValueError, OverflowError) as error:
            raise PageError(str(error)) from None
        return since, until

    @property
    def is_live(self) -> bool:
        """Whether new lines belong to it."""
        return not (self.since or self.until)

    @property
    def selection(self) -> LogFilter:
        """Which records are wanted."""
        pattern = re.compile(re.escape(self.search), re.IGNORECASE) if self.search else None
        return LogFilter(pattern, LEVELS.get(self.level, 0))

    def select_from(self, source: LogSource) -> LogSource:
        """A source of the same agent that reads what is wanted, and no more than MAX_PAGES."""
        since, until = self.times()
        return replace(
            source, selection=self.selection, since=since, until=until, max_pages=MAX_PAGES
        )


@dataclass(frozen=True, slots=True)
class OutputView:
    """What is shown.

    Attributes:
        lines: The oldest first.
        notes: What is not shown, in sentences.
    """

    lines: Sequence[LogLine]
    notes: tuple[str, ...] = ()


def read_selected(
    query: OutputQuery, source: LogSource, limit: float, before: float | None = None
) -> OutputView:
    """Read what was asked for from a manager. Blocks.

    Args:
        query: What was asked for.
        source: What reads it.
        limit: Seconds for each answer of the manager.
        before: Unix time that ends it, instead of that of the query.

    Raises:
        ManagerError: No answer.
    """
    chosen = query.select_from(source)
    chosen.until = chosen.until if before is None else before
    lines = chosen.read(query.lines, limit)
    newest = lines[-query.lines :]
    return OutputView(newest, tuple(_cut_notes(len(newest), query, is_cut=chosen.truncated)))


def _cut_notes(count: int, query: OutputQuery, *, is_cut: bool) -> list[str]:
    if not is_cut:
        return []
    if count >= query.lines:
        return [f"These are the newest {count} lines; there are older ones."]
    return [
        "Not all of its output was searched, since there is too much of it; `hostmanager logs` has no "
        "such limit."
    ]


def select_live(query: OutputQuery, kept: Sequence[LogLine]) -> list[LogLine]:
    """The newest lines that are wanted of those that a feed keeps."""
    if not query.selection.is_active:
        return list(kept)[-query.lines :]
    records = [record for record in split_records(kept) if query.selection.matches(record)]
    return [line for record in records for line in record.lines][-query.lines :]


def older_than(kept: Sequence[LogLine]) -> tuple[float | None, list[LogLine]]:
    """Where older output ends, exactly, and the kept lines from there on.

    A feed may begin in the middle of the lines of one moment. So that none is shown twice or
    left out, what is searched elsewhere ends at the second moment of the feed.
    """
    first = next((line.time for line in kept if line.time is not None), None)
    for number, line in enumerate(kept):
        if first is not None and line.time is not None and line.time > first:
            return line.time, list(kept)[number:]
    return None, []


def search(
    query: OutputQuery, kept: Sequence[LogLine], source: LogSource, limit: float
) -> OutputView:
    """What a live page begins with: of what its feed keeps, and of what is older. May block.

    Raises:
        ManagerError: No answer.
    """
    chosen = select_live(query, kept)
    if len(chosen) >= query.lines or not query.selection.is_active:
        return OutputView(chosen)
    until, rest = older_than(kept)
    older = read_selected(query, source, limit, until)
    lines = [*older.lines, *select_live(query, rest)]
    return OutputView(lines[-query.lines :], older.notes)


class LiveSelection:
    """Selects from the batches of a feed: a traceback may come after its line."""

    def __init__(self, query: OutputQuery, before: Sequence[LogLine]) -> None:
        self._query = query
        self._begin(before)

    def _begin(self, before: Sequence[LogLine]) -> None:
        selection = self._query.selection
        self._followed = FollowedFilter(selection)
        if records := split_records(before):
            self._followed.begin_with(records[-1], shown=selection.matches(records[-1]))

    def data(self, batch: Batch, now: float) -> dict[str, Any]:
        """A batch as the browser gets it."""
        if batch.missing:
            self._begin(())
        lines = self._followed.select(batch.lines)
        return {
            "lines": [line_data(line, now) for line in lines],
            "missing": batch.missing,
            "error": batch.error,
        }


def line_data(line: LogLine, now: float) -> dict[str, str]:
    """A line as the browser gets it: its time, its text, and the class of its level."""
    return {
        "time": format_time(line.time, now, fine=True) or "?",
        "text": sanitize(strip_timestamp(line.text)),
        "level": level_class(line.text),
    }


def level_class(text: str) -> str:
    """How a line looks: ``error``, ``warning`` or empty."""
    level = level_of(text) or 0
    return "error" if level >= LEVELS["error"] else "warning" if level >= LEVELS["warning"] else ""


def text_lines(view: OutputView, now: float) -> str:
    """The same as a file: the times, and the lines as they are printed by `hostmanager logs`."""
    notes = [f"# {note}\n" for note in view.notes]
    lines = [
        f"{format_time(line.time, now, fine=True) or '?':12} {sanitize(line.text)}\n"
        for line in view.lines
    ]
    return "".join((*notes, *lines))
