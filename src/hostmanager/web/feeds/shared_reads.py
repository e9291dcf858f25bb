"""What managers are asked for pages, shared by all who look: each answer serves for a while."""

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_T = TypeVar("_T")

MAX_ANSWERS = 200


class SharedReads:
    """Answers, each kept for some seconds; errors, too."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, tuple[float, asyncio.Future[Any]]] = {}

    async def get(self, key: Hashable, seconds: float, read: Callable[[], _T]) -> _T:
        """Give what `read` returns; it runs in a thread, unless its latest answer still serves.

        Args:
            key: What is asked for, and with which rights.
            seconds: For how long an answer serves.
            read: Asks; what it raises is raised here.
        """
        begun_at, answer = self._answers.get(key, (0.0, None))
        if answer is None or time.monotonic() - begun_at > seconds:
            answer = asyncio.ensure_future(asyncio.to_thread(read))
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._answers.pop(key, None)
            self._answers[key] = time.monotonic(), answer
            while len(self._answers) > MAX_ANSWERS:
                del self._answers[next(iter(self._answers))]
        # One browser that goes away must not take the answer from the others.
        result: _T = await asyncio.shield(answer)
        return result

    def clear(self) -> None:
        """Forget all answers, and with which rights they were asked for."""
        self._answers.clear()
