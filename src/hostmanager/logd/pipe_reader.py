"""The reading end of an agent's pipe.

An agent has its pipe open for reading and writing, so that nobody's death is an error for
it. Whether anybody writes is therefore asked of the kernel (a hang-up), never of a list.

Two scribes at one pipe would mix up its bytes. So whoever reads it has it locked: a second
scribe (somebody removed the first one's lock file, say) waits until the first lets go of it.

A pipe's buffer bridges the time in which a killed scribe is started again. The kernel gives
each user a budget for buffers, and tiny ones to all when it is used up: half of it is ours.
"""

import contextlib
import fcntl
import os
import select
import stat
import termios

from hostmanager.logd.log_file import LogFile
from hostmanager.util import lockfile as locks

_FIRST = 256 * 1024
_LARGEST = 1024 * 1024
_TURN = 4 * 1024 * 1024  # bytes that one pipe may have moved before it is the next one's turn
_PAGE = 4096
_UNLIMITED = 1 << 40


class PipeBufferBudget:
    """Bytes of pipe buffers that may still be asked for."""

    def __init__(self) -> None:
        self.left = _UNLIMITED
        with contextlib.suppress(OSError, ValueError):
            with open("/proc/sys/fs/pipe-user-pages-soft", "rb", buffering=0) as file:
                pages = int(file.read())
            self.left = pages * _PAGE // 2 if pages else _UNLIMITED


class PipeBusyError(OSError):
    """Another scribe reads this pipe."""


class PipeReader:
    """A pipe that is open, and that nobody else reads.

    Args:
        path: The pipe.
        outlet: Where its bytes go; two pipes may share one for a while.
        budget: For its buffer.
        identity: Device and inode that it must have, if the path is that of a descriptor in
            /proc, which may have become another's.

    Raises:
        PipeBusyError: Another scribe reads it.
        OSError: There is no such pipe, or it cannot be opened.
    """

    def __init__(
        self,
        path: str,
        outlet: LogFile,
        budget: PipeBufferBudget,
        identity: tuple[int, int] | None = None,
    ) -> None:
        flags = os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if identity is None else 0)
        self.fd = os.open(path, os.O_RDONLY | flags)
        try:
            status = os.fstat(self.fd)
            if not stat.S_ISFIFO(status.st_mode):
                raise OSError(f"{path} is not a pipe")
            if identity not in (None, (status.st_dev, status.st_ino)):
                raise OSError(f"{path} is another pipe by now")
            if not self._lock():
                raise PipeBusyError(f"{path} is read by another scribe")
            # Only after a writer was there, the kernel tells that none is.
            os.close(os.open(path, os.O_WRONLY | flags))
        except OSError:
            os.close(self.fd)
            raise
        self.identity = (status.st_dev, status.st_ino)
        self._path = path
        self.outlet = outlet
        self.dropped = False
        self.peak_fill = 0.0  # part of the buffer that was filled at the last turn
        self._budget = budget
        self._capacity = fcntl.fcntl(self.fd, fcntl.F_GETPIPE_SZ)
        budget.left -= self._capacity
        self._grow(_FIRST)

    def pump(self) -> bool:
        """Move what is there; tell whether there is more to be done soon."""
        total = 0
        self.peak_fill = 0.0
        while (waiting := self.waiting()) and total < _TURN:
            moved = self.outlet.splice_from(self.fd, waiting, self._capacity)
            if not moved:
                break
            self.peak_fill = max(self.peak_fill, waiting / self._capacity)
            total += moved
        if self.peak_fill > 0.25:
            self._grow(self._capacity * 2)
        return waiting > 0

    def waiting(self) -> int:
        """Bytes in the pipe."""
        answer = fcntl.ioctl(self.fd, termios.FIONREAD, b"\0\0\0\0")
        return int.from_bytes(answer, "little")

    def discard_pending(self) -> None:
        """Give up what is in it and could not be written; the last who had it open leaves."""
        self.outlet.discard(self.fd, self.waiting())

    def has_writer(self) -> bool:
        """Whether anybody can still write into it."""
        poll = select.poll()
        poll.register(self.fd, 0)
        return not poll.poll(0)

    def is_linked(self) -> bool:
        """Whether its path still leads to it."""
        return locks.is_same_file(self.fd, self._path)

    def release(self) -> None:
        """Let another scribe read it; it stays open, so that nothing in it vanishes."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def is_handed_over(self) -> bool:
        """After `release`: whether another scribe reads it now, or nobody ever has to."""
        if not self._lock():
            return True
        self.release()
        return not self.waiting() and not self.has_writer()

    def _lock(self) -> bool:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Let it go."""
        os.close(self.fd)
        self._budget.left += self._capacity

    def _grow(self, size: int) -> None:
        more = size - self._capacity
        if more <= 0 or size > _LARGEST or more > self._budget.left:
            return
        with contextlib.suppress(OSError):
            now = fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, size)
            self._budget.left -= now - self._capacity
            self._capacity = now
