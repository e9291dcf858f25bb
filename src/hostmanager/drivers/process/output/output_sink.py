"""Where the output of an instance goes: into a file that it writes itself, at its simplest.

That is also the fallback of `LogDaemonSink`. With both, output does not pass through the manager:
an agent never waits for it, however much it writes. The manager reads only the last lines, when
the agent has ended.
"""

import os
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from hostmanager.logd.reader import Position
from hostmanager.util.files import make_private_directory, open_or_replace, open_own
from hostmanager.util.text import last_state


@dataclass(frozen=True, slots=True)
class SinceTime:
    """The output of an adopted run: all since this Unix time."""

    when: float


OutputPosition = int | Position | SinceTime
"""Where the output of a run begins: bytes of a file that is written directly, or a position in the
files of the log daemon."""

MAX_FILE_BYTES = 16 * 1024 * 1024
"""A larger file is rotated at the next launch."""

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
        if path.lstat().st_size > MAX_FILE_BYTES:
            path.replace(rotated_path(path))
    except FileNotFoundError:
        make_private_directory(path.parent)
    fd, _ = open_or_replace(str(path), os.O_WRONLY | os.O_APPEND, 0o640)
    return fd, os.fstat(fd).st_size


def rotated_path(path: Path) -> Path:
    """The path of the rotated file."""
    return path.with_name(path.name + ".1")


def last_lines(path: Path, start: int, end: int | None = None) -> tuple[str, ...]:
    """Read the last lines of one run.

    Undecodable bytes are replaced; the file keeps them. Long lines are truncated to
    `LINE_LENGTH` characters.

    Args:
        path: The output file.
        start: Where the run began, bytes.
        end: Where the next run began, or None for the end of the file.

    Returns:
        At most `TAIL_LINES` lines without their ends; none if the file cannot be read.
    """
    if end is not None and end < start:  # rotated at the next launch
        path, end = rotated_path(path), None
    try:
        with os.fdopen(open_own(str(path), os.O_RDONLY), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            stop = size if end is None else min(end, size)
            file.seek(max(start, stop - TAIL_BYTES))
            data = file.read(max(0, stop - file.tell()))
    except OSError:
        return ()
    lines = data.decode("utf-8", "replace").removesuffix("\n").split("\n") if data else []
    return tuple(truncate_line(last_state(line, "\r")) for line in lines[-TAIL_LINES:])


def truncate_line(line: str) -> str:
    """Shorten a line to `LINE_LENGTH`."""
    return line if len(line) <= LINE_LENGTH else line[: LINE_LENGTH - 1] + "…"


class OutputSink:
    """Takes the output of instances; here, each instance writes its file itself.

    Calls about an instance may block, and are made in worker threads.
    """

    def start(self) -> None:
        """Start; called on the loop's thread, or before the loop runs."""

    def close(self, *, end: bool) -> None:
        """Close; with `end`, no instance is left that could write."""

    def open(self, instance_id: str, path: Path) -> tuple[int, OutputPosition]:
        """Open the output of a run.

        Args:
            instance_id: The instance.
            path: Its output file.

        Returns:
            A file descriptor for stdout and stderr (to be closed), and where the output begins.

        Raises:
            OSError: No output can be opened.
        """
        return open_output_file(path)

    def remove_stale(self, alive: AbstractSet[str]) -> None:
        """Remove what is left of instances that are not alive; their files stay.

        Called once, before anything is launched.
        """

    def attach(self, instance_id: str, pid: int, since: float) -> OutputPosition:
        """Attach to an adopted run; returns where its output begins.

        Args:
            instance_id: The instance.
            pid: Its process.
            since: When it was launched, Unix time.
        """
        return 0

    def remove(self, instance_id: str) -> None:
        """The instance was removed; its files stay."""

    def last_lines(
        self, instance_id: str, path: Path, begin: OutputPosition, end: OutputPosition | None
    ) -> tuple[str, ...]:
        """Read the last lines of a run; `end` is where the next one began, if one has."""
        assert isinstance(begin, int)
        return last_lines(path, begin, end if isinstance(end, int) else None)
