"""The file: one table in SQLite, bounded in size, and checked before each use.

Write-ahead logging: what is committed outlives a SIGKILL of the manager, and readers do not
keep the writer waiting. Nothing here knows threads; the writer's thread owns a `Store`,
readers use `read`, which has a connection of its own.

Two kinds of failure are told apart. `BrokenError`: what is there is no journal (any more), and
putting it aside helps. Everything else that goes wrong (`sqlite3.Error`, `OSError`) may pass:
a full disk, a folder that cannot be written, somebody who locks the file.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostmanager.journal.entry import Row, from_row
from hostmanager.journal.file_check import CorruptJournalError, check_head, file_identity, open_file

APPLICATION_ID = 0x4F43534A  # "OCSJ"
VERSION = 1

PAGE = 4096
CACHE = "-64"  # KiB; SQLite's own default is 2 MB
BUSY = 1.0
"""Seconds to wait for somebody who locks the file."""

SCHEMA = f"""
BEGIN;
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    kind TEXT NOT NULL,
    instance_id TEXT,
    text TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX entries_of_instance ON entries (instance_id, id) WHERE instance_id IS NOT NULL;
CREATE INDEX entries_of_manager ON entries (id) WHERE kind = 'manager';
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""

ENTRY = 100
"""Characters of an entry beside its text and its data."""

COLUMNS = "id, time, kind, instance_id, text, data"

BROKEN = frozenset(
    {
        sqlite3.SQLITE_ERROR,  # no such table
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
    }
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How large the journal may become.

    Attributes:
        entries: In the file; the oldest make room.
        bytes: Of the file with what SQLite has beside it; not below half a MiB.
        queued: Entries that wait in memory for being written.
    """

    entries: int = 100_000
    bytes: int = 64 * 1024 * 1024
    queued: int = 10_000


class Store:
    """The open file.

    Raises:
        BrokenError: What is there is no journal of ours.
        OSError: It cannot be opened or made.
        sqlite3.Error: It cannot be used.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._wal_limit = max(
            64 * 1024, min(1024 * 1024, limits.bytes // 8)
        )  # of the log beside it
        self._budget = max(512 * 1024, limits.bytes) - 2 * self._wal_limit
        self._fd = open_file(path)  # kept open: closing it would release SQLite's locks
        try:
            self._size = check_head(self._fd)
            self._base = _connect(path, "rw")
        except BaseException:
            os.close(self._fd)
            raise
        try:
            self._prepare()
            self._companion = file_identity(self._log)
        except BaseException:
            self.close()
            raise

    @property
    def _log(self) -> Path:
        return self._path.with_name(self._path.name + "-wal")

    def _prepare(self) -> None:
        base = self._base
        if self._is_new():
            base.execute("PRAGMA auto_vacuum = INCREMENTAL")
            base.execute("PRAGMA journal_mode = WAL")
            base.executescript(SCHEMA)
            base.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = NORMAL")
        base.execute(f"PRAGMA wal_autocheckpoint = {self._wal_limit // PAGE}")
        base.execute(f"PRAGMA journal_size_limit = {self._wal_limit}")
        base.execute(f"SELECT {COLUMNS} FROM entries ORDER BY id DESC LIMIT 1").fetchall()
        self._size = os.fstat(self._fd).st_size

    def _is_new(self) -> bool:
        """Whether there is nothing yet.

        Raises:
            BrokenError: There is something, but not ours.
        """
        application, version = self._number("application_id"), self._number("user_version")
        tables = self._base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application == 0 and version == 0 and tables == 0:
            return True
        if application != APPLICATION_ID:
            raise CorruptJournalError("is a database of something else")
        if version != VERSION:
            raise CorruptJournalError(
                f"has format {version}; this version of the manager knows {VERSION}"
            )
        return False

    def _number(self, pragma: str) -> int:
        return int(self._base.execute(f"PRAGMA {pragma}").fetchone()[0])

    def check(self) -> None:
        """See whether the file is still the one that was opened, and whole.

        Raises:
            BrokenError: It was deleted, replaced, truncated or overwritten.
        """
        if file_identity(self._path) != file_identity(self._fd):
            raise CorruptJournalError("was deleted or replaced while it was in use")
        if check_head(self._fd) < self._size:
            raise CorruptJournalError("was truncated while it was in use")
        if file_identity(self._log) != self._companion:
            raise CorruptJournalError("lost its -wal file while it was in use")

    def append(self, rows: Sequence[Row]) -> None:
        """Add entries, and remove as many of the oldest as have to go. All or nothing.

        Raises:
            BrokenError: As for `check`.
            sqlite3.Error: It cannot be written.
        """
        self.check()
        base = self._base
        base.execute("BEGIN IMMEDIATE")
        try:
            base.executemany(
                "INSERT INTO entries (time, kind, instance_id, text, data) VALUES (?, ?, ?, ?, ?)",
                rows,
            )
            self._evict_oldest()
            base.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                base.execute("ROLLBACK")
            raise
        self._shrink()
        self._size = os.fstat(self._fd).st_size

    def _evict_oldest(self) -> None:
        """Remove the oldest, in slices: never many at a time, unless a limit was lowered."""
        oldest, newest = self._base.execute(
            "SELECT (SELECT min(id) FROM entries), (SELECT max(id) FROM entries)"
        ).fetchone()
        surplus = newest - oldest + 1 - self._limits.entries
        if surplus > 0:
            oldest = min(oldest + max(surplus, self._limits.entries // 100), newest)
            self._remove_before(oldest)
        while self._used() > self._budget and oldest < newest:
            oldest += (newest - oldest) // 64 + 1
            self._remove_before(oldest)

    def _shrink(self) -> None:
        """Make the file smaller if it is too large; free pages are kept for reuse otherwise."""
        excess = self._number("page_count") * PAGE - self._budget
        if excess > 0:
            # As a script: `execute` would give back one page and stop.
            self._base.executescript(f"PRAGMA incremental_vacuum({excess // PAGE + 1});")

    def _remove_before(self, number: int) -> None:
        self._base.execute("DELETE FROM entries WHERE id < ?", (number,))

    def _used(self) -> int:
        return (self._number("page_count") - self._number("freelist_count")) * PAGE

    def latest_of_manager(self) -> dict[str, Any] | None:
        """Return the latest entry of a start or end of the manager."""
        row = self._base.execute(
            f"SELECT {COLUMNS} FROM entries WHERE kind = 'manager' ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return None if row is None else from_row(row)

    def close(self) -> None:
        """Close the file; what was appended is in it."""
        with suppress(sqlite3.Error):
            self._base.close()
        os.close(self._fd)


@dataclass(frozen=True, slots=True)
class Query:
    """What is wanted of the journal.

    Attributes:
        instance_id: Only what concerns this one; it need not exist any more.
        limit: At most so many entries, the newest.
        since: Nothing from before this Unix time.
        before: Only what is older than the entry of this id.
        largest: So many characters of text and data at most, but one entry at least.
    """

    instance_id: str | None = None
    limit: int = 100
    since: float | None = None
    before: int | None = None
    largest: int | None = None


def read(path: Path, query: Query) -> tuple[list[dict[str, Any]], bool]:
    """Read entries, the newest last; tells, too, whether there are older ones.

    Raises:
        sqlite3.Error: It cannot be read.
    """
    wanted = {
        "instance_id = ?": query.instance_id,
        "time >= ?": None if query.since is None else float(query.since),
        "id < ?": query.before,
    }
    given = {text: value for text, value in wanted.items() if value is not None}
    where = f"WHERE {' AND '.join(given)} " if given else ""
    order = f"SELECT {COLUMNS} FROM entries {where}ORDER BY id DESC LIMIT ?"
    found: list[Any] = []
    size = 0
    with closing(_connect(path, "ro")) as base:
        for row in base.execute(order, (*given.values(), query.limit + 1)):
            size += ENTRY + len(str(row[-1])) + len(str(row[-2]))
            too_large = query.largest is not None and size > query.largest
            if len(found) == query.limit or (found and too_large):
                return _oldest_first(found), True
            found.append(row)
    return _oldest_first(found), False


def _oldest_first(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [from_row(row) for row in reversed(rows)]


def is_broken(error: sqlite3.Error) -> bool:
    """Tell whether an error means that the file is no journal, rather than that it has to wait."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return False
    return code & 0xFF in BROKEN or code == sqlite3.SQLITE_IOERR_SHORT_READ


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    base = sqlite3.connect(uri, uri=True, timeout=BUSY, isolation_level=None, cached_statements=8)
    base.execute(f"PRAGMA cache_size = {CACHE}")
    return base
