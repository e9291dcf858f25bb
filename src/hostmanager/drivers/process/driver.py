"""The process driver: launches agents as processes of this host and tells of their ends.

Nothing here polls. The kernel tells of each end through a pidfd on the event loop. What
may block runs in worker threads: opening files and executing programs, looking through
/proc, reading the last lines. Each of these has its own, so that a hanging disk under an
output file keeps nobody from hearing of an end.

A process is waited for last, when nothing of its session is left. Until then its number
cannot be given to anybody else, and stands for its session and process group. Others of
the session are held by pidfds. So a signal never goes to a stranger.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from hostmanager.core.events import (
    Ended,
    ExitStatus,
    Gone,
    Launched,
    LaunchFailed,
    LeftBehind,
    LostSight,
    Output,
    Prepared,
    StopStep,
)
from hostmanager.core.model import Found, InstanceSpec
from hostmanager.core.ports import Report
from hostmanager.drivers.process import proc, stamps, strangers
from hostmanager.drivers.process.kin import Kin, Left
from hostmanager.drivers.process.output import Directly, Place, Sink
from hostmanager.drivers.process.ownership import PATIENCE, Ownership
from hostmanager.drivers.process.priority import prefer_thread
from hostmanager.drivers.process.signals import ask, ask_group, heed_all
from hostmanager.drivers.process.spawn import Alive, Command, Spawned, SpawnError, spawn
from hostmanager.drivers.process.unseen import LOOK_AGAIN, Unseen
from hostmanager.drivers.process.workers import make_workers

log = logging.getLogger(__name__)

T = TypeVar("T")

LAUNCHERS = 16
"""Launches at a time. While a hundred agents start, each launch waits for a processor rather
than for its turn here."""

SIGNALS = {
    StopStep.INTERRUPT: signal.SIGINT,
    StopStep.TERMINATE: signal.SIGTERM,
    StopStep.KILL: signal.SIGKILL,
}

PAUSE = 0.05
"""Seconds after which an answer that could not be given is given again."""

NO_MEMORY = (
    "there is not enough memory for it; end something on this host, or raise the limit of the "
    "manager (`ulimit -v`, `MemoryMax=` of its systemd unit)"
)

NO_PROCESS = Spawned(pid=0, pidfd=-1, output_start=0)
"""In place of a process whose end nobody saw."""


@dataclass(slots=True)
class _Run:
    """One process, from its launch until nothing of it is left."""

    instance_id: str
    command: Command
    report: Report
    spawned: Spawned
    kin: Kin
    status: ExitStatus | None = None  # how it ended; None: it has not
    cpu: float | None = None  # seconds of CPU that it used until then
    told: bool = False  # its end was reported
    over: bool = False  # nothing is left of it, and that was reported
    step: StopStep = StopStep.TERMINATE  # the strongest means used so far, or that for remnants
    remnants: dict[int, int] = field(default_factory=dict)  # pid: pidfd
    next_start: Place | None = None  # where the next run's output begins
    held_since: float | None = None  # somebody unseen has held its lock since, the loop's time


class ProcessDriver:
    """Implements the core's `Driver` for processes.

    Args:
        loop: The event loop; all calls and reports happen on its thread.
        command: Tells how to start an instance.
        owner: How its processes are known, over the death of this manager, too.
        sink: Takes their output; default: files that they write themselves.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        command: Callable[[InstanceSpec], Command],
        owner: Ownership,
        sink: Sink | None = None,
    ) -> None:
        self._loop = loop
        self._command = command
        self._owner = owner
        self._sink = sink or Directly()
        stamps.clear()
        heed_all()
        self._surveyed: dict[str, int | None] = {}  # pidfds of what the survey found
        self._runs: dict[str, _Run] = {}  # of which something is alive
        self._unseen = Unseen(owner, self._ask, loop)  # of which that is all one can tell
        self._reading: dict[str, _Run] = {}  # of which the output is being read
        self._launchers = make_workers(LAUNCHERS, "launch", _begin_launching)
        self._lookers = make_workers(2, "look")
        self._readers = make_workers(2, "read")

    def launch(self, spec: InstanceSpec, report: Report) -> None:
        """Start the instance; see the protocol."""
        command = self._command(spec)
        before = self._reading.get(spec.instance_id)

        def opened(start: Place) -> None:
            if before is not None:
                before.next_start = start

        future = self._launchers.submit(spawn, command, spec, self._owner, self._sink, opened)
        launched = partial(self._launched, spec, command, report)
        future.add_done_callback(partial(self._on_loop, launched))

    def survey(self) -> Mapping[str, Found]:
        """Look for what an earlier manager launched; see the protocol."""
        self._sink.start()
        surveyed = self._owner.survey()
        self._sink.tidy(surveyed.keys())
        self._surveyed = {i: self._owner.open_leader(i, found) for i, found in surveyed.items()}
        return surveyed

    def adopt(self, spec: InstanceSpec, found: Found, report: Report) -> None:
        """Take over what the survey found of an instance; see the protocol."""
        pidfd = self._surveyed.pop(spec.instance_id, None)
        self._adopt(spec.instance_id, self._command(spec), found, pidfd, report)

    def _adopt(
        self, instance_id: str, command: Command, found: Found, pidfd: int | None, report: Report
    ) -> None:
        if found.pid is None:
            report(LostSight("Something of it is alive; it is being looked what that is."))
        if found.pid is None and not found.others:
            self._watch_lock(instance_id, command, report)
            return
        stamp = None if found.pid is None else stamps.read(found.pid)
        kin = Kin(self._owner, instance_id, found.pid, stamp)
        run = _Run(instance_id, command, report, NO_PROCESS, kin)
        self._runs[instance_id] = run
        if pidfd is not None and found.pid is not None:
            run.spawned = Spawned(
                found.pid, pidfd, self._sink.adopted(instance_id, found.pid, found.since)
            )
            self._loop.add_reader(pidfd, self._readable, run)
            report(Launched(found.pid, found))
            return
        # Its end was not seen; what it left behind is dealt with as after any end.
        run.status = ExitStatus()
        if found.pid is not None:
            report(Launched(found.pid, found))
        self._look_for_remnants(run)

    def signal(self, instance_id: str, step: StopStep) -> None:
        """Use this means to end the instance; see the protocol."""
        run = self._runs.get(instance_id)
        if run is None:
            return
        run.step = max(run.step, step)
        if run.told:
            self._look_for_remnants(run)
        elif run.status is not None:
            pass  # who hears of its end, and of what is left, will ask for the means again
        elif step is StopStep.INTERRUPT:
            ask(run.spawned.pidfd, signal.SIGINT)
        else:
            ask_group(run.spawned.pidfd, run.spawned.pid, SIGNALS[step])

    def prepare(self, spec: InstanceSpec, report: Report) -> None:
        """See the protocol: a process needs nothing that it did not need before."""
        report(Prepared())

    def look(self, spec: InstanceSpec, report: Report) -> None:
        """See the protocol: nobody else starts or ends a process of ours, so nobody asks."""
        report(Gone())

    def forget(self, instance_id: str) -> None:
        """Let go of what was kept for the instance; see the protocol."""
        self._readers.submit(self._sink.drop, instance_id)

    def close(self) -> None:
        """Let the worker threads go; nothing is launched any more."""
        for pool in (self._launchers, self._lookers, self._readers):
            pool.shutdown(wait=False, cancel_futures=True)
        self._sink.close(end=not self._runs and not self._unseen.watched)

    def _on_loop(self, callback: Callable[["Future[T]"], None], future: "Future[T]") -> None:
        while True:
            try:
                self._loop.call_soon_threadsafe(callback, future)
            except MemoryError:  # an answer that is lost is an instance that nobody looks after
                time.sleep(PAUSE)
            except RuntimeError:  # the loop is closed: nobody is left to be told
                log.debug("a worker's answer came after the end of the loop")
                return
            else:
                return

    def _ask(self, question: Callable[[], T], told: Callable[["Future[T]"], None]) -> None:
        """Have a thread look something up, and be told on the loop."""
        try:
            self._lookers.submit(question).add_done_callback(partial(self._on_loop, told))
        except MemoryError:
            self._loop.call_later(LOOK_AGAIN, self._ask, question, told)

    # --- a run's beginning and end --------------------------------------------------------

    def _launched(
        self,
        spec: InstanceSpec,
        command: Command,
        report: Report,
        future: "Future[Spawned | Alive]",
    ) -> None:
        instance_id = spec.instance_id
        try:
            spawned = future.result()
        except SpawnError as error:
            report(LaunchFailed(error.step, error.reason))
            return
        except MemoryError:
            report(LaunchFailed("process", NO_MEMORY))
            return
        except Exception as error:  # never silent: an instance must not hang in "starting"
            log.exception("launch of %s", instance_id)
            report(LaunchFailed("launcher", f"{type(error).__name__}: {error}"))
            return
        if isinstance(spawned, Alive):
            self._adopt(instance_id, command, spawned.found, spawned.pidfd, report)
            return
        kin = Kin(self._owner, instance_id, spawned.pid, spawned.stamp)
        run = _Run(instance_id, command, report, spawned, kin)
        self._runs[instance_id] = run
        self._loop.add_reader(spawned.pidfd, self._readable, run)
        report(Launched(spawned.pid, run=spawned.run))

    def _readable(self, run: _Run) -> None:
        pidfd = run.spawned.pidfd
        try:
            result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # not our child: an earlier manager launched it
            self._loop.remove_reader(pidfd)
            exit_status = partial(strangers.exit_status, run.spawned.pid, pidfd)
            self._ask(exit_status, partial(self._told_status, run))
            return
        if result is None:
            return  # not ended after all
        run.status = _status(result)
        self._loop.remove_reader(pidfd)
        self._look_for_remnants(run)

    def _told_status(self, run: _Run, future: "Future[ExitStatus]") -> None:
        run.status = future.result() if future.exception() is None else ExitStatus()
        self._look_for_remnants(run)

    def _end(self, run: _Run, last: Ended | Gone) -> None:
        """Nothing is left: say so."""
        self._let_go(run)
        run.report(last)

    def _let_go(self, run: _Run) -> None:
        """Wait for the process, which frees its number."""
        run.over = True
        del self._runs[run.instance_id]
        if run.spawned is not NO_PROCESS:
            with suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, run.spawned.pidfd, os.WEXITED | os.WNOHANG)
            os.close(run.spawned.pidfd)

    def _read_output(self, run: _Run) -> None:
        self._reading[run.instance_id] = run
        path, start = run.command.output, run.spawned.output_start

        def read() -> tuple[str, ...]:
            lines = self._sink.last_lines(run.instance_id, path, start, None)
            if run.next_start is not None:  # a new run may have written meanwhile
                lines = self._sink.last_lines(run.instance_id, path, start, run.next_start)
            return lines

        def told(future: "Future[tuple[str, ...]]") -> None:
            if self._reading.get(run.instance_id) is run:
                del self._reading[run.instance_id]
            lines = future.result() if future.exception() is None else ()
            run.report(Output(lines))

        self._readers.submit(read).add_done_callback(partial(self._on_loop, told))

    # --- what a process leaves behind -----------------------------------------------------

    def _look_for_remnants(self, run: _Run) -> None:
        """List what is left of the run, then tell of it, or end it."""
        self._ask(partial(_examine, run), partial(self._found_remnants, run))

    def _found_remnants(self, run: _Run, future: "Future[Left]") -> None:
        try:
            left = future.result()
        except (OSError, MemoryError) as error:  # no descriptors left, say: nothing is known
            log.warning("cannot see what %s left behind: %r", run.instance_id, error)
            self._loop.call_later(LOOK_AGAIN, self._look_for_remnants, run)
            return
        found = left.relatives
        for pid, relative in found.items():
            if run.over or pid in run.remnants:
                os.close(relative.pidfd)  # another look was quicker
            else:
                run.remnants[pid] = relative.pidfd
                self._loop.add_reader(relative.pidfd, self._remnant_ended, run, pid)
        if run.over:
            return
        if left.held and not run.remnants:
            self._held(run)
            return
        run.held_since = None
        if not run.told:
            self._tell_end(run, tuple(relative.words for relative in found.values()))
        elif run.remnants:
            for pidfd in run.remnants.values():
                ask(pidfd, SIGNALS[run.step])
        else:
            self._end(run, Gone())

    def _tell_end(self, run: _Run, who: tuple[str, ...]) -> None:
        assert run.status is not None
        run.told = True
        self._read_output(run)
        if run.remnants:
            # The lifecycle answers with `signal`, which looks again and ends them.
            run.report(LeftBehind(run.status, who, run.cpu))
        else:
            self._end(run, Ended(run.status, run.cpu))

    def _held(self, run: _Run) -> None:
        """Nobody is to be seen, but somebody holds the lock.

        What another launch has just forked has a copy of it, for some milliseconds.
        """
        now = self._loop.time()
        run.held_since = now if run.held_since is None else run.held_since
        if now - run.held_since < PATIENCE:
            self._loop.call_later(PAUSE, self._look_for_remnants, run)
            return
        self._let_go(run)
        if not run.told:
            assert run.status is not None
            self._read_output(run)
            run.report(LeftBehind(run.status, ("somebody unseen, who holds its lock",), run.cpu))
        self._watch_lock(run.instance_id, run.command, run.report)

    def _watch_lock(self, instance_id: str, command: Command, report: Report) -> None:
        def known(found: Found, pidfd: int | None) -> None:
            self._adopt(instance_id, command, found, pidfd, report)

        self._unseen.watch(instance_id, report, known)

    def _remnant_ended(self, run: _Run, pid: int) -> None:
        pidfd = run.remnants.pop(pid)
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        if not run.remnants:
            # Another look: it may have started others before it ended.
            self._look_for_remnants(run)


def _examine(run: _Run) -> Left:
    """Look what a run that has ended cost, and what is left of it; in a thread."""
    if not run.told:
        run.cpu = proc.cpu_seconds(run.spawned.pid, run.spawned.pidfd)
    return run.kin.seize()


def _begin_launching() -> None:
    """What a thread blocks, the processes that it launches block as well."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    prefer_thread()


def _status(result: os.waitid_result) -> ExitStatus:
    if result.si_code == os.CLD_EXITED:
        return ExitStatus(code=result.si_status)
    return ExitStatus(signal=result.si_status)
