"""The manager's own log, by queues and threads: a slow reader delays nobody.

Standard output may be a pipe that nobody reads, a journald that is stalled, a terminal that was
stopped by ^S; the log directory may be on a disk that hangs. So each place that the log goes to
has a bounded queue and a thread of its own. Records that find the queue full are counted, and the
count is written where the lines would have been.

Whatever is printed in this process goes the same way. At the end, what is left in the queues is
written for a bounded time.
"""

import atexit
import io
import logging
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from hostmanager.agent.daemon.journald import (
    FIELDS_ATTRIBUTE,
    JournaldClient,
    current_fields,
    leads_to_journald,
)
from hostmanager.util.files import open_or_replace
from hostmanager.util.lockfile import is_same_file
from hostmanager.util.text import truncate_middle

MAX_QUEUED_LINES = 4_000
"""Records of the log that wait to be written, for each place; of more, the number is kept."""

MAX_RECORD_CHARS = 10_000
"""Characters of a record of the log, its traceback included; the middle of a longer one is cut."""

LOG_FLUSH_TIMEOUT = 1.0
"""Seconds that the end of the program may wait for the log to be written."""

PRINTED = "printed"
"""Name of the records of what was printed: written as it is, without a time."""

FORMAT = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")


class LogQueue(QueueHandler):
    """A bounded queue that takes records of the log, and never waits."""

    def __init__(self) -> None:
        self.records: SimpleQueue[Any] = SimpleQueue()
        super().__init__(self.records)
        self._lost = 0
        self._counting = threading.RLock()  # reentrant: a finalizer may log while it is held

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Format a record, in the thread that logs it, and no longer than it may be."""
        prepared: logging.LogRecord = super().prepare(record)
        prepared.msg = prepared.message = truncate_middle(str(prepared.msg), MAX_RECORD_CHARS)
        if fields := current_fields():
            setattr(prepared, FIELDS_ATTRIBUTE, fields)
        return prepared

    def enqueue(self, record: logging.LogRecord) -> None:
        """Take a record, or count it."""
        if self.records.qsize() >= MAX_QUEUED_LINES:
            self.add_lost()
            return
        lost = self.take_lost()
        if lost is not None:
            self.records.put(lost)
        self.records.put(record)

    def add_lost(self) -> None:
        """Count a record that could not be written."""
        with self._counting:
            self._lost += 1

    def take_lost(self) -> logging.LogRecord | None:
        """Make a record of how many were lost; None if there were none."""
        if not self._lost:
            return None
        with self._counting:
            count, self._lost = self._lost, 0
        text = f"{count} lines of the log were lost here: they could not be written in time"
        return make_record(text, "hostmanager") if count else None


def make_record(text: str, name: str) -> logging.LogRecord:
    """Make a record of the log that needs no formatting."""
    return logging.LogRecord(name, logging.WARNING, "", 0, text, None, None)


class LogListener(QueueListener):
    """Writes the records of a queue to a file descriptor, in a thread of its own.

    It has no `logging.Handler`: at the end of the program, logging waits for the lock of each.

    Args:
        queue: The queue.
        open_fd: Opens the descriptor; called again, when that failed.
        path: Where the file is that it opens; when something else is there (logrotate has moved the
            file), it is opened anew.
        journald: Takes the records instead, as long as it does.
    """

    def __init__(
        self,
        queue: LogQueue,
        open_fd: Callable[[], int],
        path: Path | None = None,
        journald: JournaldClient | None = None,
    ) -> None:
        super().__init__(queue.records)
        self._log_queue = queue
        self._open_fd = open_fd
        self._path = path
        self._journald = journald
        self._fd: int | None = None

    def handle(self, record: logging.LogRecord) -> None:
        """Write a record, however long that takes; after the last one, how many were lost."""
        self._write(record)
        if self._log_queue.records.empty():
            lost = self._log_queue.take_lost()
            if lost is not None:
                self._write(lost)

    def _write(self, record: logging.LogRecord) -> None:
        if self._journald is not None:
            with suppress(OSError):
                self._journald.send(record)
                return
        try:
            text = record.getMessage() if record.name == PRINTED else FORMAT.format(record)
            _write_all(self._current_fd(), f"{text}\n".encode("utf-8", "backslashreplace"))
        except Exception:  # a full disk, a closed pipe: there is no other place to report it
            self._log_queue.add_lost()

    def _current_fd(self) -> int:
        if self._fd is None:
            self._fd = self._open_fd()
        elif self._path is not None and not is_same_file(self._fd, str(self._path)):
            with suppress(OSError):  # else what was moved is better than nothing
                fd = self._open_fd()
                os.close(self._fd)
                self._fd = fd
        return self._fd

    def begin_end(self) -> threading.Thread | None:
        """Have the thread end when all that waits is written; returns it."""
        thread: threading.Thread | None = self._thread
        if thread is not None:
            self.enqueue_sentinel()
        return thread


class PrintRedirect(io.TextIOBase):
    """Takes the place of `sys.stdout` or `sys.stderr`: whole lines go into a queue."""

    def __init__(self, queue: LogQueue, fd: int) -> None:
        self._queue = queue
        self._fd = fd
        self._partial_line = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding in which the listener writes."""
        return "utf-8"

    def writable(self) -> bool:
        """It can be written."""
        return True

    def fileno(self) -> int:
        """The descriptor behind it (for faulthandler, subprocesses)."""
        return self._fd

    def write(self, text: str) -> int:
        """Take a text; never waits, never fails."""
        *lines, self._partial_line = f"{self._partial_line}{text}".split("\n")
        for line in lines:
            self._enqueue(line)
        if len(self._partial_line) > MAX_RECORD_CHARS:
            self.end_line()
        return len(text)

    def end_line(self) -> None:
        """Take what was printed without the end of its line."""
        line, self._partial_line = self._partial_line, ""
        if line:
            self._enqueue(line)

    def _enqueue(self, line: str) -> None:
        self._queue.enqueue(make_record(truncate_middle(line, MAX_RECORD_CHARS), PRINTED))


class LogOutput:
    """Everything that the log of this process goes to."""

    def __init__(self) -> None:
        self._listeners: list[LogListener] = []
        self._redirects: list[PrintRedirect] = []

    def redirect_prints(self, identifier: str) -> LogQueue:
        """Send all that is printed through queues; returns that of standard output.

        Where that leads to journald, it goes there with its fields, as entries of `identifier`.
        """
        journald = JournaldClient(identifier) if leads_to_journald(1, os.environ) else None
        out = self.add(lambda: 1, journald=journald)
        err = out if _same_file(1, 2) else self.add(lambda: 2)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        self._redirects = [PrintRedirect(out, 1), PrintRedirect(err, 2)]
        sys.stdout, sys.stderr = self._redirects
        return out

    def open_file(self, path: Path) -> LogQueue:
        """Add a log file, made with the first line, and again when it was moved away."""
        flags = os.O_WRONLY | os.O_APPEND
        return self.add(lambda: open_or_replace(str(path), flags, 0o644)[0], path)

    def add(
        self,
        open_fd: Callable[[], int],
        path: Path | None = None,
        journald: JournaldClient | None = None,
    ) -> LogQueue:
        """Add a destination; the arguments are those of `LogListener`."""
        queue = LogQueue()
        listener = LogListener(queue, open_fd, path, journald)
        listener.start()
        self._listeners.append(listener)
        return queue

    def close(self, timeout: float = LOG_FLUSH_TIMEOUT) -> bool:
        """Write what waits, for a bounded time.

        Returns:
            Whether all of it was written.
        """
        for redirect in self._redirects:
            redirect.end_line()
        deadline = time.monotonic() + timeout
        threads = [listener.begin_end() for listener in self._listeners]
        self._listeners = []
        for thread in filter(None, threads):
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads if thread is not None)


def _write_all(fd: int, data: bytes) -> None:
    """Write all of it, also to a descriptor that does not block."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            select.select((), (fd,), ())


def _same_file(one: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False


def log_level() -> str:
    """The least level that is logged (LOGLEVEL): debug, info, warn or error."""
    level = os.environ.get("LOGLEVEL", "info").lower()
    return level if level in ("debug", "info", "warn", "error") else "info"


def start_log(
    level: str, file: Path | None, loggers: Iterable[str], identifier: str = "hostmanager"
) -> None:
    """Send the log to standard output and to a file, and prints the same way.

    It ends with the program, after the last traceback.

    Args:
        level: The least level that is logged.
        file: The log file, if there is one.
        loggers: Whose records.
        identifier: What journald calls this program.
    """
    output = LogOutput()
    queues = [output.redirect_prints(identifier)]
    if file is not None:
        queues.append(output.open_file(file))
    logging.raiseExceptions = False
    for name in loggers:
        logger = logging.getLogger(name)
        logger.setLevel(level)
        for queue in queues:
            logger.addHandler(queue)
    atexit.register(output.close)
