"""Worker threads that are there before they are needed.

A pool of the standard library starts its threads when the first work comes. If that is the
moment when the host can give no more threads (a limit, no memory), the work is lost: an end
that nobody looks into, an instance that is shown up for ever.

`Workers` are such threads with a way back: their answer reaches the event loop, whatever happens.
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
"""Seconds after which an answer that could not be given is given again."""


def prestarted_pool(
    number: int, name: str, initializer: Callable[[], None] | None = None
) -> ThreadPoolExecutor:
    """Make a pool of that many threads, and start them all.

    Raises:
        RuntimeError: They cannot be started.
    """
    pool = ThreadPoolExecutor(number, name, initializer and partial(_begin, initializer))
    go = Event()
    try:
        for _ in range(number):
            pool.submit(go.wait)  # each keeps its thread busy, so the next one gets another
    finally:
        go.set()
    return pool


def _begin(initializer: Callable[[], None]) -> None:
    try:
        initializer()
    except Exception:  # a pool whose initializer raises would refuse all work, for ever
        log.exception("a worker thread does not begin as it should")


class WorkerPool:
    """Threads that are asked something and answer on the event loop.

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

    def ask(
        self,
        what: str,
        question: Callable[[], T],
        told: Callable[[T], None] = lambda _: None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Have a thread look something up or do something, and be told on the loop.

        Args:
            what: What it is, for the log.
            question: Called in the thread.
            told: Takes the answer; called again, if that fails.
            failed: Told of an exception; without that, the question is asked again.
        """

        def answered(future: "Future[T]") -> None:
            answer: list[T] = []
            again = partial(self._ask_again, what, question, told)
            if self._guard.call(what, lambda: answer.append(future.result()), failed or again):
                self._guard.retry_until_done(f"{what}, the answer", partial(told, answer[0]))

        def submit() -> None:
            if not self.closed:
                self._pool.submit(question).add_done_callback(partial(self._on_loop, answered))

        self._guard.retry_until_done(what, submit)

    def _ask_again(
        self, what: str, question: Callable[[], T], told: Callable[[T], None], _: Exception
    ) -> None:
        self._guard.schedule(what, partial(self.ask, what, question, told))

    def _on_loop(self, answered: Callable[["Future[T]"], None], future: "Future[T]") -> None:
        if future.cancelled():
            return
        while True:
            try:
                self._loop.call_soon_threadsafe(answered, future)
            except MemoryError:  # an answer that is lost is an instance that nobody looks after
                time.sleep(RETRY_DELAY)
            except RuntimeError:  # the loop is closed: nobody is left to be told
                log.debug("a worker's answer came after the end of the loop")
                return
            else:
                return

    def close(self) -> None:
        """Let the threads go; what was not begun is not done."""
        self.closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
