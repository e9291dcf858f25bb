"""The output file of one instance: where its bytes go, whatever happens to disk and file.

A byte leaves its pipe only by `splice` into the file: one system call, without a copy in
between, that a SIGKILL can only come before or after. So no byte is lost or doubled.

When the file cannot be written (a full disk, say), the bytes stay in the pipe as long as it has
space; then the oldest of them are discarded and counted, so that the agent never waits. The file
is tried again once a second; when it can be written, a line says how much was lost.
"""

import errno
import os
import time

from hostmanager.logd import paths, rotation
from hostmanager.logd.settings import Settings
from hostmanager.logd.stderr_log import format_utc, log_error
from hostmanager.logd.timestamps import TimestampWriter
from hostmanager.util.files import make_private_directory, open_or_replace
from hostmanager.util.lockfile import is_same_file

FILE_RETRY_INTERVAL = 1.0
"""Seconds between two attempts to write a file that could not be written."""

_PATH_CHECK_INTERVAL = 1.0  # seconds between two checks that the path still leads to the file
_WHOLE_LINES = 1024 * 1024  # this much before the limit, a file may end where a line does
_TIMESTAMPS_SHARE = 8  # the timestamps of a file are at most this part of its limit


class LogFile:
    """Takes the bytes of one instance.

    Args:
        settings: The limits.
        instance_id: Its id.
        null: Where discarded bytes go: /dev/null, open.

    Attributes:
        error: Why the file cannot be written; None while it can.
        rotated: Whether it was rotated since this was last reset.
        used_at: When bytes last came, monotonic seconds.
        lost_bytes: Discarded bytes that the file does not report yet.
    """

    def __init__(self, settings: Settings, instance_id: str, null: int) -> None:
        self.instance_id = instance_id
        self.rotated = False
        self.error: OSError | None = None
        self.used_at = 0.0
        self.lost_bytes = 0
        self._settings = settings
        self._null = null
        self._fd: int | None = None
        self._size = 0
        self._timestamps = TimestampWriter(settings.max_bytes // _TIMESTAMPS_SHARE)
        self._repaired = False
        self._path_checked_at = 0.0
        self._retry_at = 0.0
        self._lost_from = self._lost_until = 0.0

    @property
    def path(self) -> str:
        """The file."""
        return paths.log_file(self._settings.files, self.instance_id)

    def splice_from(self, pipe: int, waiting: int, capacity: int) -> int:
        """Move the bytes of a pipe, or a part of them.

        Args:
            pipe: The reading end.
            waiting: Bytes in it.
            capacity: How many it can hold.

        Returns:
            Bytes that left the pipe; 0: nothing can be done at the moment.
        """
        self.used_at = time.monotonic()
        if self.error is not None and not self.recover():
            return self._discard_oldest(pipe, waiting, capacity)
        try:
            fd = self._prepare()
            self._timestamps.record(self._size)
            room = self._settings.max_bytes - self._size
            moved = os.splice(pipe, fd, room, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._on_error(error)
            return self._discard_oldest(pipe, waiting, capacity)
        self._size += moved
        return moved

    def recover(self) -> bool:
        """Try whether the file can be written again, if the interval is over."""
        now = time.monotonic()
        if now < self._retry_at:
            return False
        self._retry_at = now + FILE_RETRY_INTERVAL
        try:
            self._write_loss_notice(self._prepare())
        except OSError as error:
            self._on_error(error)
            return False
        self.error = None
        return True

    def retry_now(self) -> None:
        """Let the next attempt be made without delay."""
        self._retry_at = 0.0

    def close(self) -> None:
        """Close the files; they are opened again when needed."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._timestamps.close()

    # --- the file ---------------------------------------------------------------------

    def _prepare(self) -> int:
        """The file, open at its end, with room for some bytes."""
        self._check_external_changes()
        fd = self._open() if self._fd is None else self._fd
        if self._should_rotate(fd):
            self.close()
            rotation.rotate(self._settings.files, self.instance_id, keep=self._settings.max_files)
            self.rotated = True
            fd = self._open()
        return fd

    def _open(self) -> int:
        make_private_directory(self._settings.files)  # it may have been deleted meanwhile
        if not self._repaired:
            rotation.repair(self._settings.files, self.instance_id, self._settings.max_files)
            self._repaired = True
        # For splicing into, which O_APPEND does not allow.
        fd, is_new = open_or_replace(self.path, os.O_RDWR, 0o640)
        self._fd = fd
        self._path_checked_at = time.monotonic()
        self._go_to_end(fd, is_new=is_new)
        return fd

    def _go_to_end(self, fd: int, *, is_new: bool) -> None:
        self._size = os.lseek(fd, 0, os.SEEK_END)
        path = paths.timestamps_file(self._settings.files, self.instance_id)
        self._timestamps.open(path, self._size, is_new)

    def _check_external_changes(self) -> None:
        """Find out what others have done to the file: deleted, moved, truncated, written."""
        if self._fd is None:
            return
        status = os.fstat(self._fd)
        if status.st_nlink == 0 or self._was_moved(self._fd):
            self.close()
        elif status.st_size != self._size:
            self._go_to_end(self._fd, is_new=status.st_size < self._size)

    def _was_moved(self, fd: int) -> bool:
        now = time.monotonic()
        if now - self._path_checked_at < _PATH_CHECK_INTERVAL:
            return False
        self._path_checked_at = now
        return not is_same_file(fd, self.path)

    def _should_rotate(self, fd: int) -> bool:
        """Whether the file is full, or nearly so at the end of a line."""
        limit = self._settings.max_bytes
        if self._size >= limit or self._timestamps.is_full:
            return True
        nearly_full = limit - min(_WHOLE_LINES, limit // 8)
        return self._size >= nearly_full and _last_byte(fd, self._size) == b"\n"

    # --- when it cannot be written ----------------------------------------------------

    def _on_error(self, error: OSError) -> None:
        if self.error is None:
            log_error(f"output of {self.instance_id}: {error}")
            self._retry_at = time.monotonic() + FILE_RETRY_INTERVAL
        self.error = error
        self.close()

    def _discard_oldest(self, pipe: int, waiting: int, capacity: int) -> int:
        """Discard the oldest bytes in a full pipe, and count them; returns how many."""
        # A quarter is kept: a pipe can be full (of pages) with half of the bytes it may hold.
        excess = waiting - capacity // 4
        if excess <= 0:
            return 0
        try:
            discarded = os.splice(pipe, self._null, excess, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return 0
        now = time.time()
        self._lost_from = self._lost_from or now
        self._lost_until = now
        self.lost_bytes += discarded
        return discarded

    def _write_loss_notice(self, fd: int) -> None:
        """Write into the file what was lost, or nothing at all."""
        if not self.lost_bytes:
            return
        assert self.error is not None
        reason = os.strerror(self.error.errno or errno.EIO)
        between = f"between {format_utc(self._lost_from)} and {format_utc(self._lost_until)}"
        text = f"[hostmanager: {self.lost_bytes} bytes lost {between}: {reason}]\n"
        if self._size and _last_byte(fd, self._size) != b"\n":
            text = "\n" + text
        self._timestamps.record(self._size)
        if os.write(fd, text.encode()) < len(text):
            os.ftruncate(fd, self._size)
            os.lseek(fd, self._size, os.SEEK_SET)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        log_error(f"output of {self.instance_id}: written again. {text.strip()}")
        self._size += len(text)
        self.lost_bytes, self._lost_from = 0, 0.0


def _last_byte(fd: int, size: int) -> bytes:
    return os.pread(fd, 1, size - 1)
