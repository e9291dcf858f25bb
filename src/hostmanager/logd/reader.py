"""Reading the output files: the newest lines, from as many files as it takes.

Files are read from their ends, so the time and memory that it takes depend on the request and
not on the size of the files; `MAX_PAGE_BYTES` bounds both, even for a line that never ends. Bytes
that are not UTF-8 are repaired for showing only.
"""

import bisect
import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from hostmanager.logd import output_files, paths
from hostmanager.logd.output_files import (
    Chunk,
    OutputFile,
    load_timestamps,
    open_all,
    open_file,
    read_backwards,
)
from hostmanager.util.text import last_state

MAX_PAGE_LINES = 10_000
"""Lines of one page, at most."""

MAX_LINE_CHARS = 4096
"""Characters of a line that are shown; what is longer ends with "…"."""

_MAX_ATTEMPTS = 10
_MAX_FILES = 1000

TimedLine = tuple[float | None, str]
"""When it began (unix time; None: not known), and its text, without its end."""


@dataclass(frozen=True, slots=True)
class Position:
    """A position in the output of an instance, which rotation does not change.

    Attributes:
        generation: Identifies the file, see `timestamps`; 0: not known.
        offset: In the file, bytes.
    """

    generation: int
    offset: int


@dataclass(frozen=True, slots=True)
class Page:
    """Lines, and where the next older ones end.

    Attributes:
        lines: The oldest first.
        more: Whether older ones exist.
        older: Older ones are before this position; None: none exist, or it is not known.
    """

    lines: list[TimedLine]
    more: bool = False
    older: Position | None = None


class _LocatedLine(NamedTuple):
    """A line, and where it begins."""

    line: TimedLine
    position: Position


@dataclass(slots=True)
class _ReadLimits:
    """When enough is read."""

    lines: int
    since: float | None = None
    start: Position | None = None
    end: Position | None = None
    end_exists: bool = False  # else the end may be in a file that was removed
    reached_since: bool = False
    chunks: list[Chunk] = field(default_factory=list)  # the newest first
    size: int = 0
    newlines: int = 0
    whole: bool = False  # the oldest chunk begins where a line does

    def add(self, chunk: Chunk) -> bool:
        """Add a chunk; report whether it is enough."""
        self.chunks.append(chunk)
        self.size += len(chunk.data)
        self.newlines += chunk.data.count(b"\n")
        if self.newlines > self.lines or self.size >= output_files.MAX_PAGE_BYTES:
            return True
        if self.since is None:
            return False
        when = chunk.timestamps.at(chunk.offset)
        self.reached_since = when is not None and when < self.since - 1.0
        return self.reached_since


def tail(
    files: Path, instance_id: str, lines: int = 100, since: float | None = None
) -> list[TimedLine]:
    """The newest lines of an instance; see `newest_page`."""
    return newest_page(files, instance_id, lines, since).lines


def newest_page(
    files: Path,
    instance_id: str,
    lines: int = 100,
    since: float | None = None,
    before: Position | None = None,
) -> Page:
    """The newest lines of an instance, the oldest of them first.

    Args:
        files: The directory of the output files.
        instance_id: The instance.
        lines: How many at most; never more than `MAX_PAGE_LINES`.
        since: Only those that came later, unix time. Those of unknown time count as earlier.
        before: Only those before this position. If that file has been removed, so are all older.

    Raises:
        ValueError: The id cannot be part of a file name.
    """
    count = max(0, min(lines, MAX_PAGE_LINES))
    limits = _ReadLimits(count, since, end=before, end_exists=before is not None)
    located = _read(files, instance_id, limits)
    if since is not None:
        located = [at for at in located if at.line[0] is not None and at.line[0] >= since]
        limits.whole |= limits.reached_since
    chosen = located[-count:] if count else []
    more = bool(chosen) and (len(chosen) < len(located) or not limits.whole)
    known = more and chosen[0].position.generation
    return Page([at.line for at in chosen], more, chosen[0].position if known else None)


def position(files: Path, instance_id: str) -> Position:
    """Where the next byte of an instance will be. Call `LogDaemonClient.flush` before.

    Raises:
        ValueError: The id cannot be part of a file name.
    """
    for _ in range(_MAX_ATTEMPTS):
        before = load_timestamps(files, instance_id, 0).generation
        size = 0
        with suppress(OSError), open_file(paths.log_file(str(files), instance_id)) as file:
            size = os.fstat(file.fileno()).st_size
        if before == load_timestamps(files, instance_id, 0).generation:
            return Position(before, size)
    return Position(0, 0)


def position_at(files: Path, instance_id: str, when: float) -> Position:
    """Where the output since a unix time begins, to 0.1 s; as far as that is known.

    Raises:
        ValueError: The id cannot be part of a file name.
    """
    oldest = Position(0, 0)
    for slot in range(_MAX_FILES):
        timestamps = load_timestamps(files, instance_id, slot)
        if timestamps.since is None:
            break
        offset = timestamps.first_since(when)
        if offset is None:  # it came later than all of this file
            return oldest if slot else position(files, instance_id)
        oldest = Position(timestamps.generation, offset)
        if timestamps.since < when:
            break
    return oldest


def lines_since(
    files: Path, instance_id: str, start: Position, lines: int = 20, end: Position | None = None
) -> list[TimedLine]:
    """The newest lines after a position and before another: those of one run.

    Raises:
        ValueError: The id cannot be part of a file name.
    """
    count = max(0, min(lines, MAX_PAGE_LINES))
    located = _read(files, instance_id, _ReadLimits(count, start=start, end=end))
    return [at.line for at in located[-count:]] if count else []


# --- collecting bytes, the newest first ---------------------------------------------------


def _read(files: Path, instance_id: str, limits: _ReadLimits) -> list[_LocatedLine]:
    paths.validate_id(instance_id)
    if not limits.lines:
        return []
    for attempt in range(_MAX_ATTEMPTS):
        with ExitStack() as stack:
            opened, is_stable = open_all(files, instance_id, stack)
            if is_stable or attempt == _MAX_ATTEMPTS - 1:
                _collect(opened, limits)
                return _split(limits)
    raise AssertionError("unreachable")


def _collect(opened: list[OutputFile], limits: _ReadLimits) -> None:
    start, end = limits.start, limits.end
    skipping = end is not None and end.generation in {f.timestamps.generation for f in opened}
    limits.whole = limits.end_exists and not skipping
    for file in () if limits.whole else opened:
        generation = file.timestamps.generation
        stop = None
        if skipping and end is not None:
            if generation != end.generation:
                continue
            skipping, stop = False, end.offset
        is_last = start is not None and start.generation != 0 and generation == start.generation
        first = start.offset if is_last and start is not None else 0
        for chunk in read_backwards(file, first, stop):
            if limits.add(chunk):
                return
        if is_last:
            break
    limits.whole = True


# --- making lines of them -----------------------------------------------------------------


def _split(limits: _ReadLimits) -> list[_LocatedLine]:
    chunks = limits.chunks[::-1]
    data = b"".join(chunk.data for chunk in chunks)
    starts = [0, *accumulate(len(chunk.data) for chunk in chunks)]  # of the chunks, in `data`
    located: list[_LocatedLine] = []
    at = 0
    for raw in data.split(b"\n"):
        if at < len(data):
            shown = last_state(raw, b"\r")
            where, _ = _locate(chunks, starts, at)
            _, when = _locate(chunks, starts, at + (raw.rindex(shown) if shown else 0))
            located.append(_LocatedLine((when, _decode(shown)), where))
        at += len(raw) + 1
    if not limits.whole and located:  # the first one is the end of a longer one
        (when, _), where = located.pop(0)
        if not located:
            text = last_state(data[-4 * MAX_LINE_CHARS :], b"\r").decode("utf-8", "replace")
            located.append(_LocatedLine((when, "…" + text[-(MAX_LINE_CHARS - 1) :]), where))
    return located


def _locate(chunks: list[Chunk], starts: list[int], at: int) -> tuple[Position, float | None]:
    """Where a byte of the joined chunks is in its file, and when it came."""
    index = bisect.bisect_right(starts, at) - 1
    chunk = chunks[index]
    offset = chunk.offset + at - starts[index]
    return Position(chunk.timestamps.generation, offset), chunk.timestamps.at(offset)


def _decode(raw: bytes) -> str:
    # Each character is of one byte at least and of four at most.
    text = raw[: 4 * MAX_LINE_CHARS + 4].decode("utf-8", "replace")
    return text if len(text) <= MAX_LINE_CHARS else text[: MAX_LINE_CHARS - 1] + "…"
