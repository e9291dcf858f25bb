"""Launches under way: they wait for the start of the manager, the fork server, or a thread.

As long as one waits it can be cancelled, at once and without a trace. A launch that does not need
the fork server never waits for it.
"""

import asyncio
import signal
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from hostmanager.core.events import LaunchFailed, StatusChanged
from hostmanager.core.model import InstanceSpec
from hostmanager.core.protocols import ReportObservation
from hostmanager.drivers.process.launch_gate import LaunchGate
from hostmanager.drivers.process.output.output_sink import OutputPosition, OutputSink
from hostmanager.drivers.process.ownership.discovery import Ownership
from hostmanager.drivers.process.priority import inherit_manager_priority
from hostmanager.drivers.process.spawn import (
    AlreadyRunning,
    LaunchCommand,
    SpawnedProcess,
    SpawnError,
    spawn,
)
from hostmanager.drivers.process.thread_pools import WorkerPool
from hostmanager.drivers.process.warm.control import NoForkServerError
from hostmanager.drivers.process.warm.launcher import WarmLauncher
from hostmanager.util.guard import Guard

LAUNCH_THREADS = 16
"""Launches at a time. While a hundred agents start, each launch waits for a processor rather
than in this queue."""

OUT_OF_MEMORY_REASON = (
    "there is not enough memory for it; end something on this host, or raise the limit of the "
    "manager (`ulimit -v`, `MemoryMax=` of its systemd unit)"
)

NOT_NEEDED = LaunchFailed("queue", "not needed any more")


@dataclass(eq=False, slots=True)
class PendingLaunch:
    """A launch.

    Attributes:
        spec: What is launched.
        command: How.
        report: Takes what becomes of it.
        on_output_open: Gets the begin of its output.
        waits: Is cancelled, or begun; afterwards it is neither.
        unwanted: Whether it was to be cancelled.
        found_no_server: Whether the fork server was gone when it was its turn.
    """

    spec: InstanceSpec
    command: LaunchCommand
    report: ReportObservation
    on_output_open: Callable[[OutputPosition], None]
    waits: "Future[None]" = field(default_factory=Future)
    unwanted: bool = False
    found_no_server: bool = False


class LaunchQueue:
    """Has processes launched in threads; used on the loop's thread.

    Args:
        loop: The event loop.
        guard: Makes the calls that may fail.
        ownership: Identifies processes as ours.
        sink: Takes their output.
        gate: Holds launches back while the manager starts.
        warm: Launches what may be launched warm; None: everything is launched cold.
        on_spawned: Gets each launch that was not cancelled, and what came of it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        guard: Guard,
        ownership: Ownership,
        sink: OutputSink,
        *,
        gate: LaunchGate,
        warm: WarmLauncher | None,
        on_spawned: Callable[[PendingLaunch, SpawnedProcess | AlreadyRunning], None],
    ) -> None:
        self._loop = loop
        self._guard = guard
        self._ownership = ownership
        self._sink = sink
        self._gate = gate
        self._warm = warm
        self._on_spawned = on_spawned
        self._launches: dict[str, PendingLaunch] = {}  # none of them has been answered
        self._need_server: deque[PendingLaunch] = deque()
        self._server_starts = False
        self._pool = WorkerPool(loop, guard, LAUNCH_THREADS, "launch", _init_launch_thread)

    @property
    def closed(self) -> bool:
        """Whether nothing is launched any more."""
        return self._pool.closed

    def enter(self, launch: PendingLaunch) -> None:
        """Launch it as soon as that may be."""
        self._launches[launch.spec.instance_id] = launch
        self._must_wait_for_server(launch)  # it may import while the gate is closed
        self._gate.enter(partial(self._on_gate_passed, launch))

    def cancel(self, instance_id: str) -> None:
        """Cancel the launch of an instance and say so, unless it has begun."""
        launch = self._launches.get(instance_id)
        if launch is None:
            return
        launch.unwanted = True  # it may have to wait again
        if launch.waits.cancel():
            self._end(launch, NOT_NEEDED)

    def close(self) -> None:
        """Launch nothing any more, and end the fork server."""
        self._pool.close()
        if self._warm is not None:
            self._warm.close()

    # --- the fork server ----------------------------------------------------------------------

    def _must_wait_for_server(self, launch: PendingLaunch) -> bool:
        """Whether the fork server, which is needed, is not there yet; it is started then."""
        warm, command = self._warm, launch.command
        if warm is None or not command.warm:
            return False
        if warm.needs_start and not self._server_starts:
            self._server_starts = True
            start = partial(warm.start, command.argv[0], command.cwd, command.env)
            on_end = self._on_server_started
            self._pool.submit("the start of the fork server", start, on_end, on_end)
        return self._server_starts

    def _on_server_started(self, _: object) -> None:
        """It serves, or it does not: what waits goes on."""
        self._server_starts = False
        while self._need_server:
            self._submit(self._need_server[0])
            self._need_server.popleft()  # only now: this is called again if it raises

    # --- a launch -----------------------------------------------------------------------------

    def _on_gate_passed(self, launch: PendingLaunch) -> None:
        if self._must_wait_for_server(launch):
            self._need_server.append(launch)
        else:
            self._submit(launch)

    def _submit(self, launch: PendingLaunch) -> None:
        if launch.waits.cancelled():
            return
        name = f"{launch.spec.instance_id}: its launch"
        on_begin = self._guard.callback(
            f"{launch.spec.instance_id}: the begin of its launch",
            partial(launch.report, StatusChanged(launching=True)),
        )
        self._pool.submit(
            name,
            partial(self._launch, launch, on_begin),
            partial(self._on_result, launch),
            lambda error: self._on_result(
                launch, LaunchFailed("launcher", f"{type(error).__name__}: {error}")
            ),
        )

    def _launch(
        self, launch: PendingLaunch, on_begin: Callable[[], None]
    ) -> SpawnedProcess | AlreadyRunning | LaunchFailed | None:
        """In a thread: launch it. Returns None if it was cancelled, or has to wait once more."""
        if not launch.waits.set_running_or_notify_cancel():
            return None
        with suppress(MemoryError, RuntimeError):  # none left; the loop is closed
            self._loop.call_soon_threadsafe(on_begin)
        parts = (launch.command, launch.spec, self._ownership, self._sink, launch.on_output_open)
        try:
            try:
                return spawn(*parts, warm=self._warm)
            except NoForkServerError:
                return spawn(*parts) if launch.found_no_server else None
        except SpawnError as error:
            return LaunchFailed(error.step, error.reason)
        except MemoryError:
            return LaunchFailed("process", OUT_OF_MEMORY_REASON)

    def _on_result(
        self, launch: PendingLaunch, result: SpawnedProcess | AlreadyRunning | LaunchFailed | None
    ) -> None:
        if launch.waits.cancelled():
            return
        if result is not None or launch.unwanted:
            self._end(launch, result or NOT_NEEDED)
            return
        launch.found_no_server, launch.waits = True, Future()
        self._on_gate_passed(launch)

    def _end(
        self, launch: PendingLaunch, result: SpawnedProcess | AlreadyRunning | LaunchFailed
    ) -> None:
        self._launches.pop(launch.spec.instance_id, None)
        if isinstance(result, LaunchFailed):
            launch.report(result)
        else:
            self._on_spawned(launch, result)


def _init_launch_thread() -> None:
    """Unblock signals: launched processes inherit those that are blocked."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    inherit_manager_priority()
