"""Compose services among the instances of a host.

The site config says which services are managed, the compose files which exist. Whenever either
changes, `reconcile` makes the instances match: entries gain or lose their service, and services
without an entry come and go as unmanaged instances.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from hostmanager.agent.compose.protocol import ComposeBackend
from hostmanager.agent.targets.store import TargetStore
from hostmanager.core.model import InstanceSpec, Kind, ServiceRef, Target
from hostmanager.core.record import InstanceRecord
from hostmanager.core.supervisor import Supervisor


class ServiceReconciler:
    """Keeps the instances of a host in line with its compose services.

    Args:
        supervisor: Has all instances.
        backend: Knows the services.
        target_store: Keeps the targets that operators set.
        running: Whether the manager process runs.

    Attributes:
        failed_to_stop: Why a service could not be stopped when the manager stopped, by id.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        backend: ComposeBackend,
        target_store: TargetStore,
        running: Callable[[], bool],
    ) -> None:
        self._supervisor = supervisor
        self._backend = backend
        self._target_store = target_store
        self._running = running
        self._saved_targets: Mapping[str, Target] = {}
        self._unconfigured_ids: Collection[str] = ()
        self._pending_restarts: Mapping[str, str] = {}
        self._suspended: dict[str, InstanceSpec] = {}
        self.failed_to_stop: dict[str, str] = {}
        self._busy = False
        backend.on_change = self.reconcile
        supervisor.snapshot.subscribe(self._on_record_change)

    # --- start and stop ---------------------------------------------------------------------

    def start(
        self,
        saved_targets: Mapping[str, Target] | None = None,
        unconfigured_ids: Collection[str] = (),
        pending_restarts: Mapping[str, str] | None = None,
    ) -> None:
        """The manager starts: unmanaged services are observed anew.

        Args:
            saved_targets: The targets that operators set, by instance-id.
            unconfigured_ids: Those of them without an entry; they are removed unless a service has
                that name.
            pending_restarts: The runs that are to be restarted, by instance-id.
        """
        self._saved_targets = saved_targets or {}
        self._unconfigured_ids = unconfigured_ids
        self._pending_restarts = pending_restarts or {}
        self._suspended.clear()
        self.failed_to_stop.clear()
        snapshot = self._supervisor.snapshot
        for instance_id, spec in self._supervisor.specs().items():
            # What is to become one may still be an agent that is ending.
            if spec.is_unmanaged and snapshot[instance_id].spec.is_unmanaged:
                self._supervisor.remove_now(instance_id)

    def suspend(self) -> None:
        """The manager has stopped: containers that others start from now on are not its own."""
        supervisor = self._supervisor
        snapshot = supervisor.snapshot
        configured = supervisor.configured_specs().items()
        self._suspended |= {i: spec for i, spec in configured if spec.kind is Kind.DOCKER}
        for instance_id in snapshot.unkillable_ids:
            if snapshot[instance_id].spec.kind is Kind.DOCKER:
                self.failed_to_stop[instance_id] = str(snapshot[instance_id].error)
        for instance_id, record in list(snapshot.items()):
            if record.spec.kind is Kind.DOCKER:
                supervisor.remove_now(instance_id)

    def configured_specs(self) -> dict[str, InstanceSpec]:
        """The specs of instances with an entry, also while the manager does not run."""
        return {**self._supervisor.configured_specs(), **self._suspended}

    # --- specs ------------------------------------------------------------------------------

    def with_service(self, entry: InstanceSpec) -> InstanceSpec:
        """Add what the compose files say to an entry."""
        return self._backend.services.with_service(_strip_service(entry))

    def unmanaged_specs(self, entries: Iterable[InstanceSpec]) -> dict[str, InstanceSpec]:
        """The services that belong to none of these entries."""
        return self._backend.services.unmanaged_specs(entries)

    def update_spec(self, spec: InstanceSpec) -> None:
        """The entry of an instance, or its service, has changed."""
        supervisor = self._supervisor
        record = supervisor.snapshot[spec.instance_id]
        if _is_other_container(record.spec.service, spec.service):
            # The container that runs has to go first.
            changed_kind = record.spec.is_passive is not spec.is_passive
            supervisor.replace(spec, None if changed_kind else record.target)
            return
        supervisor.update(spec)

    def end_removed(self, instance_id: str) -> str:
        """End the container of an instance's service that left its file before; say what is done."""
        spec = self._supervisor.snapshot[instance_id].spec
        if spec.is_left_running:
            return "its container is left as it is"
        if not spec.has_no_service:
            return "it is stopped and forgotten"
        orphan = self._backend.orphan_of(instance_id)
        self._backend.end_orphan_of(instance_id)
        return f"its container {orphan} is stopped and removed" if orphan else "it is forgotten"

    def reconcile(self) -> None:
        """Make the instances match the site config and the compose files, as last loaded."""
        if self._busy or not self._running():
            return
        self._busy = True
        try:
            self._reconcile_configured()
            self._reconcile_unmanaged()
        finally:
            self._busy = False

    def _reconcile_configured(self) -> None:
        for entry in self._supervisor.configured_specs().values():
            if entry.kind is Kind.DOCKER and (spec := self.with_service(entry)) != entry:
                self.update_spec(spec)

    def _reconcile_unmanaged(self) -> None:
        supervisor = self._supervisor
        unmanaged = self.unmanaged_specs(supervisor.configured_specs().values())
        known = {i: spec for i, spec in supervisor.specs().items() if spec.is_unmanaged}
        for instance_id in known.keys() - unmanaged.keys():
            supervisor.remove_now(instance_id)
            self._target_store.remove(instance_id)
        for instance_id, spec in unmanaged.items():
            if instance_id not in supervisor.snapshot:
                restart_of = self._pending_restarts.get(instance_id)
                supervisor.add(spec, self._saved_targets.get(instance_id), restart_of=restart_of)
            elif instance_id not in known:
                pass  # one of that name is being removed; its end leads here again
            elif _is_other_container(known[instance_id].service, spec.service):
                supervisor.remove_now(instance_id)
                supervisor.add(spec)
            elif spec != known[instance_id]:
                self.update_spec(spec)
        if self._backend.services.is_loaded:
            for instance_id in self._unconfigured_ids:
                if instance_id not in unmanaged:
                    self._target_store.remove(instance_id)
            self._saved_targets, self._unconfigured_ids, self._pending_restarts = {}, (), {}

    def _on_record_change(self, instance_id: str, record: InstanceRecord | None) -> None:
        if record is None:
            self.reconcile()


def _strip_service(entry: InstanceSpec) -> InstanceSpec:
    """An entry as in the site config, without what compose files say."""
    if entry.kind is not Kind.DOCKER:
        return entry
    return replace(entry, service=None, fingerprint="", stop_grace=None, inoperable_reason=None)


def _is_other_container(before: ServiceRef | None, now: ServiceRef | None) -> bool:
    if before is None or now is None:
        return False
    return (before.project, before.name) != (now.project, now.name)
