"""The file: one table in SQLite, bounded in size, and checked before each use.

Write-ahead logging: a committed entry outlives a SIGKILL of the manager, and readers do not
keep the writer waiting. Nothing here knows threads; the writer's thread owns a `Store`,
readers use `read_entries`, which has a connection of its own.

There are two kinds of failure. `CorruptJournalError`: the file is no journal (any more), and a
quarantine helps. All others (`sqlite3.Error`, `OSError`) may pass: a full disk, a directory that
cannot be written, another process that locks the file.

SQLite opens whatever is at the path: it would wait for ever on a pipe, and write on for ever into
a file that was deleted or replaced. So `Store` opens and checks the file itself.
"""

import errno
import os
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostmanager.journal.entry import EntryRow, from_row
from hostmanager.util.files import make_private_directory

SQLITE_SIDE_FILES = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite has beside its own."""

BUSY_TIMEOUT = 1.0
"""Seconds to wait while another process locks the file."""

_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID = 0x4F43534A  # "OCSJ"
_FORMAT = 1
_PAGE = 4096
_CACHE = -64  # KiB; SQLite's own default is 2 MB
_ENTRY_CHARS = 100  # of an entry beside its text and its data
_COLUMNS = "id, time, kind, instance_id, text, data"
_SCHEMA = f"""
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
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_FORMAT};
COMMIT;
"""
_PATH_BLOCKED_ERRNOS = frozenset(
    {errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM, errno.ENOTDIR}
)
_CORRUPT_CODES = frozenset(
    {
        sqlite3.SQLITE_ERROR,  # no such table
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
    }
)


class CorruptJournalError(Exception):
    """The file is no journal of ours; the text completes "the journal …"."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large the journal may become.

    Attributes:
        entries: In the file; the oldest are removed.
        bytes: Of the file with what SQLite has beside it; not below half a MiB.
        queued: Entries in memory that are not written yet.
    """

    entries: int = 100_000
    bytes: int = 64 * 1024 * 1024
    queued: int = 10_000


@dataclass(frozen=True, slots=True)
class Query:
    """Which entries to read.

    Attributes:
        instance_id: Only those of this instance; it need not exist any more.
        limit: At most so many, the newest.
        since: None from before this Unix time.
        before: Only those older than the entry of this id.
        max_chars: At most so many characters of text and data, but one entry at least.
        until: None from this Unix time on.
        after: Only those newer than the entry of this id.
        kinds: Only those of these kinds; empty: of any.
    """

    instance_id: str | None = None
    limit: int = 100
    since: float | None = None
    before: int | None = None
    max_chars: int | None = None
    until: float | None = None
    after: int | None = None
    kinds: tuple[str, ...] = ()

    def where(self, *more: str) -> tuple[str, list[Any]]:
        """The condition in SQL, with further ones, and the values in it."""
        values: dict[str, Any] = {
            "instance_id = ?": self.instance_id,
            "time >= ?": self.since,
            "time < ?": self.until,
            "id < ?": self.before,
            "id > ?": self.after,
        }
        conditions = {text: value for text, value in values.items() if value is not None}
        kinds = f"kind IN ({', '.join('?' * len(self.kinds))})"
        texts = [*conditions, *([kinds] if self.kinds else ()), *more]
        where = f"WHERE {' AND '.join(texts)} " if texts else ""
        return where, [*conditions.values(), *self.kinds]


class Store:
    """The open file.

    Raises:
        CorruptJournalError: The file is no journal of ours.
        OSError: It cannot be opened or made.
        sqlite3.Error: It cannot be used.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._wal_limit = max(64 * 1024, min(1024 * 1024, limits.bytes // 8))
        self._budget = max(512 * 1024, limits.bytes) - 2 * self._wal_limit
        self._fd = _open_file(path)  # kept open: closing it would release SQLite's locks
        try:
            self._size = _check_head(self._fd)
            self._database = _connect(path, "rw")
        except BaseException:
            os.close(self._fd)
            raise
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        database = self._database
        if self._is_new():
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_SCHEMA)
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA wal_autocheckpoint = {self._wal_limit // _PAGE}")
        database.execute(f"PRAGMA journal_size_limit = {self._wal_limit}")
        database.execute(f"SELECT {_COLUMNS} FROM entries ORDER BY id DESC LIMIT 1").fetchall()
        self._size = os.fstat(self._fd).st_size

    def _is_new(self) -> bool:
        application, version = self._pragma("application_id"), self._pragma("user_version")
        tables = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application == 0 and version == 0 and tables == 0:
            return True
        if application != _APPLICATION_ID:
            raise CorruptJournalError("is a database of something else")
        if version != _FORMAT:
            raise CorruptJournalError(
                f"has format {version}; this version of the manager knows {_FORMAT}"
            )
        return False

    def _pragma(self, name: str) -> int:
        return int(self._database.execute(f"PRAGMA {name}").fetchone()[0])

    def check(self) -> None:
        """Check that the path still leads to the file that was opened, and that it is whole.

        Raises:
            CorruptJournalError: It was deleted, replaced, truncated or overwritten.
        """
        if not _is_same(self._path, self._fd):
            raise CorruptJournalError("was deleted or replaced while it was in use")
        if _check_head(self._fd) < self._size:
            raise CorruptJournalError("was truncated while it was in use")

    def append(self, rows: Sequence[EntryRow]) -> None:
        """Add entries, and remove as many of the oldest as have to go. All or nothing.

        Raises:
            CorruptJournalError: As for `check`.
            sqlite3.Error: The file cannot be written.
        """
        self.check()
        insert = "INSERT INTO entries (time, kind, instance_id, text, data) VALUES (?, ?, ?, ?, ?)"
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany(insert, rows)
            self._remove_oldest()
            self._database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise
        self._shrink()
        self._size = os.fstat(self._fd).st_size

    def _remove_oldest(self) -> None:
        """Remove the oldest, in slices: never many at a time, unless a limit was lowered."""
        oldest, newest = self._database.execute(
            "SELECT (SELECT min(id) FROM entries), (SELECT max(id) FROM entries)"
        ).fetchone()
        surplus = newest - oldest + 1 - self._limits.entries
        if surplus > 0:
            oldest = min(oldest + max(surplus, self._limits.entries // 100), newest)
            self._remove_before(oldest)
        while self._used_bytes() > self._budget and oldest < newest:
            oldest += (newest - oldest) // 64 + 1
            self._remove_before(oldest)

    def _remove_before(self, entry_id: int) -> None:
        self._database.execute("DELETE FROM entries WHERE id < ?", (entry_id,))

    def _used_bytes(self) -> int:
        return (self._pragma("page_count") - self._pragma("freelist_count")) * _PAGE

    def _shrink(self) -> None:
        """Make the file smaller if it is too large; free pages are kept for reuse otherwise."""
        excess = self._pragma("page_count") * _PAGE - self._budget
        if excess > 0:
            # As a script: `execute` would give back one page and stop.
            self._database.executescript(f"PRAGMA incremental_vacuum({excess // _PAGE + 1});")

    def latest_of_manager(self) -> dict[str, Any] | None:
        """The latest entry of a start or end of the manager."""
        row = self._database.execute(
            f"SELECT {_COLUMNS} FROM entries WHERE kind = 'manager' ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return None if row is None else from_row(row)

    def touch(self) -> None:
        """Give the file the present time: a sign of life for whoever reads it after the manager's end."""
        os.utime(self._fd)

    def close(self) -> None:
        """Close the file, with all that was appended."""
        with suppress(sqlite3.Error):
            self._database.close()
        os.close(self._fd)


def read_entries(path: Path, query: Query) -> tuple[list[dict[str, Any]], bool]:
    """Read entries, the newest last; report, too, whether older ones exist.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    where, values = query.where()
    select = f"SELECT {_COLUMNS} FROM entries {where}ORDER BY id DESC LIMIT ?"
    rows: list[Any] = []
    chars, has_older = 0, False
    with closing(open_readonly(path)) as database:
        for row in database.execute(select, (*values, query.limit + 1)):
            chars += _ENTRY_CHARS + len(str(row[-1])) + len(str(row[-2]))
            too_large = query.max_chars is not None and chars > query.max_chars
            has_older = len(rows) == query.limit or (bool(rows) and too_large)
            if has_older:
                break
            rows.append(row)
    return [from_row(row) for row in reversed(rows)], has_older


def open_readonly(path: Path) -> sqlite3.Connection:
    """Open the file for reading.

    Raises:
        sqlite3.Error: It cannot be read.
    """
    return _connect(path, "ro")


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether an error means that the file is no journal, rather than that it has to wait."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return False
    return code & 0xFF in _CORRUPT_CODES or code == sqlite3.SQLITE_IOERR_SHORT_READ


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    database = sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, cached_statements=8
    )
    database.execute(f"PRAGMA cache_size = {_CACHE}")
    return database


def _open_file(path: Path) -> int:
    """Open the file, or make it; for its owner alone."""
    make_private_directory(path.parent)
    for suffix in SQLITE_SIDE_FILES:
        side_file = path.with_name(path.name + suffix)
        if os.path.lexists(side_file) and not stat.S_ISREG(side_file.lstat().st_mode):
            raise CorruptJournalError(f"cannot be used ({side_file.name} is not a regular file)")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in _PATH_BLOCKED_ERRNOS and os.path.lexists(path):
            raise CorruptJournalError(f"cannot be opened ({error.strerror})") from error
        raise
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        raise CorruptJournalError("is not a regular file")
    if stat.S_IMODE(mode) & 0o077:
        os.fchmod(fd, 0o600)
    return fd


def _check_head(fd: int) -> int:
    """Check the beginning of the file; returns its size in bytes."""
    if os.pread(fd, len(_MAGIC), 0) not in (b"", _MAGIC):
        raise CorruptJournalError("is not an SQLite database")
    return os.fstat(fd).st_size


def _is_same(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except OSError as error:
        if error.errno in _PATH_BLOCKED_ERRNOS or error.errno == errno.ENOENT:
            return False
        raise
