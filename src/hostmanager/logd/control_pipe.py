"""The pipe that the scribe is told things through: lines `add ID`, `drop ID`, `quit`, `end`.

An id is written as in names of files.

And `at ID PID FD DEVICE INODE` for a pipe that no path leads to: who has it open, and which
it is. `quit` is for a scribe that is followed by another, `end` for the last one: nobody will
have the pipes open any more.

One scribe reads it: what another took out of it would never be done. A scribe that finds it read
by one before it (whose lock somebody removed) makes a new one, and that is where all are told from
then on; what was told before is in the pipes that it finds in their folder.

Anybody who may write to it may write anything: what is not understood is told once in a
while and has no effect, and a line without an end does not grow in memory.
"""

import fcntl
import os
import stat

from hostmanager.logd.stderr_log import log_error, succeeds
from hostmanager.util.files import move_aside, open_fifo
from hostmanager.util.names import decode_id
from hostmanager.util.numbers import parse_number

_LONGEST = 4096
_BLOCK = 65536
_NUMBERS = {"add": 0, "drop": 0, "at": 4}
"""What follows an instance id."""

_TOLD = 20  # so many misunderstandings are told by one scribe


class ControlPipe:
    """The reading end.

    Args:
        path: Where it is to be. What is there and is no pipe, or is read by another scribe, is
            moved aside.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: str) -> None:
        if not _is_pipe(path):
            _make(path)
        self.fd = _open(path)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.fd)
            _make(path)
            self.fd = _open(path)
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._rest = b""
        self._skipping = False
        self._told = 0

    def read(self) -> list[list[str]]:
        """What was told since last time, in words that make sense."""
        try:
            block = os.read(self.fd, _BLOCK)
        except BlockingIOError:
            return []
        *lines, self._rest = (self._rest + block).split(b"\n")
        if lines and self._skipping:
            self._skipping = False
            del lines[0]
        if len(self._rest) > _LONGEST:
            self._rest, self._skipping = b"", True
            self._misunderstood(b"a line without an end")
        return [order for line in lines if (order := self._understand(line))]

    def close(self) -> None:
        """Let it go."""
        os.close(self.fd)

    def _understand(self, line: bytes) -> list[str] | None:
        words = line.decode("ascii", "replace").split(" ")
        if words in (["quit"], ["end"]):
            return words
        if _NUMBERS.get(words[0]) == len(words) - 2 and all(map(_is_number, words[2:])):
            instance_id = decode_id(words[1])
            if instance_id is not None:
                return [words[0], instance_id, *words[2:]]
        if line.strip():
            self._misunderstood(line)
        return None

    def _misunderstood(self, line: bytes) -> None:
        self._told += 1
        if self._told <= _TOLD:
            log_error(f"not understood: {line[:100]!r}")


def _is_number(word: str) -> bool:
    return parse_number(word, 2**64 - 1) is not None


def _make(path: str) -> None:
    if os.path.lexists(path):
        move_aside(path)
    os.mkfifo(path, 0o600)


def _open(path: str) -> int:
    # Open for writing as well: so it never hangs up when those who told have gone.
    return open_fifo(path, os.O_RDWR)


def _is_pipe(path: str) -> bool:
    return succeeds(os.lstat, path) and stat.S_ISFIFO(os.lstat(path).st_mode)
