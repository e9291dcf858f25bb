"""Worker threads that exist before they are needed.

A pool of the standard library starts its threads with the first work. If the host can give no
more threads at that moment (a limit, no memory), the work is lost: the end of an agent is never
examined, and it is shown up for ever.

`WorkerPool` has such threads, and its results reach the event loop whatever happens.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import TypeVar

from hostmanager.util.guard import Guard

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_DELAY = 0.05
"""Seconds after which the delivery of a result is retried."""


def prestarted_pool(
    number: int, name: str, initializer: Callable[[], None] | None = None
) -> ThreadPoolExecutor:
    """Make a pool of that many threads, and start them all.

    Raises:
        RuntimeError: They cannot be started.
    """
    pool = ThreadPoolExecutor(number, name, initializer and partial(_initialize, initializer))
    started = Event()
    try:
        for _ in range(number):
            pool.submit(started.wait)  # each keeps its thread busy, so the next one gets another
    finally:
        started.set()
    return pool


def _initialize(initializer: Callable[[], None]) -> None:
    try:
        initializer()
    except Exception:  # a pool whose initializer raises would refuse all work, for ever
        log.exception("the initialization of a worker thread failed")


class WorkerPool:
    """Threads that do work and deliver the result on the event loop.

    Args:
        loop: The event loop.
        guard: Makes the calls that may fail.
        number: How many threads.
        name: For their names.
        initializer: Called in each, at its start.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        guard: Guard,
        number: int,
        name: str,
        initializer: Callable[[], None] | None = None,
    ) -> None:
        self._loop = loop
        self._guard = guard
        self.closed = False
        self._pool = prestarted_pool(number, name, initializer)

    def submit(
        self,
        name: str,
        work: Callable[[], T],
        on_result: Callable[[T], None] = lambda _: None,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        """Do some work in a thread, and deliver the result on the loop.

        Args:
            name: What the work is, for the log.
            work: Called in the thread.
            on_result: Gets the result; called again, if it raises.
            on_error: Gets an exception of the work; without it, the work is retried.
        """

        def retry(_: Exception) -> None:
            self._guard.schedule(name, partial(self.submit, name, work, on_result))

        def deliver(future: "Future[T]") -> None:
            results: list[T] = []
            if self._guard.call(name, lambda: results.append(future.result()), on_error or retry):
                self._guard.retry_until_done(f"{name}, the result", partial(on_result, results[0]))

        def submit() -> None:
            if not self.closed:
                self._pool.submit(self._work, work, deliver, Future())

        self._guard.retry_until_done(name, submit)

    def _work(
        self, work: Callable[[], T], deliver: Callable[["Future[T]"], None], future: "Future[T]"
    ) -> None:
        """In the thread, to the end: a callback of the pool might run, and wait, on the loop."""
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
        while True:
            try:
                self._loop.call_soon_threadsafe(deliver, future)
                return
            except MemoryError:  # with a lost result, nobody looks after an instance any more
                time.sleep(RETRY_DELAY)
            except RuntimeError:  # the loop is closed: nobody needs the result
                log.debug("the result of a worker came after the end of the loop")
                return

    def close(self) -> None:
        """Stop the threads; queued work is not done."""
        self.closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
