"""Worker threads that are there before they are needed.

A pool of the standard library starts its threads when the first work comes. If that is the
moment when the host can give no more threads (a limit, no memory), the work is lost: an end
that nobody looks into, an instance that is shown up for ever.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event


def make_workers(
    number: int, name: str, initializer: Callable[[], None] | None = None
) -> ThreadPoolExecutor:
    """Make a pool of that many threads, and start them all.

    Raises:
        RuntimeError: They cannot be started.
    """
    pool = ThreadPoolExecutor(number, name, initializer)
    go = Event()
    try:
        for _ in range(number):
            pool.submit(go.wait)  # each keeps its thread busy, so the next one gets another
    finally:
        go.set()
    return pool
