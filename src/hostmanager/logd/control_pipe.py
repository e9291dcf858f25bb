"""The pipe through which the manager commands its log daemon, a line each.

``add ID PID FD DEVICE INODE``: read a pipe, by way of a process that has it open. ``drop ID``: the
instance is no more. ``quit``: end. An id is written as in names of files. ``end`` is what earlier
managers send for ``quit``.

One log daemon reads it: a command that another one read would be lost. A log daemon that finds it
read by one before it (whose lock somebody removed) makes a new one, and that is where commands go
from then on.

Anybody who may write to it may write anything: what is not understood is logged a few times and
has no effect, and a line without an end does not grow in memory.
"""

import os
import stat

from hostmanager.logd.stderr_log import log_error
from hostmanager.util.files import move_aside, open_fifo
from hostmanager.util.lockfile import try_lock
from hostmanager.util.names import decode_id
from hostmanager.util.numbers import parse_number

_MAX_LINE_BYTES = 4096
_BLOCK = 65536
_NUMBERS = {"add": 4, "drop": 0}
"""How many numbers follow an instance id."""

_MAX_LOGGED = 20  # misunderstood lines that are logged


class ControlPipe:
    """The reading end.

    Args:
        path: The pipe. Anything else at the path, and a pipe that another log daemon reads, is
            moved aside.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: str) -> None:
        if not _is_pipe(path):
            _make(path)
        self.fd = _open(path)
        if not try_lock(self.fd):
            os.close(self.fd)
            _make(path)
            self.fd = _open(path)
            try_lock(self.fd)
        self._partial_line = b""
        self._skipping = False
        self._misunderstood = 0

    def read(self) -> list[list[str]]:
        """The commands that came since it was last read, as words."""
        try:
            block = os.read(self.fd, _BLOCK)
        except BlockingIOError:
            return []
        *lines, self._partial_line = (self._partial_line + block).split(b"\n")
        if lines and self._skipping:
            self._skipping = False
            del lines[0]
        if len(self._partial_line) > _MAX_LINE_BYTES:
            self._partial_line, self._skipping = b"", True
            self._log_misunderstood(b"a line without an end")
        return [command for line in lines if (command := self._parse(line))]

    def close(self) -> None:
        """Close it."""
        os.close(self.fd)

    def _parse(self, line: bytes) -> list[str] | None:
        words = line.decode("ascii", "replace").split(" ")
        if words in (["quit"], ["end"]):
            return ["quit"]
        if _NUMBERS.get(words[0]) == len(words) - 2 and all(map(_is_number, words[2:])):
            instance_id = decode_id(words[1])
            if instance_id is not None:
                return [words[0], instance_id, *words[2:]]
        if line.strip():
            self._log_misunderstood(line)
        return None

    def _log_misunderstood(self, line: bytes) -> None:
        self._misunderstood += 1
        if self._misunderstood <= _MAX_LOGGED:
            log_error(f"not understood: {line[:100]!r}")


def _is_number(word: str) -> bool:
    return parse_number(word, 2**64 - 1) is not None


def _make(path: str) -> None:
    if os.path.lexists(path):
        move_aside(path)
    os.mkfifo(path, 0o600)


def _open(path: str) -> int:
    # Open for writing as well: so it never hangs up when its writers have gone.
    return open_fifo(path, os.O_RDWR)


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.lstat(path).st_mode)
    except OSError:
        return False
