"""The log of errors, which cannot grow without bound and may itself be broken."""

import contextlib
import os
import stat
import time

_MAX_BYTES = 1024 * 1024


def log_error(text: str) -> None:
    """Write a line to stderr, which is the log daemon's log; never fails."""
    with contextlib.suppress(OSError):
        status = os.fstat(2)
        if stat.S_ISREG(status.st_mode) and status.st_size > _MAX_BYTES:
            os.ftruncate(2, 0)
        os.write(
            2, f"{format_utc(time.time())} [{os.getpid()}] {text}\n".encode("utf-8", "replace")
        )


def format_utc(when: float) -> str:
    """A time in UTC, for people."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
