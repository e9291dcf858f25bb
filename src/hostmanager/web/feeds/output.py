"""The output of agents, read once for everybody who looks at it.

A feed asks the manager of one agent for new lines, once a second for as long as a browser follows
it. How many browsers follow it is nothing to the manager.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from hostmanager.client.errors import ManagerError
from hostmanager.client.logs.log_filter import LogLine
from hostmanager.client.logs.log_reader import LogSource
from hostmanager.util.text import format_duration
from hostmanager.web.errors import PageError

READ_INTERVAL = 1.0
"""Seconds between two requests for new lines."""

ERROR_INTERVAL = 5.0
"""The same while the manager does not answer."""

IDLE_TIMEOUT = 15.0
"""Seconds after which a feed ends that nobody looks at."""

FIRST_LINES = 1000
"""Lines that a feed begins with."""

KEPT_LINES = 5000
"""Lines of a feed that are kept, the newest; a browser that was away for longer misses some."""

MAX_FEEDS = 64
"""Feeds at a time; each needs a thread while it waits for its manager."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a browser gets.

    Attributes:
        lines: New ones, the oldest first.
        position: Behind the last of them, for the next request.
        missing: Whether lines before these are left out, since they are not kept any more.
        error: Why there may be more than is known; empty: there is not.
    """

    lines: Sequence[LogLine]
    position: str
    missing: bool
    error: str


class OutputFeed:
    """The newest lines of one agent.

    Attributes:
        error: Why the latest request failed; empty: it did not.
    """

    def __init__(self, source: LogSource, limit: float, pool: ThreadPoolExecutor) -> None:
        self._source, self._limit, self._pool = source, limit, pool
        self._lines: deque[LogLine] = deque(maxlen=KEPT_LINES)
        self._updated = asyncio.Event()
        self._users = 0
        self._used_at = time.monotonic()
        self._requests = 0
        self._name = secrets.token_hex(4)
        self._last = 0  # the number of the newest line; the first one has 1
        self.error = ""
        self._closed = False

    @property
    def is_idle(self) -> bool:
        """Whether nobody has looked at it for a while."""
        return not self._users and time.monotonic() - self._used_at > IDLE_TIMEOUT

    async def all(self) -> Batch:
        """What is kept; waits for the first answer."""
        self._used_at = time.monotonic()
        if not self._requests:
            await self._updated.wait()
        return self._behind(self._last - len(self._lines))

    def since(self, position: str) -> Batch:
        """What is behind a position; of another feed (of before a restart of this server): all."""
        name, _, number = position.partition("-")
        if name == self._name and number.isdecimal():
            return self._behind(int(number[:18]))
        batch = self._behind(self._last - len(self._lines))
        return replace(batch, missing=bool(position))

    def _behind(self, number: int) -> Batch:
        before_first = self._last - len(self._lines)
        lines = list(self._lines)[max(0, number - before_first) :]
        position = f"{self._name}-{self._last}"
        return Batch(lines, position, number < before_first, self.error)

    def before(self, position: str) -> list[LogLine]:
        """The lines that are kept of before a position."""
        new = len(self.since(position).lines)
        return list(self._lines)[: len(self._lines) - new]

    def _has_newer(self, known: Batch) -> bool:
        new = self.since(known.position)
        return bool(new.lines) or new.error != known.error

    async def follow(self, position: str, pause: float) -> AsyncIterator[Batch]:
        """Give what is new behind a position, again and again; at the latest after a pause."""
        self._users += 1
        try:
            while not self._closed:
                batch = self.since(position)
                yield batch
                position = batch.position
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        while not self._closed and not self._has_newer(batch):
                            await self._updated.wait()
        finally:
            self._users -= 1
            self._used_at = time.monotonic()

    async def run(self) -> None:
        """Read until nobody looks any more."""
        while not self.is_idle:
            await self._read()
            await asyncio.sleep(ERROR_INTERVAL if self.error else READ_INTERVAL)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        count = KEPT_LINES if self._lines else FIRST_LINES
        try:
            new = await loop.run_in_executor(self._pool, self._source.read, count, self._limit)
            self.error = ""
        except ManagerError as error:
            new, self.error = [], str(error)
        except Exception as error:  # other managers, other data: it costs this output only
            new, self.error = [], f"its output cannot be read ({type(error).__name__}: {error})"
        self._requests += 1
        self._lines.extend(new)
        self._last += len(new)
        self._wake()

    def close(self) -> None:
        """End it for those who follow it."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        updated, self._updated = self._updated, asyncio.Event()
        updated.set()


class OutputFeeds:
    """The feeds that are read now."""

    def __init__(self) -> None:
        self._feeds: dict[Hashable, tuple[OutputFeed, asyncio.Task[None]]] = {}
        self._pool = ThreadPoolExecutor(MAX_FEEDS, thread_name_prefix="output")

    def get(self, key: Hashable, source: Callable[[], LogSource], limit: float) -> OutputFeed:
        """Give the feed of a key; it is begun if there is none.

        Args:
            key: Host, id, and whatever decides what its manager lets one read.
            source: Makes what reads it.
            limit: Seconds for each answer of the manager.

        Raises:
            PageError: Others are looked at.
        """
        if key in self._feeds:
            return self._feeds[key][0]
        if len(self._feeds) >= MAX_FEEDS:
            raise PageError(
                f"The output of {MAX_FEEDS} agents is being read already; close a page, and load "
                f"this one again after {format_duration(IDLE_TIMEOUT)}."
            )
        feed = OutputFeed(source(), limit, self._pool)
        task = asyncio.get_running_loop().create_task(feed.run())
        self._feeds[key] = feed, task
        task.add_done_callback(lambda _: self._feeds.pop(key, None))
        return feed

    async def close(self) -> None:
        """End all of them."""
        tasks = []
        for feed, task in self._feeds.values():
            feed.close()
            task.cancel()
            tasks.append(task)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pool.shutdown(wait=False, cancel_futures=True)
