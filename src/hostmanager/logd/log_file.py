"""The output file of one instance: where its bytes go, whatever happens to disk and file.

A byte leaves its pipe only by `splice` into the file: one system call, without a copy in
between, that a SIGKILL can only come before or after. So no byte is lost or doubled.

When the file cannot be written (a full disk, say), what is in the pipe stays there as long
as there is room; then the oldest of it is given up and counted, so that the agent is never
held up. Once a second it is tried again; when it works, a line says how much was lost. That
is a debt: should the scribe end before it is paid, the next one takes it over (`debts`).
"""

import errno
import os
import time

from hostmanager.logd import paths as names
from hostmanager.logd import rotation
from hostmanager.logd.lost_output import LostOutput
from hostmanager.logd.settings import Settings
from hostmanager.logd.stderr_log import format_utc, log_error
from hostmanager.logd.timestamps import TimestampWriter
from hostmanager.util.files import open_or_replace

RETRY = 1.0
"""Seconds between two trials to write a file that could not be written."""

_LOOK = 1.0  # seconds between two looks at whether the path still leads to the file
_WHOLE_LINES = 1024 * 1024  # this much before the limit, a file may end where a line does
_TIMES_SHARE = 8  # the times of a file are at most this part of what it may be
_NOW = os.SPLICE_F_NONBLOCK


class LogFile:
    """Takes the bytes of one instance.

    Args:
        settings: The limits.
        instance_id: Whose.
        null: Where bytes go that are given up: /dev/null, open.
    """

    def __init__(self, settings: Settings, instance_id: str, null: int) -> None:
        self.instance_id = instance_id
        self.rotated = False  # since somebody last looked
        self.trouble: OSError | None = None
        self.used = 0.0  # when it last got something, monotonic
        self._settings = settings
        self._null = null
        self._fd: int | None = None
        self._size = 0
        self._times = TimestampWriter(settings.max_bytes // _TIMES_SHARE)
        self._repaired = False
        self._looked = 0.0
        self._retry = 0.0
        self._lost = 0
        self._lost_from = self._lost_until = 0.0

    @property
    def path(self) -> str:
        """The file."""
        return names.log_file(self._settings.files, self.instance_id)

    def splice_from(self, pipe: int, waiting: int, capacity: int) -> int:
        """Take what waits in a pipe, or a part of it.

        Args:
            pipe: The reading end.
            waiting: Bytes in it.
            capacity: How many it can hold.

        Returns:
            Bytes that left the pipe; 0: there is nothing to be done for the moment.
        """
        self.used = time.monotonic()
        if self.trouble is not None and not self.recover():
            return self._discard_oldest(pipe, waiting, capacity)
        try:
            fd = self._prepare()
            self._times.record(self._size)
            moved = os.splice(pipe, fd, self._settings.max_bytes - self._size, flags=_NOW)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._fail(error)
            return self._discard_oldest(pipe, waiting, capacity)
        self._size += moved
        return moved

    def recover(self) -> bool:
        """Try whether the file can be written again, if it is time to."""
        now = time.monotonic()
        if now < self._retry:
            return False
        self._retry = now + RETRY
        try:
            self._write_loss_notice(self._prepare())
        except OSError as error:
            self._fail(error)
            return False
        self.trouble = None
        return True

    def retry_at_once(self) -> None:
        """Do not wait any longer before the file is tried again."""
        self._retry = 0.0

    @property
    def unreported_loss(self) -> LostOutput | None:
        """What was lost and is not told yet."""
        if not self._lost or self.trouble is None:
            return None
        number = self.trouble.errno or errno.EIO
        return LostOutput(self._lost, self._lost_from, self._lost_until, number)

    def restore_loss(self, debt: LostOutput) -> None:
        """Take over what an earlier scribe has not told; it is told before anything else."""
        self._lost, self._lost_from, self._lost_until = debt[:3]
        self.trouble = OSError(debt.errno, os.strerror(debt.errno))

    def close(self) -> None:
        """Let the files go; they are opened again when needed."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._times.close()

    # --- the file ---------------------------------------------------------------------

    def _prepare(self) -> int:
        """The file, open at its end, with room for something."""
        self._check_external_changes()
        fd = self._open() if self._fd is None else self._fd
        if self._should_rotate(fd):
            self.close()
            rotation.rotate(self._settings.files, self.instance_id, keep=self._settings.max_files)
            self.rotated = True
            fd = self._open()
        return fd

    def _open(self) -> int:
        if not self._repaired:
            os.makedirs(self._settings.files, mode=0o700, exist_ok=True)
            rotation.repair(self._settings.files, self.instance_id, self._settings.max_files)
            self._repaired = True
        # For splicing into, which O_APPEND does not allow.
        fd, fresh = open_or_replace(self.path, os.O_RDWR, 0o640)
        self._fd = fd
        self._size = os.lseek(fd, 0, os.SEEK_END)
        self._looked = time.monotonic()
        self._times.open(
            names.timestamps_file(self._settings.files, self.instance_id), self._size, fresh
        )
        return fd

    def _check_external_changes(self) -> None:
        """Notice what others have done to the file: deleted, moved, cut, written."""
        if self._fd is None:
            return
        here = os.fstat(self._fd)
        now = time.monotonic()
        if here.st_nlink == 0 or (now - self._looked >= _LOOK and self._moved_away(here)):
            self.close()
            self._repaired = False  # the folder may be gone as well
        elif here.st_size != self._size:
            cut = here.st_size < self._size
            self._size = os.lseek(self._fd, 0, os.SEEK_END)
            path = names.timestamps_file(self._settings.files, self.instance_id)
            self._times.open(path, self._size, fresh=cut)

    def _moved_away(self, here: os.stat_result) -> bool:
        self._looked = time.monotonic()
        try:
            there = os.lstat(self.path)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def _should_rotate(self, fd: int) -> bool:
        """Whether the file is to become an old one: full, or nearly so at the end of a line."""
        limit = self._settings.max_bytes
        if self._size >= limit or self._times.is_full:
            return True
        nearly = limit - min(_WHOLE_LINES, limit // 8)
        return self._size >= nearly and _last_byte(fd, self._size) == b"\n"

    # --- when it cannot be written ----------------------------------------------------

    def _fail(self, error: OSError) -> None:
        if self.trouble is None:
            log_error(f"output of {self.instance_id}: {error}")
            self._retry = time.monotonic() + RETRY
        self.trouble = error
        self.close()

    def _discard_oldest(self, pipe: int, waiting: int, capacity: int) -> int:
        # A quarter, since a pipe can be full (of pages) with half of the bytes it may hold.
        return self.discard(pipe, waiting - capacity // 4)

    def discard(self, pipe: int, size: int) -> int:
        """Give up the oldest bytes in a pipe, and count them; returns how many."""
        if size <= 0:
            return 0
        try:
            gone = os.splice(pipe, self._null, size, flags=_NOW)
        except BlockingIOError:
            return 0
        now = time.time()
        self._lost_from = self._lost_from or now
        self._lost_until = now
        self._lost += gone
        return gone

    def _write_loss_notice(self, fd: int) -> None:
        """Write into the file what was lost, or nothing at all."""
        if not self._lost:
            return
        assert self.trouble is not None
        why = os.strerror(self.trouble.errno or errno.EIO)
        between = f"between {format_utc(self._lost_from)} and {format_utc(self._lost_until)}"
        text = f"[hostmanager: {self._lost} bytes lost {between}: {why}]\n"
        if self._size and _last_byte(fd, self._size) != b"\n":
            text = "\n" + text
        self._times.record(self._size)
        if os.write(fd, text.encode()) < len(text):
            os.ftruncate(fd, self._size)
            os.lseek(fd, self._size, os.SEEK_SET)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        log_error(f"output of {self.instance_id}: works again. {text.strip()}")
        self._size += len(text)
        self._lost, self._lost_from = 0, 0.0


def _last_byte(fd: int, size: int) -> bytes:
    return os.pread(fd, 1, size - 1)
