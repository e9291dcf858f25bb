"""The end of a process, and of what it leaves behind.

The kernel tells of its end by a pidfd. It is reported with what is left of its session; that is
stopped, and when nothing of it is left, the process is reaped.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from hostmanager.core.events import (
    Exited,
    ExitedWithRemnants,
    ExitStatus,
    RemnantsGone,
    StopStage,
)
from hostmanager.drivers.process import non_child_exit
from hostmanager.drivers.process.limits.cgroups import AgentCgroups
from hostmanager.drivers.process.output.last_output import LastOutputReader
from hostmanager.drivers.process.ownership.descendants import Remnants
from hostmanager.drivers.process.ownership.discovery import LOCK_TIMEOUT
from hostmanager.drivers.process.signals import SIGNALS, request_stop
from hostmanager.drivers.process.spawn import SpawnedProcess
from hostmanager.drivers.process.thread_pools import RETRY_DELAY, WorkerPool
from hostmanager.drivers.process.tracked_process import TrackedProcess
from hostmanager.util import procfs
from hostmanager.util.guard import Guard

NO_PROCESS = SpawnedProcess(pid=0, pidfd=-1, output_start=0)
"""In place of a process that ended unobserved."""


class EndedProcesses:
    """Follows processes until nothing of them is left.

    Args:
        loop: The event loop; all calls happen on its thread.
        guard: Tries again what fails.
        pool: Its threads look into /proc.
        cgroups: Of the instances.
        output: Reads the last lines.
        forget: Called with a process of which nothing is left, or only a lock.
        watch_lock: Called when only its lock shows that something of it is alive.

    Attributes:
        explain_exit: Returns why a process may have ended by itself just now with code 0, or "".
        memory_peak: Returns the most memory that an instance is known to have had, for people; or "".
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        guard: Guard,
        pool: WorkerPool,
        cgroups: AgentCgroups,
        output: LastOutputReader,
        *,
        forget: Callable[[TrackedProcess], None],
        watch_lock: Callable[[TrackedProcess], None],
    ) -> None:
        self._loop = loop
        self._guard = guard
        self._scan_pool = pool
        self._cgroups = cgroups
        self._output = output
        self._forget = forget
        self._watch_lock = watch_lock
        self.explain_exit: Callable[[], str] = lambda: ""
        self.memory_peak: Callable[[str], str] = lambda _: ""

    def watch(self, process: TrackedProcess) -> None:
        """Wait for its end."""
        pidfd, name = process.spawned.pidfd, f"{process.instance_id}: the end of its process"
        readable = self._guard.callback(name, partial(self._on_readable, process))
        watch = partial(self._loop.add_reader, pidfd, readable)
        self._guard.retry_until_done(
            f"{process.instance_id}: its process", watch, lambda: not process.finished
        )

    def _on_readable(self, process: TrackedProcess) -> None:
        pidfd = process.spawned.pidfd
        self._loop.remove_reader(pidfd)  # first: an error here must not be retried at once
        try:
            result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # not our child: an earlier manager launched it
            self._scan_pool.submit(
                f"{process.instance_id}: its exit status",
                partial(non_child_exit.exit_status, process.spawned.pid, pidfd),
                partial(self._on_exit_status, process),
                lambda _: self._on_exit_status(process, ExitStatus()),
            )
            return
        if result is None:
            self.watch(process)  # not ended after all
        elif result.si_code == os.CLD_EXITED:
            self._on_exit_status(process, ExitStatus(code=result.si_status))
        else:
            self._on_exit_status(process, ExitStatus(signal=result.si_status))

    def _on_exit_status(self, process: TrackedProcess, status: ExitStatus) -> None:
        process.limits = None
        by_itself = status.code == 0 and not process.stop_requested
        process.exit_status = replace(status, detail=self.explain_exit()) if by_itself else status
        self.examine(process)

    def examine(self, process: TrackedProcess) -> None:
        """List what is left of the process, then report it, or stop it."""
        # Retried until there is a result: without file descriptors, say, nothing is known.
        name = f"{process.instance_id}: what it left behind"
        scan = partial(self._scan, process)
        self._scan_pool.submit(name, scan, partial(self._on_remnants, process))

    def _scan(self, process: TrackedProcess) -> Remnants:
        """Find what an ended process used, why it was killed, and what is left of it; in a thread."""
        if not process.exit_reported:
            process.cpu = procfs.cpu_seconds(process.spawned.pid, process.spawned.pidfd)
            status = process.exit_status
            ours = process.stop_requested and process.stage is StopStage.KILL
            if status is not None and status.signal == signal.SIGKILL and not ours:
                process.exit_status = replace(status, detail=self._kill_reason(process))
        remnants = process.descendants.open_all()
        if not remnants.processes:
            self._cgroups.remove(process.instance_id)
        return remnants

    def _kill_reason(self, process: TrackedProcess) -> str:
        """Who killed it, as far as that can be known here."""
        peak = self.memory_peak(process.instance_id)
        reason = self._cgroups.kill_reason(process.instance_id)
        reason = reason or "not from the manager; perhaps out of memory"
        return f"{reason}; {peak}" if peak else reason

    def _on_remnants(self, process: TrackedProcess, scan: Remnants) -> None:
        found = scan.processes
        for pid, held in found.items():
            if process.finished or process.remnants.get(pid, held.pidfd) != held.pidfd:
                os.close(held.pidfd)  # another scan was quicker
            else:
                process.remnants[pid] = held.pidfd
                self._watch_remnant(process, pid)
        if process.finished:
            return
        if scan.lock_held and not process.remnants:
            self._on_lock_held(process)
            return
        process.lock_held_since = None
        if not process.exit_reported:
            self._report_exit(process, tuple(held.description for held in found.values()))
        elif process.remnants:
            for pidfd in process.remnants.values():
                request_stop(pidfd, SIGNALS[process.stage])
        else:
            self._reap(process)
            process.report(RemnantsGone())

    def _watch_remnant(self, process: TrackedProcess, pid: int) -> None:
        name = f"{process.instance_id}: process {pid}, which it left behind"
        ended = self._guard.callback(name, partial(self._on_remnant_exit, process, pid))
        watch = partial(self._loop.add_reader, process.remnants[pid], ended)
        self._guard.retry_until_done(f"{name}, watching it", watch, lambda: pid in process.remnants)

    def _report_exit(self, process: TrackedProcess, remnants: tuple[str, ...]) -> None:
        assert process.exit_status is not None
        process.exit_reported = True
        self._output.read(process)
        if process.remnants:
            # The controller calls `signal`, which scans again and stops them.
            process.report(ExitedWithRemnants(process.exit_status, remnants, process.cpu))
        else:
            self._reap(process)
            process.report(Exited(process.exit_status, process.cpu))

    def _on_lock_held(self, process: TrackedProcess) -> None:
        """No process is visible, but one holds the lock.

        A process that another launch has just forked has a copy of it for some milliseconds.
        """
        now = self._loop.time()
        process.lock_held_since = (
            now if process.lock_held_since is None else process.lock_held_since
        )
        if now - process.lock_held_since < LOCK_TIMEOUT:
            scan = partial(self.examine, process)
            name = f"{process.instance_id}: the next scan for the holder of its lock"
            self._guard.retry_until_done(name, lambda: self._loop.call_later(RETRY_DELAY, scan))
            return
        self._reap(process)
        if not process.exit_reported:
            assert process.exit_status is not None
            self._output.read(process)
            process.report(
                ExitedWithRemnants(
                    process.exit_status, ("an unknown process that holds its lock",), process.cpu
                )
            )
        self._watch_lock(process)

    def _reap(self, process: TrackedProcess) -> None:
        """Reap the process, which frees its number."""
        process.finished = True
        self._forget(process)
        if process.spawned is not NO_PROCESS:
            with suppress(OSError):  # not our child
                os.waitid(os.P_PIDFD, process.spawned.pidfd, os.WEXITED | os.WNOHANG)
            with suppress(OSError):
                os.close(process.spawned.pidfd)

    def _on_remnant_exit(self, process: TrackedProcess, pid: int) -> None:
        pidfd = process.remnants.pop(pid, None)
        if pidfd is not None:
            self._loop.remove_reader(pidfd)
            with suppress(OSError):
                os.close(pidfd)
        if not process.remnants:
            # It may have started others before it ended.
            self.examine(process)
