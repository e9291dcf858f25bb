"""The host as the operations see it: the supervisor, the site file, and requests on both.

Knows neither OCS nor Twisted; the operations are a thin face on it, and so are signals.
Whatever reads files runs in a worker thread; whatever changes targets happens at once, on
the loop, in the order in which it was asked for.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from hostmanager.agent.compose.protocol import ComposeBackend, NullComposeBackend
from hostmanager.agent.compose.reconcile import ServiceReconciler
from hostmanager.agent.framework.router_absence import RouterAbsence
from hostmanager.agent.operations import audit as record
from hostmanager.agent.operations.call_validation import MAX_TEXT_CHARS
from hostmanager.agent.options import Settings
from hostmanager.agent.restarts import Outcome, Restarts
from hostmanager.agent.site_config_reader import SiteReader
from hostmanager.agent.target_store import TargetStore
from hostmanager.core import requests as rq
from hostmanager.core.events import OperatorMessage, Timestamp
from hostmanager.core.model import InstanceSpec, Kind, ObservedRun, Target
from hostmanager.core.protocols import Clock, Driver
from hostmanager.core.record import ANY_RUN
from hostmanager.core.requests import Request
from hostmanager.core.supervisor import Supervisor
from hostmanager.drivers.process import ProcessStateCache
from hostmanager.journal import Journal, subscribe
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.diff import SiteDiff, diff_specs
from hostmanager.siteconfig.site_file import SiteFile
from hostmanager.util.text import join_sentences, truncate

log = logging.getLogger(__name__)

SITE_CONFIG_KEY = "[SCF]"
"""Key of the site file in `config_parse_status` (contract, section 5)."""

UNHEARD_KEPT = 100

Say = Callable[[str], object]
"""Takes a sentence for people."""


NO_ENTRY = (
    "Its entry in the site config cannot be used; it goes on as it was started, but it is not "
    "started again before the entry is mended."
)


class NotRunningError(Exception):
    """The manager process is not running, so nothing can be asked of it."""


@dataclass(frozen=True, slots=True)
class RequestResult:
    """What became of a request.

    Attributes:
        ok: Whether all went well.
        lines: What was done, in sentences for people.
        problems: What is wrong with the site file; said already when it was read.
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


@dataclass(frozen=True, slots=True)
class StartupState:
    """What there was before the program was started.

    Attributes:
        found: What an earlier manager launched and is still alive.
        recalled: The targets that operators had set, by instance-id.
        initial_state: The target that the command line forces on all.
        restarts: The runs that operators wanted restarted and that may still be alive.
    """

    found: Mapping[str, ObservedRun] = field(default_factory=dict)
    recalled: Mapping[str, Target] = field(default_factory=dict)
    initial_state: str | None = None
    restarts: Mapping[str, str] = field(default_factory=dict)

    def target(self, instance_id: str) -> Target | None:
        """The target of an instance; None: what its entry names.

        What somebody said of it counts more than a command line that is always the same.
        """
        forced = None if self.initial_state is None else Target(self.initial_state)
        return self.recalled.get(instance_id) or forced

    def restart_of(self, spec: InstanceSpec) -> str | None:
        """The run of an instance that is to be restarted, unless it is known to be gone."""
        run = self.restarts.get(spec.instance_id)
        if spec.kind is Kind.DOCKER or run is None:
            return run  # the engine will tell what runs
        found = self.found.get(spec.instance_id)
        return run if found is not None and run in (found.run_id, ANY_RUN) else None


class Host:
    """Everything that can be asked of the manager of a host."""

    def __init__(
        self,
        settings: Settings,
        driver: Driver,
        clock: Clock,
        random: Random,
        journal: Journal,
        *,
        dockers: ComposeBackend | None = None,
    ) -> None:
        self.settings = settings
        self.journal = journal
        self.driver = driver
        self.clock = clock
        self.dockers: ComposeBackend = dockers or NullComposeBackend()
        drivers = {Kind.HOST: driver, Kind.DOCKER: self.dockers.driver}
        self.supervisor = Supervisor(drivers, clock, settings.policy, random, self._note)
        self.snapshot = self.supervisor.snapshot
        subscribe(self.snapshot, journal.append, lambda: clock.now().wall)
        self.router = RouterAbsence(journal, clock.now)
        self.parse_status: dict[str, tuple[bool, float, str]] = {}
        self.running = False
        self.conditions = ProcessStateCache()
        self.wanted = TargetStore(settings.state_dir / "wanted.json", clock)
        self.services = ServiceReconciler(
            self.supervisor, self.dockers, self.wanted, lambda: self.running
        )
        self.restarts = Restarts(
            self.supervisor,
            self.wanted,
            running=lambda: self.running,
            router=self._router,
            say=self._say,
        )
        self.early_messages: deque[tuple[float, str]] = deque(maxlen=UNHEARD_KEPT)
        self.emit_message: Say = self.buffer_message
        self._reader = SiteReader(settings)
        self._reading = asyncio.Lock()

    # --- the manager process ----------------------------------------------------------------

    def start(
        self,
        site: SiteFile | SiteFileError,
        requests: Any = (),
        before: StartupState | None = None,
    ) -> RequestResult:
        """Begin to supervise: track what the site file lists, with fresh records.

        Args:
            site: What was read, already checked against the installed classes; an error
                leaves the instances that are known, if there are any.
            requests: As for `update`; applied after that.
            before: What there was before the program was started; None: it runs already.

        Raises:
            RequestError: A request makes no sense; nothing was begun.
        """
        specs = self._wanted(site)
        ids = [spec.instance_id for spec in specs]
        checked = rq.validate_requests(requests, [*ids, *self.services.unmanaged_specs(specs)], {})
        problems = self._record_parse_status(site)
        self.running = True
        if before is None:
            before = StartupState()
            self.wanted.reset()
        unlisted = before.recalled.keys() - set(ids)
        forgotten = [i for i in unlisted if _is_gone(i, site)]
        self.services.start(before.recalled, forgotten, before.restarts)
        gone = self.snapshot.keys() - set(ids)
        for spec in specs:
            found = before.found.get(spec.instance_id)
            target, restart_of = before.target(spec.instance_id), before.restart_of(spec)
            self.supervisor.add(spec, target, found, restart_of)
        for instance_id in gone:
            self.supervisor.remove(instance_id)
        for instance_id in before.found.keys() - set(ids):
            self._take_over_unlisted(instance_id, before, site)
        self.services.reconcile()
        self._carry_out(checked)
        return RequestResult(site.summary()[0], tuple(map(str, checked)), problems)

    def _take_over_unlisted(
        self, instance_id: str, before: StartupState, site: SiteFile | SiteFileError
    ) -> None:
        """Something runs that has no usable entry: it goes on if that may be a slip of the pen."""
        found = before.found[instance_id]
        if found.launched_by_other:
            self.emit_message(
                f"{instance_id}: something that another manager launched (or this one, for "
                f"another router) holds its lock (pid {found.pid or found.other_pids}), and it is not "
                "in the site config; it is left alone"
            )
            return
        if _is_gone(instance_id, site):
            self.emit_message(f"{instance_id}: runs, but is not in the site config; it is stopped")
            self.supervisor.adopt_unlisted(instance_id, found)
            return
        spec = InstanceSpec(
            instance_id,
            found.agent_class,
            fingerprint=found.fingerprint,
            inoperable_reason=NO_ENTRY,
        )
        self.supervisor.add(spec, before.target(instance_id), found)

    def restart_known(self, requests: Any = ()) -> RequestResult:
        """Begin with the instances that are known already, with fresh records.

        Raises:
            RequestError: A request makes no sense; nothing was begun.
        """
        known = self.services.configured_specs()
        passive = self.services.unmanaged_specs(known.values())
        checked = rq.validate_requests(requests, [*known, *passive], {})
        self.running = True
        self.wanted.reset()
        self.services.start()
        for spec in known.values():
            self.supervisor.add(self.services.with_service(spec))
        self.services.reconcile()
        self._carry_out(checked)
        return RequestResult(True, tuple(map(str, checked)))

    async def stop(self, *, disown_dockers: bool = False) -> RequestResult:
        """Stop supervising: end everything; return when nothing is left, or cannot be ended.

        Args:
            disown_dockers: Leave compose services as they are.
        """
        if self.running:
            await self.dockers.wait_loaded()
        self.running = False
        if disown_dockers:
            self.supervisor.abandon([Kind.DOCKER])
        self.supervisor.stop_all()
        done = asyncio.Event()
        self.supervisor.when_idle(done.set)
        await done.wait()
        self.services.suspend()
        stuck = {i: str(self.snapshot[i].error) for i in self.snapshot.unkillable_ids}
        stuck |= self.services.failed_to_stop
        if stuck:
            why = join_sentences(f"{i}: {trouble}" for i, trouble in stuck.items())
            return RequestResult(False, (f"Could not be ended: {why}",))
        return RequestResult(True, ("All agents are down.",))

    def disown(self) -> RequestResult:
        """Stop supervising and leave everything as it is, for the next manager."""
        self.running = False
        self.supervisor.abandon()
        alive = sum(life.run.pid is not None for life in self.snapshot.values())
        return RequestResult(True, (f"{alive} agents are left running, for the next manager.",))

    # --- requests -----------------------------------------------------------------------------

    async def update(self, requests: Any, reload_config: bool) -> RequestResult:
        """Set targets, perhaps after reading the site file again.

        Raises:
            RequestError: A request makes no sense; nothing was changed.
            NotRunningError: The manager process does not run; nothing was changed.
        """
        if not self.running:
            raise NotRunningError
        if not reload_config:
            return self.set_targets(requests)
        async with self._reading:
            site, _ = await asyncio.gather(self.read_site(), self.dockers.refresh())
            if not self.running:
                raise NotRunningError
            change = self._diff(site)
            checked = rq.validate_requests(requests, *self._ids_after(change))
            answer = self._apply(site, change)
            lines = self._carry_out(checked)
        return replace(answer, lines=(*answer.lines, *lines))

    def set_targets(self, requests: Any) -> RequestResult:
        """Set targets. Raises as `update` does."""
        if not self.running:
            raise NotRunningError
        supervisor = self.supervisor
        checked = rq.validate_requests(requests, supervisor.specs(), supervisor.removing())
        return RequestResult(True, self._carry_out(checked))

    async def restart(self, instances: Any) -> Outcome:
        """Have instances ended and launched anew. Raises as `update` does."""
        if not self.running:
            raise NotRunningError
        supervisor = self.supervisor
        ids = rq.validate_instances(instances, supervisor.specs(), supervisor.removing())
        outcome = await self.restarts.request(ids)
        if not self.running:
            raise NotRunningError
        return outcome

    def _carry_out(self, checked: list[Request]) -> tuple[str, ...]:
        self.supervisor.apply_requests(checked)
        said: dict[str, Target] = {}
        for request in checked:
            every = self.supervisor.specs() if request.instance_id == rq.ALL else ()
            said |= dict.fromkeys(every or (request.instance_id,), request.target)
        if said:
            self.wanted.set_targets(
                said
            )  # all at once: the file is written, and synced, as a whole
        lines = []
        for request in checked:
            obstacle = self._obstacle(request)
            lines.append(f"{request}." if obstacle is None else f"{request}, but: {obstacle}")
        return tuple(lines)

    def _obstacle(self, request: Request) -> str | None:
        life = self.snapshot.get(request.instance_id)
        return life.spec.inoperable_reason if life else None

    # --- the site file --------------------------------------------------------------------------

    async def read_site(self) -> SiteFile | SiteFileError:
        """Read the site file and look up which agent classes are installed."""
        return await self._reader.read()

    def _diff(self, site: SiteFile | SiteFileError) -> SiteDiff | None:
        if isinstance(site, SiteFileError):
            return None
        site = replace(site, specs=tuple(self.services.with_service(spec) for spec in site.specs))
        return diff_specs(self.supervisor.configured_specs(), site)

    def _ids_after(self, change: SiteDiff | None) -> tuple[list[str], dict[str, str]]:
        """The ids that can be asked for once `change` is applied, and those that leave."""
        known, leaving = self.supervisor.specs(), self.supervisor.removing()
        # A service that is being listed, or no longer is, has two names for a moment.
        known |= self.services.unmanaged_specs(self.supervisor.configured_specs().values())
        if change is None:
            return list(known), leaving
        added = {spec.instance_id for spec in change.added}
        gone = set(change.removed)
        leaving = {i: text for i, text in leaving.items() if i not in added}
        leaving.update({i: f"'{i}' is no longer in the site config." for i in gone})
        return [*(i for i in known if i not in gone), *added], leaving

    def _apply(self, site: SiteFile | SiteFileError, change: SiteDiff | None) -> RequestResult:
        problems = self._record_parse_status(site)
        if change is None:
            why = "The site config cannot be used, so all is left as it is."
            return RequestResult(False, (why,), problems)
        for spec in change.added:
            self.supervisor.add(spec)
        for spec in change.replaced:
            self.emit_message(
                f"{spec.instance_id}: becomes {spec.agent_class}; what runs is ended first"
            )
            # Somebody put it down on purpose; it is not another entry that brings it up.
            down = self.wanted.target(spec.instance_id) is Target.DOWN
            self.supervisor.replace(spec, Target.DOWN if down else None)
        for spec in change.changed:
            self.services.update_spec(spec)
        for instance_id in change.removed:
            self.emit_message(
                f"{instance_id}: no longer in the site config; it is stopped and forgotten"
            )
            self.supervisor.remove(instance_id)
            self.wanted.remove(instance_id)
        self.services.reconcile()
        return RequestResult(
            site.summary()[0], (f"Site config read: {change.summary()}.",), problems
        )

    def _record_parse_status(self, site: SiteFile | SiteFileError) -> tuple[str, ...]:
        """Note in `parse_status` how the reading went; returns the problems, for people."""
        ok, text = site.summary()
        self.parse_status[SITE_CONFIG_KEY] = (ok, time.time(), text)
        lines = tuple(str(problem) for problem in site.diagnostics)
        for line in lines:
            self.emit_message(line)
        record.site_read(self.journal, ok, text, lines)
        return lines

    def _wanted(self, site: SiteFile | SiteFileError) -> list[InstanceSpec]:
        """What to track at the start: the file's entries, and what it spoils as it was known."""
        known = self.services.configured_specs()
        if isinstance(site, SiteFileError):
            return list(known.values())
        spoiled = [known[i] for i in known if i in site.broken_ids]
        return [*(self.services.with_service(spec) for spec in site.specs), *spoiled]

    def _say(self, text: str) -> None:
        self.emit_message(text)  # whoever listens by then

    def _note(self, instance_id: str, note: OperatorMessage) -> None:
        self.emit_message(f"{instance_id}: {note.text}")

    def buffer_message(self, text: str) -> None:
        """Log what nobody can read yet, and keep it for the next session with its time."""
        log.info("%s", text)
        self.early_messages.append((time.time(), truncate(text, MAX_TEXT_CHARS)))

    async def _router(self) -> str | None:
        """The instance that runs the router of the site, if one does."""
        every = (life.spec for life in self.snapshot.values())
        specs = [spec for spec in every if spec.service is not None]
        return await self.dockers.runs_router(self.settings.router, specs) if specs else None

    def now(self) -> Timestamp:
        """The present."""
        return self.clock.now()


def _is_gone(instance_id: str, site: SiteFile | SiteFileError) -> bool:
    """Whether one that is not listed has no entry: it may be in one that cannot be used."""
    if isinstance(site, SiteFileError) or site.broken_without_id:
        return False
    return instance_id not in site.broken_ids
