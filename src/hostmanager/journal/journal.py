"""The journal as the rest of the manager sees it: `record`, which costs next to nothing.

The queue between the caller and the writer is a `SimpleQueue`, whose `put` and `get_nowait`
never wait, not even for a lock; when it is full, the oldest entry is dropped. So the event
loop never waits for the journal, whatever becomes of the disk.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from hostmanager.journal.compact import CompactPage, read_compact
from hostmanager.journal.entry import Entry, EntryKind
from hostmanager.journal.store import Limits, Query, read_entries
from hostmanager.journal.writer import FlushMarker, JournalWriter, QueueItem

_T = TypeVar("_T")

MAX_HISTORY = 10_000
"""Entries that can be read at a time."""

JOURNAL_FLUSH_TIMEOUT = 2.0
"""Seconds that a reader waits for entries that are not written yet."""


class JournalError(Exception):
    """The journal cannot be read; the text is for people."""


class Journal:
    """The journal of a manager: what happened, written into a file.

    Args:
        path: The file; made if it is missing.
        limits: How large it may become.
        on_message: Takes a sentence for people when the file cannot be written, and when it can
            be again; called in the writer's thread.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits | None = None,
        on_message: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.path = path
        self._limits = limits or Limits()
        self._queue: SimpleQueue[QueueItem] = SimpleQueue()
        self._writer = JournalWriter(path, self._limits, self._queue, on_message)
        self._thread: threading.Thread | None = None
        self._start_mutex = threading.Lock()
        self._closed = False
        self._start_thread()

    @property
    def error(self) -> str | None:
        """Why nothing can be written at present, for people; None while all is well."""
        if self._thread is None and not self._closed:
            return "The journal cannot be written: its thread could not be started."
        return self._writer.error

    @property
    def waiting(self) -> int:
        """How many entries wait to be written."""
        return self._queue.qsize() + self._writer.waiting

    @property
    def lost(self) -> int:
        """How many entries were lost so far: they came faster than they could be written."""
        return self._writer.lost

    def record(
        self,
        kind: EntryKind,
        text: str,
        instance_id: str | None = None,
        data: Mapping[str, Any] | None = None,
        at: float | None = None,
    ) -> None:
        """Record an entry. Returns at once and never raises.

        Args:
            kind: What it is about.
            text: A sentence or less, for people.
            instance_id: The instance, if it is about one alone.
            data: The same for programs; not to be changed afterwards.
            at: When it happened, Unix time; default: now.
        """
        with suppress(Exception):
            self.append(
                Entry(time.time() if at is None else at, kind, text, instance_id, data or {})
            )

    def append(self, entry: Entry) -> None:
        """Record an entry that is made already."""
        if self._closed:
            return
        if self._queue.qsize() >= self._limits.queued:
            with suppress(Empty):
                oldest = self._queue.get_nowait()
                if isinstance(oldest, FlushMarker):
                    self._queue.put(oldest)
                else:
                    self._writer.count_dropped(1)
        self._queue.put(entry)

    def flush(self, timeout: float = JOURNAL_FLUSH_TIMEOUT) -> bool:
        """Wait until all recorded entries are written, or cannot be; report whether that is so."""
        self._start_thread()
        marker = FlushMarker()
        if self._thread is None or self._closed:
            return False
        self._queue.put(marker)
        return marker.done.wait(timeout)

    def history(
        self, instance_id: str | None = None, limit: int = 100, since: float | None = None
    ) -> list[dict[str, Any]]:
        """Read the newest entries, as `page` does."""
        return self.page(Query(instance_id, limit, since))[0]

    def page(self, query: Query) -> tuple[list[dict[str, Any]], bool]:
        """Read entries, the newest last. For worker threads: it waits for the disk.

        Returns:
            The entries, and whether older ones exist.

        Raises:
            ValueError: The limit is out of range.
            JournalError: The journal cannot be read.
        """
        if not 1 <= query.limit <= MAX_HISTORY:
            raise ValueError(f"limit must be from 1 to {MAX_HISTORY}, not {query.limit}")
        return self._read(read_entries, query)

    def compact_page(self, query: Query) -> CompactPage:
        """Read entries in the short form that a timeline needs, as `page` does; any limit is fine.

        Raises:
            JournalError: The journal cannot be read.
        """
        return self._read(read_compact, query)

    def _read(self, read: Callable[[Path, Query], _T], query: Query) -> _T:
        self.flush()
        try:
            if not self.path.is_file():  # SQLite would wait for ever on a pipe
                raise JournalError(self.error or f"The journal {self.path} is missing.")
            return read(self.path, query)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                self.error or f"The journal {self.path} cannot be read: {error}."
            ) from error

    def close(self, timeout: float = 2.0) -> bool:
        """Write all entries and close the file; nothing is recorded any more.

        Returns:
            Whether that was done in time; else the thread goes on by itself.
        """
        if self._closed:
            return True
        self._closed = True
        self._queue.put(FlushMarker(last=True))
        if self._thread is None:
            return False
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _start_thread(self) -> None:
        """Start the writer, unless it runs; if no thread can be started, entries wait."""
        with self._start_mutex:
            if self._thread is not None or self._closed:
                return
            thread = threading.Thread(target=self._writer.run, name="journal", daemon=True)
            with suppress(RuntimeError, MemoryError):  # out of processes: retried when it is read
                thread.start()
                self._thread = thread
