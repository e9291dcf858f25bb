"""The journal as the rest of the manager sees it: `record`, which costs nothing to speak of.

The queue between the caller and the writer is a `SimpleQueue`, whose `put` and `get_nowait`
never wait, not even for a lock; when it is full, the oldest entry makes room. So the event
loop never waits for the journal, whatever becomes of the disk.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from hostmanager.journal.entry import Entry, Kind
from hostmanager.journal.store import Limits, Query, read
from hostmanager.journal.writer import FlushMarker, QueueItem, Writer

LONGEST_HISTORY = 10_000
"""Entries that can be asked for at a time."""

FLUSH = 2.0
"""Seconds that a reader waits for what has not been written yet."""


class JournalError(Exception):
    """The journal cannot be read; the text is for people."""


class Journal:
    """What happened, written down in a file.

    Args:
        path: The file; made when it is not there.
        limits: How large it may become.
        tell: Takes a sentence for people when something is wrong, and when it is right
            again; called in the writer's thread.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.path = path
        self._limits = limits or Limits()
        self._queue: SimpleQueue[QueueItem] = SimpleQueue()
        self._numbers = count()
        self._writer = Writer(path, self._limits, self._queue, tell)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False
        self._start_thread()

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written at present, for people; None while all is well."""
        if self._thread is None and not self._closed:
            return "The journal cannot be written: no thread could be started for it."
        return self._writer.error

    def record(
        self,
        kind: Kind,
        text: str,
        instance_id: str | None = None,
        data: Mapping[str, Any] | None = None,
        at: float | None = None,
    ) -> None:
        """Write something down, in a moment. Returns at once and never raises.

        Args:
            kind: What it is about.
            text: A sentence or less, for people.
            instance_id: Whom it concerns, if one instance alone.
            data: The same for programs; not to be changed afterwards.
            at: When it happened, Unix time; default: now.
        """
        with suppress(Exception):
            moment = time.time() if at is None else at
            self.append(Entry(moment, kind, text, instance_id, data or {}))

    def append(self, entry: Entry) -> None:
        """Do the same for an entry that is made already."""
        if self._closed:
            return
        if self._queue.qsize() >= self._limits.queued:
            with suppress(Empty):
                oldest = self._queue.get_nowait()
                if isinstance(oldest, FlushMarker):
                    self._queue.put(oldest)
        self._queue.put((next(self._numbers), entry))

    def flush(self, timeout: float = FLUSH) -> bool:
        """Wait until what was recorded is written, or cannot be.

        Returns:
            Whether that came to pass in time.
        """
        self._start_thread()
        mark = FlushMarker()
        if self._thread is None or self._closed:
            return False
        self._queue.put(mark)
        return mark.done.wait(timeout)

    def history(
        self, instance_id: str | None = None, limit: int = 100, since: float | None = None
    ) -> list[dict[str, Any]]:
        """Read the newest entries, as `page` does."""
        return self.page(Query(instance_id, limit, since))[0]

    def page(self, query: Query) -> tuple[list[dict[str, Any]], bool]:
        """Read entries, the newest last. For worker threads: it waits for the disk.

        Returns:
            The entries, and whether there are older ones.

        Raises:
            ValueError: The limit is out of range.
            JournalError: It cannot be read.
        """
        if not 1 <= query.limit <= LONGEST_HISTORY:
            raise ValueError(f"limit must be from 1 to {LONGEST_HISTORY}, not {query.limit}")
        self.flush()
        try:
            if not self.path.is_file():  # a pipe in its place would never be open
                raise JournalError(self.trouble or f"There is no journal {self.path}.")
            return read(self.path, query)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                self.trouble or f"The journal {self.path} cannot be read: {error}."
            ) from error

    def close(self, timeout: float = 2.0) -> bool:
        """Write what is left and close the file; nothing is recorded any more.

        Returns:
            Whether that was done in time; else the thread goes on by itself.
        """
        if self._closed:
            return True
        self._closed = True
        mark = FlushMarker(last=True)
        self._queue.put(mark)
        if self._thread is None:
            return False
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _start_thread(self) -> None:
        """Start the writer, unless it runs; without a thread to be had, entries wait."""
        with self._starting:
            if self._thread is not None or self._closed:
                return
            thread = threading.Thread(target=self._writer.run, name="journal", daemon=True)
            with suppress(RuntimeError, MemoryError):  # out of processes: tried again when read
                thread.start()
                self._thread = thread
