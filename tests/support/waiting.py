"""Waiting for a condition, with a bound and an error that says what was awaited."""

import time
from collections.abc import Callable
from typing import Any

BUSY_MACHINE = 5.0
"""A bound that a test names is what an idle machine needs, generously. The machine may be busy:
the suite has to pass with more processes beside it than there are processors."""

MAX_PAUSE = 0.1
"""Seconds between two questions, however long a question takes."""


def wait_for(
    predicate: Callable[[], Any],
    timeout: float = 10.0,
    what: str = "",
    seen: Callable[[], object] | None = None,
    every: float = 0.005,
) -> Any:
    """Ask until the predicate's answer is true, and return that answer.

    An exception counts as "not yet" and is shown if time runs out.

    Args:
        predicate: What is asked, without arguments.
        timeout: Seconds on an idle machine; `BUSY_MACHINE` times as many are waited.
        what: What is awaited, for the error.
        seen: Asked once when time ran out: what there was instead.
        every: Seconds between two questions; more if the question itself takes long.
    """
    started = time.monotonic()
    timeout *= BUSY_MACHINE
    while True:
        asked = time.monotonic()
        try:
            last: object = predicate()
        except Exception as error:
            last = error
        if last and not isinstance(last, Exception):
            return last
        now = time.monotonic()
        if now - started > timeout:
            break
        # What is awaited needs the processor, too: no more than a fifth of it for asking.
        time.sleep(max(every, min(4 * (now - asked), MAX_PAUSE)))
    if seen is not None:
        last = seen()
    msg = f"waited {timeout:g} s for {what or predicate}; last seen: {last!r}"
    raise AssertionError(msg)
