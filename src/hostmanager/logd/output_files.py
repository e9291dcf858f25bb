"""The output files of an instance, open, and read from their ends.

The log daemon may rotate at any moment: all files are opened first, and opened again if they moved
meanwhile, so no line is missed or doubled.
"""

import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hostmanager.logd import paths
from hostmanager.logd.timestamps import TimestampIndex
from hostmanager.util.files import open_own

MAX_PAGE_BYTES = 4 * 1024 * 1024
"""Bytes that one page is made of, at most."""

_BLOCK = 64 * 1024
_MAX_TIMESTAMPS_BYTES = 64 * 1024 * 1024
_GZIP = 31


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One output file, open."""

    file: BinaryIO
    compressed: bool
    timestamps: TimestampIndex


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes at an offset of a file."""

    data: bytes
    offset: int
    timestamps: TimestampIndex


def open_all(files: Path, instance_id: str, stack: ExitStack) -> tuple[list[OutputFile], bool]:
    """Open all files, the newest first; report whether none of them moved meanwhile.

    They move one after the other, the newest last: one may be opened under two names.
    """
    opened: list[OutputFile] = []
    before = _identity(files, instance_id)
    slot = missing = 0
    while missing < 2:  # one may be missing, for a moment
        file = open_slot(files, instance_id, slot)
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


def open_slot(files: Path, instance_id: str, slot: int) -> OutputFile | None:
    """Open the output of an instance in this slot, compressed or not; None if there is none."""
    plain = paths.log_file(str(files), instance_id, slot)
    compressed = paths.compressed_file(str(files), instance_id, slot)
    # Plain first: that is removed only when the compressed one is there.
    for path in (plain, compressed) if slot else (plain,):
        with suppress(OSError):
            file = open_file(path)
            return OutputFile(file, path == compressed, load_timestamps(files, instance_id, slot))
    return None


def open_file(path: str) -> BinaryIO:
    """Open an output file, or its timestamps, for reading; see `util.files.open_own`."""
    return os.fdopen(open_own(path, os.O_RDONLY), "rb", buffering=0)


def load_timestamps(files: Path, instance_id: str, slot: int) -> TimestampIndex:
    """The timestamps of the output file in this slot; none if they cannot be read."""
    with (
        suppress(OSError),
        open_file(paths.timestamps_file(str(files), instance_id, slot)) as file,
    ):
        # `read` takes as much memory as it is allowed to read, before it reads.
        return TimestampIndex(
            file.read(min(os.fstat(file.fileno()).st_size, _MAX_TIMESTAMPS_BYTES))
        )
    return TimestampIndex(b"")


def read_backwards(file: OutputFile, first: int, stop: int | None) -> Iterator[Chunk]:
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
            yield Chunk(data, offset, file.timestamps)
            stop = offset


def _read_compressed(file: OutputFile, first: int, stop: int | None) -> Iterator[Chunk]:
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
        yield Chunk(bytes(kept[begin - offset : end - offset]), begin, file.timestamps)
