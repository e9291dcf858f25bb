"""Requests for the instances of a host: carried out at once, on the loop, in their order.

Knows neither OCS nor Twisted: operations and signals are a thin layer above it. Whatever reads
files runs in a worker thread.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hostmanager.agent.compose.protocol import ComposeBackend
from hostmanager.agent.compose.reconcile import ServiceReconciler
from hostmanager.agent.settings import ManagerSettings
from hostmanager.agent.site_config_reader import SiteConfigReader
from hostmanager.agent.site_tracker import SiteTracker
from hostmanager.agent.targets.keeper import keep_in_line
from hostmanager.agent.targets.startup_state import StartupState
from hostmanager.agent.targets.store import TargetStore
from hostmanager.core.model import Kind, Target
from hostmanager.core.request_origin import RequestOrigin
from hostmanager.core.requests import ALL, Request, validate_instances, validate_requests
from hostmanager.core.supervisor import Supervisor
from hostmanager.journal import Journal
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.site_file import SiteFile
from hostmanager.util.text import join_sentences


class NotRunningError(Exception):
    """The manager process is not running, so no request can be carried out."""


@dataclass(frozen=True, slots=True)
class RequestResult:
    """The result of a request.

    Attributes:
        ok: Whether all went well.
        lines: What was done, in sentences for people.
        problems: What is wrong with the site config; already reported when it was read.
    """

    ok: bool
    lines: tuple[str, ...]
    problems: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What was done, in one line."""
        return " ".join(self.lines)

    @property
    def text(self) -> str:
        """All in one line, as OCS wants the result of an operation."""
        return " ".join((*self.lines, *self.problems)) or "Done."


class Host:
    """What can be requested of the manager of a host: a start, targets, a reload, the end.

    Args:
        settings: Where the site config is.
        supervisor: Has the instances.
        compose: Knows the compose services.
        target_store: Keeps what is requested.
        journal: Where it is recorded how the site config was read.
        emit_message: Takes a sentence for operators.

    Attributes:
        running: Whether the manager process is.
        forced_target: The target that the command line forced on all agents; None: it did not.
        tracker: Knows how the site config was read.
        reader: Reads the site config, and looks up which agent classes are installed.
    """

    def __init__(
        self,
        settings: ManagerSettings,
        supervisor: Supervisor,
        compose: ComposeBackend,
        target_store: TargetStore,
        *,
        journal: Journal,
        emit_message: Callable[[str], object],
    ) -> None:
        self._supervisor, self._snapshot = supervisor, supervisor.snapshot
        self._compose, self._target_store = compose, target_store
        self.running = False
        self.forced_target: str | None = None
        keep_in_line(target_store, self._snapshot, lambda: self.running)
        self._services = ServiceReconciler(supervisor, compose, target_store, lambda: self.running)
        self.tracker = SiteTracker(
            supervisor,
            self._services,
            target_store,
            journal=journal,
            emit_message=emit_message,
        )
        self.reader = SiteConfigReader(settings)
        self._reading = asyncio.Lock()

    # --- the manager process ----------------------------------------------------------------

    def start(
        self,
        site_config: SiteFile | SiteFileError | None,
        requests: Any = (),
        before: StartupState | None = None,
        origin: RequestOrigin | None = None,
    ) -> RequestResult:
        """Begin to supervise, with fresh records.

        Args:
            site_config: What was read, already checked against the installed classes. The
                instances that are known already are kept where it is an error, or None.
            requests: As for `update`; applied after that.
            before: What there was before the program was started; None: it was started before.
            origin: Who made the requests, and why.

        Raises:
            RequestError: A request makes no sense; nothing was begun.
        """
        specs = self.tracker.specs_to_track(site_config)
        ids = [spec.instance_id for spec in specs]
        passive = self._services.unmanaged_specs(specs)
        checked = validate_requests(requests, [*ids, *passive], {})
        problems = () if site_config is None else self.tracker.record_parse_status(site_config)
        self.running = True
        if before is None:
            before = StartupState()
            self._target_store.reset()
        self.forced_target = before.initial_state
        self.tracker.start(specs, before, site_config)
        self._apply_requests(checked, origin)
        ok = site_config is None or site_config.summary()[0]
        return RequestResult(ok, tuple(map(str, checked)), problems)

    async def stop(self, *, disown_services: bool = False) -> RequestResult:
        """Stop supervising: end everything; return when nothing is left, or cannot be ended.

        Args:
            disown_services: Leave compose services as they are.
        """
        if self.running:
            await self._compose.wait_loaded()
        self.running = False
        if disown_services:
            self._supervisor.abandon([Kind.DOCKER])
        self._supervisor.stop_all()
        idle = asyncio.Event()
        self._supervisor.when_idle(idle.set)
        await idle.wait()
        self._services.suspend()
        unkillable = {i: str(self._snapshot[i].error) for i in self._snapshot.unkillable_ids}
        unkillable |= self._services.failed_to_stop
        if unkillable:
            errors = join_sentences(f"{i}: {error}" for i, error in unkillable.items())
            return RequestResult(False, (f"Could not be ended: {errors}",))
        return RequestResult(True, ("All agents are down.",))

    def disown(self) -> RequestResult:
        """Stop supervising and leave everything as it is, for the next manager."""
        self.running = False
        self._supervisor.abandon()
        alive = sum(record.run.pid is not None for record in self._snapshot.values())
        return RequestResult(True, (f"{alive} agents are left running, for the next manager.",))

    # --- requests -----------------------------------------------------------------------------

    async def update(
        self, requests: Any, reload_config: bool, origin: RequestOrigin | None = None
    ) -> RequestResult:
        """Set targets, perhaps after reading the site config again.

        Args:
            requests: As a client sent them.
            reload_config: Whether to read the site config first.
            origin: Who made the requests, and why; None: nobody said.

        Raises:
            RequestError: A request makes no sense; nothing was changed.
            NotRunningError: The manager process does not run; nothing was changed.
        """
        if not reload_config:
            return self.set_targets(requests, origin)
        async with self._reading:
            site_config, _ = await asyncio.gather(self.reader.read(), self._compose.refresh())
            return self._apply_site_config(site_config, requests, origin)

    def set_targets(self, requests: Any, origin: RequestOrigin | None = None) -> RequestResult:
        """Set targets. Raises as `update` does."""
        self.require_running()
        supervisor = self._supervisor
        checked = validate_requests(requests, supervisor.specs(), supervisor.removing())
        return RequestResult(True, self._apply_requests(checked, origin))

    def chosen_instances(self, instances: Any) -> list[str]:
        """The instances that a client names, once each. Raises as `update` does."""
        self.require_running()
        return validate_instances(instances, self._supervisor.specs(), self._supervisor.removing())

    def require_running(self) -> None:
        """Raise `NotRunningError` unless the manager process runs."""
        if not self.running:
            raise NotRunningError

    def _apply_requests(
        self, checked: list[Request], origin: RequestOrigin | None
    ) -> tuple[str, ...]:
        self._supervisor.apply_requests(checked)
        targets: dict[str, Target] = {}
        for request in checked:
            ids = self._supervisor.specs() if request.instance_id == ALL else [request.instance_id]
            targets |= {i: request.target for i in ids if not self._is_fulfilled(i)}
        if targets:  # all at once: the file is written, and synced, as a whole
            specs = self._supervisor.specs()
            once = [i for i in targets if i in specs and specs[i].is_passive]
            self._target_store.set_targets(targets, origin, once)
        return tuple(self._result_line(request) for request in checked)

    def _is_fulfilled(self, instance_id: str) -> bool:
        """Whether a request that counts once is done already, so that none is to be kept."""
        record = self._snapshot.get(instance_id)
        return record is not None and (
            record.completion is not None or record.target is Target.PASSIVE
        )

    def _result_line(self, request: Request) -> str:
        record = self._snapshot.get(request.instance_id)
        obstacle = record.spec.inoperable_reason if record else None
        return f"{request}." if obstacle is None else f"{request}, but: {obstacle}"

    # --- the site config ------------------------------------------------------------------------

    def _apply_site_config(
        self,
        site_config: SiteFile | SiteFileError,
        requests: Any,
        origin: RequestOrigin | None,
    ) -> RequestResult:
        """Apply what has changed in the site config, then requests; nothing if one is refused."""
        self.require_running()
        diff = None if isinstance(site_config, SiteFileError) else self.tracker.diff(site_config)
        checked = validate_requests(requests, *self.tracker.ids_after(diff))
        problems = self.tracker.record_parse_status(site_config)
        if diff is None:
            text = "The site config cannot be used, so all is left as it is."
        else:
            self.tracker.apply(diff)
            text = f"Site config read: {diff.summary()}."
        ok = diff is not None and site_config.summary()[0]
        return RequestResult(ok, (text, *self._apply_requests(checked, origin)), problems)
