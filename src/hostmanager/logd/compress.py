"""Compressing old files, one at a time, in a child process of the lowest priority.

A child rather than a thread: a thread of low priority that holds the interpreter's lock
while others have the processor would hold up the pipes; and all that the child needs is
given back when it ends. The child only makes a file of another name. The scribe gives it
its place, if the old file is still there (it may have moved up, or be gone).
"""

import contextlib
import os
import zlib

from hostmanager.logd import paths as names
from hostmanager.logd.stderr_log import log_error
from hostmanager.util.files import is_own, open_own

_BLOCK = 256 * 1024
_LEVEL = 1
_GZIP = 31  # window bits that make zlib write gzip's format
_LOWEST = 19
_REMEMBERED = 100


class Compressor:
    """Compresses the old files of instances, from number 2 up.

    Args:
        files: The folder of the output files.
        keep: So many old ones there are.
    """

    def __init__(self, files: str, keep: int) -> None:
        self._files = files
        self._keep = keep
        self._waiting: dict[str, None] = {}  # in their order
        self._current: tuple[str, _Identity, int] = ("", (0, 0), 0)  # id, file, pid of the child
        self._incompressible: dict[_Identity, None] = {}  # files that do not get smaller
        self.pidfd: int | None = None
        """Becomes readable when `finish` has something to do; None: no child runs."""

    def enqueue(self, instance_id: str) -> None:
        """There is a new old file of this instance."""
        self._waiting[instance_id] = None

    def start(self) -> None:
        """Begin with the next file, if there is one and none is under way."""
        while self.pidfd is None and self._waiting:
            instance_id = next(iter(self._waiting))
            if not self._begin(instance_id):
                del self._waiting[instance_id]

    def finish(self) -> None:
        """The child has ended: give what it made its place."""
        instance_id, identity, pid = self._current
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
        _, status = os.waitpid(pid, 0)
        made = names.compress_tmp(self._files, instance_id)
        try:
            if status == 0 and self._install(made, instance_id, identity):
                return
        except OSError as error:
            log_error(f"compressed file of {instance_id}: {error}")
        self._incompressible[identity] = None
        while len(self._incompressible) > _REMEMBERED:
            del self._incompressible[next(iter(self._incompressible))]
        with contextlib.suppress(OSError):
            os.unlink(made)

    def _begin(self, instance_id: str) -> bool:
        for slot in range(self._keep, 1, -1):
            try:
                fd = open_own(names.log_file(self._files, instance_id, slot), os.O_RDONLY)
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

    def _fork(self, instance_id: str, fd: int, identity: "_Identity") -> None:
        """Have a child compress an open file: by its name, it could be another one by then."""
        made = names.compress_tmp(self._files, instance_id)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(made)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.dup2(fd, 0)
                # Not least the lock: who has it counts as the scribe.
                os.closerange(3, os.sysconf("SC_OPEN_MAX"))
                os.nice(_LOWEST)
                status = 0 if _pack(0, made) else 1
            finally:
                os._exit(status)
        self._current = (instance_id, identity, pid)
        self.pidfd = os.pidfd_open(pid)

    def _install(self, made: str, instance_id: str, identity: "_Identity") -> bool:
        for slot in range(2, self._keep + 1):
            path = names.log_file(self._files, instance_id, slot)
            with contextlib.suppress(FileNotFoundError):
                if _identify(os.lstat(path)) == identity and is_own(made):
                    os.rename(made, names.compressed_file(self._files, instance_id, slot))
                    os.unlink(path)
                    return True
        return False


_Identity = tuple[int, int]


def _identify(status: os.stat_result) -> _Identity:
    # The number of an inode alone is given to another file when this one is gone.
    return status.st_ino, status.st_mtime_ns


def _pack(source: int, target: str) -> bool:
    """Compress an open file; tell whether that made it smaller."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    with open(target, "xb", buffering=0) as sink:
        status = os.fstat(source)
        os.fchmod(sink.fileno(), status.st_mode & 0o777)
        while block := os.read(source, _BLOCK):
            _write(sink.fileno(), packer.compress(block))
            if os.fstat(sink.fileno()).st_size >= status.st_size:
                return False
        _write(sink.fileno(), packer.flush())
        return os.fstat(sink.fileno()).st_size < status.st_size


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
