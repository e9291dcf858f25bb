"""What decides what is imported, and whether it has changed on disk.

Part of `fork_server`, which imports it by its path.
"""

import os
import struct
import sys
import time
from importlib.machinery import all_suffixes
from types import ModuleType

TIME_ZONE = "/etc/localtime"

DECISIVE = (*all_suffixes(), ".pth", ".dist-info", ".egg-info", ".egg-link", ".egg", ".zip")
"""Names in a directory on the path that decide what is imported end so, or are directories."""


STAMP = struct.Struct("qQQ")
"""Of a file: when it was written (ns), its inode, its size."""


class ImportStamps:
    """What decides what is imported: the files of all modules, and what directories on the path have.

    Libraries and the time zone, too: what a new process has of them.

    Not the times of these directories: agents may write into one. In the working directory only
    what has the name of an imported module counts.

    What is kept are three long strings: a page of memory that is used after a fork is
    copied for that, and each of a thousand small objects has a page of its own.
    """

    def __init__(self, since: float) -> None:
        """Note the files as they are now; `since` is when the first import began, Unix time."""
        files = {file for each in sys.modules.values() if (file := _file_of(each))}
        files |= {
            sys.executable,
            os.path.join(sys.prefix, "pyvenv.cfg"),
            TIME_ZONE,
            *_mapped_files(),
        }
        self._files = "\0".join(sorted(files))
        self._own_path = 0 if sys.flags.safe_path else 1  # sys.path[0]: agents may write there
        self._names = "\0".join({name.partition(".")[0] for name in sys.modules})
        self._noted = self._now()
        now = time.time_ns()
        times = [STAMP.unpack(stamp)[0] for file in files if (stamp := _stamp(file))]
        # A file that was written while we imported it: nobody knows which one we have.
        self._is_unsure = any(since * 1e9 - 1e9 < time_ns <= now for time_ns in times)

    def changed(self) -> bool:
        """Whether an agent that is launched now would import something else."""
        return self._is_unsure or self._now() != self._noted

    def _now(self) -> bytearray:
        stamps = bytearray()
        for file in self._files.split("\0"):
            stamps += _stamp(file) + b"\0"
        for directory in sys.path[self._own_path :]:
            names = sorted(_names(directory))
            stamps += os.fsencode("/".join(names)) or _stamp(directory)  # of an archive
            for name in names:
                if name.endswith(".pth"):
                    stamps += _stamp(os.path.join(directory, name)) + b"\0"
        imported = set(self._names.split("\0"))
        for directory in sys.path[: self._own_path]:
            for name in sorted(_names(directory)):
                if name.partition(".")[0] in imported:
                    stamps += os.fsencode(name) + _stamp(os.path.join(directory, name))
        return stamps


def _file_of(module: object) -> str | None:
    # Past any `__getattr__`: modules of some packages import others when they are asked.
    if not issubclass(type(module), ModuleType):
        return None
    names: dict[str, str | None] = ModuleType.__getattribute__(module, "__dict__")
    return names.get("__file__")


def _mapped_files() -> set[str]:
    """The files in memory: libraries."""
    with open("/proc/self/maps", "rb") as file:
        words = [line.rstrip(b"\n").split(None, 5) for line in file]
    return {os.fsdecode(each[5]) for each in words if len(each) > 5 and each[5].startswith(b"/")}


def _stamp(path: str) -> bytes:
    try:
        status = os.stat(path)
    except OSError:
        return b""
    return STAMP.pack(status.st_mtime_ns, status.st_ino, status.st_size)


def _names(directory: str) -> list[str]:
    """What can be imported from there, or decides on that; no log or data file of an agent."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return [name for name in names if name.endswith(DECISIVE) or "." not in name]
