"""No line of output lost: what agents wrote for certain, against what was kept of it.

An agent that behaves `counted` numbers its lines and counts them in a file, after each write:
that count is true even if it was killed in the next moment. The files of its output are read
on from where the last look ended, over rotation and compression; none is ever removed during
a campaign, so the n-th file since the beginning stays the n-th.

Lines may be missing in two cases only: the disk was full, and a line says how many bytes were
given up; or `excuse` was called, for what the docs name as beyond anybody's power (docs/output.md:
nobody was left who had the pipe open).
"""

import gzip
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(rb"^(\d+-\d+) (\d{9}) \.+$")
_LOST = re.compile(rb"\[hostmanager: \d+ bytes lost ")


@dataclass(slots=True)
class _Run:
    """One run of the agent.

    Attributes:
        following: The number that its next line must have.
        gaps: How many remarks about lost bytes had been read at its latest line.
        excused: Whether its next gap is nobody's fault.
    """

    following: int = 0
    gaps: int = 0
    excused: bool = False


class Lines:
    """The lines of one instance.

    Args:
        output: The directory of the output files.
        counts: The directory in which the agent counts, a file for each run.
        instance_id: Whose lines.
        complain: Called with a sentence when a line is missing.
    """

    def __init__(
        self, output: Path, counts: Path, instance_id: str, complain: Callable[[str], None]
    ) -> None:
        self._output = output
        self._counts = counts / instance_id
        self._name = instance_id
        self._complain = complain
        self._runs: dict[bytes, _Run] = {}
        self._done: set[str] = set()
        self._noted: dict[bytes, int] = {}
        self._going_on: bytes | None = None
        self._told = 0
        self._file = 0
        self._offset = 0
        self._rest = b""
        self.read_lines = 0
        self.given_up = 0

    def excuse(self) -> None:
        """What was written up to now may be lost: nobody was left to keep it."""
        for run in self._written():
            self._runs.setdefault(run, _Run()).excused = True

    def note(self, alive: bool) -> None:
        """Take down how much was written up to now, for `missing`.

        Args:
            alive: Whether the latest run goes on.
        """
        self._noted = self._written()
        latest = max(self._noted, key=lambda run: int(run.split(b"-")[1]), default=None)
        self._going_on = latest if alive else None

    def missing(self) -> str | None:
        """What had been written when it was noted, and is not kept (yet); None: all is."""
        self._read()
        for run, count in self._noted.items():
            mine = self._runs.setdefault(run, _Run())
            if mine.following < count and mine.gaps == self._told and not mine.excused:
                return f"line {mine.following} of {count} of {run.decode()} in its output"
            if mine.following >= count:
                mine.excused = False
            if run != self._going_on:
                self._done.add(run.decode())  # need not be looked at again
        return None

    def _written(self) -> dict[bytes, int]:
        """How many lines each run has written for certain."""
        results: dict[bytes, int] = {}
        if not self._counts.is_dir():
            return results
        for path in self._counts.iterdir():
            if path.name not in self._done:
                results[path.name.encode()] = int(path.read_bytes() or b"0")
        return results

    def _read(self) -> None:
        """Go on where the last look ended."""
        while True:
            files = self._files()
            if self._file >= len(files):
                return
            try:
                data = _content(files[self._file], self._offset)
            except (OSError, EOFError, zlib.error):
                continue  # renamed or compressed under our eyes: look again
            if files != self._files():
                continue
            self._take(data)
            self._offset += len(data)
            if self._file == len(files) - 1:
                return
            self._file += 1
            self._offset = 0

    def _files(self) -> list[Path]:
        """Its output files, the oldest first; there is one name for each, whatever its form."""
        numbered: dict[int, Path] = {}
        for path in self._output.glob(f"{self._name}.out*"):
            tail = path.name.removeprefix(f"{self._name}.out").removesuffix(".gz").lstrip(".")
            if tail == "" and not path.name.endswith(".gz"):
                numbered[0] = path
            elif tail.isdecimal() and not (int(tail) in numbered and path.suffix != ".gz"):
                numbered[int(tail)] = path
        return [numbered[slot] for slot in sorted(numbered, reverse=True)]

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if match := _LINE.match(line):
                self._count(match[1], int(match[2]))
            elif _LOST.search(line):
                self._told += 1

    def _count(self, name: bytes, number: int) -> None:
        self.read_lines += 1
        run = self._runs.setdefault(name, _Run(gaps=self._told))
        if number < run.following:
            self._complain(f"{self._name}: line {number} of {name.decode()} was kept twice")
        elif number > run.following and not (run.excused or run.gaps < self._told):
            self._complain(
                f"{self._name}: lines {run.following} to {number - 1} of {name.decode()} are lost"
            )
        self.given_up += max(0, number - run.following)
        run.excused = run.excused and number == run.following
        run.following, run.gaps = number + 1, self._told


def _content(path: Path, offset: int) -> bytes:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        file.seek(offset)
        return file.read()
