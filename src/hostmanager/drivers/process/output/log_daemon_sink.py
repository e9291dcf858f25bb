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
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial
from pathlib import Path

from hostmanager.drivers.process.output.held_up import MAX_LOST_NAMED, HeldUpOutput
from hostmanager.drivers.process.output.output_sink import (
    TAIL_LINES,
    OutputPosition,
    OutputSink,
    SinceTime,
    truncate_line,
)
from hostmanager.drivers.process.thread_pools import WorkerPool
from hostmanager.logd.client import LogDaemonClient
from hostmanager.logd.reader import Position, lines_since, position, position_at
from hostmanager.util import procfs
from hostmanager.util.grouping import group_pairs
from hostmanager.util.guard import Guard
from hostmanager.util.text import end_sentence, join_names

log = logging.getLogger(__name__)

UNREAD_INTERVAL = 10.0
"""Seconds between two looks for pipes that are not read; as often as the log daemon checks itself."""

FLUSH_TIMEOUT = 0.5
"""Seconds to wait until the last output of an agent is in its file."""


class LogDaemonSink(OutputSink):
    """Has the log daemon take the output; keeps one running.

    Args:
        loop: The event loop.
        client: The client of the log daemon.
        directory: The directory of the output files.
        on_message: Gets sentences for operators.

    Attributes:
        pid: Of the latest log daemon.
        running: Whether it runs.
        starts: How many were started, or found running.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: LogDaemonClient,
        directory: Path,
        on_message: Callable[[str], object] = log.warning,
    ) -> None:
        self._loop = loop
        self._client = client
        self._directory = directory
        self._on_message = on_message
        self._guard = Guard(loop.call_later)
        self._unread_timer: asyncio.TimerHandle | None = None
        self._worker = WorkerPool(loop, self._guard, 1, "log-daemon")
        self.pid: int | None = None
        self.running = False
        self.starts = 0
        self._fault = ""
        self._without_output: dict[str, str] = {}  # why, by id; changed by worker threads
        self._held_up = HeldUpOutput(client, directory)
        self._held_up_fault = ""
        self._looking = False
        self._closed = False

    def faults(self, is_running: Callable[[str], bool]) -> list[str]:
        """What is wrong with the output of agents, a sentence each; of one that does not run, nothing."""
        faults = [fault for fault in (self._fault, self._held_up_fault) if fault]
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
        if self._looking:
            if hang := self._held_up.hang():
                self._report_held_up(hang)
        elif self._client.has_unread() or self._held_up_fault:
            self._looking = True
            self._worker.submit("pipes that are not read", self._read_unread, self._on_looked)

    def _read_unread(self) -> str:
        self._resume()
        self._client.advertise_unread()
        return self._held_up.fault()

    def _on_looked(self, fault: str) -> None:
        self._looking = False
        if fault or not self._client.has_retired:  # else it is that of an instance that is gone
            self._report_held_up(fault)

    def _report_held_up(self, fault: str) -> None:
        """Tell operators when output cannot be written, and when it can be again."""
        if fault and not self._held_up_fault:
            self._on_message(fault)
        elif self._held_up_fault and not fault:
            self._on_message(f"Output is written into {self._directory} again.")
        self._held_up_fault = fault

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
        """Whether output waits in a pipe and does not get into its file; asks the disk, and may wait."""
        return self._held_up.is_held_up(instance_id)

    def remove(self, instance_id: str) -> None:
        """Remove the pipe of an instance; see `OutputSink`."""
        self._without_output.pop(instance_id, None)
        self._held_up.forget(instance_id)
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
