"""The preloaded library that counts and kills (crash.c), and what a test says to it."""

import mmap
import struct
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

KINDS = [
    "open for writing",
    "write",
    "pwrite",
    "truncate",
    "rename",
    "link",
    "unlink",
    "mkdir",
    "fsync",
    "kill",
    "pidfd_send_signal",
    "prlimit",
    "clone",
    "execve",
    "send to the fork server",
    "what follows a send to the fork server",
]
_HEAD = struct.Struct("5i")
_COUNTS = struct.Struct(f"{len(KINDS)}i")
_WHERE = 400
_NONE = -1
_ARMED = struct.pack("i", 1)


@cache
def built(directory: Path) -> Path:
    """Compile it.

    Raises:
        OSError: There is no compiler.
    """
    library = directory / "crash.so"
    source = Path(__file__).with_name("crash.c")
    subprocess.run(
        ["gcc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"],
        check=True,
        capture_output=True,
    )
    return library


class Control:
    """What a manager and the test share.

    Args:
        path: A file for it.
        library: The compiled library.
    """

    def __init__(self, path: Path, library: Path) -> None:
        size = _HEAD.size + _COUNTS.size + _WHERE
        path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), size)
        self.environment = {"LD_PRELOAD": str(library), "CRASH_CONTROL": str(path)}
        self.disarm()

    def arm(self, kind: int = _NONE, number: int = 0, hold: int = 0) -> None:
        """Count from now on, and kill before that call; without a kind, only count.

        Args:
            kind: Of the call.
            number: The how manieth of its kind.
            hold: Milliseconds that its thread waits before, if it is not the main one.
        """
        size = _COUNTS.size + _WHERE
        self._memory[_HEAD.size : _HEAD.size + size] = bytes(size)
        self._memory[: _HEAD.size] = _HEAD.pack(0, kind, number, hold, 0)
        self._memory[:4] = _ARMED

    def disarm(self) -> None:
        """Do nothing from now on."""
        self._memory[: _HEAD.size] = bytes(_HEAD.size)

    @property
    def hit(self) -> bool:
        """Whether it got to that call: the manager is killed by now, or soon."""
        return bool(_HEAD.unpack_from(self._memory)[4])

    @property
    def counts(self) -> Counter[int]:
        """How many calls of each kind there were."""
        return Counter(dict(enumerate(_COUNTS.unpack_from(self._memory, _HEAD.size))))

    @property
    def where(self) -> str:
        """What the call was about before which it was killed."""
        at = _HEAD.size + _COUNTS.size
        return self._memory[at : at + _WHERE].split(b"\0")[0].decode(errors="replace")
