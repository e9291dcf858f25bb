"""Compose services as the core's `Driver`: launched by compose, seen through the engine.

Level-triggered: for each attended instance there is what was told last, and what can be seen
now; whenever either changes, the difference is told. It makes no difference who started or
ended a container, and an event that was missed is made up for by the next look.

Starting is `compose up` of the one service, which knows how to make a container and when an
old one has to be made anew; everything else is in `hands`. The commands of one service are
carried out one after another.

A compose command that has been killed, with us or by us, leaves at worst a container that was
made and not started; the next `up` starts it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from hostmanager.composefile.command import CompletedCommand, ComposeError
from hostmanager.composefile.model import ComposeFileError
from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus, StopStage
from hostmanager.core.messages import DEFAULT_STOP_GRACE
from hostmanager.core.model import InstanceSpec, ObservedRun, ServiceRef
from hostmanager.core.protocols import ReportObservation
from hostmanager.drivers.compose.actions import ContainerActions
from hostmanager.drivers.compose.container import Container, container_exit_status, same_run
from hostmanager.drivers.compose.containerd_shim import has_no_process
from hostmanager.drivers.compose.diff import (
    NO_STATUS,
    ObservedState,
    ReportedState,
    RunKey,
    containers_of,
    diff_observations,
    is_half_started,
    with_hint,
)
from hostmanager.drivers.compose.engine import EngineError
from hostmanager.drivers.compose.images import acquire_args
from hostmanager.drivers.compose.launch_check import RunCompose, ensure_launchable
from hostmanager.drivers.compose.tracked_service import TrackedService
from hostmanager.drivers.compose.watcher import NOT_ASKED_YET, ContainerWatcher

RUNNING_STATUSES = frozenset({"running", "paused"})

UP_ARGS = ("up", "-d", "--no-deps")
"""Brings up one service, and no other: not even those that it depends on."""

UP_STEP = "compose up"
"""What is said to have failed when a launch fails."""


class ComposeDriver:
    """Implements the core's `Driver` for compose services.

    Args:
        watcher: What can be seen of the containers.
        compose: Runs a compose command for a service.
        emit_message: Takes what people want to read: instance-id and a sentence about it.
    """

    def __init__(
        self,
        watcher: ContainerWatcher,
        compose: RunCompose,
        emit_message: Callable[[str, str], None],
    ) -> None:
        self._watcher = watcher
        self._compose = compose
        self._actions = ContainerActions(watcher, emit_message)
        self._tracked: dict[str, TrackedService] = {}
        # Kept as long as somebody waits: also for what was forgotten and is attended to anew.
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._guard = watcher.guard
        watcher.on_change = self._on_container_change
        watcher.on_synced = self._report_all
        watcher.on_lost = self._on_lost
        watcher.on_images = self._on_images_change

    # --- the protocol -----------------------------------------------------------------------

    def discover(self) -> Mapping[str, ObservedRun]:
        """Nothing is found before the engine was asked; keepers ask by `look`."""
        return {}

    def adopt(self, spec: InstanceSpec, found: ObservedRun, report: ReportObservation) -> None:
        """Look at it: there is nothing that only the survey knew."""
        self.observe(spec, report)

    def observe(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Tell whether it is alive, now and from now on; see the protocol."""
        it = self._track(spec, report)
        it.observe_seq += 1
        it.reported = ReportedState()
        self._report_changes(it)

    def launch(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Make sure that it runs; see the protocol."""
        it = self._track(spec, report)
        it.reported = replace(it.reported, report_due=False)
        if it.preparation is not None:
            it.preparation.cancel()
        it.launch_cancelled = it.cleanup_pending = it.lacks_image = False
        it.launch_seq += 1
        it.runs_at_launch = it.runs_reported
        it.runs_before_launch = frozenset(c.run_key for c in self._containers(it.service))
        number = it.launch_seq

        def failed(error: Exception) -> None:  # else it would be waited for for ever
            if it.launch_seq == number:
                it.report(ev.LaunchFailed(UP_STEP, f"{type(error).__name__}: {error}"))

        bring_up = self._compose_up(it, number)
        it.launch = self._spawn(f"{spec.instance_id}: its launch", bring_up, failed)

    def prepare(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Make sure that it could be launched again; see the protocol."""
        it = self._tracked.get(spec.instance_id)
        if it is None or it.spec.service is None:
            report(ev.PrepareFailed("no compose file has a service for it"))
        elif it.preparation is None or it.preparation.done():

            def failed(error: Exception) -> None:
                report(ev.PrepareFailed(f"{type(error).__name__}: {error}"))

            what = f"{spec.instance_id}: preparing its next run"
            it.preparation = self._spawn(what, self._prepare(it, report), failed)

    def signal(self, instance_id: str, step: StopStage) -> None:
        """Call its launch off, or end its containers by this means; see the protocol."""
        it = self._tracked.get(instance_id)
        if it is None:
            return
        if it.reported.run is None and it.launch is not None and not it.launch.done():
            it.launch_cancelled = True
            # Not before it has begun: it is to tell what came of it.
            asyncio.get_running_loop().call_soon(it.launch.cancel)
        else:
            self._stop_by(it, step)

    def _stop_by(self, it: TrackedService, step: StopStage) -> None:
        if it.spec.service is None:
            return
        it.cleanup_pending = True
        if it.preparation is not None:
            it.preparation.cancel()  # for a restart that was called off
        if step is StopStage.INTERRUPT:
            self._spawn(f"{it.spec.instance_id}: its stop", self._stop(it, it.service))
        else:
            kill = self._actions.kill(it.spec.instance_id, self._containers(it.service))
            self._spawn(f"{it.spec.instance_id}: its kill", kill)

    def release(self, instance_id: str) -> None:
        """Report nothing of it any more; see the protocol."""
        it = self._tracked.pop(instance_id, None)
        if it is not None:
            it.cancel()

    def close(self) -> None:
        """Give up the launches that are under way; what is being ended goes on to its end."""
        for it in self._tracked.values():
            it.cancel()
        self._tracked.clear()

    async def closed(self) -> None:
        """Wait until nothing is under way any more."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- telling ----------------------------------------------------------------------------

    def container_of(self, spec: InstanceSpec) -> Container | None:
        """The container that stands for an instance; None if there is none."""
        own = self._containers(spec.service) if spec.service else []
        return own[0] if own else None

    def update_spec(self, spec: InstanceSpec) -> None:
        """Its entry or its file says something else: what is told of it may change with that."""
        it = self._tracked.get(spec.instance_id)
        if it is not None and spec.service is not None:
            it.spec = spec
            self._report_changes(it)

    def _containers(self, service: ServiceRef) -> list[Container]:
        return containers_of(service, tuple(self._watcher.containers.values()))

    def _track(self, spec: InstanceSpec, report: ReportObservation) -> TrackedService:
        it = self._tracked.get(spec.instance_id)
        if it is None:
            it = self._tracked[spec.instance_id] = TrackedService(spec, report, self._lock)
        it.spec, it.report = spec, report
        return it

    def _lock(self, service: ServiceRef) -> asyncio.Lock:
        return self._locks.setdefault((service.project, service.name), asyncio.Lock())

    def _on_container_change(self, before: Container | None, now: Container | None) -> None:
        known = now or before
        assert known is not None
        for it in list(self._tracked.values()):
            service = it.spec.service
            if service is None or service.project != known.project:
                continue
            if known.service in (service.name, *service.depends_on):
                self._report_guarded(it, partial(self._report_changes, it, before))
                self._report_guarded(it, partial(self._report_short_run_early, it))

    def _report_short_run_early(self, it: TrackedService) -> None:
        """What `up` started has ended before that was seen: nobody has to wait for compose."""
        container = self.container_of(it.spec)
        launching = it.launch is not None and not it.launch.done() and it.reported.run is None
        told = it.failed_launch_seq == it.launch_seq or it.runs_reported != it.runs_at_launch
        if not launching or container is None or told:
            return
        if container.status == "exited" and container.run_key not in it.runs_before_launch:
            it.failed_launch_seq = it.launch_seq
            self._report_short_run(it)

    def _report_all(self) -> None:
        for it in list(self._tracked.values()):
            self._report_guarded(it, partial(self._report_changes, it))

    def _report_guarded(self, it: TrackedService, tell: Callable[[], None]) -> None:
        """Tell of one instance, whatever becomes of others; later, what is so then."""
        attended = self._tracked.get
        what = f"{it.spec.instance_id}: telling what is seen of it"
        self._guard.retry_until_done(what, tell, lambda: attended(it.spec.instance_id) is it)

    def _on_images_change(self) -> None:
        self._report_all()
        for it in list(self._tracked.values()):
            service = it.spec.service
            if it.lacks_image and service and acquire_args(service, self._watcher.images) is None:
                it.lacks_image = False
                it.report(ev.Prepared())  # so it need not be waited for any longer

    def _on_lost(self, why: str) -> None:
        for it in list(self._tracked.values()):
            if it.launch is not None and not it.launch.done():
                it.launch.cancel()
                it.cleanup_pending = True  # what it has made by then, unless it is launched again
            self._report_guarded(it, partial(self._report_lost, it, why))

    @staticmethod
    def _report_lost(it: TrackedService, why: str) -> None:
        it.reported = replace(it.reported, report_due=True, status=NO_STATUS)
        it.report(ev.ObservationLost(why))

    def _report_changes(self, it: TrackedService, before: Container | None = None) -> None:
        """Tell what has changed since the last time."""
        sight = self._watcher
        if it.spec.service is None:
            return  # which service it is will be told by `attend_anew`
        if not sight.is_synced(it.service.project):
            if it.reported.report_due and sight.error not in (None, NOT_ASKED_YET):
                it.report(ev.ObservationLost(str(sight.error)))
            return
        seen = ObservedState(
            *(it.spec, it.service, tuple(sight.containers.values()), sight.images),
            *(self._exit_status(it.reported.run, before), it.fingerprint_by_digest),
        )
        looks = it.observe_seq
        for told, observation in diff_observations(it.reported, seen):
            ended, report = (
                self._watcher.containers.get((it.reported.run or ("", ""))[0]),
                it.report,
            )
            it.reported = told
            if isinstance(observation, ev.Launched):
                it.runs_reported += 1
                it.cleanup_pending = False  # that it was to go is over, if others start it
            report(observation)
            if isinstance(observation, ev.Exited) and ended is not None:
                self._spawn(
                    f"{it.spec.instance_id}: its output", self._report_output(ended, report)
                )
            if it.observe_seq != looks:
                return  # it was asked for anew meanwhile, and that was answered
        if it.cleanup_pending and it.reported.run is None and not it.lock.locked():
            if self._containers(it.service):
                # The connection was cut while it was being ended.
                self._spawn(f"{it.spec.instance_id}: clearing it away", self._remove_dead(it))
            else:
                it.cleanup_pending = False

    def _exit_status(self, run: RunKey | None, before: Container | None) -> ExitStatus:
        """How a run ended, as far as anybody knows."""
        if run is None:
            return ExitStatus()
        for known in (self._watcher.containers.get(run[0]), before):
            # In the table, it may have been started again by now.
            if known is None or known.status in RUNNING_STATUSES:
                continue
            if same_run(known.run_key, run):
                return known.exit_status
        code = self._watcher.exit_codes.get(run[0])
        return ExitStatus() if code is None else container_exit_status(code)

    # --- doing ------------------------------------------------------------------------------

    def _spawn(
        self,
        what: str,
        work: Coroutine[Any, Any, None],
        failed: Callable[[Exception], None] | None = None,
    ) -> "asyncio.Task[None]":
        task = self._guard.task(what, work, failed)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _compose_up(self, it: TrackedService, number: int) -> None:
        """Run `compose up`, unless it runs already; then tell what came of it."""
        try:
            async with it.lock:
                failure = await self._up_unless_running(it)
        except asyncio.CancelledError:
            if not it.launch_cancelled:
                raise
            failure = "it was called off"
            if await self._refresh(it):
                await self._remove_dead(it)
        # Told already, by the engine's events; or another launch is under way; or sight is lost.
        if (
            it.runs_reported != it.runs_at_launch
            or it.launch_seq != number
            or it.reported.report_due
        ):
            return
        if failure is None:
            failure = self._report_short_run(it)
        if failure is not None:
            it.report(ev.LaunchFailed(UP_STEP, failure, remote=it.lacks_image))

    async def _up_unless_running(self, it: TrackedService) -> str | None:
        """Returns why it failed; None if it did not."""
        if not self._watcher.is_synced(it.service.project):
            self._report_lost(it, self._watcher.error or NOT_ASKED_YET)
            return None
        self._report_changes(it)
        if it.reported.run is not None:
            return None
        fingerprint = it.spec.fingerprint
        try:
            done = await self._compose(it.service, *UP_ARGS)
        except ComposeFileError as error:
            return await self._start_existing(it, error)
        except ComposeError as error:
            return str(error).rstrip(".")
        return await self._evaluate_up(it, done, fingerprint)

    async def _evaluate_up(
        self, it: TrackedService, done: CompletedCommand, fingerprint: str
    ) -> str | None:
        """See what `up` did; returns why it failed; None if it did not."""
        if not await self._refresh(it):
            return None
        for made in self._containers(it.service) if done.exit_code == 0 else ():
            if made.run_key not in it.runs_before_launch:
                it.fingerprint_by_digest[made.digest] = fingerprint
        self._report_changes(it)
        if done.exit_code == 0:
            return None
        it.lacks_image = acquire_args(it.service, self._watcher.images) is not None
        reason, container = done.reason.rstrip("."), self.container_of(it.spec)
        if container is None or not is_half_started(reason):
            return reason
        if not await asyncio.to_thread(has_no_process, container.id):
            return with_hint(reason, container)
        await self._actions.kill(it.spec.instance_id, [container])
        return f"{reason}. No process of it is left, so it was removed, and is made anew"

    async def _prepare(self, it: TrackedService, report: ReportObservation) -> None:
        """See whether its next container could be made; get what that needs if it is missing."""
        try:
            failure = await ensure_launchable(it.service, self._compose, self._watcher)
        except (ComposeError, ComposeFileError, EngineError) as error:
            failure = str(error)
        report(ev.Prepared() if failure is None else ev.PrepareFailed(failure.rstrip(".")))

    async def _start_existing(self, it: TrackedService, error: ComposeFileError) -> str | None:
        """Its file cannot be used: the container that is there can be started all the same."""
        container = self.container_of(it.spec)
        if container is None:
            return str(error).rstrip(".")
        try:
            await self._actions.start(container)
        except EngineError as failure:
            return str(failure).rstrip(".")
        if await self._refresh(it):
            self._report_changes(it)
        return None

    async def _refresh(self, it: TrackedService) -> bool:
        """Look at its project now; if that fails, nothing is known of it until sight is back."""
        try:
            await self._watcher.refresh_project(it.service.project)
        except EngineError as error:
            self._watcher.check_connection(error)
            self._report_lost(it, self._watcher.error or str(error))
            return False
        return True

    async def _remove_dead(self, it: TrackedService) -> None:
        """Remove what is dead of it: made and not started, or stopped and not removed."""
        async with it.lock:
            dead = [c for c in self._containers(it.service) if not c.alive]
            if await self._actions.stop(it.spec.instance_id, dead, DEFAULT_STOP_GRACE):
                it.cleanup_pending = False

    def _report_short_run(self, it: TrackedService) -> str | None:
        """It came up and ended before anybody looked; or there is nothing to be seen of it."""
        container = self.container_of(it.spec)
        if container is None:
            return "it made no container; is the scale of the service 0?"
        if container.error:
            return container.error.rstrip(".")
        if container.run_key in it.runs_before_launch:
            return "it did not start the container, and did not say why"
        report = it.report
        it.runs_reported += 1
        report(ev.Launched(0))
        report(ev.Exited(container.exit_status))
        self._spawn(f"{it.spec.instance_id}: its output", self._report_output(container, report))
        return None

    async def _stop(self, it: TrackedService, service: ServiceRef) -> None:
        grace = it.spec.stop_grace if it.spec.stop_grace is not None else DEFAULT_STOP_GRACE
        async with it.lock:
            if await self._actions.stop(it.spec.instance_id, self._containers(service), grace):
                it.cleanup_pending = False

    async def _report_output(self, container: Container, report: ReportObservation) -> None:
        lines = await self._actions.last_log_lines(container)
        if lines is not None:
            report(ev.LastOutput(lines))
