"""Reports to the core how compose services are: the difference to what was reported last."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus
from hostmanager.core.model import ServiceRef
from hostmanager.core.protocols import ReportObservation
from hostmanager.drivers.compose.actions import ContainerActions
from hostmanager.drivers.compose.container import (
    RUNNING_STATUSES,
    Container,
    container_exit_status,
    same_run,
)
from hostmanager.drivers.compose.diff import (
    NO_STATUS,
    ObservedState,
    RunKey,
    containers_of,
    diff_observations,
)
from hostmanager.drivers.compose.tracked_service import TrackedService
from hostmanager.drivers.compose.watcher import NOT_CONTACTED_YET, ContainerWatcher

Spawn = Callable[[str, Coroutine[Any, Any, None]], object]
"""Starts a task, named for the log."""


class ServiceReporter:
    """Compares what is observed with what was reported, and reports the difference.

    Args:
        watcher: Observes the containers.
        actions: Reads their output.
        spawn: Starts a task that reads output.
    """

    def __init__(self, watcher: ContainerWatcher, actions: ContainerActions, spawn: Spawn) -> None:
        self._watcher = watcher
        self._actions = actions
        self._spawn = spawn

    def containers(self, service: ServiceRef) -> list[Container]:
        """The containers of a service, those that are alive first."""
        return containers_of(service, tuple(self._watcher.containers.values()))

    def container_of(self, service: ServiceRef) -> Container | None:
        """The container that represents a service; None if there is none."""
        return next(iter(self.containers(service)), None)

    @staticmethod
    def report_lost(tracked: TrackedService, reason: str) -> None:
        """Report that nothing is known of it."""
        tracked.reported = replace(tracked.reported, report_due=True, status=NO_STATUS)
        tracked.report(ev.ObservationLost(reason))

    def report_changes(self, tracked: TrackedService, before: Container | None = None) -> bool:
        """Report what has changed since the last time.

        Args:
            tracked: The instance.
            before: The container that has changed, as it was before.

        Returns:
            Whether its service is observed, and it was not observed anew meanwhile.
        """
        watcher = self._watcher
        if tracked.spec.service is None:
            return False  # `update_spec` will say which service it is
        if not watcher.is_synced(tracked.service.project):
            if tracked.reported.report_due and watcher.error not in (None, NOT_CONTACTED_YET):
                tracked.report(ev.ObservationLost(str(watcher.error)))
            return False
        observed = ObservedState(
            *(tracked.spec, tracked.service, tuple(watcher.containers.values()), watcher.images),
            *(self._exit_status(tracked.reported.run, before), tracked.fingerprint_by_digest),
        )
        observe_seq = tracked.observe_seq
        for reported, observation in diff_observations(tracked.reported, observed):
            previous = watcher.containers.get((tracked.reported.run or ("", ""))[0])
            # Each time: a report may lead to a launch, which brings another one.
            tracked.reported, report = reported, tracked.report
            if isinstance(observation, ev.Launched):
                tracked.runs_reported += 1
                tracked.replaced_for = ""
                tracked.cleanup_pending = False  # others have started it
            report(observation)
            if isinstance(observation, ev.Exited) and previous is not None:
                self._spawn_output_report(tracked, previous, report)
            if tracked.observe_seq != observe_seq:
                return False  # it was requested anew meanwhile, and that was answered
        return True

    def report_short_run(self, tracked: TrackedService) -> str | None:
        """Report a run that was not observed while it was alive.

        Returns:
            Why there was none; None if there was one.
        """
        container = self.container_of(tracked.service)
        if container is None:
            return "it created no container; is the scale of the service 0?"
        if container.error:
            return container.error.rstrip(".")
        if container.run_key in tracked.runs_before_launch:
            return "it did not start the container, and gave no reason"
        tracked.runs_reported += 1
        tracked.replaced_for = ""
        report = tracked.report
        report(ev.Launched(0))
        report(ev.Exited(container.exit_status))
        self._spawn_output_report(tracked, container, report)
        return None

    def _exit_status(self, run: RunKey | None, before: Container | None) -> ExitStatus:
        """How a run ended, as far as known."""
        if run is None:
            return ExitStatus()
        for known in (self._watcher.containers.get(run[0]), before):
            # By now it may have been started again.
            if known is None or known.status in RUNNING_STATUSES:
                continue
            if same_run(known.run_key, run):
                return known.exit_status
        code = self._watcher.exit_codes.get(run[0])
        return ExitStatus() if code is None else container_exit_status(code)

    def _spawn_output_report(
        self, tracked: TrackedService, container: Container, report: ReportObservation
    ) -> None:
        name = f"{tracked.spec.instance_id}: reading its output"
        self._spawn(name, self._report_output(container, report))

    async def _report_output(self, container: Container, report: ReportObservation) -> None:
        lines = await self._actions.last_log_lines(container)
        if lines is not None:
            report(ev.LastOutput(lines))
