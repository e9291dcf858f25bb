"""The process driver: launches agents as processes of this host and reports their ends.

Nothing here polls. The kernel reports each end through a pidfd on the event loop. What may block
runs in worker threads: opening files and executing programs, scanning /proc, reading the last
lines. Each of these has its own threads, so a hanging disk under an output file does not delay
the report of an end.

A process is reaped last, when nothing of its session is left. Until then its number cannot be
reused, and stands for its session and process group. Others of the session are held open by
pidfds. So a signal never reaches an unrelated process.
"""

import asyncio
import signal
from collections.abc import Callable, Mapping
from functools import partial

from hostmanager.core.events import (
    Absent,
    ExitStatus,
    Launched,
    ObservationLost,
    Prepared,
    StatusChanged,
    StopStage,
)
from hostmanager.core.model import InstanceSpec, ObservedRun
from hostmanager.core.protocols import ReportObservation
from hostmanager.drivers.process.launch_gate import LaunchGate
from hostmanager.drivers.process.launch_queue import LaunchQueue, PendingLaunch
from hostmanager.drivers.process.limits.live_limits import LiveLimits, Shortfall
from hostmanager.drivers.process.output.last_output import LastOutputReader
from hostmanager.drivers.process.output.output_sink import (
    OutputSink,
)
from hostmanager.drivers.process.ownership import rlimit_tag
from hostmanager.drivers.process.ownership.descendants import Descendants
from hostmanager.drivers.process.ownership.discovery import Ownership
from hostmanager.drivers.process.ownership.rlimit_tag import RlimitTag
from hostmanager.drivers.process.ownership.unobserved import UnobservedInstances
from hostmanager.drivers.process.process_end import NO_PROCESS, EndedProcesses
from hostmanager.drivers.process.signals import (
    SIGNALS,
    request_group_stop,
    request_stop,
    unignore_signals,
)
from hostmanager.drivers.process.spawn import (
    AlreadyRunning,
    LaunchCommand,
    SpawnedProcess,
)
from hostmanager.drivers.process.thread_pools import WorkerPool
from hostmanager.drivers.process.tracked_process import TrackedProcess
from hostmanager.drivers.process.warm.launcher import WarmLauncher
from hostmanager.util.guard import Guard


class ProcessDriver:
    """Implements the core's `Driver` for processes.

    Args:
        loop: The event loop; all calls and reports happen on its thread.
        command: Returns how to start an instance.
        ownership: Identifies its processes, also after a crash of the manager.
        sink: Takes their output; default: files that they write themselves.
        gate: Holds launches back while the manager starts.
        warm: Launches what may be launched warm; default: everything is launched cold.

    Attributes:
        ended: Follows processes to their end.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        command: Callable[[InstanceSpec], LaunchCommand],
        ownership: Ownership,
        sink: OutputSink | None = None,
        gate: LaunchGate | None = None,
        *,
        warm: WarmLauncher | None = None,
    ) -> None:
        self._loop = loop
        self._command = command
        self._ownership = ownership
        self._sink = sink or OutputSink()
        rlimit_tag.clear_inherited()
        unignore_signals()
        self._cgroups = ownership.cgroups
        self._discovered_pidfds: dict[str, int | None] = {}  # their pidfds
        self._processes: dict[str, TrackedProcess] = {}  # of which something is alive
        self._live_tags: set[RlimitTag] = set()  # of all of these
        self._changed_specs: dict[str, InstanceSpec] = {}  # of those that did not run then
        self._guard = Guard(loop.call_later)
        self._scan_pool = WorkerPool(loop, self._guard, 2, "scan")
        self._output_pool = WorkerPool(loop, self._guard, 2, "output")
        self._last_output = LastOutputReader(loop, self._sink, self._output_pool, self._guard)
        self._launches = LaunchQueue(
            *(loop, self._guard, ownership, self._sink),
            gate=gate or LaunchGate(),
            warm=warm,
            on_spawned=self._launched,
        )
        self.ended = EndedProcesses(
            *(loop, self._guard, self._scan_pool, self._cgroups, self._last_output),
            forget=self._forget,
            watch_lock=lambda process: self._watch_lock(
                process.spec, process.command, process.report
            ),
        )
        # Of which only the lock shows that something is alive.
        self._unobserved = UnobservedInstances(ownership, self._scan_pool, self._guard, loop)

    def launch(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Start the instance; see the protocol."""
        if self._launches.closed:
            raise RuntimeError("the driver is closed")
        command = self._command(spec)
        self._changed_specs.pop(spec.instance_id, None)
        on_output_open = self._last_output.before_next_run(spec.instance_id)
        self._launches.enter(PendingLaunch(spec, command, report, on_output_open))

    def discover(self) -> Mapping[str, ObservedRun]:
        """Find what an earlier manager launched; see the protocol."""
        self._sink.start()
        discovered = self._ownership.discover()
        self._sink.remove_stale(discovered.keys())
        self._discovered_pidfds = {
            i: self._ownership.open_leader(i, observed_run)
            for i, observed_run in discovered.items()
        }
        return discovered

    def adopt(
        self, spec: InstanceSpec, observed_run: ObservedRun, report: ReportObservation
    ) -> None:
        """Adopt a discovered run; see the protocol."""
        pidfd = self._discovered_pidfds.get(spec.instance_id)
        self._adopt(spec, self._command(spec), observed_run, pidfd, report)
        self._discovered_pidfds.pop(
            spec.instance_id, None
        )  # last: until then the call can be retried

    def _adopt(
        self,
        spec: InstanceSpec,
        command: LaunchCommand,
        observed_run: ObservedRun,
        pidfd: int | None,
        report: ReportObservation,
    ) -> None:
        instance_id = spec.instance_id
        if observed_run.pid is None:
            report(ObservationLost("Something of it is alive; it is being examined."))
        if observed_run.pid is None and not observed_run.other_pids:
            self._watch_lock(spec, command, report)
            return
        leader_tag = None if observed_run.pid is None else rlimit_tag.read(observed_run.pid)
        descendants = self._descendants_of(instance_id, observed_run.pid, leader_tag)
        process = TrackedProcess(spec, command, report, NO_PROCESS, descendants)
        self._processes[instance_id] = process
        if pidfd is not None and observed_run.pid is not None:
            process.spawned = SpawnedProcess(
                observed_run.pid,
                pidfd,
                self._sink.attach(instance_id, observed_run.pid, observed_run.started_at),
            )
            self.ended.watch(process)
            report(Launched(observed_run.pid, observed_run))
            process.limits = LiveLimits(spec, observed_run.pid, self._cgroups)
            self._change_limits(process)
            return
        # It ended unobserved; what it left behind is treated as after any end.
        process.exit_status = ExitStatus()
        if observed_run.pid is not None:
            report(Launched(observed_run.pid, observed_run))
        self.ended.examine(process)

    def update_spec(self, spec: InstanceSpec) -> None:
        """Give what runs its changed settings; see the protocol."""
        process = self._processes.get(spec.instance_id)
        if process is None:
            self._changed_specs[spec.instance_id] = spec  # it may be being launched
        else:
            process.spec = spec
            self._change_limits(process)

    def _change_limits(self, process: TrackedProcess) -> None:
        if process.limits is not None:
            self._scan_pool.submit(
                f"{process.instance_id}: its limits",
                partial(process.limits.change, process.spec.settings),
                partial(self._report_limits, process),
            )

    def _report_limits(self, process: TrackedProcess, shortfall: Shortfall) -> None:
        limits = process.limits
        if limits is not None and shortfall != limits.reported:
            limits.reported = shortfall
            notice, keys = shortfall.notice or None, shortfall.at_restart
            process.report(StatusChanged(notice, settings_at_restart=keys))

    def signal(self, instance_id: str, stage: StopStage) -> None:
        """Use the means of a stop stage; see the protocol."""
        process = self._processes.get(instance_id)
        if process is None:
            self._launches.cancel(instance_id)
            return
        process.stage, process.stop_requested = max(process.stage, stage), True
        if stage is StopStage.KILL:  # what has a session of its own, too
            kill = partial(self._kill_cgroup, process)
            self._scan_pool.submit(f"{instance_id}: killing its cgroup", kill)
        if process.exit_reported:
            self.ended.examine(process)
        elif process.exit_status is not None:
            pass  # the stage is used again once its end, and what is left, are reported
        elif stage is StopStage.INTERRUPT:
            request_stop(process.spawned.pidfd, signal.SIGINT)
        else:
            request_group_stop(process.spawned.pidfd, process.spawned.pid, SIGNALS[stage])

    def prepare(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """See the protocol: a new process needs nothing new."""
        report(Prepared())

    def observe(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """See the protocol: nobody else starts or stops our processes."""
        report(Absent())

    def release(self, instance_id: str) -> None:
        """Remove the pipe of the instance; see the protocol."""
        self._changed_specs.pop(instance_id, None)
        self._output_pool.submit(f"{instance_id}: its pipe", lambda: self._sink.remove(instance_id))

    def close(self) -> None:
        """Stop the worker threads; nothing is launched any more."""
        for pool in (self._launches, self._scan_pool, self._output_pool):
            pool.close()
        self._sink.close(end=not self._processes and not self._unobserved.watched)

    # --- begin of a process ---------------------------------------------------------------

    def _launched(self, launch: PendingLaunch, spawned: SpawnedProcess | AlreadyRunning) -> None:
        spec, command, report = launch.spec, launch.command, launch.report
        instance_id = spec.instance_id
        if isinstance(spawned, AlreadyRunning):
            self._adopt(spec, command, spawned.observed_run, spawned.pidfd, report)
            return
        descendants = self._descendants_of(instance_id, spawned.pid, spawned.rlimit_tag)
        process = TrackedProcess(spec, command, report, spawned, descendants)
        process.limits = LiveLimits(spec, spawned.pid, self._cgroups, spec.settings)
        changed = self._changed_specs.pop(instance_id, None)
        self._processes[instance_id] = process
        self.ended.watch(process)
        report(Launched(spawned.pid, run_id=spawned.run_id))
        self._report_limits(process, Shortfall(spawned.notice))
        if changed is not None:
            self.update_spec(changed)

    def _descendants_of(
        self, instance_id: str, leader: int | None, tag: RlimitTag | None
    ) -> Descendants:
        if tag is not None and tag.pid == leader:
            self._live_tags.add(tag)
        return Descendants(self._ownership, instance_id, leader, tag, self._live_tags)

    def _forget(self, process: TrackedProcess) -> None:
        """Nothing is left of it but, maybe, a lock."""
        del self._processes[process.instance_id]
        if (tag := process.descendants.rlimit_tag) is not None:
            self._live_tags.discard(tag)

    def _kill_cgroup(self, process: TrackedProcess) -> None:
        """Kill what is in its cgroup; in a thread, which may have been busy until the next run."""
        if not process.finished:
            self._cgroups.kill(process.instance_id)

    def _watch_lock(
        self, spec: InstanceSpec, command: LaunchCommand, report: ReportObservation
    ) -> None:
        def on_holder_known(observed_run: ObservedRun, pidfd: int | None) -> None:
            self._adopt(spec, command, observed_run, pidfd, report)

        self._unobserved.watch(spec.instance_id, report, on_holder_known)
