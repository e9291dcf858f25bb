"""The reading end of an agent's pipe.

An agent has its pipe open for reading and writing, so that nobody's death is an error for
it. Whether anybody writes is therefore asked of the kernel (a hang-up), never of a list.

Two log daemons at one pipe would mix up its bytes. So the reader of a pipe has it locked: a
second log daemon (after its lock file was removed, say) waits until the first one has ended.

A pipe's buffer bridges the time in which a killed log daemon is started again. The kernel gives
each user a budget for buffers, and tiny ones to all when it is used up: we use half of it.
"""

import contextlib
import errno
import fcntl
import os
import select
import stat
import sys
import termios

from hostmanager.logd.log_file import LogFile
from hostmanager.util.lockfile import try_lock

_FIRST_CAPACITY = 256 * 1024
_MAX_CAPACITY = 1024 * 1024
_MAX_PUMP_BYTES = 4 * 1024 * 1024  # then it is another pipe's turn
_PAGE = 4096
_UNLIMITED = 1 << 40


class PipeBufferBudget:
    """Bytes of pipe buffers that may still be requested."""

    def __init__(self) -> None:
        self.left = _UNLIMITED
        with contextlib.suppress(OSError, ValueError):
            with open("/proc/sys/fs/pipe-user-pages-soft", "rb", buffering=0) as file:
                pages = int(file.read())
            self.left = pages * _PAGE // 2 if pages else _UNLIMITED


class PipeBusyError(OSError):
    """Another log daemon reads this pipe."""


class PipeReader:
    """A pipe that is open, and that nobody else reads.

    Args:
        path: The pipe, by its name or by a descriptor of it in /proc.
        log_file: Where its bytes go; two pipes may share one for a while.
        budget: For its buffer.
        identity: Device and inode that it must have: the path may lead to another by now.

    Attributes:
        removed: Whether its instance is no more.
        peak_fill: Part of the buffer that was filled when it was last read.

    Raises:
        PipeBusyError: Another log daemon reads it.
        OSError: The pipe does not exist, or cannot be opened.
    """

    def __init__(
        self, path: str, log_file: LogFile, budget: PipeBufferBudget, identity: tuple[int, int]
    ) -> None:
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self.fd = os.open(path, os.O_RDONLY | flags)
        try:
            status = os.fstat(self.fd)
            if not stat.S_ISFIFO(status.st_mode):
                raise OSError(f"{path} is not a pipe")
            if identity != (status.st_dev, status.st_ino):
                raise FileNotFoundError(errno.ENOENT, "it is another pipe by now", path)
            if not try_lock(self.fd):
                raise PipeBusyError(f"{path} is read by another log daemon")
            # Only after it had a writer, the kernel reports that it has none.
            os.close(os.open(path, os.O_WRONLY | flags))
        except OSError:
            os.close(self.fd)
            raise
        self.identity = identity
        self.log_file = log_file
        self.removed = False
        self.peak_fill = 0.0
        self._budget = budget
        self._capacity = fcntl.fcntl(self.fd, fcntl.F_GETPIPE_SZ)
        budget.left -= self._capacity
        self._grow(_FIRST_CAPACITY)

    def pump(self) -> bool:
        """Move its bytes into the file; report whether it has to be called again soon."""
        total = 0
        self.peak_fill = 0.0
        while (waiting := self.waiting()) and total < _MAX_PUMP_BYTES:
            moved = self.log_file.splice_from(self.fd, waiting, self._capacity)
            if not moved:
                break
            self.peak_fill = max(self.peak_fill, waiting / self._capacity)
            total += moved
        if self.peak_fill > 0.25:
            self._grow(self._capacity * 2)
        return waiting > 0

    def waiting(self) -> int:
        """Bytes in the pipe."""
        return pipe_bytes(self.fd)

    def has_writer(self) -> bool:
        """Whether anybody can still write into it."""
        poll = select.poll()
        poll.register(self.fd, 0)
        return not poll.poll(0)

    def close(self) -> None:
        """Close it; another log daemon may read it then."""
        os.close(self.fd)
        self._budget.left += self._capacity

    def _grow(self, size: int) -> None:
        growth = size - self._capacity
        if growth <= 0 or size > _MAX_CAPACITY or growth > self._budget.left:
            return
        with contextlib.suppress(OSError):
            capacity = fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, size)
            self._budget.left -= capacity - self._capacity
            self._capacity = capacity


def pipe_bytes(fd: int) -> int:
    """The number of bytes in a pipe."""
    reply = fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0")
    return int.from_bytes(reply, sys.byteorder)
