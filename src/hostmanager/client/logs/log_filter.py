"""Which lines of output are shown: by a pattern, by level. A record has all its lines.

What agents print has many forms: those of Python's logging, of Twisted, txaio (which OCS uses) and
crossbar, and plain text. A record is a line and what belongs to it: its traceback, and lines that
are indented. The level of a record is the one that its first line names; where it names none, as
in the form of txaio and crossbar, it is *info*, and with a traceback *error* at least. So is a
failure of Twisted, in which OCS reports an operation that raised an exception.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
"""The levels of Python's logging."""

_NAMES = {
    **LEVELS,
    **{"trace": 10, "notice": 20, "warn": 30, "err": 40, "crit": 50, "fatal": 50},
}
_ANY_NAME = re.compile("|".join(_NAMES), re.IGNORECASE)
_STAMP = re.compile(r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?\s*")
_TWISTED = re.compile(r"\[[^\]\s]*#(\w+)\]")
_FIRST_WORD = re.compile(r"(?:[\[(<](\w+)[\])>]|(\w+):)(?:\s|$)")
_BETWEEN = re.compile(r"[\s:|\[\]()<>-]+")
_PREFIX_CHARS = 160
_PREFIX_WORDS = 5
_TRACEBACK = "Traceback (most recent call last)"
_FAILURE = "[Failure instance: Traceback"
_FAILURE_END = "]"
_IN_TRACEBACK = (_TRACEBACK, "During handling of the above", "The above exception was", "--- <")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of output.

    Attributes:
        time: When it was written (Unix); None: unknown.
        host: Of the agent.
        instance_id: Of the agent.
        text: Without its end.
    """

    time: float | None
    host: str
    instance_id: str
    text: str


def level_of(line: str) -> int | None:
    """Find the level that a line names at its beginning; None if it names none."""
    stamp = _STAMP.match(line)
    begin = stamp.end() if stamp else 0
    text = line[begin : begin + _PREFIX_CHARS]
    if not _ANY_NAME.search(text):
        return None
    if match := _TWISTED.match(text):
        return _NAMES.get(match[1].lower())
    if (match := _FIRST_WORD.match(text)) and (match[1] or match[2]).lower() in _NAMES:
        return _NAMES[(match[1] or match[2]).lower()]
    words = [word for word in _BETWEEN.split(text) if word][:_PREFIX_WORDS]
    return next((_NAMES[w.lower()] for w in words if w.isupper() and w.lower() in _NAMES), None)


@dataclass(slots=True)
class LogRecord:
    """A line with what belongs to it.

    Attributes:
        lines: At least one.
        is_headless: Whether its first line is missing.
        in_traceback: Whether the next line can be the end of a traceback.
        in_failure: Whether the next line can be of a failure of Twisted.
    """

    lines: list[LogLine]
    is_headless: bool = False
    in_traceback: bool = False
    in_failure: bool = False

    def owns(self, text: str) -> bool:
        """Whether a line that follows belongs to it; it is not added."""
        if _STAMP.match(text) or level_of(text) is not None:
            return False
        if not text.strip() or text[0] in " \t" or text.startswith(_IN_TRACEBACK):
            return True
        return self.in_traceback or self.in_failure

    def add(self, line: LogLine) -> None:
        """Add a line that belongs to it."""
        self.lines.append(line)
        self._note(line.text)

    def _note(self, text: str) -> None:
        if _FAILURE in text or text.startswith(_FAILURE_END):
            self.in_failure = not text.rstrip().endswith(_FAILURE_END)
        if _TRACEBACK in text or text.startswith(_IN_TRACEBACK):
            self.in_traceback = True
        elif text.strip() and text[0] not in " \t":
            self.in_traceback = False  # the line with the exception ends it

    @property
    def level(self) -> int:
        """The level, as of Python's logging."""
        level = level_of(self.lines[0].text) or LEVELS["info"]
        has_traceback = any(_TRACEBACK in line.text or _FAILURE in line.text for line in self.lines)
        return max(level, LEVELS["error"]) if has_traceback else level

    @classmethod
    def begin(cls, line: LogLine) -> "LogRecord":
        """Make the record that begins with this line."""
        indented = line.text[:1] in {" ", "\t"} or line.text.startswith(_IN_TRACEBACK[1:])
        record = cls([line], is_headless=indented, in_traceback=line.text.startswith("  File "))
        if not indented:
            record._note(line.text)
        return record


def split_records(lines: Iterable[LogLine], before: LogRecord | None = None) -> list[LogRecord]:
    """Make records of lines.

    Args:
        lines: The oldest first.
        before: The record before them; what belongs to it is added to it, and it comes first.
    """
    records = [] if before is None else [before]
    for line in lines:
        if records and records[-1].owns(line.text):
            records[-1].add(line)
        else:
            records.append(LogRecord.begin(line))
    return records


@dataclass(frozen=True, slots=True)
class LogFilter:
    """The selection of records.

    Attributes:
        pattern: One line of the record fits it; None: any.
        level: The record has this level at least; 0: any.
    """

    pattern: re.Pattern[str] | None = None
    level: int = 0

    @property
    def is_active(self) -> bool:
        """Whether there is a selection at all."""
        return self.pattern is not None or self.level > 0

    def matches(self, record: LogRecord) -> bool:
        """Whether a record is shown."""
        if self.level and record.level < self.level:
            return False
        pattern = self.pattern
        return pattern is None or any(pattern.search(line.text) for line in record.lines)


@dataclass(slots=True)
class FollowedFilter:
    """Selects from lines that come one after the other: a traceback may come after its line."""

    selection: LogFilter
    _last: LogRecord | None = None
    _shown: int = field(default=0)  # lines of it

    def begin_with(self, record: LogRecord, *, shown: bool) -> None:
        """Take the newest record of what was read before, and whether it was shown."""
        self._last, self._shown = record, len(record.lines) if shown else 0

    def select(self, lines: Sequence[LogLine]) -> list[LogLine]:
        """Select from these lines, and what is now known to be shown of those before."""
        if not self.selection.is_active:
            return list(lines)
        records = split_records(lines, self._last)
        chosen: list[LogLine] = []
        for record in records:
            shown = self._shown if record is self._last else 0
            matches = self.selection.matches(record)
            chosen += record.lines[shown:] if matches else []
            if record is records[-1]:
                self._last, self._shown = record, len(record.lines) if matches else 0
        return chosen
