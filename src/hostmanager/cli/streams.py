"""What a command prints to: closed, full and broken outputs end it without a traceback.

Python gives a process whose standard output is closed no `sys.stdout`, writes the traceback of a
full disk, and fails once more when it flushes at its end. All of that is handled here, once.
"""

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from hostmanager.client.text import remove_hidden

BROKEN_PIPE = 141
"""Exit status of a command whose reader has ended (`| head`): what a shell shows for SIGPIPE."""


class UnwritableError(Exception):
    """The output cannot be written.

    It is no `OSError`: those are expected, and handled, in many places that also print.
    """

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"the output cannot be written: {cause.strerror or cause}")
        self.is_broken_pipe = isinstance(cause, BrokenPipeError)


class _Stream(io.TextIOWrapper):
    """A standard stream for people: no character that cannot be seen gets through."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors="replace",  # a terminal of Latin-1 has no "…"
            line_buffering=stream.line_buffering,
        )
        self._original = stream  # it would close the buffer when it is forgotten

    def write(self, text: str) -> int:
        try:
            return super().write(remove_hidden(text))
        except OSError as error:
            raise UnwritableError(error) from None

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise UnwritableError(error) from None


def prepare_streams() -> None:
    """Make all three standard streams usable; what is closed reads and writes nothing."""
    for number, mode in enumerate(("r", "w", "w")):
        with suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        name = ("stdin", "stdout", "stderr")[number]
        setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    sys.stdout, sys.stderr = _wrapped(sys.stdout), _wrapped(sys.stderr)


def _wrapped(stream: TextIO) -> TextIO:
    # Not what tests, or programs around this one, have put there.
    return _Stream(stream) if type(stream) is io.TextIOWrapper else stream


def flush_streams() -> None:
    """Write what is left.

    Raises:
        UnwritableError: It cannot be written.
    """
    sys.stdout.flush()
    sys.stderr.flush()


def discard_output() -> None:
    """Let whatever is still to be written go nowhere: Python flushes once more at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(null, number)
