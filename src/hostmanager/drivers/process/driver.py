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
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from hostmanager.core.events import (
    Absent,
    Exited,
    ExitedWithRemnants,
    ExitStatus,
    LastOutput,
    Launched,
    LaunchFailed,
    ObservationLost,
    Prepared,
    RemnantsGone,
    StatusChanged,
    StopStage,
)
from hostmanager.core.model import InstanceSpec, ObservedRun
from hostmanager.core.protocols import ReportObservation
from hostmanager.drivers.process import non_child_exit as strangers
from hostmanager.drivers.process.launch_gate import LaunchGate
from hostmanager.drivers.process.output.output_sink import (
    DirectFileSink,
    OutputPosition,
    OutputSink,
)
from hostmanager.drivers.process.ownership import rlimit_tag as stamps
from hostmanager.drivers.process.ownership.descendants import Descendants, Remnants
from hostmanager.drivers.process.ownership.discovery import LOCK_TIMEOUT, Ownership
from hostmanager.drivers.process.ownership.unobserved import UnobservedInstances
from hostmanager.drivers.process.priority import inherit_manager_priority
from hostmanager.drivers.process.signals import request_group_stop, request_stop, unignore_signals
from hostmanager.drivers.process.spawn import (
    AlreadyRunning,
    LaunchCommand,
    SpawnedProcess,
    SpawnError,
    spawn,
)
from hostmanager.drivers.process.thread_pools import RETRY_DELAY, WorkerPool
from hostmanager.util import procfs as proc
from hostmanager.util.guard import Guard

LAUNCH_THREADS = 16
"""Launches at a time. While a hundred agents start, each launch waits for a processor rather
than for its turn here."""

SIGNALS = {
    StopStage.INTERRUPT: signal.SIGINT,
    StopStage.TERMINATE: signal.SIGTERM,
    StopStage.KILL: signal.SIGKILL,
}

OUT_OF_MEMORY_REASON = (
    "there is not enough memory for it; end something on this host, or raise the limit of the "
    "manager (`ulimit -v`, `MemoryMax=` of its systemd unit)"
)

NO_PROCESS = SpawnedProcess(pid=0, pidfd=-1, output_start=0)
"""In place of a process whose end nobody saw."""


@dataclass(slots=True)
class _Process:
    """One process, from its launch until nothing of it is left."""

    instance_id: str
    command: LaunchCommand
    report: ReportObservation
    spawned: SpawnedProcess
    descendants: Descendants
    exit_status: ExitStatus | None = None  # how it ended; None: it has not
    cpu: float | None = None  # seconds of CPU that it used until then
    exit_reported: bool = False  # its end was reported
    finished: bool = False  # nothing is left of it, and that was reported
    stage: StopStage = StopStage.TERMINATE  # the strongest means used so far, or that for remnants
    remnants: dict[int, int] = field(default_factory=dict)  # pid: pidfd
    next_output_start: OutputPosition | None = None  # where the next run's output begins
    stop_requested: bool = False  # whether it was told to end
    lock_held_since: float | None = None  # somebody unseen has held its lock since, the loop's time


class ProcessDriver:
    """Implements the core's `Driver` for processes.

    Args:
        loop: The event loop; all calls and reports happen on its thread.
        command: Tells how to start an instance.
        owner: How its processes are known, over the death of this manager, too.
        sink: Takes their output; default: files that they write themselves.
        gate: Keeps launches back as long as that is wanted.

    Attributes:
        explain_exit: Tells why a process may have ended by itself just now with code 0, or nothing.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        command: Callable[[InstanceSpec], LaunchCommand],
        owner: Ownership,
        sink: OutputSink | None = None,
        gate: LaunchGate | None = None,
    ) -> None:
        self._loop = loop
        self._command = command
        self._ownership = owner
        self._sink = sink or DirectFileSink()
        self._gate = gate or LaunchGate()
        stamps.clear_inherited()
        unignore_signals()
        self.explain_exit: Callable[[], str] = lambda: ""
        self._discovered_pidfds: dict[str, int | None] = {}  # pidfds of what the survey found
        self._processes: dict[str, _Process] = {}  # of which something is alive
        self._reading: dict[str, _Process] = {}  # of which the output is being read
        self._guard = Guard(loop.call_later)
        self._launch_pool = WorkerPool(
            loop, self._guard, LAUNCH_THREADS, "launch", _init_launch_thread
        )
        self._scan_pool = WorkerPool(loop, self._guard, 2, "look")
        self._output_pool = WorkerPool(loop, self._guard, 2, "read")
        # Of which it can be told only that something is alive.
        self._unobserved = UnobservedInstances(owner, self._scan_pool, self._guard, loop)

    def launch(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Start the instance; see the protocol."""
        if self._launch_pool.closed:
            raise RuntimeError("nothing is launched any more")
        command = self._command(spec)
        before = self._reading.get(spec.instance_id)

        def opened(start: OutputPosition) -> None:
            if before is not None:
                before.next_output_start = start

        begun = self._guard.callback(
            f"{spec.instance_id}: its turn", partial(report, StatusChanged(launching=True))
        )

        def attempt() -> SpawnedProcess | AlreadyRunning | LaunchFailed:
            with suppress(MemoryError, RuntimeError):  # none left; the loop is closed
                self._loop.call_soon_threadsafe(begun)
            try:
                return spawn(command, spec, self._ownership, self._sink, opened)
            except SpawnError as error:
                return LaunchFailed(error.step, error.reason)
            except MemoryError:
                return LaunchFailed("process", OUT_OF_MEMORY_REASON)

        self._gate.enter(
            lambda: self._launch_pool.submit(
                f"{spec.instance_id}: its launch",
                attempt,
                partial(self._launched, spec, command, report),
                lambda error: report(LaunchFailed("launcher", f"{type(error).__name__}: {error}")),
            )
        )

    def discover(self) -> Mapping[str, ObservedRun]:
        """Look for what an earlier manager launched; see the protocol."""
        self._sink.start()
        surveyed = self._ownership.discover()
        self._sink.remove_stale(surveyed.keys())
        self._discovered_pidfds = {
            i: self._ownership.open_leader(i, found) for i, found in surveyed.items()
        }
        return surveyed

    def adopt(self, spec: InstanceSpec, found: ObservedRun, report: ReportObservation) -> None:
        """Take over what the survey found of an instance; see the protocol."""
        pidfd = self._discovered_pidfds.get(spec.instance_id)
        self._adopt(spec.instance_id, self._command(spec), found, pidfd, report)
        self._discovered_pidfds.pop(
            spec.instance_id, None
        )  # last: until then it can be asked for again

    def _adopt(
        self,
        instance_id: str,
        command: LaunchCommand,
        found: ObservedRun,
        pidfd: int | None,
        report: ReportObservation,
    ) -> None:
        if found.pid is None:
            report(ObservationLost("Something of it is alive; it is being looked what that is."))
        if found.pid is None and not found.other_pids:
            self._watch_lock(instance_id, command, report)
            return
        stamp = None if found.pid is None else stamps.read(found.pid)
        kin = Descendants(self._ownership, instance_id, found.pid, stamp)
        run = _Process(instance_id, command, report, NO_PROCESS, kin)
        self._processes[instance_id] = run
        if pidfd is not None and found.pid is not None:
            run.spawned = SpawnedProcess(
                found.pid, pidfd, self._sink.attach(instance_id, found.pid, found.started_at)
            )
            self._watch(run)
            report(Launched(found.pid, found))
            return
        # Its end was not seen; what it left behind is dealt with as after any end.
        run.exit_status = ExitStatus()
        if found.pid is not None:
            report(Launched(found.pid, found))
        self._scan_remnants(run)

    def signal(self, instance_id: str, step: StopStage) -> None:
        """Use this means to end the instance; see the protocol."""
        run = self._processes.get(instance_id)
        if run is None:
            return
        run.stage, run.stop_requested = max(run.stage, step), True
        if run.exit_reported:
            self._scan_remnants(run)
        elif run.exit_status is not None:
            pass  # who hears of its end, and of what is left, will ask for the means again
        elif step is StopStage.INTERRUPT:
            request_stop(run.spawned.pidfd, signal.SIGINT)
        else:
            request_group_stop(run.spawned.pidfd, run.spawned.pid, SIGNALS[step])

    def prepare(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """See the protocol: a process needs nothing that it did not need before."""
        report(Prepared())

    def observe(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """See the protocol: nobody else starts or ends a process of ours, so nobody asks."""
        report(Absent())

    def release(self, instance_id: str) -> None:
        """Let go of what was kept for the instance; see the protocol."""
        self._output_pool.submit(f"{instance_id}: its pipe", lambda: self._sink.remove(instance_id))

    def close(self) -> None:
        """Let the worker threads go; nothing is launched any more."""
        for pool in (self._launch_pool, self._scan_pool, self._output_pool):
            pool.close()
        self._sink.close(end=not self._processes and not self._unobserved.watched)

    # --- a run's beginning and end --------------------------------------------------------

    def _launched(
        self,
        spec: InstanceSpec,
        command: LaunchCommand,
        report: ReportObservation,
        spawned: SpawnedProcess | AlreadyRunning | LaunchFailed,
    ) -> None:
        instance_id = spec.instance_id
        if isinstance(spawned, LaunchFailed):
            report(spawned)
            return
        if isinstance(spawned, AlreadyRunning):
            self._adopt(instance_id, command, spawned.observed_run, spawned.pidfd, report)
            return
        kin = Descendants(self._ownership, instance_id, spawned.pid, spawned.rlimit_tag)
        run = _Process(instance_id, command, report, spawned, kin)
        self._processes[instance_id] = run
        self._watch(run)
        report(Launched(spawned.pid, run_id=spawned.run_id))

    def _watch(self, run: _Process) -> None:
        """Be told of its end."""
        pidfd, what = run.spawned.pidfd, f"{run.instance_id}: the end of its process"
        readable = self._guard.callback(what, partial(self._on_readable, run))
        watch = partial(self._loop.add_reader, pidfd, readable)
        self._guard.retry_until_done(
            f"{run.instance_id}: its process", watch, lambda: not run.finished
        )

    def _on_readable(self, run: _Process) -> None:
        pidfd = run.spawned.pidfd
        self._loop.remove_reader(pidfd)  # first: else what fails here would be called at once
        try:
            result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # not our child: an earlier manager launched it
            self._scan_pool.submit(
                f"{run.instance_id}: its exit status",
                partial(strangers.exit_status, run.spawned.pid, pidfd),
                partial(self._on_exit_status, run),
                lambda _: self._on_exit_status(run, ExitStatus()),
            )
            return
        if result is None:
            self._watch(run)  # not ended after all
            return
        self._on_exit_status(run, _exit_status(result))

    def _on_exit_status(self, run: _Process, status: ExitStatus) -> None:
        by_itself = status.code == 0 and not run.stop_requested
        run.exit_status = replace(status, detail=self.explain_exit()) if by_itself else status
        self._scan_remnants(run)

    def _finish(self, run: _Process, last: Exited | RemnantsGone) -> None:
        """Nothing is left: say so."""
        self._reap(run)
        run.report(last)

    def _reap(self, run: _Process) -> None:
        """Wait for the process, which frees its number."""
        run.finished = True
        del self._processes[run.instance_id]
        if run.spawned is not NO_PROCESS:
            with suppress(OSError):  # not our child
                os.waitid(os.P_PIDFD, run.spawned.pidfd, os.WEXITED | os.WNOHANG)
            with suppress(OSError):
                os.close(run.spawned.pidfd)

    def _start_reading_output(self, run: _Process) -> None:
        self._guard.retry_until_done(
            f"{run.instance_id}: its output", partial(self._read_output, run)
        )

    def _read_output(self, run: _Process) -> None:
        self._reading[run.instance_id] = run
        path, start = run.command.output, run.spawned.output_start

        def read() -> tuple[str, ...]:
            lines = self._sink.last_lines(run.instance_id, path, start, None)
            if run.next_output_start is not None:  # a new run may have written meanwhile
                lines = self._sink.last_lines(run.instance_id, path, start, run.next_output_start)
            return lines

        def told(lines: tuple[str, ...]) -> None:
            if self._reading.get(run.instance_id) is run:
                del self._reading[run.instance_id]
            run.report(LastOutput(lines))

        self._output_pool.submit(f"{run.instance_id}: its output", read, told, lambda _: told(()))

    # --- what a process leaves behind -----------------------------------------------------

    def _scan_remnants(self, run: _Process) -> None:
        """List what is left of the run, then tell of it, or end it."""
        # Asked again until there is an answer: without descriptors, say, nothing is known.
        what = f"{run.instance_id}: what it left behind"
        self._scan_pool.submit(what, partial(_scan, run), partial(self._on_remnants, run))

    def _on_remnants(self, run: _Process, left: Remnants) -> None:
        found = left.relatives
        for pid, relative in found.items():
            if run.finished or run.remnants.get(pid, relative.pidfd) != relative.pidfd:
                os.close(relative.pidfd)  # another look was quicker
            else:
                run.remnants[pid] = relative.pidfd
                self._watch_remnant(run, pid)
        if run.finished:
            return
        if left.held and not run.remnants:
            self._on_lock_held(run)
            return
        run.lock_held_since = None
        if not run.exit_reported:
            self._report_exit(run, tuple(relative.description for relative in found.values()))
        elif run.remnants:
            for pidfd in run.remnants.values():
                request_stop(pidfd, SIGNALS[run.stage])
        else:
            self._finish(run, RemnantsGone())

    def _watch_remnant(self, run: _Process, pid: int) -> None:
        what = f"{run.instance_id}: process {pid}, which it left behind"
        ended = self._guard.callback(what, partial(self._on_remnant_exit, run, pid))
        watch = partial(self._loop.add_reader, run.remnants[pid], ended)
        self._guard.retry_until_done(f"{what}, watching it", watch, lambda: pid in run.remnants)

    def _report_exit(self, run: _Process, who: tuple[str, ...]) -> None:
        assert run.exit_status is not None
        run.exit_reported = True
        self._start_reading_output(run)
        if run.remnants:
            # The lifecycle answers with `signal`, which looks again and ends them.
            run.report(ExitedWithRemnants(run.exit_status, who, run.cpu))
        else:
            self._finish(run, Exited(run.exit_status, run.cpu))

    def _on_lock_held(self, run: _Process) -> None:
        """Nobody is to be seen, but somebody holds the lock.

        What another launch has just forked has a copy of it, for some milliseconds.
        """
        now = self._loop.time()
        run.lock_held_since = now if run.lock_held_since is None else run.lock_held_since
        if now - run.lock_held_since < LOCK_TIMEOUT:
            look = partial(self._scan_remnants, run)
            what = f"{run.instance_id}: looking again who holds its lock"
            self._guard.retry_until_done(what, lambda: self._loop.call_later(RETRY_DELAY, look))
            return
        self._reap(run)
        if not run.exit_reported:
            assert run.exit_status is not None
            self._start_reading_output(run)
            run.report(
                ExitedWithRemnants(
                    run.exit_status, ("somebody unseen, who holds its lock",), run.cpu
                )
            )
        self._watch_lock(run.instance_id, run.command, run.report)

    def _watch_lock(
        self, instance_id: str, command: LaunchCommand, report: ReportObservation
    ) -> None:
        def known(found: ObservedRun, pidfd: int | None) -> None:
            self._adopt(instance_id, command, found, pidfd, report)

        self._unobserved.watch(instance_id, report, known)

    def _on_remnant_exit(self, run: _Process, pid: int) -> None:
        pidfd = run.remnants.pop(pid, None)
        if pidfd is not None:
            self._loop.remove_reader(pidfd)
            with suppress(OSError):
                os.close(pidfd)
        if not run.remnants:
            # Another look: it may have started others before it ended.
            self._scan_remnants(run)


def _scan(run: _Process) -> Remnants:
    """Look what a run that has ended cost, and what is left of it; in a thread."""
    if not run.exit_reported:
        run.cpu = proc.cpu_seconds(run.spawned.pid, run.spawned.pidfd)
    return run.descendants.open_all()


def _init_launch_thread() -> None:
    """What a thread blocks, the processes that it launches block as well."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    inherit_manager_priority()


def _exit_status(result: os.waitid_result) -> ExitStatus:
    if result.si_code == os.CLD_EXITED:
        return ExitStatus(code=result.si_status)
    return ExitStatus(signal=result.si_status)
