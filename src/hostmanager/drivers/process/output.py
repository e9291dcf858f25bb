"""Where the output of an instance goes: a file of its own, which the instance writes itself.

The manager is not in between, so an agent never waits for it, never notices its death,
and costs it nothing however much it writes. The manager reads only the last lines, when
the agent has ended.
"""

import os
from pathlib import Path

KEPT_BYTES = 16 * 1024 * 1024
"""A file that has grown larger than this is moved aside at the next launch."""

TAIL_BYTES = 16 * 1024
TAIL_LINES = 20
LINE_LENGTH = 300


def open_for_run(path: Path) -> tuple[int, int]:
    """Open the output file for the next run.

    Returns:
        A file descriptor (to be closed) that appends, and the present size in bytes.

    Raises:
        OSError: The file cannot be written.
    """
    try:
        if path.stat().st_size > KEPT_BYTES:
            path.replace(aside(path))
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    fd = os.open(path, flags, 0o640)
    try:
        os.set_blocking(fd, True)  # O_NONBLOCK only kept a FIFO from hanging the open
        return fd, os.fstat(fd).st_size
    except OSError:
        os.close(fd)
        raise


def aside(path: Path) -> Path:
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
        path, end = aside(path), None
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            stop = size if end is None else min(end, size)
            file.seek(max(start, stop - TAIL_BYTES))
            data = file.read(max(0, stop - file.tell()))
    except OSError:
        return ()
    lines = data.decode("utf-8", "replace").splitlines()
    return tuple(_cut(line) for line in lines[-TAIL_LINES:])


def _cut(line: str) -> str:
    return line if len(line) <= LINE_LENGTH else line[: LINE_LENGTH - 1] + "…"
