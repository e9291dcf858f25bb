"""The writer: moves entries from the queue into the file, in a thread of its own.

It sleeps in the queue until an entry comes; once a minute it gives the file the present time, so
that the next manager can tell until when one that was killed was alive. While the file cannot be
written, entries wait (as many as the limit allows), and another attempt is made every minute; a
corrupt file is quarantined at once, and a new one begun.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from hostmanager.journal.entry import Entry, EntryKind, EntryRow, to_row
from hostmanager.journal.store import (
    SQLITE_SIDE_FILES,
    CorruptJournalError,
    Limits,
    Store,
    is_corrupt,
)
from hostmanager.util.quarantine import quarantine

log = logging.getLogger(__name__)

SIGN_INTERVAL = 60.0
"""Seconds between signs of life while nothing happens."""

BATCH_WAIT = 0.02
"""Seconds that entries are gathered: the end of an agent is written together with its next launch, and
not while that is under way. A request is written at once: it may be the last that this manager gets."""

JOURNAL_RETRY_INTERVAL = 60.0
"""Seconds between attempts while the file cannot be written."""

_MAX_BATCH = 256  # entries in one transaction
_MAX_BATCH_CHARS = 128 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class FlushMarker:
    """Put into the queue to learn when everything before it was written, or could not be.

    Attributes:
        last: Whether the writer is to end.
        done: Set then.
    """

    last: bool = False
    done: threading.Event = field(default_factory=threading.Event)


QueueItem = FlushMarker | Entry


class JournalWriter:
    """Writes the entries that come through a queue.

    Args:
        path: The file.
        limits: How large it may become.
        queue: Where the entries come from.
        on_message: Takes a sentence for people when the file cannot be written, and when it can
            be again.

    Attributes:
        error: Why nothing can be written, for people; None while all is well.
        lost: Entries that were dropped so far, and are written down as such.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits,
        queue: "SimpleQueue[QueueItem]",
        on_message: Callable[[str], None],
    ) -> None:
        self.error: str | None = None
        self.lost = 0
        self._path = path
        self._limits = limits
        self._queue = queue
        self._on_message = on_message
        self._store: Store | None = None
        self._opened_before = False
        self._waiting: deque[Entry] = deque()
        self._markers: list[FlushMarker] = []
        self._dropped = 0
        self._dropped_mutex = threading.Lock()
        self._retry_at = 0.0
        self._last = False

    @property
    def waiting(self) -> int:
        """Entries that could not be written yet."""
        return len(self._waiting)

    def run(self) -> None:
        """Write until a marker is the last one; the body of the thread."""
        while not self._last:
            self._next_batch()
            if self._waiting or self._markers:
                self._attempt()
            else:
                self._give_sign()
            for marker in self._markers:
                marker.done.set()
            self._markers.clear()
        if self._store is not None:
            self._store.close()

    def _give_sign(self) -> None:
        if self._store is not None:
            with suppress(OSError):  # what is wrong with the file is found at the next entry
                self._store.touch()

    # --- the queue ------------------------------------------------------------------------

    def _next_batch(self) -> None:
        """Take one batch from the queue; after an error, all of it."""
        with suppress(Empty):
            item = self._queue.get(timeout=self._wait_timeout())
            self._enqueue(item)
            if isinstance(item, Entry) and item.kind is not EntryKind.REQUEST:
                time.sleep(BATCH_WAIT)
            while self.error is not None or len(self._waiting) < _MAX_BATCH:
                self._enqueue(self._queue.get_nowait())

    def _wait_timeout(self) -> float:
        """Seconds to sleep if nothing comes."""
        if self.error is not None:
            return max(0.0, self._retry_at - time.monotonic())
        return 0.0 if self._waiting else SIGN_INTERVAL

    def _enqueue(self, item: QueueItem) -> None:
        if isinstance(item, FlushMarker):
            self._markers.append(item)
            self._last = self._last or item.last
            return
        if len(self._waiting) >= self._limits.queued:
            self._waiting.popleft()
            self.count_dropped(1)
        self._waiting.append(item)

    def count_dropped(self, number: int) -> None:
        """Count entries that are not written, or count them no more; in any thread."""
        with self._dropped_mutex:
            self._dropped += number

    # --- the file -------------------------------------------------------------------------

    def _attempt(self) -> None:
        """Write, unless it failed a moment ago; a marker does not wait."""
        if self.error is not None and not self._markers and time.monotonic() < self._retry_at:
            return
        try:
            self._write_or_recreate()
        except Exception as error:  # whatever it is: the thread lives on, and tries again
            self._disable(error)
        else:
            if self.error is not None:
                self.error = None
                self._emit_message(f"The journal {self._path} is written again.")

    def _write_or_recreate(self) -> None:
        try:
            self._write()
        except CorruptJournalError as error:
            self._recreate(str(error))
            self._write()
        except sqlite3.Error as error:
            if not is_corrupt(error):
                raise
            self._recreate(f"cannot be used ({error})")
            self._write()

    def _write(self) -> None:
        """Write one batch; all entries, if a marker waits."""
        if self._store is None:
            self._store = self._open()
        if not self._waiting:  # else `append` does it
            self._store.check()
        while self._waiting:
            self._write_batch(self._store)
            if not self._markers:
                break

    def _write_batch(self, store: Store) -> None:
        rows: list[EntryRow] = []
        dropped, chars, count = self._dropped, 0, 0
        if dropped:
            rows.append(to_row(_dropped_entry(dropped)))
        while count < min(_MAX_BATCH, len(self._waiting)) and chars < _MAX_BATCH_CHARS:
            row = to_row(self._waiting[count])
            rows.append(row)
            chars += len(row[3]) + len(row[4])
            count += 1
        store.append(rows)
        self.count_dropped(-dropped)
        self.lost += dropped
        for _ in range(count):
            self._waiting.popleft()

    def _open(self) -> Store:
        signs = _signs(self._path)  # before it is opened, which may write into it
        store = Store(self._path, self._limits)
        try:
            if not self._opened_before:
                _record_unclean_end(store, signs)
        except BaseException:
            store.close()
            raise
        self._opened_before = True
        return store

    def _recreate(self, reason: str) -> None:
        """Quarantine the file.

        The renaming comes first: closing the old one removes side files by their names.
        """
        store, self._store = self._store, None
        try:
            new_path = quarantine(self._path, SQLITE_SIDE_FILES)
        finally:
            if store is not None:
                store.close()
        saved_as = f" It was kept as {new_path.name}." if new_path else ""
        text = f"The journal {self._path} {reason}.{saved_as} A new one is begun."
        self._emit_message(text)
        self._waiting.appendleft(Entry(time.time(), EntryKind.JOURNAL, text))

    def _disable(self, error: Exception) -> None:
        """Close the file until the next attempt."""
        store, self._store = self._store, None
        if store is not None:
            with suppress(Exception):
                store.close()
        if not isinstance(error, OSError | sqlite3.Error | CorruptJournalError):
            log.error("the journal's writer failed", exc_info=error)
        self._retry_at = time.monotonic() + JOURNAL_RETRY_INTERVAL
        message = f"The journal {self._path} cannot be written: {_reason(error)}."
        if self.error != message:
            self.error = message
            self._emit_message(f"{message} Everything else works; it is retried every minute.")

    def _emit_message(self, text: str) -> None:
        with suppress(Exception):  # a failing listener must not end the thread
            self._on_message(text)


def _signs(path: Path) -> list[float]:
    """When the files of the journal were written to last, Unix times; none: there are none yet."""
    signs = []
    for suffix in ("", "-wal"):
        with suppress(OSError):
            signs.append(path.with_name(path.name + suffix).stat().st_mtime)
    return signs


def _record_unclean_end(store: Store, signs: Sequence[float]) -> None:
    """Record that the manager before this one was killed, if so, and until when it was alive."""
    before = store.latest_of_manager()
    if before is not None and before["data"].get("event") == "started":
        pid = before["data"].get("pid")
        text = f"the previous manager (pid {pid}) was killed, or the machine went down"
        data = {"event": "vanished", "pid": pid}
        if signs:
            data["alive_until"] = min(max(signs), time.time())
        store.append([to_row(Entry(time.time(), EntryKind.MANAGER, text, None, data))])


def _dropped_entry(count: int) -> Entry:
    text = f"{count} entries were lost here: they came faster than they could be written"
    return Entry(time.time(), EntryKind.JOURNAL, text, None, {"lost": count})


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
