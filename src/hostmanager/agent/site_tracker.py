"""Which instances a host tracks: those of its site config, and what runs without a usable entry.

At the start, all of them; at a reload, only what has changed. What runs is never ended for a
mistake: an entry that cannot be used costs no agent.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from hostmanager.agent import audit
from hostmanager.agent.compose.reconcile import ServiceReconciler
from hostmanager.agent.targets.startup_state import StartupState
from hostmanager.agent.targets.store import TargetStore
from hostmanager.core.model import InstanceSpec, Kind, Target
from hostmanager.core.supervisor import Supervisor
from hostmanager.journal import Journal
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.diff import SiteDiff, diff_specs, keep_settings
from hostmanager.siteconfig.site_file import SiteFile

SITE_CONFIG_KEY = "[SCF]"
"""Key of the site config in `config_parse_status` (contract, section 5)."""

BROKEN_ENTRY = (
    "Its entry in the site config cannot be used; it goes on as it was started, but it is not "
    "started again before the entry is fixed."
)


def is_forkable(spec: InstanceSpec) -> bool:
    """Whether it is an agent that is to be up, and may be launched warm."""
    is_agent = spec.kind is Kind.HOST and spec.inoperable_reason is None
    return is_agent and spec.default_target is Target.UP and spec.settings.may_be_forked


class SiteTracker:
    """Keeps what a supervisor has in line with the site config.

    Args:
        supervisor: Has all instances.
        services: Keeps compose services in line.
        target_store: The saved targets.
        journal: Where it is recorded how the site config was read.
        emit_message: Takes a sentence for operators.

    Attributes:
        notice: What should be put right in the site config that was read last; empty: nothing.
        parse_status: How the site config was read last: whether it could be used, when, what is
            wrong.
        site_agent_count: The agents of the whole site.
        forkable_count: The agents of this host that may be launched warm, and are to be up.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        services: ServiceReconciler,
        target_store: TargetStore,
        *,
        journal: Journal,
        emit_message: Callable[[str], object],
    ) -> None:
        self._supervisor = supervisor
        self._services = services
        self._target_store = target_store
        self._journal = journal
        self._emit_message = emit_message
        self.parse_status: dict[str, tuple[bool, float, str]] = {}
        self.site_agent_count = self.forkable_count = 0
        self.notice = ""

    # --- the start ----------------------------------------------------------------------------

    def specs_to_track(self, site_config: SiteFile | SiteFileError | None) -> list[InstanceSpec]:
        """The entries of the site config; those that are broken, as they were known.

        Args:
            site_config: What was read. Where it is an error, or None: all that is known.
        """
        services = self._services
        known = services.configured_specs()
        if not isinstance(site_config, SiteFile):
            return [services.with_service(spec) for spec in known.values()]
        broken = [known[i] for i in known if i in site_config.broken_ids]
        kept = (keep_settings(s, known.get(s.instance_id), site_config) for s in site_config.specs)
        return [*(services.with_service(spec) for spec in kept), *broken]

    def start(
        self,
        specs: list[InstanceSpec],
        before: StartupState,
        site_config: SiteFile | SiteFileError | None,
    ) -> None:
        """Track these instances, with fresh records, and what runs of others.

        Args:
            specs: What `specs_to_track` returned.
            before: What there was before.
            site_config: What was read.
        """
        ids = {spec.instance_id for spec in specs}
        unlisted = before.saved_targets.keys() - ids
        removed = [i for i in unlisted if _is_removed(i, site_config)]
        for instance_id in self._target_store.completions.keys() - ids:
            if _is_removed(instance_id, site_config):
                self._target_store.remove_completion(instance_id)
        self._services.start(before.saved_targets, removed, before.restarts)
        gone = self._supervisor.snapshot.keys() - ids
        for spec in specs:
            self._track(spec, before)
        for instance_id in gone:
            self._supervisor.remove(instance_id)
        for instance_id in before.discovered.keys() - ids:
            self._adopt_unlisted(instance_id, before, site_config)
        self._services.reconcile()

    def _track(self, spec: InstanceSpec, before: StartupState) -> None:
        observed, restart_of = before.discovered.get(spec.instance_id), before.restart_of(spec)
        target, completion = before.target(spec), self._target_store.completion_of(spec)
        if completion is not None and spec.instance_id not in before.saved_targets:
            target = None  # not even a target for all runs it again
        self._supervisor.add(spec, target, observed, restart_of, completion)

    def _adopt_unlisted(
        self, instance_id: str, before: StartupState, site_config: SiteFile | SiteFileError | None
    ) -> None:
        """Adopt what runs and has no usable entry: it goes on if that may be a mistake."""
        observed = before.discovered[instance_id]
        if observed.launched_by_other:
            self._emit_message(
                f"{instance_id}: something that another manager launched (or this one, for "
                f"another router) holds its lock (pid {observed.pid or observed.other_pids}), "
                "and it is not in the site config; it is left alone"
            )
        elif _is_removed(instance_id, site_config):
            self._emit_message(f"{instance_id}: runs, but is not in the site config; it is stopped")
            self._supervisor.adopt_unlisted(instance_id, observed)
        else:
            spec = InstanceSpec(
                instance_id,
                observed.agent_class,
                fingerprint=observed.fingerprint,
                inoperable_reason=BROKEN_ENTRY,
            )
            self._supervisor.add(spec, before.target(spec), observed)

    # --- a reload -----------------------------------------------------------------------------

    def diff(self, site_config: SiteFile) -> SiteDiff:
        """What has changed in the site config."""
        specs = tuple(self._services.with_service(spec) for spec in site_config.specs)
        return diff_specs(self._supervisor.configured_specs(), replace(site_config, specs=specs))

    def ids_after(self, diff: SiteDiff | None) -> tuple[list[str], dict[str, str]]:
        """The ids that a request may name once `diff` is applied, and those that are removed."""
        known, removing = self._supervisor.specs(), self._supervisor.removing()
        # A service that is being listed, or no longer is, has two names for a moment.
        known |= self._services.unmanaged_specs(self._supervisor.configured_specs().values())
        if diff is None:
            return list(known), removing
        added = {spec.instance_id for spec in diff.added}
        removed = set(diff.removed)
        removing = {i: text for i, text in removing.items() if i not in added}
        removing.update({i: f"'{i}' is no longer in the site config." for i in removed})
        return [*(i for i in known if i not in removed), *added], removing

    def apply(self, diff: SiteDiff) -> None:
        """Make the instances those of the site config."""
        for spec in diff.added:
            self._supervisor.add(spec)
        for spec in diff.replaced:
            self._emit_message(
                f"{spec.instance_id}: becomes {spec.agent_class}; what runs is ended first"
            )
            # Somebody put it down on purpose; another entry does not bring it up.
            down = self._target_store.target(spec.instance_id) is Target.DOWN
            down = down and not spec.is_passive
            self._supervisor.replace(spec, Target.DOWN if down else None)
        for spec in diff.changed:
            self._services.update_spec(spec)
        for instance_id in diff.removed:
            self._emit_message(
                f"{instance_id}: no longer in the site config; {self._services.end_removed(instance_id)}"
            )
            self._supervisor.remove(instance_id)
            self._target_store.remove(instance_id)
        self._services.reconcile()

    def record_parse_status(self, site_config: SiteFile | SiteFileError) -> tuple[str, ...]:
        """Keep how the reading went in `parse_status`; returns the problems, for people."""
        ok, text = site_config.summary()
        if isinstance(site_config, SiteFile):
            self.site_agent_count = site_config.agent_count
            self.forkable_count = sum(map(is_forkable, site_config.specs))
            self._supervisor.start_gate.remote = site_config.remote
            self.notice = site_config.notice if ok else ""  # else `text` has it
        self.parse_status[SITE_CONFIG_KEY] = (ok, time.time(), text)
        lines = tuple(str(problem) for problem in site_config.diagnostics)
        for line in lines:
            self._emit_message(line)
        audit.record_site_config(self._journal, ok, text, lines)
        return lines


def _is_removed(instance_id: str, site_config: SiteFile | SiteFileError | None) -> bool:
    """Whether an instance has no entry any more; it may have one that cannot be used."""
    if not isinstance(site_config, SiteFile) or site_config.broken_without_id:
        return False
    return instance_id not in site_config.broken_ids
