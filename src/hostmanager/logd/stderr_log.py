"""Saying what went wrong, to a log that cannot grow without bound and may itself be broken."""

import contextlib
import os
import stat
import time

_LARGEST = 1024 * 1024


def log_error(text: str) -> None:
    """Write a line to stderr, which the manager has made the scribe's log; never fails."""
    with contextlib.suppress(OSError):
        status = os.fstat(2)
        if stat.S_ISREG(status.st_mode) and status.st_size > _LARGEST:
            os.ftruncate(2, 0)
        os.write(
            2, f"{format_utc(time.time())} [{os.getpid()}] {text}\n".encode("utf-8", "replace")
        )


def format_utc(when: float) -> str:
    """A time for people, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))


def succeeds(call: object, *arguments: object) -> bool:
    """Call something; tell whether it did without an `OSError`."""
    assert callable(call)
    try:
        call(*arguments)
    except OSError:
        return False
    return True
