"""Reading what the scribe has written: the newest lines, from as many files as it takes.

Files are read from their ends, so the time and memory that it takes go by what is asked for
and not by what is there; `BUDGET` bounds both, even for a line that never ends. Bytes that
are no UTF-8 are repaired for showing only. The scribe may rotate at any moment: all files
are opened first, and opened again if they moved meanwhile, so no line is missed or doubled.
"""

import bisect
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from hostmanager.logd import paths as names
from hostmanager.logd.timestamps import TimestampIndex
from hostmanager.util.files import open_own

BUDGET = 4 * 1024 * 1024
"""Bytes that one answer is made of, at most."""

MOST_LINES = 10_000
MAX_LINE_CHARS = 4096
"""Characters of a line that are shown; what is longer ends with "…"."""

_BLOCK = 64 * 1024
_LARGEST_TIMES = 64 * 1024 * 1024
_TRIALS = 10
_MOST_FILES = 1000
_GZIP = 31

TimedLine = tuple[float | None, str]
"""When it began (unix time; None: not known), and what it says, without its end."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the output of an instance, which rotation does not change.

    Attributes:
        generation: Which file, see `times`; 0: not known.
        offset: Where in it, bytes.
    """

    generation: int
    offset: int


@dataclass(frozen=True, slots=True)
class Page:
    """Lines, and where the next older ones end.

    Attributes:
        lines: The oldest first.
        more: Whether there are older ones.
        older: They are before this place; None: there are none, or their place is not known.
    """

    lines: list[TimedLine]
    more: bool = False
    older: Position | None = None


@dataclass(slots=True)
class _File:
    """One output file, open."""

    slot: int
    file: BinaryIO
    packed: bool
    moments: TimestampIndex


class _Placed(NamedTuple):
    """A line, and where it begins."""

    line: TimedLine
    position: Position


@dataclass(slots=True)
class _Chunk:
    """Bytes that stand at an offset of a file."""

    data: bytes
    offset: int
    moments: TimestampIndex


@dataclass(slots=True)
class _ReadLimits:
    """When enough is read."""

    lines: int
    since: float | None = None
    start: Position | None = None
    end: Position | None = None
    end_is_there: bool = False  # else the end may be in a file that there is not
    reached_since: bool = False
    pieces: list[_Chunk] = field(default_factory=list)  # the newest first
    size: int = 0
    newlines: int = 0
    whole: bool = False  # the oldest piece begins where a line does

    def add(self, piece: _Chunk) -> bool:
        """Take a piece; tell whether it is enough."""
        self.pieces.append(piece)
        self.size += len(piece.data)
        self.newlines += piece.data.count(b"\n")
        if self.newlines > self.lines or self.size >= BUDGET:
            return True
        if self.since is None:
            return False
        when = piece.moments.at(piece.offset)
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
        files: The folder of the output files.
        instance_id: Whose.
        lines: So many at most, and never more than `MOST_LINES`.
        since: Only those that came later, unix time. Those of unknown time count as earlier.
        before: Only those before this place. If what stood there has been removed, so is all that
            is older.

    Raises:
        ValueError: The id cannot be part of a file name.
    """
    wanted = max(0, min(lines, MOST_LINES))
    limits = _ReadLimits(wanted, since, end=before, end_is_there=before is not None)
    found = _read(files, instance_id, limits)
    if since is not None:
        found = [at for at in found if at.line[0] is not None and at.line[0] >= since]
        limits.whole |= limits.reached_since
    chosen = found[-wanted:] if wanted else []
    more = bool(chosen) and (len(chosen) < len(found) or not limits.whole)
    known = more and chosen[0].position.generation
    return Page([at.line for at in chosen], more, chosen[0].position if known else None)


def position(files: Path, instance_id: str) -> Position:
    """Where the next byte of an instance will stand. `Scribe.flush` it before.

    Raises:
        ValueError: The id cannot be part of a file name.
    """
    for _ in range(_TRIALS):
        before = _moments(files, instance_id, 0).generation
        size = 0
        with suppress(OSError), _opened(names.log_file(str(files), instance_id)) as file:
            size = os.fstat(file.fileno()).st_size
        if before == _moments(files, instance_id, 0).generation:
            return Position(before, size)
    return Position(0, 0)


def position_at(files: Path, instance_id: str, when: float) -> Position:
    """Where what came from a unix time on begins, to 0.1 s; as far as that is known.

    Raises:
        ValueError: The id cannot be part of a file name.
    """
    found = Position(0, 0)
    for slot in range(_MOST_FILES):
        moments = _moments(files, instance_id, slot)
        if moments.since is None:
            break
        offset = moments.first_since(when)
        if offset is None:  # it came later than all of this file
            return found if slot else position(files, instance_id)
        found = Position(moments.generation, offset)
        if moments.since < when:
            break
    return found


def lines_since(
    files: Path, instance_id: str, start: Position, lines: int = 20, end: Position | None = None
) -> list[TimedLine]:
    """The newest lines that came after a position, and before another: those of one run.

    Raises:
        ValueError: The id cannot be part of a file name.
    """
    wanted = max(0, min(lines, MOST_LINES))
    found = _read(files, instance_id, _ReadLimits(wanted, start=start, end=end))
    return [at.line for at in found[-wanted:]] if wanted else []


# --- collecting bytes, the newest first ---------------------------------------------------


def _read(files: Path, instance_id: str, limits: _ReadLimits) -> list[_Placed]:
    names.validate_id(instance_id)
    if not limits.lines:
        return []
    for trial in range(_TRIALS):
        with ExitStack() as stack:
            opened, settled = _open_all(files, instance_id, stack)
            if settled or trial == _TRIALS - 1:
                _collect(opened, limits)
                return _split(limits)
    raise AssertionError("unreachable")


def _open_all(files: Path, instance_id: str, stack: ExitStack) -> tuple[list[_File], bool]:
    """Open all files, the newest first; tell whether none of them moved meanwhile.

    They move one after the other, the newest last: before that, one may be met in two places.
    """
    opened: list[_File] = []
    before = _identity(files, instance_id)
    slot = missing = 0
    while missing < 2:  # one may be missing, for a moment
        found = _open(files, instance_id, slot)
        if found is not None:
            stack.enter_context(found.file)
            opened.append(found)
        missing = 0 if found is not None or slot == 0 else missing + 1
        slot += 1
    inodes = {os.fstat(found.file.fileno()).st_ino for found in opened}
    return opened, len(inodes) == len(opened) and before == _identity(files, instance_id)


def _identity(files: Path, instance_id: str) -> tuple[int, int]:
    with suppress(OSError):
        status = Path(names.log_file(str(files), instance_id)).lstat()
        return status.st_dev, status.st_ino
    return 0, 0


def _open(files: Path, instance_id: str, slot: int) -> _File | None:
    # Plain first: that is removed only when the compressed one is there.
    plain, packed = names.log_file(str(files), instance_id, slot), ""
    if slot:
        packed = names.compressed_file(str(files), instance_id, slot)
    for path in filter(None, (plain, packed)):
        with suppress(OSError):
            return _File(slot, _opened(path), path == packed, _moments(files, instance_id, slot))
    return None


def _opened(path: str) -> BinaryIO:
    return os.fdopen(open_own(path, os.O_RDONLY), "rb", buffering=0)


def _moments(files: Path, instance_id: str, slot: int) -> TimestampIndex:
    with suppress(OSError), _opened(names.timestamps_file(str(files), instance_id, slot)) as file:
        # `read` takes as much memory as it is allowed to read, before it reads.
        return TimestampIndex(file.read(min(os.fstat(file.fileno()).st_size, _LARGEST_TIMES)))
    return TimestampIndex(b"")


def _collect(opened: list[_File], limits: _ReadLimits) -> None:
    start, end = limits.start, limits.end
    skipping = end is not None and end.generation in {f.moments.generation for f in opened}
    limits.whole = limits.end_is_there and not skipping
    for file in () if limits.whole else opened:
        generation = file.moments.generation
        ceiling = None
        if skipping and end is not None:
            if generation != end.generation:
                continue
            skipping, ceiling = False, end.offset
        last = start is not None and start.generation != 0 and generation == start.generation
        floor = start.offset if last and start is not None else 0
        for piece in _backwards(file, floor, ceiling):
            if limits.add(piece):
                return
        if last:
            break
    limits.whole = True


def _backwards(file: _File, floor: int, ceiling: int | None) -> Iterator[_Chunk]:
    """What stands between two offsets, in pieces, the last one first."""
    with suppress(OSError, zlib.error):
        if file.packed:
            yield from _unpacked(file, floor, ceiling)
            return
        stop = os.fstat(file.file.fileno()).st_size
        stop = stop if ceiling is None else min(stop, ceiling)
        while stop > floor:
            at = max(floor, stop - _BLOCK)
            data = os.pread(file.file.fileno(), stop - at, at)
            yield _Chunk(data, at, file.moments)
            stop = at


def _unpacked(file: _File, floor: int, ceiling: int | None) -> Iterator[_Chunk]:
    """The same of a compressed file, which can only be read from its beginning."""
    unpacker = zlib.decompressobj(_GZIP)
    tail, at = bytearray(), 0  # the last BUDGET bytes before the ceiling, and where they begin
    while not unpacker.eof and (block := unpacker.unconsumed_tail or file.file.read(_BLOCK)):
        room = BUDGET if ceiling is None else min(BUDGET, ceiling - at - len(tail))
        if room <= 0:
            break
        tail += unpacker.decompress(block, room)
        excess = len(tail) - BUDGET
        if excess > 0:
            del tail[:excess]
            at += excess
    first = max(floor, at)
    last = at + len(tail) if ceiling is None else min(ceiling, at + len(tail))
    for stop in range(last, first, -_BLOCK):
        begin = max(first, stop - _BLOCK)
        yield _Chunk(bytes(tail[begin - at : stop - at]), begin, file.moments)


# --- making lines of them -----------------------------------------------------------------


def _split(limits: _ReadLimits) -> list[_Placed]:
    pieces = limits.pieces[::-1]
    data = b"".join(piece.data for piece in pieces)
    starts: list[int] = []
    begin = 0
    for piece in pieces:
        starts.append(begin)
        begin += len(piece.data)
    found: list[_Placed] = []
    at = 0
    for raw in data.split(b"\n"):
        if at < len(data):
            piece = pieces[index := bisect.bisect_right(starts, at) - 1]
            offset = piece.offset + at - starts[index]
            place = Position(piece.moments.generation, offset)
            found.append(_Placed((piece.moments.at(offset), _shown(raw)), place))
        at += len(raw) + 1
    if not limits.whole and found:  # the first one is the end of a longer one
        (when, _), place = found.pop(0)
        if not found:
            text = data[-4 * MAX_LINE_CHARS :].decode("utf-8", "replace")
            found.append(_Placed((when, "…" + text[-(MAX_LINE_CHARS - 1) :]), place))
    return found


def _shown(raw: bytes) -> str:
    # Each character is of one byte at least and of four at most.
    text = raw[: 4 * MAX_LINE_CHARS + 4].removesuffix(b"\r").decode("utf-8", "replace")
    return text if len(text) <= MAX_LINE_CHARS else text[: MAX_LINE_CHARS - 1] + "…"
