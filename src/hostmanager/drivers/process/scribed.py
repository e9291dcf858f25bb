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
from concurrent.futures import Future
from pathlib import Path

from hostmanager.drivers.process import proc
from hostmanager.drivers.process.output import TAIL_LINES, Directly, Place, Since, cut
from hostmanager.drivers.process.workers import make_workers
from hostmanager.scribe.client import Scribe
from hostmanager.scribe.reading import Position, lines_since, position, position_at

log = logging.getLogger(__name__)

FLUSH_PATIENCE = 0.5
"""Seconds to wait until what an agent printed last is in its file."""

PAUSE_FIRST, PAUSE_LONGEST = 0.1, 5.0
"""Seconds between attempts to have a scribe."""


class Scribed:
    """Implements `Sink` by way of the scribe; keeps one running.

    Args:
        loop: Where its end is heard of.
        scribe: The client.
        files: The folder of the output files.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, scribe: Scribe, files: Path) -> None:
        self._loop = loop
        self._scribe = scribe
        self._files = files
        self._directly = Directly()
        self._worker = make_workers(1, "scribe")
        self.pid: int | None = None  # of the scribe that was had last
        self._pause = PAUSE_FIRST
        self._pidfd = -1
        self._closed = False

    # --- the scribe's life ----------------------------------------------------------------

    def start(self) -> None:
        """Have a scribe run, now and whenever it ends."""
        future = self._worker.submit(self._have)
        future.add_done_callback(self._on_loop)

    def _on_loop(self, future: "Future[int]") -> None:
        try:
            self._loop.call_soon_threadsafe(self._had, future)
        except RuntimeError:  # the loop is closed: the program ends
            log.debug("the scribe came after the end of the loop")

    def _have(self) -> int:
        self.pid = self._scribe.ensure()
        pidfd = os.pidfd_open(self.pid)
        self._scribe.reclaim()
        return pidfd

    def _had(self, future: "Future[int]") -> None:
        try:
            pidfd = future.result()
        except OSError as error:
            if self._pause == PAUSE_FIRST:
                log.warning("no scribe, so output of agents waits in their pipes: %s", error)
            self._again()
            return
        self._pause = PAUSE_FIRST
        self._pidfd = pidfd
        self._loop.add_reader(pidfd, self._ended, pidfd)

    def _ended(self, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        self._pidfd = -1
        if not self._closed:
            log.warning("the scribe ended; another one is started")
            self._again()

    def _again(self) -> None:
        if not self._closed:
            self._loop.call_later(self._pause, self.start)
            self._pause = min(PAUSE_LONGEST, self._pause * 2)

    def close(self, *, end: bool) -> None:
        """Let it go; with `end`, have it empty all pipes and end (up to a quarter second)."""
        self._closed = True
        if end:
            self._scribe.quit(timeout=0.25, last=True)
        self._scribe.close()
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _wake(self) -> None:
        """Have a scribe go on that somebody has suspended: no agent should wait for it."""
        stat = proc.stat(self.pid) if self.pid else None
        if stat is not None and stat[0] == b"T":
            self._scribe.wake()

    # --- Sink -----------------------------------------------------------------------------

    def open(self, instance_id: str, path: Path) -> tuple[int, Place]:
        """Make the pipe of an instance; see the protocol."""
        try:
            self._wake()
            self._scribe.flush(instance_id, FLUSH_PATIENCE)
            begin = position(self._files, instance_id)
            return self._scribe.open_pipe(instance_id), begin
        except OSError as error:
            log.warning("%s writes its output itself: no pipe: %s", instance_id, error)
            return self._directly.open(instance_id, path)

    def tidy(self, alive: AbstractSet[str]) -> None:
        """Remove the pipes that nobody writes into any more; see the protocol."""
        for instance_id in self._scribe.instances():
            if instance_id not in alive:
                self._scribe.drop(instance_id)

    def adopted(self, instance_id: str, pid: int, since: float) -> Place:
        """Keep what is in the pipe of an instance that was taken over; see the protocol."""
        self._scribe.hold(instance_id, pid)
        self._worker.submit(self._scribe.reclaim, instance_id)  # after `_have`
        return Since(since)

    def drop(self, instance_id: str) -> None:
        """Remove the pipe of an instance; see the protocol."""
        self._scribe.drop(instance_id)

    def last_lines(
        self, instance_id: str, path: Path, begin: Place, end: Place | None
    ) -> tuple[str, ...]:
        """Read the last lines of a run; see the protocol."""
        if isinstance(begin, int):
            return self._directly.last_lines(instance_id, path, begin, end)
        self._wake()
        self._scribe.flush(instance_id, FLUSH_PATIENCE)
        if isinstance(begin, Since):
            begin = position_at(self._files, instance_id, begin.when)
        until = end if isinstance(end, Position) else None
        lines = lines_since(self._files, instance_id, begin, TAIL_LINES, until)
        return tuple(cut(text) for _, text in lines)
