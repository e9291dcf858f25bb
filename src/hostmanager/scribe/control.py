"""The pipe that the scribe is told things through: lines `add ID`, `drop ID`, `quit`.

Anybody who may write to it may write anything: what is not understood is told once in a
while and has no effect, and a line without an end does not grow in memory.
"""

import os
import stat

from hostmanager.scribe import locks, names
from hostmanager.scribe.trouble import say, suppressed

_LONGEST = 4096
_BLOCK = 65536
_TOLD = 20  # so many misunderstandings are told by one scribe


class Control:
    """The reading end.

    Args:
        path: Where it is to be. What is there and is no pipe is moved aside.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: str) -> None:
        if not _is_pipe(path):
            if os.path.lexists(path):
                locks.aside(path)
            os.mkfifo(path, 0o600)
        # Open for writing as well: so it never hangs up when those who told have gone.
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._rest = b""
        self._skipping = False
        self._told = 0

    def read(self) -> list[tuple[str, str]]:
        """What was told since last time: (verb, instance id), the id empty for `quit`."""
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

    def _understand(self, line: bytes) -> tuple[str, str] | None:
        words = line.decode("ascii", "replace").split(" ")
        if words == ["quit"]:
            return "quit", ""
        if len(words) == 2 and words[0] in ("add", "drop"):
            try:
                return words[0], names.checked(words[1])
            except ValueError:
                pass
        if line.strip():
            self._misunderstood(line)
        return None

    def _misunderstood(self, line: bytes) -> None:
        self._told += 1
        if self._told <= _TOLD:
            say(f"not understood: {line[:100]!r}")


def _is_pipe(path: str) -> bool:
    return suppressed(os.lstat, path) and stat.S_ISFIFO(os.lstat(path).st_mode)
