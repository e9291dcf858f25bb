"""Waiting for a condition, with a bound and an error that says what was awaited."""

import time
from collections.abc import Callable
from typing import Any


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
        timeout: Seconds.
        what: What is awaited, for the error.
        seen: Asked once when time ran out: what there was instead.
        every: Seconds between two questions.
    """
    begun = time.monotonic()
    while True:
        try:
            last: object = predicate()
        except Exception as error:
            last = error
        if last and not isinstance(last, Exception):
            return last
        if time.monotonic() - begun > timeout:
            break
        time.sleep(every)
    if seen is not None:
        last = seen()
    msg = f"waited {timeout:g} s for {what or predicate}; last seen: {last!r}"
    raise AssertionError(msg)
