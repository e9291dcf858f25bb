"""Where the output of an instance goes, as the driver sees it, and the simplest way.

`Sink` is what the driver needs. `Directly` has the instance write a file of its own; the
scribe does more (see `scribed`), and this is what is left when there can be none. In both,
the manager is not in between: an agent never waits for it and costs it nothing, however much
it writes. The manager reads only the last lines, when the agent has ended.
"""

import os
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hostmanager.logd.reader import Position
from hostmanager.util.files import open_or_replace, open_own


@dataclass(frozen=True, slots=True)
class SinceTime:
    """The output of a run whose beginning nobody saw: what came since this Unix time."""

    when: float


OutputPosition = int | Position | SinceTime
"""Where the output of a run begins: bytes of a file that is written directly, or what the
scribe makes of that."""

KEPT_BYTES = 16 * 1024 * 1024
"""A file that has grown larger than this is moved aside at the next launch."""

TAIL_BYTES = 16 * 1024
TAIL_LINES = 20
LINE_LENGTH = 300


def open_output_file(path: Path) -> tuple[int, int]:
    """Open the output file for the next run.

    Returns:
        A file descriptor (to be closed) that appends, and the present size in bytes.

    Raises:
        OSError: The file cannot be written.
    """
    try:
        if path.lstat().st_size > KEPT_BYTES:
            path.replace(rotated_path(path))
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, _ = open_or_replace(str(path), os.O_WRONLY | os.O_APPEND, 0o640)
    return fd, os.fstat(fd).st_size


def rotated_path(path: Path) -> Path:
    """Where a file that has grown too large is moved to."""
    return path.with_name(path.name + ".1")


def last_lines(path: Path, start: int, end: int | None = None) -> tuple[str, ...]:
    """Read the last lines of one run.

    Undecodable bytes are repaired for showing; the file keeps them as they are. Long
    lines are cut at `LINE_LENGTH` characters.

    Args:
        path: The output file.
        start: Where the run began, bytes.
        end: Where the next run began, or None for the end of the file.

    Returns:
        At most `TAIL_LINES` lines without their ends; none if the file cannot be read.
    """
    if end is not None and end < start:  # moved aside at the next launch
        path, end = rotated_path(path), None
    try:
        with os.fdopen(open_own(str(path), os.O_RDONLY), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            stop = size if end is None else min(end, size)
            file.seek(max(start, stop - TAIL_BYTES))
            data = file.read(max(0, stop - file.tell()))
    except OSError:
        return ()
    lines = data.decode("utf-8", "replace").splitlines()
    return tuple(truncate_line(line) for line in lines[-TAIL_LINES:])


def truncate_line(line: str) -> str:
    """Shorten a line for showing."""
    return line if len(line) <= LINE_LENGTH else line[: LINE_LENGTH - 1] + "…"


class OutputSink(Protocol):
    """Takes the output of instances.

    Calls about an instance may block, and are made in worker threads.
    """

    def start(self) -> None:
        """Begin; called on the loop's thread, or before the loop runs."""

    def close(self, *, end: bool) -> None:
        """Let go; with `end`, no instance is left that could write."""

    def open(self, instance_id: str, path: Path) -> tuple[int, OutputPosition]:
        """Get ready for a run.

        Args:
            instance_id: Whose run.
            path: The file that its output goes to.

        Returns:
            What the process gets as stdout and stderr (to be closed), and where it begins.

        Raises:
            OSError: There is no way to take its output.
        """

    def remove_stale(self, alive: AbstractSet[str]) -> None:
        """Remove what is left of instances of which nothing is alive; their files stay.

        Called once, before anything is launched.
        """

    def attach(self, instance_id: str, pid: int, since: float) -> OutputPosition:
        """Get ready for what an earlier manager launched; tells where its output begins.

        Args:
            instance_id: Whose.
            pid: The process.
            since: When it was launched, Unix time.
        """

    def remove(self, instance_id: str) -> None:
        """The instance is no more; its files stay."""

    def last_lines(
        self, instance_id: str, path: Path, begin: OutputPosition, end: OutputPosition | None
    ) -> tuple[str, ...]:
        """Read the last lines of a run; `end` is where the next one began, if one has."""


class DirectFileSink:
    """Implements `Sink`: the instance writes the file itself."""

    def start(self) -> None:
        """Nothing to be done; see the protocol."""

    def close(self, *, end: bool) -> None:
        """Nothing to be done; see the protocol."""

    def open(self, instance_id: str, path: Path) -> tuple[int, OutputPosition]:
        """Open the file; see the protocol."""
        return open_output_file(path)

    def remove_stale(self, alive: AbstractSet[str]) -> None:
        """Nothing to be done; see the protocol."""

    def attach(self, instance_id: str, pid: int, since: float) -> OutputPosition:
        """Nothing to be done; see the protocol."""
        return 0

    def remove(self, instance_id: str) -> None:
        """Nothing to be done; see the protocol."""

    def last_lines(
        self, instance_id: str, path: Path, begin: OutputPosition, end: OutputPosition | None
    ) -> tuple[str, ...]:
        """Read the end of the file; see the protocol."""
        assert isinstance(begin, int)
        return last_lines(path, begin, end if isinstance(end, int) else None)
