"""Compressing old files, one at a time, in a child process of the lowest priority.

A child rather than a thread: a thread of low priority that holds the interpreter's lock
while others have the processor would hold up the pipes; and all that the child needs is
given back when it ends. The child only makes a file of another name. The log daemon renames
it, if the old file still exists (it may have been rotated on, or be gone).

A file for which that failed, or that did not get smaller, stays as it is.
"""

import contextlib
import os
import zlib

from hostmanager.logd import paths
from hostmanager.logd.stderr_log import log_error
from hostmanager.util.files import is_own, open_own

_FIRST_SLOT = 2
_MAX_REMEMBERED = 100
_BLOCK = 256 * 1024
_LEVEL = 1
_GZIP = 31  # window bits that make zlib write gzip's format
_LOWEST_PRIORITY = 19

_Identity = tuple[int, int]


class Compressor:
    """Compresses the old files of instances.

    Args:
        files: The directory of the output files.
        keep: How many old files each instance has.
    """

    def __init__(self, files: str, keep: int) -> None:
        self._files = files
        self._keep = keep
        self._queue: dict[str, None] = {}  # instance ids, in their order
        self._current: tuple[str, _Identity, int] = ("", (0, 0), 0)  # id, file, pid of the child
        self._incompressible: set[_Identity] = set()
        self.pidfd: int | None = None
        """Becomes readable when `finish` has to be called; None: no child runs."""

    def enqueue(self, instance_id: str) -> None:
        """Compress the old files of an instance that was rotated."""
        self._queue[instance_id] = None

    def start(self) -> None:
        """Begin with the next file, unless the queue is empty or a child runs."""
        while self.pidfd is None and self._queue:
            instance_id = next(iter(self._queue))
            if not self._start_one(instance_id):
                del self._queue[instance_id]

    def finish(self) -> None:
        """The child has ended: rename the file that it made."""
        instance_id, identity, pid = self._current
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
        _, status = os.waitpid(pid, 0)
        compressed = paths.compress_tmp(self._files, instance_id)
        try:
            if status == 0 and self._install(compressed, instance_id, identity):
                return
        except OSError as error:
            log_error(f"compressed file of {instance_id}: {error}")
        if len(self._incompressible) >= _MAX_REMEMBERED:
            self._incompressible.clear()
        self._incompressible.add(identity)
        with contextlib.suppress(OSError):
            os.unlink(compressed)

    def _start_one(self, instance_id: str) -> bool:
        for slot in range(self._keep, _FIRST_SLOT - 1, -1):
            try:
                fd = open_own(paths.log_file(self._files, instance_id, slot), os.O_RDONLY)
            except OSError:
                continue
            try:
                identity = _identify(os.fstat(fd))
                if identity not in self._incompressible:
                    self._fork(instance_id, fd, identity)
                    return True
            finally:
                os.close(fd)
        return False

    def _fork(self, instance_id: str, fd: int, identity: _Identity) -> None:
        """Have a child compress an open file: its name could lead to another one by then."""
        compressed = paths.compress_tmp(self._files, instance_id)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(compressed)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.dup2(fd, 0)
                # Not least the lock: its holder counts as the log daemon.
                os.closerange(3, os.sysconf("SC_OPEN_MAX"))
                os.nice(_LOWEST_PRIORITY)
                status = 0 if _compress(0, compressed) else 1
            finally:
                os._exit(status)
        self._current = (instance_id, identity, pid)
        self.pidfd = os.pidfd_open(pid)

    def _install(self, compressed: str, instance_id: str, identity: _Identity) -> bool:
        for slot in range(_FIRST_SLOT, self._keep + 1):
            path = paths.log_file(self._files, instance_id, slot)
            with contextlib.suppress(FileNotFoundError):
                if _identify(os.lstat(path)) == identity and is_own(compressed):
                    os.rename(compressed, paths.compressed_file(self._files, instance_id, slot))
                    os.unlink(path)
                    return True
        return False


def _identify(status: os.stat_result) -> _Identity:
    # The number of an inode alone is given to another file when this one is gone.
    return status.st_ino, status.st_mtime_ns


def _compress(source: int, target: str) -> bool:
    """Compress an open file; report whether that made it smaller."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    with open(target, "xb") as file:
        status = os.fstat(source)
        os.fchmod(file.fileno(), status.st_mode & 0o777)
        while block := os.read(source, _BLOCK):
            file.write(compressor.compress(block))
            if file.tell() >= status.st_size:
                return False
        file.write(compressor.flush())
        return file.tell() < status.st_size
