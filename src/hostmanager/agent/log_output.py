"""The log of the manager goes out through queues and threads: who reads it slowly delays nobody.

Standard output may be a pipe that nobody reads, a journald that is stalled, a terminal that was
stopped by ^S; the log directory may be on a disk that hangs. So each place that the log goes to
has a bounded queue and a thread of its own. What finds the queue full is counted, and the count
is written where the lines would have been.

What anybody prints in this process takes the same way. At the end, what is left in the queues is
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

from hostmanager.util.files import open_or_replace
from hostmanager.util.text import truncate_middle

MAX_QUEUED_LINES = 4_000
"""Records of the log that wait to be written, for each place; of more, the number is kept."""

MAX_RECORD_CHARS = 10_000
"""Characters of a record of the log, its traceback included; the middle of a longer one is cut."""

LOG_FLUSH_TIMEOUT = 1.0
"""Seconds that the end of the program may wait for the log to be written."""

PRINTED = "printed"
"""Name of the records of what was printed: as it is, without a time."""

FORMAT = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")


class LogQueue(QueueHandler):
    """A bounded queue that takes records of the log, and never waits."""

    def __init__(self) -> None:
        self.records: SimpleQueue[Any] = SimpleQueue()
        super().__init__(self.records)
        self._lost = 0
        self._counting = threading.RLock()  # held for a moment, by whoever counts

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Make a record complete, in the thread that logs it, and no longer than it may be."""
        prepared: logging.LogRecord = super().prepare(record)
        prepared.msg = prepared.message = truncate_middle(str(prepared.msg), MAX_RECORD_CHARS)
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


class Writer:
    """Writes records to a file descriptor, in the thread of its queue.

    No `logging.Handler`: at the end of the program, logging waits for the lock of each.

    Args:
        open_fd: Opens it; asked again, when that failed.
        lost: Told of a record that could not be written.
    """

    def __init__(self, open_fd: Callable[[], int], lost: Callable[[], None]) -> None:
        self._open = open_fd
        self._lost = lost
        self._fd: int | None = None

    def write(self, record: logging.LogRecord) -> None:
        """Write a record, however long that takes."""
        try:
            text = record.getMessage() if record.name == PRINTED else FORMAT.format(record)
            if self._fd is None:
                self._fd = self._open()
            write_all(self._fd, f"{text}\n".encode("utf-8", "backslashreplace"))
        except Exception:  # a full disk, a closed pipe: there is no other place to say so
            self._lost()


class LogListener(QueueListener):
    """Has the records of a queue written by a thread."""

    def __init__(self, queue: LogQueue, open_fd: Callable[[], int]) -> None:
        self._log_queue = queue
        self._writer = Writer(open_fd, queue.add_lost)
        super().__init__(queue.records)

    def handle(self, record: logging.LogRecord) -> None:
        """Write a record; after the last one, how many were lost."""
        self._writer.write(record)
        if self._log_queue.records.empty():
            lost = self._log_queue.take_lost()
            if lost is not None:
                self._writer.write(lost)

    def begin_end(self) -> threading.Thread | None:
        """Have the thread end when all that waits is written; returns it."""
        thread: threading.Thread | None = self._thread
        if thread is not None:
            self.enqueue_sentinel()
        return thread


class Printed(io.TextIOBase):
    """Takes the place of `sys.stdout` or `sys.stderr`: whole lines go into a queue."""

    def __init__(self, queue: LogQueue, fd: int) -> None:
        self._queue = queue
        self._fd = fd
        self._begun = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What the queue makes of text."""
        return "utf-8"

    def writable(self) -> bool:
        """It can be written."""
        return True

    def fileno(self) -> int:
        """The descriptor behind it, for who needs one (faulthandler, subprocesses)."""
        return self._fd

    def write(self, text: str) -> int:
        """Take a text; never waits, never fails."""
        *lines, self._begun = f"{self._begun}{text}".split("\n")
        for line in lines:
            self._queue.enqueue(make_record(truncate_middle(line, MAX_RECORD_CHARS), PRINTED))
        if len(self._begun) > MAX_RECORD_CHARS:
            self.end_line()
        return len(text)

    def end_line(self) -> None:
        """Take what was printed without the end of its line."""
        line, self._begun = self._begun, ""
        if line:
            self._queue.enqueue(make_record(truncate_middle(line, MAX_RECORD_CHARS), PRINTED))


class LogOutput:
    """Everything that the log of this process goes to.

    Attributes:
        file: The queue of the log file; None if there is none.
    """

    def __init__(self) -> None:
        self.file: LogQueue | None = None
        self._listeners: list[LogListener] = []
        self._printed: list[Printed] = []

    def take_over_prints(self) -> LogQueue:
        """Have all that is printed go through queues; returns that of standard output."""
        out = self._start(lambda: 1)
        same = _same_file(1, 2)
        err = out if same else self._start(lambda: 2)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        self._printed = [Printed(out, 1), Printed(err, 2)]
        sys.stdout, sys.stderr = self._printed
        return out

    def open_file(self, path: Path) -> LogQueue:
        """Have a log file, made with the first line."""

        def open_log() -> int:
            return open_or_replace(str(path), os.O_WRONLY | os.O_APPEND, 0o644)[0]

        self.file = self._start(open_log)
        return self.file

    def _start(self, open_fd: Callable[[], int]) -> LogQueue:
        queue = LogQueue()
        listener = LogListener(queue, open_fd)
        listener.start()
        self._listeners.append(listener)
        return queue

    def close(self, timeout: float = LOG_FLUSH_TIMEOUT) -> bool:
        """Have what waits written, for a bounded time.

        Returns:
            Whether all of it was.
        """
        for printed in self._printed:
            printed.end_line()
        until = time.monotonic() + timeout
        threads = [listener.begin_end() for listener in self._listeners]
        self._listeners = []
        joined = [_joined(thread, until) for thread in threads if thread is not None]
        return all(joined)


def _joined(thread: threading.Thread, until: float) -> bool:
    thread.join(max(0.0, until - time.monotonic()))
    return not thread.is_alive()


def write_all(fd: int, data: bytes) -> None:
    """Write it whole, also to what does not wait by itself."""
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


def start_log(level: str, file: Path | None, loggers: Iterable[str]) -> LogOutput:
    """Send the log to standard output and to a file, and prints the same way.

    It ends with the program, after the last traceback.

    Args:
        level: The least level that is logged.
        file: The log file, if there is one.
        loggers: Whose records.
    """
    output = LogOutput()
    queues = [output.take_over_prints()]
    if file is not None:
        queues.append(output.open_file(file))
    logging.raiseExceptions = False
    for name in loggers:
        logger = logging.getLogger(name)
        logger.setLevel(level)
        for queue in queues:
            logger.addHandler(queue)
    atexit.register(output.close)
    return output
