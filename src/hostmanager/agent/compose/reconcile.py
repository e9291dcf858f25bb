"""Compose services among the instances of a host: which rows there are, and what each is.

The site file says which services are managed, the compose files which there are. Whenever
either changes, `follow` brings the rows in line: entries gain or lose their service, services
without an entry come and go as rows that are only watched.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from hostmanager.agent.compose.protocol import ComposeBackend
from hostmanager.agent.target_store import TargetStore
from hostmanager.core.model import InstanceSpec, Kind, ServiceRef, Target
from hostmanager.core.record import InstanceRecord
from hostmanager.core.supervisor import Supervisor


class ServiceReconciler:
    """Keeps the rows of compose services of a host.

    Args:
        supervisor: Keeps all instances.
        backend: Knows the services.
        target_store: What operators said.
        running: Whether the manager process runs.

    Attributes:
        failed_to_stop: What could not be ended when the manager ended, by id, and why.
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
        backend.changed = self.reconcile
        supervisor.snapshot.subscribe(self._on_record_change)

    # --- beginning and ending ---------------------------------------------------------------

    def start(
        self,
        saved_targets: Mapping[str, Target] | None = None,
        unconfigured_ids: Collection[str] = (),
        pending_restarts: Mapping[str, str] | None = None,
    ) -> None:
        """The manager begins: what was watched before is looked at anew.

        Args:
            saved_targets: The targets that operators had set, by instance-id.
            unconfigured_ids: Those of them without an entry; they are removed unless a service has
                that name.
            pending_restarts: The runs that were to be restarted, by instance-id.
        """
        self._saved_targets, self._unconfigured_ids, self._pending_restarts = (
            saved_targets or {},
            unconfigured_ids,
            pending_restarts or {},
        )
        self._suspended.clear()
        self.failed_to_stop.clear()
        for instance_id, spec in self._supervisor.specs().items():
            if spec.is_unmanaged:
                self._supervisor.remove_now(instance_id)

    def suspend(self) -> None:
        """The manager has ended: containers that others start from now on are their business."""
        supervisor = self._supervisor
        snapshot = self._supervisor.snapshot
        listed = supervisor.configured_specs().items()
        self._suspended |= {i: spec for i, spec in listed if spec.kind is Kind.DOCKER}
        for instance_id in snapshot.unkillable_ids:
            if snapshot[instance_id].spec.kind is Kind.DOCKER:
                self.failed_to_stop[instance_id] = str(snapshot[instance_id].error)
        for instance_id, life in list(snapshot.items()):
            if life.spec.kind is Kind.DOCKER:
                supervisor.remove_now(instance_id)

    def configured_specs(self) -> dict[str, InstanceSpec]:
        """The instances with an entry, also while the manager does not run."""
        return {**self._supervisor.configured_specs(), **self._suspended}

    # --- what each is -----------------------------------------------------------------------

    def with_service(self, entry: InstanceSpec) -> InstanceSpec:
        """Put what the compose files say into an entry."""
        return self._backend.services.with_service(_strip_service(entry))

    def unmanaged_specs(self, entries: Iterable[InstanceSpec]) -> dict[str, InstanceSpec]:
        """The services that belong to none of these entries."""
        return self._backend.services.unmanaged_specs(entries)

    def update_spec(self, spec: InstanceSpec) -> None:
        """The entry of an instance says something else, or its service does."""
        supervisor = self._supervisor
        life = self._supervisor.snapshot[spec.instance_id]
        if _is_other_container(life.spec.service, spec.service):
            # Another container, then; the one that runs has to go first.
            supervisor.replace(spec, life.target)
            return
        supervisor.update(spec)
        if spec.kind is Kind.DOCKER and spec.service is not None:
            self._backend.update_spec(spec)

    def reconcile(self) -> None:
        """Bring the rows in line with the site file and the compose files, as last read."""
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
        wanted = self.unmanaged_specs(supervisor.configured_specs().values())
        known = {i: spec for i, spec in supervisor.specs().items() if spec.is_unmanaged}
        for instance_id in known.keys() - wanted.keys():
            supervisor.remove_now(instance_id)
            self._target_store.remove(instance_id)
        for instance_id, spec in wanted.items():
            if instance_id not in supervisor.snapshot:
                restart_of = self._pending_restarts.get(instance_id)
                supervisor.add(spec, self._saved_targets.get(instance_id), restart_of=restart_of)
            elif instance_id not in known:
                pass  # a retired one of that name has to end first; then we are told
            elif _is_other_container(known[instance_id].service, spec.service):
                supervisor.remove_now(instance_id)
                supervisor.add(spec)
            elif spec != known[instance_id]:
                self.update_spec(spec)
        if self._backend.services.is_loaded:
            for instance_id in self._unconfigured_ids:
                if instance_id not in wanted:
                    self._target_store.remove(instance_id)
            self._saved_targets, self._unconfigured_ids, self._pending_restarts = {}, (), {}

    def _on_record_change(self, instance_id: str, life: InstanceRecord | None) -> None:
        if life is None:
            self.reconcile()
        elif life.spec.is_unmanaged and life.target is Target.PASSIVE:
            self._target_store.remove(instance_id)  # done: it is not to be told again


def _strip_service(entry: InstanceSpec) -> InstanceSpec:
    """An entry as the site file has it, without what was added."""
    if entry.kind is not Kind.DOCKER:
        return entry
    return replace(entry, service=None, fingerprint="", stop_grace=None, inoperable_reason=None)


def _is_other_container(before: ServiceRef | None, now: ServiceRef | None) -> bool:
    if before is None or now is None:
        return False
    return (before.project, before.name) != (now.project, now.name)
