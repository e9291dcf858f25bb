"""One way to make a call that may fail, for drivers, callbacks, timers, listeners, tasks, threads.

An unexpected exception must not leave an instance unsupervised. So each call into a driver, each
callback of the event loop and each result of a thread goes through a `Guard`: it logs the
exception, and then reports it (`on_error`: as an observation, say) or retries the call after a
delay, as long as the call is still needed.

A function that is retried must bear it: it acts on the state at that moment (level-triggered).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

log = logging.getLogger(__name__)

FIRST_RETRY_DELAY, MAX_RETRY_DELAY = 0.1, 5.0
"""Seconds until a failed call is retried: at first, and at most."""

CallLater = Callable[[float, Callable[[], None]], object]
"""Schedules a call after a number of seconds."""

ErrorHandler = Callable[[Exception], object]


def _always() -> bool:
    return True


class Guard:
    """Makes calls that may fail. No method raises what the call raises.

    `name` identifies a call, and says in the log what failed.

    Args:
        call_later: Schedules a call; if it fails itself, it is tried again with the next call.
    """

    def __init__(self, call_later: CallLater) -> None:
        self._call_later = call_later
        self._failures: dict[str, int] = {}
        self._scheduled: dict[str, Callable[[], None]] = {}
        self._without_timer: set[str] = set()

    def call(
        self, name: str, function: Callable[[], object], on_error: ErrorHandler | None = None
    ) -> bool:
        """Make a call once.

        Args:
            name: What the call does, for the log.
            function: The call.
            on_error: Gets the exception, if there is one.

        Returns:
            Whether it succeeded.
        """
        self._set_missing_timers()
        try:
            function()
        except Exception as error:
            self._handle_error(name, error, on_error)
            return False
        self._failures.pop(name, None)
        return True

    def retry_until_done(
        self,
        name: str,
        function: Callable[[], object],
        still_needed: Callable[[], bool] = _always,
        on_error: ErrorHandler | None = None,
    ) -> None:
        """Make a call, and retry it after each failure, as long as it is still needed."""
        if not self.call(name, function, on_error):
            self.schedule(name, partial(self._retry, name, function, still_needed, on_error))

    def _retry(
        self,
        name: str,
        function: Callable[[], object],
        still_needed: Callable[[], bool],
        on_error: ErrorHandler | None,
    ) -> None:
        replies: list[bool] = []
        checked = self.call(f"{name}: is it needed", lambda: replies.append(still_needed()))
        if not checked or replies[0]:
            self.retry_until_done(name, function, still_needed, on_error)
        else:
            self._failures.pop(name, None)

    def callback(self, name: str, function: Callable[..., object]) -> Callable[..., None]:
        """Make a callback, with arguments, that never raises."""

        def call(*args: Any) -> None:
            self.retry_until_done(name, partial(function, *args))

        return call

    def schedule(self, name: str, function: Callable[[], None]) -> None:
        """Schedule a call that does not raise; a later one of that name replaces it."""
        has_timer = name in self._scheduled
        self._scheduled[name] = function
        if not has_timer:
            self._set_timer(name)

    def task(
        self, name: str, coroutine: Coroutine[Any, Any, None], on_error: ErrorHandler | None = None
    ) -> "asyncio.Task[None]":
        """Run a coroutine on the loop; it ends without an exception, unless it is cancelled."""
        task = asyncio.ensure_future(self._await(name, lambda: coroutine, on_error))
        task.add_done_callback(lambda _: coroutine.close())  # cancelled before it began
        return task

    async def run_forever(
        self,
        name: str,
        make_awaitable: Callable[[], Awaitable[None]],
        delay: Callable[[], float],
        on_error: ErrorHandler | None = None,
    ) -> None:
        """Await something again and again, however it ends, with a delay in between.

        Args:
            name: What it does, for the log.
            make_awaitable: Makes what is awaited.
            delay: Seconds after each.
            on_error: Gets each exception.
        """
        while True:
            await self._await(name, make_awaitable, on_error)
            await asyncio.sleep(delay())

    async def _await(
        self,
        name: str,
        make_awaitable: Callable[[], Awaitable[None]],
        on_error: ErrorHandler | None,
    ) -> None:
        try:
            await make_awaitable()
        except Exception as error:
            self._handle_error(name, error, on_error)
        else:
            self._failures.pop(name, None)

    # --- timers -----------------------------------------------------------------------------

    def _set_missing_timers(self) -> None:
        for name in tuple(self._without_timer):
            self._without_timer.discard(name)
            self._set_timer(name)

    def _set_timer(self, name: str) -> None:
        failures = min(self._failures.get(name, 1), 10)
        delay = min(MAX_RETRY_DELAY, FIRST_RETRY_DELAY * 2.0 ** (failures - 1))
        try:
            self._call_later(delay, partial(self._on_timer, name))
        except Exception as error:  # no memory, say: with the next call
            self._log_error("setting a timer", error)
            self._without_timer.add(name)

    def _on_timer(self, name: str) -> None:
        function = self._scheduled.pop(name, None)
        if function is not None:
            function()

    # --- the log ----------------------------------------------------------------------------

    def _handle_error(self, name: str, error: Exception, on_error: ErrorHandler | None) -> None:
        self._log_error(name, error)
        if on_error is not None:
            self.call(f"{name}: reporting its failure", partial(on_error, error))

    def _log_error(self, name: str, error: Exception) -> None:
        """Log a failure: the first one in full, later ones at powers of two."""
        count = self._failures[name] = self._failures.get(name, 0) + 1
        if count == 1:
            log.error("%s failed unexpectedly", name, exc_info=error)
        elif not count & (count - 1):
            text = f"{type(error).__name__}: {error}"
            log.error("%s failed unexpectedly, %d times in a row: %s", name, count, text[:500])
