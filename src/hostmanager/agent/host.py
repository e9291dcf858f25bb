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
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from hostmanager.agent import audit
from hostmanager.agent.compose.protocol import ComposeBackend, NullComposeBackend
from hostmanager.agent.compose.reconcile import ServiceReconciler
from hostmanager.agent.health_monitor import HealthChange, HealthMonitor
from hostmanager.agent.off_target import OffTargetTimes
from hostmanager.agent.options import ManagerSettings
from hostmanager.agent.resource_usage import ResourceSampler
from hostmanager.agent.restarts import RestartCoordinator, RestartOutcome
from hostmanager.agent.router_absence import RouterAbsence
from hostmanager.agent.silences import make_silence
from hostmanager.agent.site_config_reader import SiteConfigReader
from hostmanager.agent.startup_state import StartupState
from hostmanager.agent.target_keeper import TargetKeeper
from hostmanager.agent.target_store import TargetStore
from hostmanager.core.events import OperatorMessage
from hostmanager.core.health import Health
from hostmanager.core.model import InstanceSpec, Kind, Target
from hostmanager.core.protocols import Clock, Driver
from hostmanager.core.request_origin import RequestOrigin
from hostmanager.core.requests import ALL, Request, validate_instances, validate_requests
from hostmanager.core.supervisor import Supervisor
from hostmanager.drivers.process import ProcessStateCache
from hostmanager.journal import Journal, subscribe
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.diff import SiteDiff, diff_specs, keep_settings
from hostmanager.siteconfig.site_file import SiteFile
from hostmanager.util.text import format_duration, join_names, join_sentences, truncate

log = logging.getLogger(__name__)

SITE_CONFIG_KEY = "[SCF]"
"""Key of the site config in `config_parse_status` (contract, section 5)."""

MAX_EARLY_MESSAGES = 100

MAX_TEXT_CHARS = 4_000
"""Characters of the sentence in a reply, and of a message of a session."""

BROKEN_ENTRY = (
    "Its entry in the site config cannot be used; it goes on as it was started, but it is not "
    "started again before the entry is fixed."
)


class NotRunningError(Exception):
    """The manager process is not running, so no request can be carried out."""


@dataclass(frozen=True, slots=True)
class RequestResult:
    """What became of a request.

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
        parse_status: How the site config was read last: whether it could be used, when, what is
            wrong.
        emit_message: Takes a sentence for operators; while no session takes it, it is kept in
            `early_messages`.
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
        self.compose: ComposeBackend = compose or NullComposeBackend()
        drivers = {Kind.HOST: driver, Kind.DOCKER: self.compose.driver}
        self.supervisor = Supervisor(drivers, clock, settings.policy, random, self._report)
        self.snapshot = self.supervisor.snapshot
        subscribe(self.snapshot, journal.append, lambda: clock.now().wall)
        self.off_target_times = OffTargetTimes(self.snapshot, clock)
        self.router_absence = RouterAbsence(journal, clock.now)
        self.parse_status: dict[str, tuple[bool, float, str]] = {}
        self.running = False
        self.forced_target: str | None = None
        self.process_states = ProcessStateCache()
        self.target_store = TargetStore(settings.state_dir / "wanted.json", clock)
        self.target_keeper = TargetKeeper(self.snapshot, self.target_store, lambda: self.running)
        self.service_reconciler = ServiceReconciler(
            self.supervisor, self.compose, self.target_store, lambda: self.running
        )
        self.restarts = RestartCoordinator(
            self.supervisor,
            self.target_store,
            running=lambda: self.running,
            router=self._find_router,
            emit_message=self._emit_message,
        )
        self.site_agent_count = 0
        self.health = HealthMonitor(
            self.snapshot, clock, self.supervisor.guard, self._on_health_change
        )
        self.supervisor.start_gate.health = self.health.health
        self.resources = ResourceSampler(self.snapshot, clock, self.supervisor.guard)
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
        specs = self._specs_to_track(site_config)
        ids = [spec.instance_id for spec in specs]
        passive = self.service_reconciler.unmanaged_specs(specs)
        checked = validate_requests(requests, [*ids, *passive], {})
        problems = () if site_config is None else self._record_parse_status(site_config)
        self.running = True
        self.resources.start()
        if before is None:
            before = StartupState()
            self.target_store.reset()
        self.forced_target = before.initial_state
        unlisted = before.saved_targets.keys() - set(ids)
        removed = [i for i in unlisted if _is_removed(i, site_config)]
        for instance_id in self.target_store.completions.keys() - set(ids):
            if _is_removed(instance_id, site_config):
                self.target_store.remove_completion(instance_id)
        self.service_reconciler.start(before.saved_targets, removed, before.restarts)
        gone = self.snapshot.keys() - set(ids)
        for spec in specs:
            self._track(spec, before)
        for instance_id in gone:
            self.supervisor.remove(instance_id)
        for instance_id in before.discovered.keys() - set(ids):
            self._adopt_unlisted(instance_id, before, site_config)
        self.service_reconciler.reconcile()
        self._apply_requests(checked, origin)
        ok = site_config is None or site_config.summary()[0]
        return RequestResult(ok, tuple(map(str, checked)), problems)

    def _track(self, spec: InstanceSpec, before: StartupState) -> None:
        observed, restart_of = before.discovered.get(spec.instance_id), before.restart_of(spec)
        target, completion = before.target(spec), self.target_keeper.completion_of(spec)
        if completion is not None and spec.instance_id not in before.saved_targets:
            target = None  # not even a target for all runs it again
        self.supervisor.add(spec, target, observed, restart_of, completion)

    def _specs_to_track(self, site_config: SiteFile | SiteFileError | None) -> list[InstanceSpec]:
        """The entries of the site config; those that are broken, as they were known."""
        services = self.service_reconciler
        known = services.configured_specs()
        if not isinstance(site_config, SiteFile):
            return [services.with_service(spec) for spec in known.values()]
        broken = [known[i] for i in known if i in site_config.broken_ids]
        kept = (keep_settings(s, known.get(s.instance_id), site_config) for s in site_config.specs)
        return [*(services.with_service(spec) for spec in kept), *broken]

    def _adopt_unlisted(
        self, instance_id: str, before: StartupState, site_config: SiteFile | SiteFileError | None
    ) -> None:
        """Adopt what runs and has no usable entry: it goes on if that may be a mistake."""
        observed = before.discovered[instance_id]
        if observed.launched_by_other:
            self.emit_message(
                f"{instance_id}: something that another manager launched (or this one, for "
                f"another router) holds its lock (pid {observed.pid or observed.other_pids}), "
                "and it is not in the site config; it is left alone"
            )
        elif _is_removed(instance_id, site_config):
            self.emit_message(f"{instance_id}: runs, but is not in the site config; it is stopped")
            self.supervisor.adopt_unlisted(instance_id, observed)
        else:
            spec = InstanceSpec(
                instance_id,
                observed.agent_class,
                fingerprint=observed.fingerprint,
                inoperable_reason=BROKEN_ENTRY,
            )
            self.supervisor.add(spec, before.target(spec), observed)

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
        diff = None if isinstance(site_config, SiteFileError) else self._diff(site_config)
        checked = validate_requests(requests, *self._ids_after(diff))
        problems = self._record_parse_status(site_config)
        if diff is None:
            text = "The site config cannot be used, so all is left as it is."
        else:
            self._apply_diff(diff)
            text = f"Site config read: {diff.summary()}."
        ok = diff is not None and site_config.summary()[0]
        return RequestResult(ok, (text, *self._apply_requests(checked, origin)), problems)

    def _diff(self, site_config: SiteFile) -> SiteDiff:
        specs = tuple(self.service_reconciler.with_service(spec) for spec in site_config.specs)
        return diff_specs(self.supervisor.configured_specs(), replace(site_config, specs=specs))

    def _ids_after(self, diff: SiteDiff | None) -> tuple[list[str], dict[str, str]]:
        """The ids that a request may name once `diff` is applied, and those that are removed."""
        known, removing = self.supervisor.specs(), self.supervisor.removing()
        # A service that is being listed, or no longer is, has two names for a moment.
        known |= self.service_reconciler.unmanaged_specs(
            self.supervisor.configured_specs().values()
        )
        if diff is None:
            return list(known), removing
        added = {spec.instance_id for spec in diff.added}
        removed = set(diff.removed)
        removing = {i: text for i, text in removing.items() if i not in added}
        removing.update({i: f"'{i}' is no longer in the site config." for i in removed})
        return [*(i for i in known if i not in removed), *added], removing

    def _apply_diff(self, diff: SiteDiff) -> None:
        for spec in diff.added:
            self.supervisor.add(spec)
        for spec in diff.replaced:
            self.emit_message(
                f"{spec.instance_id}: becomes {spec.agent_class}; what runs is ended first"
            )
            # Somebody put it down on purpose; another entry does not bring it up.
            down = self.target_store.target(spec.instance_id) is Target.DOWN
            down = down and not spec.is_passive
            self.supervisor.replace(spec, Target.DOWN if down else None)
        for spec in diff.changed:
            self.service_reconciler.update_spec(spec)
        for instance_id in diff.removed:
            self.emit_message(
                f"{instance_id}: no longer in the site config; {self._removal(instance_id)}"
            )
            self.supervisor.remove(instance_id)
            self.target_store.remove(instance_id)
        self.service_reconciler.reconcile()

    def _removal(self, instance_id: str) -> str:
        """End the container of an instance's service that left its file before; say what is done."""
        spec = self.snapshot[instance_id].spec
        if spec.is_left_running:
            return "its container is left as it is"
        if not spec.has_no_service:
            return "it is stopped and forgotten"
        orphan = self.compose.orphan_of(instance_id)
        self.compose.end_orphan_of(instance_id)
        return f"its container {orphan} is stopped and removed" if orphan else "it is forgotten"

    def _record_parse_status(self, site_config: SiteFile | SiteFileError) -> tuple[str, ...]:
        """Keep how the reading went in `parse_status`; returns the problems, for people."""
        ok, text = site_config.summary()
        if isinstance(site_config, SiteFile):
            self.site_agent_count = site_config.agent_count
        self.parse_status[SITE_CONFIG_KEY] = (ok, time.time(), text)
        lines = tuple(str(problem) for problem in site_config.diagnostics)
        for line in lines:
            self.emit_message(line)
        audit.record_site_config(self.journal, ok, text, lines)
        return lines

    # --- messages -------------------------------------------------------------------------------

    def _emit_message(self, text: str) -> None:
        self.emit_message(text)  # to whatever takes messages by then

    def _report(self, instance_id: str, message: OperatorMessage) -> None:
        self.emit_message(f"{instance_id}: {message.text}")

    def buffer_message(self, text: str) -> None:
        """Log what no client can read yet, and keep it for the next session with its time."""
        log.info("%s", text)
        self.early_messages.append((time.time(), truncate(text, MAX_TEXT_CHARS)))

    def _on_health_change(self, change: HealthChange) -> None:
        audit.record_health(self.journal, change)
        self.supervisor.start_gate.changed()
        if change.text:
            self.emit_message(f"{change.instance_id}: {change.text}")
        record = self.snapshot.get(change.instance_id)
        hangs = change.after is Health.NO_HEARTBEAT
        if record is not None and hangs and record.spec.settings.heartbeat_action == "restart":
            self.emit_message(f"{change.instance_id}: is restarted, as its settings say")
            self.supervisor.restart(change.instance_id)

    async def _find_router(self) -> str | None:
        """The instance that runs the router of the site, if one does."""
        specs = [r.spec for r in self.snapshot.values() if r.spec.service is not None]
        return await self.compose.runs_router(self.settings.router, specs) if specs else None


def _is_removed(instance_id: str, site_config: SiteFile | SiteFileError | None) -> bool:
    """Whether one that is not listed has no entry: it may be in one that cannot be used."""
    if not isinstance(site_config, SiteFile) or site_config.broken_without_id:
        return False
    return instance_id not in site_config.broken_ids
