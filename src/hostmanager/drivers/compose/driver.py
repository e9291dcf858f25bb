"""Compose services as the core's `Driver`: launched by compose, observed through the engine.

Level-triggered: for each tracked instance there is what was reported last and what is observed
now; whenever either changes, the difference is reported. It makes no difference who started or
stopped a container, and the next observation makes up for an event that was missed.

A launch is `compose up` of the one service: compose knows how to create a container and when to
recreate an old one (`lifecycle`). Everything else goes to the engine (`actions`).
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from hostmanager.core import events as ev
from hostmanager.core.events import StopStage
from hostmanager.core.model import InstanceSpec, ObservedRun, ServiceRef
from hostmanager.core.protocols import ReportObservation
from hostmanager.drivers.compose.actions import ContainerActions
from hostmanager.drivers.compose.container import Container
from hostmanager.drivers.compose.diff import ReportedState
from hostmanager.drivers.compose.images import RunCompose, acquire_args
from hostmanager.drivers.compose.lifecycle import UP_STEP, ServiceLifecycle
from hostmanager.drivers.compose.reporter import ServiceReporter
from hostmanager.drivers.compose.tracked_service import TrackedService
from hostmanager.drivers.compose.watcher import ContainerWatcher


class ComposeDriver:
    """Implements the core's `Driver` for compose services.

    Args:
        watcher: Observes the containers.
        compose: Runs a compose command for a service.
        emit_message: Takes a message for operators: instance-id and sentence.
    """

    def __init__(
        self,
        watcher: ContainerWatcher,
        compose: RunCompose,
        emit_message: Callable[[str, str], None],
    ) -> None:
        self._watcher = watcher
        self._actions = ContainerActions(watcher, emit_message)
        self._reporter = ServiceReporter(watcher, self._actions, self._spawn)
        self._lifecycle = ServiceLifecycle(
            watcher, compose, self._actions, self._reporter, self._report_changes
        )
        self._tracked: dict[str, TrackedService] = {}
        # Kept while anybody waits for one: also if its instance was released and is tracked anew.
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._guard = watcher.guard
        watcher.on_change = self._on_container_change
        watcher.on_synced = self._report_all
        watcher.on_lost = self._on_lost
        watcher.on_images = self._on_images_change

    # --- the protocol -----------------------------------------------------------------------

    def discover(self) -> Mapping[str, ObservedRun]:
        """Nothing is known before the engine is connected; controllers ask by `observe`."""
        return {}

    def adopt(self, spec: InstanceSpec, run: ObservedRun, report: ReportObservation) -> None:
        """Observe it: `discover` knows nothing more."""
        self.observe(spec, report)

    def observe(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Report whether it is alive, now and from now on; see the protocol."""
        tracked = self._track(spec, report)
        tracked.observe_seq += 1
        tracked.reported = ReportedState()
        self._report_changes(tracked)

    def launch(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Make sure that it runs; see the protocol."""
        tracked = self._track(spec, report)
        tracked.reported = replace(tracked.reported, report_due=False)
        if tracked.preparation is not None:
            tracked.preparation.cancel()
        tracked.launch_cancelled = tracked.cleanup_pending = tracked.lacks_image = False
        tracked.launch_seq += 1
        tracked.runs_at_launch = tracked.runs_reported
        containers = self._reporter.containers(tracked.service)
        tracked.runs_before_launch = frozenset(c.run_key for c in containers)
        launch_seq = tracked.launch_seq

        def on_error(error: Exception) -> None:  # else the controller would wait for ever
            if tracked.launch_seq == launch_seq:
                tracked.report(ev.LaunchFailed(UP_STEP, f"{type(error).__name__}: {error}"))

        up = self._lifecycle.up(tracked, launch_seq)
        tracked.launch = self._spawn(f"{spec.instance_id}: its launch", up, on_error)

    def prepare(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Make sure that it could be launched again; see the protocol."""
        tracked = self._tracked.get(spec.instance_id)
        if tracked is None or tracked.spec.service is None:
            report(ev.PrepareFailed("no compose file has a service for it"))
        elif tracked.preparation is None or tracked.preparation.done():

            def on_error(error: Exception) -> None:
                report(ev.PrepareFailed(f"{type(error).__name__}: {error}"))

            name = f"{spec.instance_id}: preparing its next run"
            tracked.preparation = self._spawn(
                name, self._lifecycle.prepare(tracked, report), on_error
            )

    def signal(self, instance_id: str, stage: StopStage) -> None:
        """Cancel its launch, or stop its containers by this means; see the protocol."""
        tracked = self._tracked.get(instance_id)
        if tracked is None:
            return
        if tracked.reported.run is None and tracked.launch and tracked.is_launching:
            tracked.launch_cancelled = True
            # Not before it has begun: it has to report its result.
            asyncio.get_running_loop().call_soon(tracked.launch.cancel)
        elif tracked.spec.service is not None:
            self._stop_by(tracked, stage)

    def _stop_by(self, tracked: TrackedService, stage: StopStage) -> None:
        instance_id = tracked.spec.instance_id
        tracked.cleanup_pending = True
        if tracked.preparation is not None:
            tracked.preparation.cancel()  # for a restart that was cancelled
        if stage is StopStage.INTERRUPT:
            self._spawn(f"{instance_id}: its stop", self._lifecycle.stop(tracked, tracked.service))
        else:
            containers = self._reporter.containers(tracked.service)
            self._spawn(f"{instance_id}: its kill", self._actions.kill(instance_id, containers))

    def release(self, instance_id: str) -> None:
        """Stop reporting on it; see the protocol."""
        tracked = self._tracked.pop(instance_id, None)
        if tracked is not None:
            tracked.cancel()

    def close(self) -> None:
        """Cancel the launches that are running; stops go on to their end."""
        for tracked in self._tracked.values():
            tracked.cancel()
        self._tracked.clear()

    async def closed(self) -> None:
        """Wait until no command runs any more."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- reporting --------------------------------------------------------------------------

    def container_of(self, spec: InstanceSpec) -> Container | None:
        """The container that represents an instance; None if there is none."""
        return self._reporter.container_of(spec.service) if spec.service else None

    def update_spec(self, spec: InstanceSpec) -> None:
        """Its entry or its compose file has changed, and with that perhaps what to report."""
        tracked = self._tracked.get(spec.instance_id)
        if tracked is not None and spec.service is not None:
            tracked.spec = spec
            self._report_changes(tracked)

    def _track(self, spec: InstanceSpec, report: ReportObservation) -> TrackedService:
        tracked = self._tracked.get(spec.instance_id)
        if tracked is None:
            tracked = self._tracked[spec.instance_id] = TrackedService(spec, report, self._lock)
        tracked.spec, tracked.report = spec, report
        return tracked

    def _lock(self, service: ServiceRef) -> asyncio.Lock:
        return self._locks.setdefault((service.project, service.name), asyncio.Lock())

    def _on_container_change(self, before: Container | None, now: Container | None) -> None:
        known = now or before
        assert known is not None
        for tracked in list(self._tracked.values()):
            service = tracked.spec.service
            if service is None or service.project != known.project:
                continue
            if known.service in (service.name, *service.depends_on):
                self._report_guarded(tracked, partial(self._report_changes, tracked, before))

    def _report_all(self) -> None:
        for tracked in list(self._tracked.values()):
            self._report_guarded(tracked, partial(self._report_changes, tracked))

    def _report_guarded(self, tracked: TrackedService, report: Callable[[], None]) -> None:
        """Report on one instance, whatever happens to others; if it fails, later again."""
        instance_id = tracked.spec.instance_id
        name = f"{instance_id}: reporting its state"
        is_tracked = lambda: self._tracked.get(instance_id) is tracked  # noqa: E731
        self._guard.retry_until_done(name, report, is_tracked)

    def _on_images_change(self) -> None:
        self._report_all()
        for tracked in list(self._tracked.values()):
            service = tracked.spec.service
            if not tracked.lacks_image or service is None:
                continue
            if acquire_args(service, self._watcher.images) is None:
                tracked.lacks_image = False
                tracked.report(ev.Prepared())  # so nobody has to wait for it any longer

    def _on_lost(self, reason: str) -> None:
        for tracked in list(self._tracked.values()):
            if tracked.launch is not None and tracked.is_launching:
                tracked.launch.cancel()
                tracked.cleanup_pending = True  # what it has created, unless launched again
            self._report_guarded(tracked, partial(self._reporter.report_lost, tracked, reason))

    def _report_changes(self, tracked: TrackedService, before: Container | None = None) -> None:
        if not self._reporter.report_changes(tracked, before):
            return
        if tracked.cleanup_pending and tracked.reported.run is None and not tracked.lock.locked():
            if self._reporter.containers(tracked.service):
                # The connection was cut during its stop.
                name = f"{tracked.spec.instance_id}: removing its containers"
                self._spawn(name, self._lifecycle.remove_dead(tracked))
            else:
                tracked.cleanup_pending = False

    def _spawn(
        self,
        name: str,
        work: Coroutine[Any, Any, None],
        on_error: Callable[[Exception], None] | None = None,
    ) -> "asyncio.Task[None]":
        task = self._guard.task(name, work, on_error)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
