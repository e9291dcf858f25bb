"""One way to make a call that may fail, for drivers, callbacks, timers, listeners, tasks, threads.

An exception that nobody expected must not leave an instance that nobody looks after. So each
call into a driver, each callback of the event loop and each answer of a thread goes through a
`Guard`: the failure is logged, and then it is answered (`failed`: as an observation, say) or the
call is made again after a pause, as long as it is still wanted.

What is called again has to bear it: it looks at what is so then (level-triggered).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds until a call that failed is made again: at first, and at most."""

CallLater = Callable[[float, Callable[[], None]], object]
"""Arranges for a call after so many seconds."""

Failed = Callable[[Exception], object]


def _always() -> bool:
    return True


class Guard:
    """Makes calls that may fail. No method raises what the call raises.

    Calls are told apart by `what`, which says in the log what failed.

    Args:
        call_later: Arranges for a call; if it fails itself, the call is made with the next one.
    """

    def __init__(self, call_later: CallLater) -> None:
        self._call_later = call_later
        self._failures: dict[str, int] = {}
        self._waiting: dict[str, Callable[[], None]] = {}
        self._without_timer: set[str] = set()

    def call(self, what: str, work: Callable[[], object], failed: Failed | None = None) -> bool:
        """Make a call once.

        Args:
            what: What it is, for the log.
            work: The call.
            failed: Told of an exception.

        Returns:
            Whether it went well.
        """
        self._arm_those_without_timer()
        try:
            work()
        except Exception as error:
            self._note(what, error)
            if failed is not None:
                self.call(f"{what}: telling of its failure", partial(failed, error))
            return False
        self._failures.pop(what, None)
        return True

    def until_done(
        self,
        what: str,
        work: Callable[[], object],
        wanted: Callable[[], bool] = _always,
        failed: Failed | None = None,
    ) -> None:
        """Make a call, and make it again after each failure, as long as it is wanted."""
        if not self.call(what, work, failed):
            again = partial(self._if_wanted, what, work, wanted, failed)
            self.after_pause(what, again)

    def _if_wanted(
        self,
        what: str,
        work: Callable[[], object],
        wanted: Callable[[], bool],
        failed: Failed | None,
    ) -> None:
        answers: list[bool] = []
        asked = self.call(f"{what}: is it wanted", lambda: answers.append(wanted()))
        if not asked or answers[0]:
            self.until_done(what, work, wanted, failed)
        else:
            self._failures.pop(what, None)

    def callback(
        self, what: str, work: Callable[..., object], wanted: Callable[[], bool] = _always
    ) -> Callable[..., None]:
        """Make something that others may call, with arguments, and that never raises."""

        def call(*args: Any) -> None:
            self.until_done(what, partial(work, *args), wanted)

        return call

    def after_pause(self, what: str, work: Callable[[], None]) -> None:
        """Arrange for a call that does not raise; a later one of that name takes its place."""
        known = what in self._waiting
        self._waiting[what] = work
        if not known:
            self._arm(what)

    def task(
        self, what: str, work: Coroutine[Any, Any, None], failed: Failed | None = None
    ) -> "asyncio.Task[None]":
        """Run a coroutine on the loop; it ends without an exception, unless it is cancelled."""
        task = asyncio.ensure_future(self._awaited(what, lambda: work, failed))
        task.add_done_callback(lambda _: work.close())  # cancelled before it began
        return task

    async def for_ever(
        self,
        what: str,
        work: Callable[[], Awaitable[None]],
        rest: Callable[[], float],
        failed: Failed | None = None,
    ) -> None:
        """Await something again and again, however it ends, with rests in between.

        Args:
            what: What it is, for the log.
            work: Makes what is awaited.
            rest: Seconds after each.
            failed: Told of an exception.
        """
        while True:
            await self._awaited(what, work, failed)
            await asyncio.sleep(rest())

    async def _awaited(
        self, what: str, work: Callable[[], Awaitable[None]], failed: Failed | None
    ) -> None:
        try:
            await work()
        except Exception as error:
            self._note(what, error)
            if failed is not None:
                self.call(f"{what}: telling of its failure", partial(failed, error))
        else:
            self._failures.pop(what, None)

    # --- pauses -----------------------------------------------------------------------------

    def _arm_those_without_timer(self) -> None:
        for what in tuple(self._without_timer):
            self._without_timer.discard(what)
            self._arm(what)

    def _arm(self, what: str) -> None:
        failures = min(self._failures.get(what, 1), 10)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (failures - 1))
        try:
            self._call_later(pause, partial(self._ring, what))
        except Exception as error:  # no memory, say: with the next call
            self._note("setting a timer", error)
            self._without_timer.add(what)

    def _ring(self, what: str) -> None:
        work = self._waiting.pop(what, None)
        if work is not None:
            work()

    # --- the log ----------------------------------------------------------------------------

    def _note(self, what: str, error: Exception) -> None:
        """Log a failure: the first one in full, then seldom, if it goes on and on."""
        count = self._failures[what] = self._failures.get(what, 0) + 1
        if count == 1:
            log.error("%s failed unexpectedly", what, exc_info=error)
        elif not count & (count - 1):
            text = f"{type(error).__name__}: {error}"
            log.error("%s failed unexpectedly, %d times in a row: %s", what, count, text[:500])
