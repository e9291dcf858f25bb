"""Output through the scribe: agents write into pipes, and a process of its own fills files.

The reasons for that are in docs/output.md: an agent never waits for the manager and never
notices its death, and a full disk is no error for it. Here the driver gets pipes, keeps a
scribe running, and reads the last lines of a run. Where no pipe can be had (a state folder
that cannot be written), the agent writes its file itself, as a program without a manager.
"""

import asyncio
import logging
import os
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial
from pathlib import Path

from hostmanager.drivers.process.output.output_sink import (
    TAIL_LINES,
    DirectFileSink,
    OutputPosition,
    SinceTime,
    truncate_line,
)
from hostmanager.drivers.process.thread_pools import WorkerPool
from hostmanager.logd.client import LogDaemonClient
from hostmanager.logd.reader import Position, lines_since, position, position_at
from hostmanager.util import procfs as proc
from hostmanager.util.guard import Guard

log = logging.getLogger(__name__)

FLUSH_TIMEOUT = 0.5
"""Seconds to wait until what an agent printed last is in its file."""


class LogDaemonSink:
    """Implements `Sink` by way of the scribe; keeps one running.

    Args:
        loop: Where its end is heard of.
        scribe: The client.
        files: The folder of the output files.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, scribe: LogDaemonClient, files: Path
    ) -> None:
        self._loop = loop
        self._client = scribe
        self._files = files
        self._direct_sink = DirectFileSink()
        self._guard = Guard(loop.call_later)
        self._worker = WorkerPool(loop, self._guard, 1, "scribe")
        self.pid: int | None = None  # of the scribe that was had last
        self._failed = False
        self._closed = False

    # --- the scribe's life ----------------------------------------------------------------

    def start(self) -> None:
        """Have a scribe run, now and whenever it ends."""
        if not self._closed:
            self._worker.submit("the scribe", self._ensure_daemon, self._on_daemon_ready)

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
            if not self._failed:
                log.warning("no scribe, so output of agents waits in their pipes: %s", pidfd)
            self._failed = True
            self._guard.schedule("the scribe", self.start)
            return
        self._failed = False
        ended = self._guard.callback("the end of the scribe", partial(self._on_daemon_exit, pidfd))
        watch = partial(self._loop.add_reader, pidfd, ended)
        self._guard.retry_until_done("watching the scribe", watch, lambda: not self._closed)

    def _on_daemon_exit(self, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        with suppress(OSError):
            os.close(pidfd)
        if not self._closed:
            log.warning("the scribe ended; another one is started")
            self._guard.schedule("the scribe", self.start)

    def close(self, *, end: bool) -> None:
        """Let it go; with `end`, have it empty all pipes and end (up to a quarter second)."""
        self._closed = True
        if end:
            self._client.stop(timeout=0.25)
        self._client.close()
        self._worker.close()

    def _resume(self) -> None:
        """Have a scribe go on that somebody has suspended: no agent should wait for it."""
        stat = proc.read_stat(self.pid) if self.pid else None
        if stat is not None and stat[0] == b"T":
            self._client.resume()

    # --- Sink -----------------------------------------------------------------------------

    def open(self, instance_id: str, path: Path) -> tuple[int, OutputPosition]:
        """Make the pipe of an instance; see the protocol."""
        try:
            self._resume()
            self._client.flush(instance_id, FLUSH_TIMEOUT)
            begin = position(self._files, instance_id)
            return self._client.open_pipe(instance_id), begin
        except OSError as error:
            log.warning("%s writes its output itself: no pipe: %s", instance_id, error)
            return self._direct_sink.open(instance_id, path)

    def remove_stale(self, alive: AbstractSet[str]) -> None:
        """Remove the pipes that nobody writes into any more; see the protocol."""
        for instance_id in self._client.instances():
            if instance_id not in alive:
                self._client.remove(instance_id)

    def attach(self, instance_id: str, pid: int, since: float) -> OutputPosition:
        """Keep what is in the pipe of an instance that was taken over; see the protocol."""
        self._client.keep_open(instance_id, pid)
        # After `_have`, by the same thread.
        what = f"{instance_id}: its pipe"
        self._worker.submit(what, lambda: self._client.advertise_pipes(instance_id))
        return SinceTime(since)

    def remove(self, instance_id: str) -> None:
        """Remove the pipe of an instance; see the protocol."""
        self._client.remove(instance_id)

    def last_lines(
        self, instance_id: str, path: Path, begin: OutputPosition, end: OutputPosition | None
    ) -> tuple[str, ...]:
        """Read the last lines of a run; see the protocol."""
        if isinstance(begin, int):
            return self._direct_sink.last_lines(instance_id, path, begin, end)
        self._resume()
        self._client.flush(instance_id, FLUSH_TIMEOUT)
        if isinstance(begin, SinceTime):
            begin = position_at(self._files, instance_id, begin.when)
        until = end if isinstance(end, Position) else None
        lines = lines_since(self._files, instance_id, begin, TAIL_LINES, until)
        return tuple(truncate_line(text) for _, text in lines)
