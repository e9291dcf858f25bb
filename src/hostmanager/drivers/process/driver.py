"""The process driver: launches agents as processes of this host and tells of their ends.

Nothing here polls. The kernel tells of each end through a pidfd on the event loop. What
may block (opening files, executing programs, reading the last lines, looking through
/proc) runs in worker threads; launching has its own, so that a slow disk under an output
file delays no launch.

Signals go through pidfds, or to a process group whose leader has not been waited for
yet: a number that might have been given to somebody else meanwhile is never used.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from hostmanager.core.events import (
    Ended,
    ExitStatus,
    Gone,
    Launched,
    LaunchFailed,
    LeftBehind,
    Output,
    StopStep,
)
from hostmanager.core.model import InstanceSpec
from hostmanager.core.ports import Report
from hostmanager.drivers.process import group, output
from hostmanager.drivers.process.spawn import Command, Spawned, SpawnError, spawn

log = logging.getLogger(__name__)

SIGNALS = {
    StopStep.INTERRUPT: signal.SIGINT,
    StopStep.TERMINATE: signal.SIGTERM,
    StopStep.KILL: signal.SIGKILL,
}


@dataclass(slots=True)
class _Run:
    """One process, from its launch until nothing of it is left."""

    instance_id: str
    command: Command
    report: Report
    spawned: Spawned
    ended: bool = False  # waited for: its pid is no longer ours to use
    step: StopStep = StopStep.TERMINATE  # the strongest means used so far on the remnants
    remnants: dict[int, int] = field(default_factory=dict)  # pid: pidfd
    next_start: int | None = None  # where the next run's output begins


class ProcessDriver:
    """Implements the core's `Driver` for processes.

    Args:
        loop: The event loop; all calls and reports happen on its thread.
        command: Tells how to start an instance.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, command: Callable[[InstanceSpec], Command]
    ) -> None:
        self._loop = loop
        self._command = command
        self._runs: dict[str, _Run] = {}
        self._launchers = ThreadPoolExecutor(4, "launch")
        self._readers = ThreadPoolExecutor(2, "read")

    def launch(self, spec: InstanceSpec, report: Report) -> None:
        """Start the instance; see the protocol."""
        command = self._command(spec)
        future = self._launchers.submit(spawn, command)
        launched = partial(self._launched, spec.instance_id, command, report)
        future.add_done_callback(partial(self._on_loop, launched))

    def signal(self, instance_id: str, step: StopStep) -> None:
        """Use this means to end the instance; see the protocol."""
        run = self._runs.get(instance_id)
        if run is None:
            return
        run.step = max(run.step, step)
        if run.ended:
            self._look_for_remnants(run)
        elif step is StopStep.INTERRUPT:
            _send(run.spawned.pidfd, signal.SIGINT)
        else:
            _send_group(run.spawned.pid, SIGNALS[step])

    def close(self) -> None:
        """Let the worker threads go; nothing is launched any more."""
        self._launchers.shutdown(wait=False, cancel_futures=True)
        self._readers.shutdown(wait=False, cancel_futures=True)

    def _on_loop(self, callback: Callable[..., None], future: "Future[object]") -> None:
        try:
            self._loop.call_soon_threadsafe(callback, future)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            log.debug("a worker's answer came after the end of the loop")

    # --- a run's beginning and end --------------------------------------------------------

    def _launched(
        self, instance_id: str, command: Command, report: Report, future: "Future[Spawned]"
    ) -> None:
        try:
            spawned = future.result()
        except SpawnError as error:
            report(LaunchFailed(error.step, error.reason))
            return
        except Exception as error:  # never silent: an instance must not hang in "starting"
            log.exception("launch of %s", instance_id)
            report(LaunchFailed("launcher", f"{type(error).__name__}: {error}"))
            return
        before = self._runs.get(instance_id)
        if before is not None:
            before.next_start = spawned.output_start
        run = _Run(instance_id, command, report, spawned)
        self._runs[instance_id] = run
        self._loop.add_reader(spawned.pidfd, self._readable, run)
        report(Launched(spawned.pid))

    def _readable(self, run: _Run) -> None:
        pidfd = run.spawned.pidfd
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
        if result is None:
            return  # not ended after all
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        run.ended = True
        status = _status(result)
        self._read_output(run)
        if group.exists(run.spawned.pid):
            self._look_for_remnants(run, status)
        else:
            run.report(Ended(status))

    def _read_output(self, run: _Run) -> None:
        path, start = run.command.output, run.spawned.output_start

        def read() -> tuple[str, ...]:
            lines = output.last_lines(path, start)
            if run.next_start is not None:  # a new run has begun to write meanwhile
                lines = output.last_lines(path, start, run.next_start)
            return lines

        def told(future: "Future[tuple[str, ...]]") -> None:
            run.report(Output(future.result()))

        self._readers.submit(read).add_done_callback(partial(self._on_loop, told))

    # --- what a process leaves behind -----------------------------------------------------

    def _look_for_remnants(self, run: _Run, status: ExitStatus | None = None) -> None:
        """List what is left of the group, then end it. With a status: report that first."""
        future = self._readers.submit(_describe_members, run.spawned.pid)
        found = partial(self._found_remnants, run, status)
        future.add_done_callback(partial(self._on_loop, found))

    def _found_remnants(
        self, run: _Run, status: ExitStatus | None, future: "Future[dict[int, str]]"
    ) -> None:
        members = future.result()
        for pid in members:
            self._watch_remnant(run, pid)
        if status is not None:
            if run.remnants:
                # The lifecycle answers with `signal`, which comes back to here.
                run.report(LeftBehind(status, tuple(members.values())))
            else:
                run.report(Ended(status))
            return
        for pidfd in run.remnants.values():
            _send(pidfd, SIGNALS[run.step])
        if not run.remnants and self._runs.get(run.instance_id) is run:
            del self._runs[run.instance_id]
            run.report(Gone())

    def _watch_remnant(self, run: _Run, pid: int) -> None:
        if pid in run.remnants:
            return
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return  # ended meanwhile
        run.remnants[pid] = pidfd
        self._loop.add_reader(pidfd, self._remnant_ended, run, pid)

    def _remnant_ended(self, run: _Run, pid: int) -> None:
        pidfd = run.remnants.pop(pid)
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        if not run.remnants:
            # Another look: it may have started others before it ended.
            self._look_for_remnants(run)


def _describe_members(leader: int) -> dict[int, str]:
    return {pid: group.command_line(pid) for pid in group.members(leader)}


def _status(result: os.waitid_result) -> ExitStatus:
    if result.si_code == os.CLD_EXITED:
        return ExitStatus(code=result.si_status)
    return ExitStatus(signal=result.si_status)


def _send(pidfd: int, number: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass  # it ended; the loop will hear of it
    except PermissionError:
        log.warning("no permission to send %s: the process changed its user", number.name)


def _send_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        log.warning("no permission to send %s to group %d", number.name, leader)
