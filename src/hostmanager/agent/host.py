"""The manager of a host as its operations see it: the supervisor, the site config, requests on both.

Knows neither OCS nor Twisted: operations and signals are a thin layer above it. Whatever reads
files runs in a worker thread; whatever changes targets happens at once, on the loop, in the order
of the requests.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from hostmanager.agent import audit
from hostmanager.agent.compose.protocol import ComposeBackend
from hostmanager.agent.compose.reconcile import ServiceReconciler
from hostmanager.agent.daemon.journald import log_fields
from hostmanager.agent.metrics.event_counts import EventCounts
from hostmanager.agent.monitoring.health_monitor import HealthChange, HealthMonitor
from hostmanager.agent.monitoring.off_target import OffTargetTimes
from hostmanager.agent.monitoring.resource_usage import ResourceSampler
from hostmanager.agent.monitoring.router_absence import RouterAbsence
from hostmanager.agent.options import ManagerSettings
from hostmanager.agent.restarts import RestartCoordinator, RestartOutcome
from hostmanager.agent.silences import make_silence
from hostmanager.agent.site_config_reader import SiteConfigReader
from hostmanager.agent.site_tracker import SiteTracker
from hostmanager.agent.targets.keeper import TargetKeeper
from hostmanager.agent.targets.startup_state import StartupState
from hostmanager.agent.targets.store import TargetStore
from hostmanager.core.events import OperatorMessage
from hostmanager.core.health import Health
from hostmanager.core.model import Kind, Target
from hostmanager.core.protocols import Clock, Driver
from hostmanager.core.request_origin import RequestOrigin
from hostmanager.core.requests import ALL, Request, validate_instances, validate_requests
from hostmanager.core.supervisor import Supervisor
from hostmanager.drivers.process import LogDaemonSink, ProcessStateCache
from hostmanager.journal import Entry, EntryKind, Journal, subscribe
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.site_file import SiteFile
from hostmanager.util.text import format_duration, join_names, join_sentences, truncate

log = logging.getLogger(__name__)

MAX_EARLY_MESSAGES = 100

MAX_TEXT_CHARS = 4_000
"""Characters of the sentence in a reply, and of a message of a session."""


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
    """The manager of a host: what can be requested of it, and what it knows.

    Attributes:
        running: Whether the manager process is.
        emit_message: Takes a sentence for operators; while no session takes it, it is kept in
            `early_messages`.
        event_counts: What has happened so far, in numbers.
        health_listeners: Get each change of a health.
        log_daemon: What writes the output of agents; None: they do it themselves.
        forced_target: The target that the command line forced on all agents; None: it did not.
    """

    def __init__(
        self,
        settings: ManagerSettings,
        driver: Driver,
        clock: Clock,
        random: Random,
        journal: Journal,
        *,
        compose: ComposeBackend | None = None,
    ) -> None:
        self.settings = settings
        self.journal = journal
        self.driver = driver
        self.clock = clock
        self.compose = compose or ComposeBackend()
        drivers = {Kind.HOST: driver, Kind.DOCKER: self.compose.driver}
        self.supervisor = Supervisor(drivers, clock, settings.policy, random, self._report)
        self.snapshot = self.supervisor.snapshot
        self.event_counts = EventCounts()
        self._entries: dict[str, Entry] = {}  # that the next message of an instance is about
        subscribe(self.snapshot, self._on_entry, lambda: clock.now().wall)
        self.off_target_times = OffTargetTimes(self.snapshot, clock)
        self.router_absence = RouterAbsence(journal, clock.now)
        self.running = False
        self.forced_target: str | None = None
        self.process_states = ProcessStateCache()
        self.target_store = TargetStore(settings.state_dir / "wanted.json", clock)
        self.target_keeper = TargetKeeper(self.snapshot, self.target_store, lambda: self.running)
        self.service_reconciler = ServiceReconciler(
            self.supervisor, self.compose, self.target_store, lambda: self.running
        )
        self.tracker = SiteTracker(
            self.supervisor,
            self.service_reconciler,
            self.target_store,
            self.target_keeper,
            journal=journal,
            emit_message=self._emit_message,
        )
        self.restarts = RestartCoordinator(
            self.supervisor,
            self.target_store,
            running=lambda: self.running,
            router=self._find_router,
            emit_message=self._emit_message,
        )
        self.health = HealthMonitor(
            self.snapshot, clock, self.supervisor.guard, self._on_health_change
        )
        gate = self.supervisor.start_gate
        gate.health, gate.listen_for = self.health.health, self.health.listen_for
        self.health.on_remote_beat = gate.heard
        self.resources = ResourceSampler(self.snapshot, clock, self.supervisor.guard)
        self.health_listeners: list[Callable[[HealthChange], None]] = []
        self.log_daemon: LogDaemonSink | None = None
        self.early_messages: deque[tuple[float, str]] = deque(maxlen=MAX_EARLY_MESSAGES)
        self.emit_message: Callable[[str], object] = self.buffer_message
        self._reader = SiteConfigReader(settings)
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
            before: What there was before the program was started; None: it runs already.
            origin: Who made the requests, and why.

        Raises:
            RequestError: A request makes no sense; nothing was begun.
        """
        specs = self.tracker.specs_to_track(site_config)
        ids = [spec.instance_id for spec in specs]
        passive = self.service_reconciler.unmanaged_specs(specs)
        checked = validate_requests(requests, [*ids, *passive], {})
        problems = () if site_config is None else self.tracker.record_parse_status(site_config)
        self.running = True
        self.resources.start()
        if before is None:
            before = StartupState()
            self.target_store.reset()
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
            await self.compose.wait_loaded()
        self.running = False
        if disown_services:
            self.supervisor.abandon([Kind.DOCKER])
        self.supervisor.stop_all()
        idle = asyncio.Event()
        self.supervisor.when_idle(idle.set)
        await idle.wait()
        self.service_reconciler.suspend()
        self.resources.stop()
        unkillable = {i: str(self.snapshot[i].error) for i in self.snapshot.unkillable_ids}
        unkillable |= self.service_reconciler.failed_to_stop
        if unkillable:
            errors = join_sentences(f"{i}: {error}" for i, error in unkillable.items())
            return RequestResult(False, (f"Could not be ended: {errors}",))
        return RequestResult(True, ("All agents are down.",))

    def disown(self) -> RequestResult:
        """Stop supervising and leave everything as it is, for the next manager."""
        self.running = False
        self.supervisor.abandon()
        alive = sum(record.run.pid is not None for record in self.snapshot.values())
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
            site_config, _ = await asyncio.gather(self._reader.read(), self.compose.refresh())
            return self._apply_site_config(site_config, requests, origin)

    def set_targets(self, requests: Any, origin: RequestOrigin | None = None) -> RequestResult:
        """Set targets. Raises as `update` does."""
        self._require_running()
        supervisor = self.supervisor
        checked = validate_requests(requests, supervisor.specs(), supervisor.removing())
        return RequestResult(True, self._apply_requests(checked, origin))

    async def restart(self, instances: Any) -> RestartOutcome:
        """Have instances ended and launched anew. Raises as `update` does."""
        self._require_running()
        supervisor = self.supervisor
        ids = validate_instances(instances, supervisor.specs(), supervisor.removing())
        outcome = await self.restarts.request(ids)
        self._require_running()  # it may have been stopped while an image was pulled
        return outcome

    def silence(self, instances: Any, seconds: Any, end: bool, origin: RequestOrigin) -> str:
        """Silence instances, or end their silences; returns a sentence. Raises as `update` does."""
        self._require_running()
        supervisor = self.supervisor
        ids = validate_instances(instances, supervisor.specs(), supervisor.removing())
        silence = None if end else make_silence(seconds, origin, self.clock.now().wall)
        self.target_store.save_silences(ids, silence)
        if silence is None:
            return f"No longer silenced: {join_names(ids)}."
        duration = format_duration(silence.until - silence.since)
        return f"Silenced for {duration}: {join_names(ids)}."

    def _require_running(self) -> None:
        if not self.running:
            raise NotRunningError

    def _apply_requests(
        self, checked: list[Request], origin: RequestOrigin | None
    ) -> tuple[str, ...]:
        self.supervisor.apply_requests(checked)
        targets: dict[str, Target] = {}
        for request in checked:
            ids = self.supervisor.specs() if request.instance_id == ALL else [request.instance_id]
            targets |= {i: request.target for i in ids if not self._is_fulfilled(i)}
        if targets:  # all at once: the file is written, and synced, as a whole
            specs = self.supervisor.specs()
            once = [i for i in targets if i in specs and specs[i].is_passive]
            self.target_store.set_targets(targets, origin, once)
        return tuple(self._result_line(request) for request in checked)

    def _is_fulfilled(self, instance_id: str) -> bool:
        """Whether a request that counts once is done already, so that none is to be kept."""
        record = self.snapshot.get(instance_id)
        return record is not None and (
            record.completion is not None or record.target is Target.PASSIVE
        )

    def _result_line(self, request: Request) -> str:
        record = self.snapshot.get(request.instance_id)
        obstacle = record.spec.inoperable_reason if record else None
        return f"{request}." if obstacle is None else f"{request}, but: {obstacle}"

    # --- the site config ------------------------------------------------------------------------

    async def read_site_config(self) -> SiteFile | SiteFileError:
        """Read the site config and look up which agent classes are installed."""
        return await self._reader.read()

    def _apply_site_config(
        self,
        site_config: SiteFile | SiteFileError,
        requests: Any,
        origin: RequestOrigin | None,
    ) -> RequestResult:
        """Apply what has changed in the site config, then requests; nothing if one is refused."""
        self._require_running()
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

    # --- messages -------------------------------------------------------------------------------

    def _emit_message(self, text: str) -> None:
        self.emit_message(text)  # to whatever takes messages by then

    def _report(self, instance_id: str, message: OperatorMessage) -> None:
        entry = self._entries.pop(instance_id, None)
        event = "message" if entry is None else entry.kind.value
        record = self.snapshot.get(instance_id)
        pid = entry.data.get("pid") if entry else record.run.pid if record else None
        priority = "4" if message.warning else None
        with log_fields(instance=instance_id, event=event, pid=pid, priority=priority):
            self.emit_message(f"{instance_id}: {message.text}")

    def buffer_message(self, text: str) -> None:
        """Log what no client can read yet, and keep it for the next session with its time."""
        log.info("%s", text)
        self.early_messages.append((time.time(), truncate(text, MAX_TEXT_CHARS)))

    def _on_entry(self, entry: Entry) -> None:
        self.journal.append(entry)
        self.event_counts.on_entry(entry)
        if entry.instance_id is not None and entry.kind is not EntryKind.OUTPUT:
            self._entries[entry.instance_id] = entry
            if entry.data.get("to") is None:  # it was removed: nothing is said of it any more
                del self._entries[entry.instance_id]

    def _on_health_change(self, change: HealthChange) -> None:
        audit.record_health(self.journal, change)
        run = self.health.run(change.instance_id)
        self.event_counts.on_health(change, self.snapshot.get(change.instance_id), run)
        for listener in self.health_listeners:
            listener(change)
        self.supervisor.start_gate.changed()
        record = self.snapshot.get(change.instance_id)
        pid = record.run.pid if record else None
        if change.text:
            with log_fields(instance=change.instance_id, event="health", pid=pid):
                self.emit_message(f"{change.instance_id}: {change.text}")
        hangs = change.after is Health.NO_HEARTBEAT
        if record is not None and hangs and record.spec.settings.heartbeat_action == "restart":
            self.emit_message(f"{change.instance_id}: is restarted, as its settings say")
            self.supervisor.restart(change.instance_id)

    async def _find_router(self) -> str | None:
        """The instance that runs the router of the site, if one does."""
        specs = [r.spec for r in self.snapshot.values() if r.spec.service is not None]
        return await self.compose.runs_router(self.settings.router, specs) if specs else None
