"""Output through the log daemon: agents write into pipes, which a separate process reads.

The reasons are in docs/output.md: an agent never waits for the manager and never notices its
crash, and a full disk is no error for it. This module opens pipes, keeps a log daemon running, and
reads the last lines of a run. If no pipe can be opened (the state directory cannot be written),
the agent writes its file itself, as without a manager; if it cannot be written either, the output is
lost: an agent without output is better than none, on a disk that has failed and is read-only now.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hostmanager.drivers.process.output.output_sink import (
    TAIL_LINES,
    OutputPosition,
    OutputSink,
    SinceTime,
    truncate_line,
)
from hostmanager.drivers.process.thread_pools import WorkerPool
from hostmanager.logd.client import LogDaemonClient
from hostmanager.logd.paths import log_file
from hostmanager.logd.reader import Position, lines_since, position, position_at
from hostmanager.util import procfs
from hostmanager.util.grouping import group_pairs
from hostmanager.util.guard import Guard
from hostmanager.util.text import end_sentence, join_names

log = logging.getLogger(__name__)

MAX_LOST_NAMED = 5
"""Agents that a sentence names."""

HELD_UP_AFTER = 1.0
"""Seconds after which output that waits, while nothing gets into its file, is held up."""

LOOK_INTERVAL = 0.3
"""Seconds between two looks at it."""

UNREAD_INTERVAL = 10.0
"""Seconds between two looks for pipes that are not read; as often as the log daemon checks itself."""

FLUSH_TIMEOUT = 0.5
"""Seconds to wait until the last output of an agent is in its file."""


class _Waiting(NamedTuple):
    """Output that waits in a pipe: since when it was seen so, and the size of its file then."""

    since: float
    size: int


class LogDaemonSink(OutputSink):
    """Has the log daemon take the output; keeps one running.

    Args:
        loop: The event loop.
        client: The client of the log daemon.
        directory: The directory of the output files.

    Attributes:
        pid: Of the latest log daemon.
        running: Whether it runs.
        starts: How many were started, or found running.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, client: LogDaemonClient, directory: Path
    ) -> None:
        self._loop = loop
        self._client = client
        self._directory = directory
        self._guard = Guard(loop.call_later)
        self._unread_timer: asyncio.TimerHandle | None = None
        self._worker = WorkerPool(loop, self._guard, 1, "log-daemon")
        self.pid: int | None = None
        self.running = False
        self.starts = 0
        self._fault = ""
        self._without_output: dict[str, str] = {}  # why, by id; changed by worker threads
        self._waiting: dict[str, _Waiting] = {}  # by id; changed by threads that ask for output
        self._closed = False

    def faults(self, is_running: Callable[[str], bool]) -> list[str]:
        """What is wrong with the output of agents, a sentence each; of one that does not run, nothing."""
        faults = [self._fault] if self._fault else []
        lost = [(why, i) for i, why in list(self._without_output.items()) if is_running(i)]
        for reason, ids in group_pairs(lost).items():
            them = "it is" if len(ids) == 1 else "they are"
            names = join_names(ids, MAX_LOST_NAMED)
            faults.append(f"The output of {names} is lost until {them} restarted: {reason}.")
        return faults

    # --- the log daemon -------------------------------------------------------------------

    def start(self) -> None:
        """Start a log daemon, now and whenever it ends."""
        if not self._closed:
            self._worker.submit("the log daemon", self._ensure_daemon, self._on_daemon_ready)
            if self._unread_timer is None:
                self._check_unread_later()

    def _ensure_daemon(self) -> int | OSError:
        try:
            self.pid = self._client.ensure_running()
            pidfd = os.pidfd_open(self.pid)
        except OSError as error:
            return error
        try:
            self._client.advertise_pipes()
        except BaseException:
            os.close(pidfd)
            raise
        return pidfd

    def _on_daemon_ready(self, pidfd: int | OSError) -> None:
        if isinstance(pidfd, OSError):
            reason = end_sentence(str(pidfd))
            fault = f"Output of agents waits in their pipes, for lack of a log daemon: {reason}"
            if not self._fault:
                log.warning("%s", fault)
            self._fault = fault
            self._guard.schedule("the log daemon", self.start)
            return
        if self._fault:
            log.info("a log daemon runs again")
        self._fault, self.running = "", True
        self.starts += 1
        ended = self._guard.callback(
            "the end of the log daemon", partial(self._on_daemon_exit, pidfd)
        )
        watch = partial(self._loop.add_reader, pidfd, ended)
        self._guard.retry_until_done("watching the log daemon", watch, lambda: not self._closed)

    def _on_daemon_exit(self, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        self.running = False
        with suppress(OSError):
            os.close(pidfd)
        if not self._closed:
            log.warning("the log daemon ended; starting another one")
            self._guard.schedule("the log daemon", self.start)

    def _check_unread_later(self) -> None:
        check = self._guard.callback("pipes that are not read", self._check_unread)
        self._unread_timer = self._loop.call_later(UNREAD_INTERVAL, check)

    def _check_unread(self) -> None:
        """Have the log daemon read what it does not: it was suspended, or missed a command."""
        if self._closed:
            return
        self._check_unread_later()
        if self._client.has_unread():
            self._worker.submit("pipes that are not read", self._read_unread)

    def _read_unread(self) -> None:
        self._resume()
        self._client.advertise_unread()

    def close(self, *, end: bool) -> None:
        """Close the client; with `end`, stop the daemon after it emptied all pipes.

        That takes at most 0.25 s, and 3 s more if it is just being started.
        """
        self._closed = True
        if self._unread_timer is not None:
            self._unread_timer.cancel()
        if end:
            self._client.advertise_unread()
            self._client.stop(timeout=0.25, final=True)
        self._client.close()
        self._worker.close()

    def _resume(self) -> None:
        """Continue a daemon that was suspended: no agent should wait for it."""
        stat = procfs.read_stat(self.pid) if self.pid else None
        if stat is not None and stat[0] == b"T":
            self._client.resume()

    # --- OutputSink -----------------------------------------------------------------------

    def open(self, instance_id: str, path: Path) -> tuple[int, OutputPosition]:
        """Make the pipe of an instance; see `OutputSink`."""
        try:
            self._resume()
            self._client.flush(instance_id, FLUSH_TIMEOUT)
            begin = position(self._directory, instance_id)
            opened: tuple[int, OutputPosition] = self._client.open_pipe(instance_id), begin
        except OSError as no_pipe:
            try:
                opened = super().open(instance_id, path)
            except OSError as error:
                return self._open_nowhere(instance_id, path, error)
            log.warning("%s writes its output itself: no pipe: %s", instance_id, no_pipe)
        self._without_output.pop(instance_id, None)
        return opened

    def _open_nowhere(self, instance_id: str, path: Path, error: OSError) -> tuple[int, int]:
        reason = f"{path.parent} cannot be written: {error.strerror}"
        if self._without_output.get(instance_id) != reason:
            log.warning("the output of %s is lost: %s", instance_id, reason)
        self._without_output[instance_id] = reason
        try:
            begin = path.stat().st_size  # what is in it is of earlier runs
        except OSError:
            begin = 0
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), begin

    def remove_stale(self, alive: AbstractSet[str]) -> None:
        """Remove the pipes of instances that are not alive; see `OutputSink`."""
        for instance_id in self._client.instances():
            if instance_id not in alive:
                self._client.remove(instance_id)

    def attach(self, instance_id: str, pid: int, since: float) -> OutputPosition:
        """Keep the pipe of an adopted instance open; see `OutputSink`."""
        self._client.keep_open(instance_id, pid)
        # After `_ensure_daemon`, by the same thread.
        name = f"{instance_id}: its pipe"
        self._worker.submit(name, lambda: self._client.advertise_pipes(instance_id))
        return SinceTime(since)

    def is_held_up(self, instance_id: str) -> bool:
        """Whether output waits in a pipe and does not get into its file; asks the disk.

        A log daemon that lives and can write has emptied the pipe, or made the file larger, at one of
        the looks. (The time of the file says nothing: an attempt to write renews it.) The first look
        is at all pipes: who asks for many agents, one after the other, waits once.
        """
        started = time.monotonic()
        first = seen = self._look(instance_id)
        if first is not None and first.since >= started:
            for other in self._client.instances():
                self._look(other)
        while seen is not None and seen == first:
            if time.monotonic() - seen.since >= HELD_UP_AFTER:
                return True
            time.sleep(LOOK_INTERVAL)
            seen = self._look(instance_id)
        return False

    def _look(self, instance_id: str) -> _Waiting | None:
        """The output of an instance that waits, since it was seen first; None: none does."""
        if not self._client.waiting(instance_id):
            self._waiting.pop(instance_id, None)
            return None
        try:
            size = Path(log_file(os.fspath(self._directory), instance_id)).stat().st_size
        except OSError:
            size = 0
        seen = self._waiting.get(instance_id)
        if seen is None or seen.size != size:
            seen = self._waiting[instance_id] = _Waiting(time.monotonic(), size)
        return seen

    def remove(self, instance_id: str) -> None:
        """Remove the pipe of an instance; see `OutputSink`."""
        self._without_output.pop(instance_id, None)
        self._waiting.pop(instance_id, None)
        self._client.remove(instance_id)

    def last_lines(
        self, instance_id: str, path: Path, begin: OutputPosition, end: OutputPosition | None
    ) -> tuple[str, ...]:
        """Read the last lines of a run; see `OutputSink`."""
        if isinstance(begin, int):
            return super().last_lines(instance_id, path, begin, end)
        self._resume()
        self._client.flush(instance_id, FLUSH_TIMEOUT)
        if isinstance(begin, SinceTime):
            begin = position_at(self._directory, instance_id, begin.when)
        until = end if isinstance(end, Position) else None
        lines = lines_since(self._directory, instance_id, begin, TAIL_LINES, until)
        return tuple(truncate_line(text) for _, text in lines)
