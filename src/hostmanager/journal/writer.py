"""The writer: takes entries out of the queue and puts them into the file, in a thread of its own.

It sleeps in the queue until there is something to write. What goes wrong is its own affair:
entries wait (as many as the limit allows) while the file cannot be written, and another
attempt is made every minute; what is broken is set aside at once and begun anew.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from hostmanager.journal.entry import Entry, Kind, Row, to_row
from hostmanager.journal.file_check import SQLITE_SIDE_FILES, CorruptJournalError
from hostmanager.journal.store import Limits, Store, is_broken
from hostmanager.util.quarantine import quarantine

log = logging.getLogger(__name__)

BATCH = 256
"""Entries in one transaction."""

BATCH_CHARACTERS = 128 * 1024

RETRY = 60.0
"""Seconds between attempts while the file cannot be written."""


@dataclass(frozen=True, slots=True, eq=False)
class FlushMarker:
    """Put into the queue to learn when everything before it was dealt with.

    Attributes:
        last: Whether the writer is to end.
        done: Set when it came to pass, well or not.
    """

    last: bool = False
    done: threading.Event = field(default_factory=threading.Event)


QueueItem = FlushMarker | tuple[int, Entry]
"""What is in the queue: entries are numbered, so that gaps tell how many were dropped."""


class Writer:
    """Writes what comes through a queue.

    Attributes:
        error: Why nothing can be written, for people; None while all is well.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits,
        queue: "SimpleQueue[QueueItem]",
        tell: Callable[[str], None],
    ) -> None:
        self.error: str | None = None
        self._path = path
        self._limits = limits
        self._queue = queue
        self._on_message = tell
        self._store: Store | None = None
        self._opened_before = False
        self._waiting: deque[Entry] = deque()
        self._marks: list[FlushMarker] = []
        self._next_number = 0
        self._lost = 0
        self._retry_at = 0.0
        self._last = False

    def run(self) -> None:
        """Write until a mark says that it is the last; the thread's whole life."""
        while not self._last:
            self._next_batch(self._wait_timeout())
            if self._waiting or self._marks:
                self._attempt()
            for mark in self._marks:
                mark.done.set()
            self._marks.clear()
        if self._store is not None:
            self._store.close()

    # --- the queue ------------------------------------------------------------------------

    def _wait_timeout(self) -> float | None:
        """Seconds to sleep if nothing comes; None: for ever, which is what an idle one does."""
        if self.error is not None:
            return max(0.0, self._retry_at - time.monotonic())
        return 0.0 if self._waiting else None

    def _next_batch(self, patience: float | None) -> None:
        """Take what is in the queue; in trouble all of it, else as much as is written at once."""
        with suppress(Empty):
            self._enqueue(self._queue.get(timeout=patience))
            while self.error is not None or len(self._waiting) < BATCH:
                self._enqueue(self._queue.get_nowait())

    def _enqueue(self, item: QueueItem) -> None:
        if isinstance(item, FlushMarker):
            self._marks.append(item)
            self._last = self._last or item.last
            return
        number, entry = item
        if number >= self._next_number:
            self._lost += number - self._next_number
            self._next_number = number + 1
        else:
            self._lost -= 1  # overtaken by a later one of another thread: not lost after all
        if len(self._waiting) >= self._limits.queued:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append(entry)

    # --- the file -------------------------------------------------------------------------

    def _attempt(self) -> None:
        """Write, if it is time to; whoever waits for it (a mark) makes it so."""
        if self.error is not None and not self._marks and time.monotonic() < self._retry_at:
            return
        try:
            self._write_or_begin_anew()
        except Exception as error:  # whatever it is: the thread lives on, and tries again
            self._disable(error)
        else:
            self._recovered()

    def _write_or_begin_anew(self) -> None:
        try:
            self._write()
        except CorruptJournalError as error:
            self._recreate(str(error))
            self._write()
        except sqlite3.Error as error:
            if not is_broken(error):
                raise
            self._recreate(f"cannot be used ({error})")
            self._write()

    def _write(self) -> None:
        """Write one batch; all there is, if somebody waits for it."""
        if self._store is None:
            self._store = self._open()
        self._store.check()
        while self._waiting:
            self._write_batch(self._store)
            if not self._marks:
                break

    def _write_batch(self, store: Store) -> None:
        rows: list[Row] = []
        lost, characters, count = self._lost, 0, 0
        if lost > 0:
            rows.append(to_row(_lost(lost)))
        while count < min(BATCH, len(self._waiting)) and characters < BATCH_CHARACTERS:
            row = to_row(self._waiting[count])
            rows.append(row)
            characters += len(row[3]) + len(row[4])
            count += 1
        store.append(rows)
        self._lost -= max(0, lost)
        for _ in range(count):
            self._waiting.popleft()

    def _open(self) -> Store:
        store = Store(self._path, self._limits)
        try:
            self._note_unclean_shutdown(store)
        except BaseException:
            store.close()
            raise
        self._opened_before = True
        return store

    def _note_unclean_shutdown(self, store: Store) -> None:
        """Note that the manager before this one did not come to its end, if so."""
        before = None if self._opened_before else store.latest_of_manager()
        if before is not None and before["data"].get("event") == "started":
            pid = before["data"].get("pid")
            text = (
                f"the manager before (pid {pid}) ended without a word: killed, or the machine was"
            )
            data = {"event": "vanished", "pid": pid}
            store.append([to_row(Entry(time.time(), Kind.MANAGER, text, None, data))])

    def _recreate(self, why: str) -> None:
        """Set aside what is there.

        The name comes first: closing the old one removes files by their names.
        """
        store, self._store = self._store, None
        try:
            new_name = quarantine(self._path, SQLITE_SIDE_FILES)
        finally:
            if store is not None:
                store.close()
        where = f" It was set aside as {new_name.name}." if new_name else ""
        text = f"The journal {self._path} {why}.{where} A new one is begun."
        self._say(text)
        self._waiting.appendleft(Entry(time.time(), Kind.JOURNAL, text))

    def _disable(self, error: Exception) -> None:
        """Close, and leave it alone for a minute."""
        store, self._store = self._store, None
        if store is not None:
            with suppress(Exception):
                store.close()
        if not isinstance(error, OSError | sqlite3.Error | CorruptJournalError):
            log.error("the journal's writer failed", exc_info=error)
        self._retry_at = time.monotonic() + RETRY
        reason = f"The journal {self._path} cannot be written: {_reason(error)}."
        if self.error != reason:
            self.error = reason
            self._say(f"{reason} All else goes on; it is tried again every minute.")

    def _recovered(self) -> None:
        if self.error is not None:
            self.error = None
            self._say(f"The journal {self._path} is written again.")

    def _say(self, text: str) -> None:
        with suppress(Exception):  # whoever listens must not end the thread
            self._on_message(text)


def _lost(count: int) -> Entry:
    text = f"{count} entries were lost here: they came faster than they could be written"
    return Entry(time.time(), Kind.JOURNAL, text, None, {"lost": count})


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
