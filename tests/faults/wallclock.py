"""The wall clock of a campaign: it can be set, for its managers, log daemons and agents alone.

Nobody's real clock is touched: a small library, preloaded into the processes of the site, adds
seconds from a shared file to what the kernel tells (`wallclock.c`).
"""

import mmap
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_name("wallclock.c")
FORMAT = "=q"


class WallClock:
    """What the wall clock is ahead of the real one, by how many seconds.

    Attributes:
        surroundings: Environment for the processes of the site.
        impossible: Why there is no such clock; empty: there is one.
    """

    def __init__(self, directory: Path) -> None:
        self.surroundings: Mapping[str, str] = {}
        self.impossible = ""
        page = directory / "wallclock"
        page.write_bytes(struct.pack(FORMAT, 0))
        with page.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), struct.calcsize(FORMAT))
        library = directory / "wallclock.so"
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            self.impossible = "no C compiler"
            return
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        if result.returncode:
            self.impossible = "wallclock.c cannot be compiled here"
            return
        self.surroundings = {"LD_PRELOAD": str(library), "HM_FAULTS_CLOCK": str(page)}

    @property
    def ahead(self) -> int:
        """Seconds."""
        return struct.unpack(FORMAT, self._page)[0]

    @ahead.setter
    def ahead(self, seconds: int) -> None:
        self._page[:] = struct.pack(FORMAT, seconds)
