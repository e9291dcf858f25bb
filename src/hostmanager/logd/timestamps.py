"""When the bytes of an output file came: a small file beside each.

A header (a magic word, and a number that no other file has, its *generation*), then records
(offset, unix time): the bytes from this offset on came at this time or up to 0.1 s later. A
record is written before its bytes, so no byte is without.

Timestamps are a convenience: whatever goes wrong here, the output itself goes on.
"""

import bisect
import contextlib
import os
import struct
import time

from hostmanager.util.files import open_own

_HEADER = struct.Struct("<8sQ")
_RECORD = struct.Struct("<Qd")
_MAGIC = b"hmtimes1"
_SIZE = _RECORD.size
_MAX_TIME = 1e11  # Unix time; later ones have no date in four digits
assert _HEADER.size == _SIZE

MIN_STEP = 0.1
"""Seconds between two records, at least."""


class TimestampWriter:
    """Writes the timestamps of one output file at a time.

    Args:
        max_bytes: Size at which it is full.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._fd: int | None = None
        self._size = 0
        self._last = 0.0  # monotonic

    def open(self, path: str, size: int, is_new: bool) -> None:
        """Continue this file.

        Args:
            path: The file.
            size: Of the output file, bytes.
            is_new: The output file was just made: the timestamps are of another.
        """
        self.close()
        with contextlib.suppress(OSError):
            if is_new or not self._continue(path, size):
                self._create(path)

    @property
    def is_full(self) -> bool:
        """Whether it is too large to be continued."""
        return self._size >= self._max_bytes

    def record(self, offset: int) -> None:
        """Bytes are about to be written at this offset."""
        now = time.monotonic()
        if self._fd is None or 0 <= now - self._last < MIN_STEP:
            return
        record = _RECORD.pack(offset, time.time())
        try:
            if os.write(self._fd, record) < _SIZE:
                os.ftruncate(self._fd, self._size)
                return
        except OSError:
            return
        self._size += _SIZE
        self._last = now

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._size = 0
        self._last = 0.0

    def _continue(self, path: str, size: int) -> bool:
        try:
            fd = open_own(path, os.O_RDWR | os.O_APPEND)
        except OSError:
            return False
        whole = os.fstat(fd).st_size // _SIZE * _SIZE
        known = whole >= _SIZE and os.pread(fd, 8, 0) == _MAGIC
        if known and whole > _SIZE:
            known = _RECORD.unpack(os.pread(fd, _SIZE, whole - _SIZE))[0] <= size
        if not known:
            os.close(fd)
            return False
        os.ftruncate(fd, whole)
        self._fd, self._size = fd, whole
        return True

    def _create(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL
        fd = os.open(path, flags, 0o640)
        try:
            if os.write(fd, _HEADER.pack(_MAGIC, time.time_ns())) < _SIZE:
                raise OSError("no room")
        except OSError:
            os.close(fd)
            raise
        self._fd, self._size = fd, _SIZE


class TimestampIndex:
    """The timestamps of one output file, for look-ups.

    Args:
        data: The content of the file beside it; anything else counts as no timestamps.
    """

    def __init__(self, data: bytes) -> None:
        self.generation = 0
        """Identifies the output file; 0: not known."""
        self._data = b""
        if len(data) >= _SIZE and data.startswith(_MAGIC):
            self.generation = _HEADER.unpack_from(data)[1]
            self._data = data

    def __len__(self) -> int:
        return max(0, len(self._data) // _SIZE - 1)

    def at(self, offset: int) -> float | None:
        """When the byte at this offset came, unix time; None if that is not known."""
        index = bisect.bisect_right(range(len(self)), offset, key=lambda i: self._record(i)[0])
        return self._record(index - 1)[1] if index else None

    def first_since(self, when: float) -> int | None:
        """Offset of the first byte that came at this unix time or later; None: nothing came since."""
        index = bisect.bisect_left(range(len(self)), when, key=lambda i: self._record(i)[1])
        return self._record(index)[0] if index < len(self) else None

    @property
    def since(self) -> float | None:
        """When the first bytes came, unix time; None if that is not known."""
        return self._record(0)[1] if len(self) else None

    def _record(self, index: int) -> tuple[int, float]:
        offset, when = _RECORD.unpack_from(self._data, (index + 1) * _SIZE)
        return offset, when if 0 <= when < _MAX_TIME else 0.0  # no time, or none that can be shown
