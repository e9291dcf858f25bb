"""What is done for one service: brought up, prepared for the next run, stopped, removed.

The commands of one service run one after another. A compose command that is killed leaves at worst
a container that was created and not started; the next `up` starts it.
"""

import asyncio
from collections.abc import Callable

from hostmanager.composefile.command import CompletedCommand, ComposeError
from hostmanager.composefile.model import ComposeFileError
from hostmanager.core import events as ev
from hostmanager.core.model import DEFAULT_STOP_GRACE, ServiceRef
from hostmanager.core.protocols import ReportObservation
from hostmanager.drivers.compose.actions import ContainerActions
from hostmanager.drivers.compose.compose_up import ComposeUp, failure_kind, with_network_hint
from hostmanager.drivers.compose.container import Container
from hostmanager.drivers.compose.diff import is_half_started, with_hint
from hostmanager.drivers.compose.engine import EngineError
from hostmanager.drivers.compose.host_processes import has_no_process
from hostmanager.drivers.compose.images import RunCompose, acquire_args, ensure_launchable
from hostmanager.drivers.compose.reporter import ServiceReporter
from hostmanager.drivers.compose.tracked_service import TrackedService
from hostmanager.drivers.compose.watcher import NOT_CONTACTED_YET, ContainerWatcher

UP_STEP = "compose up"
"""The step that failed, in the message about a failed launch."""


class ServiceLifecycle:
    """Brings services up and down, and reports the results.

    Args:
        watcher: Observes the containers.
        compose: Runs a compose command for a service.
        actions: Acts on containers.
        reporter: Knows what was reported.
        report_changes: Reports what has changed about a service.
    """

    def __init__(
        self,
        watcher: ContainerWatcher,
        compose: RunCompose,
        actions: ContainerActions,
        reporter: ServiceReporter,
        report_changes: Callable[[TrackedService], None],
    ) -> None:
        self._watcher = watcher
        self._compose = compose
        self._up = ComposeUp(compose, watcher)
        self._actions = actions
        self._reporter = reporter
        self._report_changes = report_changes

    async def up(self, tracked: TrackedService, launch_seq: int) -> None:
        """Run `compose up`, unless it runs already; then report the result."""
        try:
            async with tracked.lock:
                failure = await self._up_unless_running(tracked)
        except asyncio.CancelledError:
            if not tracked.launch_cancelled:
                raise
            failure = "it was cancelled"
            if await self._refresh(tracked):
                await self.remove_dead(tracked)
        is_reported = tracked.runs_reported != tracked.runs_at_launch  # by events of the engine
        if is_reported or tracked.launch_seq != launch_seq or tracked.reported.report_due:
            return  # or there is another launch, or the connection is lost
        if failure is None:
            failure = self._reporter.report_short_run(tracked)
        if failure is not None:
            tracked.report(ev.LaunchFailed(UP_STEP, failure, remote=tracked.lacks_image))

    async def _up_unless_running(self, tracked: TrackedService) -> str | None:
        """Returns why it failed; None if it did not."""
        if not self._watcher.is_synced(tracked.service.project):
            self._reporter.report_lost(tracked, self._watcher.error or NOT_CONTACTED_YET)
            return None
        self._report_changes(tracked)
        if tracked.reported.run is not None:
            return None
        fingerprint = tracked.spec.fingerprint
        try:
            result = await self._up.run(tracked.service)
            if result.exit_code != 0 and await self._is_worth_replacing(tracked, result.reason):
                result = await self._up.run(tracked.service, replace=True)
                tracked.replaced_for = failure_kind(result.reason) if result.exit_code else ""
        except ComposeFileError as error:
            return await self._start_existing(tracked, error)
        except ComposeError as error:
            return str(error).rstrip(".")
        return await self._evaluate_up(tracked, result, fingerprint)

    async def _evaluate_up(
        self, tracked: TrackedService, result: CompletedCommand, fingerprint: str
    ) -> str | None:
        """Observe the result of `up`; returns why it failed; None if it did not."""
        if not await self._refresh(tracked):
            return None
        if result.exit_code == 0:
            for container in self._reporter.containers(tracked.service):
                if container.run_key not in tracked.runs_before_launch:
                    tracked.fingerprint_by_digest[container.digest] = fingerprint
            self._report_changes(tracked)
            return None
        self._report_changes(tracked)
        tracked.lacks_image = acquire_args(tracked.service, self._watcher.images) is not None
        reason = with_network_hint(result.reason.rstrip("."))
        return await self._replace_half_started(tracked, reason)

    async def _is_worth_replacing(self, tracked: TrackedService, reason: str) -> bool:
        """Whether a new container may do what an old one could not: its network may be gone.

        Only once for each reason: what keeps a new one from starting, too, is not the container.
        """
        if tracked.replaced_for == failure_kind(reason) or is_half_started(reason):
            return False
        if not await self._refresh(tracked):
            return False
        existed = {container_id for container_id, _ in tracked.runs_before_launch}
        containers = self._reporter.containers(tracked.service)
        return bool(containers) and all(not c.alive and c.id in existed for c in containers)

    async def _replace_half_started(self, tracked: TrackedService, reason: str) -> str:
        """Remove a container that its engine can no longer start; returns the reason, with that."""
        container = self._reporter.container_of(tracked.service)
        if container is None or not is_half_started(reason):
            return reason
        if not await asyncio.to_thread(has_no_process, container.id):
            return with_hint(reason, container)
        await self._actions.kill(tracked.spec.instance_id, [container])
        return f"{reason}. No process of it is left, so it was removed and is created anew"

    async def prepare(self, tracked: TrackedService, report: ReportObservation) -> None:
        """Check whether its next container could be created; acquire its image if missing."""
        try:
            failure = await ensure_launchable(tracked.service, self._compose, self._watcher)
        except (ComposeError, ComposeFileError, EngineError) as error:
            failure = str(error)
        report(ev.Prepared() if failure is None else ev.PrepareFailed(failure.rstrip(".")))

    async def _start_existing(self, tracked: TrackedService, error: ComposeFileError) -> str | None:
        """Its compose file cannot be used: start the container that exists."""
        container = self._reporter.container_of(tracked.service)
        if container is None:
            return str(error).rstrip(".")
        try:
            await self._actions.start(container)
        except EngineError as failure:
            return str(failure).rstrip(".")
        if await self._refresh(tracked):
            self._report_changes(tracked)
        return None

    async def _refresh(self, tracked: TrackedService) -> bool:
        """Inspect its project now; if that fails, its state is unknown until reconnection."""
        try:
            await self._watcher.refresh_project(tracked.service.project)
        except EngineError as error:
            self._watcher.check_connection(error)
            self._reporter.report_lost(tracked, self._watcher.error or str(error))
            return False
        return True

    async def remove_dead(self, tracked: TrackedService) -> None:
        """Remove its dead containers: created and not started, or stopped and not removed."""
        async with tracked.lock:
            dead = [c for c in self._reporter.containers(tracked.service) if not c.alive]
            await self._stop_containers(tracked, dead, DEFAULT_STOP_GRACE)

    async def stop(self, tracked: TrackedService, service: ServiceRef) -> None:
        """Stop its containers, after the command that runs; the service may have changed by then."""
        timeout = tracked.spec.container_stop_timeout
        async with tracked.lock:
            containers = self._reporter.containers(service)
            await self._stop_containers(tracked, containers, timeout)

    async def _stop_containers(
        self, tracked: TrackedService, containers: list[Container], grace: float
    ) -> None:
        if await self._actions.stop(tracked.spec.instance_id, containers, grace):
            tracked.cleanup_pending = False
