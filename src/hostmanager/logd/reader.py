"""Reading the output files: the newest lines, from as many files as it takes.

Files are read from their ends, so the time and memory that it takes depend on the request and
not on the size of the files; `MAX_PAGE_BYTES` bounds both, even for a line that never ends. Bytes
that are not UTF-8 are repaired for showing only. The log daemon may rotate at any moment: all
files are opened first, and opened again if they moved meanwhile, so no line is missed or doubled.
"""

import bisect
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, NamedTuple

from hostmanager.logd import paths
from hostmanager.logd.timestamps import TimestampIndex
from hostmanager.util.files import open_own
from hostmanager.util.text import last_state

MAX_PAGE_BYTES = 4 * 1024 * 1024
"""Bytes that one page is made of, at most."""

MAX_PAGE_LINES = 10_000
"""Lines of one page, at most."""

MAX_LINE_CHARS = 4096
"""Characters of a line that are shown; what is longer ends with "…"."""

_BLOCK = 64 * 1024
_MAX_TIMESTAMPS_BYTES = 64 * 1024 * 1024
_MAX_ATTEMPTS = 10
_MAX_FILES = 1000
_GZIP = 31

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


@dataclass(slots=True)
class _File:
    """One output file, open."""

    slot: int
    file: BinaryIO
    compressed: bool
    timestamps: TimestampIndex


class _LocatedLine(NamedTuple):
    """A line, and where it begins."""

    line: TimedLine
    position: Position


@dataclass(slots=True)
class _Chunk:
    """Bytes at an offset of a file."""

    data: bytes
    offset: int
    timestamps: TimestampIndex


@dataclass(slots=True)
class _ReadLimits:
    """When enough is read."""

    lines: int
    since: float | None = None
    start: Position | None = None
    end: Position | None = None
    end_exists: bool = False  # else the end may be in a file that was removed
    reached_since: bool = False
    chunks: list[_Chunk] = field(default_factory=list)  # the newest first
    size: int = 0
    newlines: int = 0
    whole: bool = False  # the oldest chunk begins where a line does

    def add(self, chunk: _Chunk) -> bool:
        """Add a chunk; report whether it is enough."""
        self.chunks.append(chunk)
        self.size += len(chunk.data)
        self.newlines += chunk.data.count(b"\n")
        if self.newlines > self.lines or self.size >= MAX_PAGE_BYTES:
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
        before = _load_timestamps(files, instance_id, 0).generation
        size = 0
        with suppress(OSError), _open_file(paths.log_file(str(files), instance_id)) as file:
            size = os.fstat(file.fileno()).st_size
        if before == _load_timestamps(files, instance_id, 0).generation:
            return Position(before, size)
    return Position(0, 0)


def position_at(files: Path, instance_id: str, when: float) -> Position:
    """Where the output since a unix time begins, to 0.1 s; as far as that is known.

    Raises:
        ValueError: The id cannot be part of a file name.
    """
    oldest = Position(0, 0)
    for slot in range(_MAX_FILES):
        timestamps = _load_timestamps(files, instance_id, slot)
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
            opened, is_stable = _open_all(files, instance_id, stack)
            if is_stable or attempt == _MAX_ATTEMPTS - 1:
                _collect(opened, limits)
                return _split(limits)
    raise AssertionError("unreachable")


def _open_all(files: Path, instance_id: str, stack: ExitStack) -> tuple[list[_File], bool]:
    """Open all files, the newest first; report whether none of them moved meanwhile.

    They move one after the other, the newest last: one may be opened under two names.
    """
    opened: list[_File] = []
    before = _identity(files, instance_id)
    slot = missing = 0
    while missing < 2:  # one may be missing, for a moment
        file = _open_slot(files, instance_id, slot)
        if file is not None:
            stack.enter_context(file.file)
            opened.append(file)
        missing = 0 if file is not None or slot == 0 else missing + 1
        slot += 1
    inodes = {os.fstat(file.file.fileno()).st_ino for file in opened}
    return opened, len(inodes) == len(opened) and before == _identity(files, instance_id)


def _identity(files: Path, instance_id: str) -> tuple[int, int]:
    with suppress(OSError):
        status = Path(paths.log_file(str(files), instance_id)).lstat()
        return status.st_dev, status.st_ino
    return 0, 0


def _open_slot(files: Path, instance_id: str, slot: int) -> _File | None:
    # Plain first: that is removed only when the compressed one is there.
    plain, compressed = paths.log_file(str(files), instance_id, slot), ""
    if slot:
        compressed = paths.compressed_file(str(files), instance_id, slot)
    for path in filter(None, (plain, compressed)):
        with suppress(OSError):
            return _File(
                slot,
                _open_file(path),
                path == compressed,
                _load_timestamps(files, instance_id, slot),
            )
    return None


def _open_file(path: str) -> BinaryIO:
    return os.fdopen(open_own(path, os.O_RDONLY), "rb", buffering=0)


def _load_timestamps(files: Path, instance_id: str, slot: int) -> TimestampIndex:
    with (
        suppress(OSError),
        _open_file(paths.timestamps_file(str(files), instance_id, slot)) as file,
    ):
        # `read` takes as much memory as it is allowed to read, before it reads.
        return TimestampIndex(
            file.read(min(os.fstat(file.fileno()).st_size, _MAX_TIMESTAMPS_BYTES))
        )
    return TimestampIndex(b"")


def _collect(opened: list[_File], limits: _ReadLimits) -> None:
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
        for chunk in _read_backwards(file, first, stop):
            if limits.add(chunk):
                return
        if is_last:
            break
    limits.whole = True


def _read_backwards(file: _File, first: int, stop: int | None) -> Iterator[_Chunk]:
    """The bytes between two offsets, in chunks, the last one first."""
    with suppress(OSError, zlib.error):
        if file.compressed:
            yield from _read_compressed(file, first, stop)
            return
        size = os.fstat(file.file.fileno()).st_size
        stop = size if stop is None else min(size, stop)
        while stop > first:
            offset = max(first, stop - _BLOCK)
            data = os.pread(file.file.fileno(), stop - offset, offset)
            yield _Chunk(data, offset, file.timestamps)
            stop = offset


def _read_compressed(file: _File, first: int, stop: int | None) -> Iterator[_Chunk]:
    """Read a compressed file backwards: it can only be decompressed from its beginning."""
    decompressor = zlib.decompressobj(_GZIP)
    kept, offset = bytearray(), 0  # the last MAX_PAGE_BYTES before `stop`, and where they begin
    while not decompressor.eof:
        block = decompressor.unconsumed_tail or file.file.read(_BLOCK)
        room = MAX_PAGE_BYTES if stop is None else min(MAX_PAGE_BYTES, stop - offset - len(kept))
        if not block or room <= 0:
            break
        kept += decompressor.decompress(block, room)
        excess = len(kept) - MAX_PAGE_BYTES
        if excess > 0:
            del kept[:excess]
            offset += excess
    last = offset + len(kept) if stop is None else min(stop, offset + len(kept))
    for end in range(last, max(first, offset), -_BLOCK):
        begin = max(first, offset, end - _BLOCK)
        yield _Chunk(bytes(kept[begin - offset : end - offset]), begin, file.timestamps)


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


def _locate(chunks: list[_Chunk], starts: list[int], at: int) -> tuple[Position, float | None]:
    """Where a byte of the joined chunks is in its file, and when it came."""
    index = bisect.bisect_right(starts, at) - 1
    chunk = chunks[index]
    offset = chunk.offset + at - starts[index]
    return Position(chunk.timestamps.generation, offset), chunk.timestamps.at(offset)


def _decode(raw: bytes) -> str:
    # Each character is of one byte at least and of four at most.
    text = raw[: 4 * MAX_LINE_CHARS + 4].decode("utf-8", "replace")
    return text if len(text) <= MAX_LINE_CHARS else text[: MAX_LINE_CHARS - 1] + "…"
