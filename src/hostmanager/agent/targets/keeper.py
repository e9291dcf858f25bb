"""Keeps the saved targets in line with what has become of them.

A request for what is left alone (a service without an entry, a manual instance) counts once: it is
forgotten once it is reached. A one-shot that is done is saved as done, and the requests for it are
forgotten; its next start removes the completion.
"""

from collections.abc import Callable

from hostmanager.agent.targets.completions import SavedCompletion
from hostmanager.agent.targets.store import TargetStore
from hostmanager.core.model import InstanceSpec, Target
from hostmanager.core.record import Completion, InstanceRecord
from hostmanager.core.snapshot import Snapshot


class TargetKeeper:
    """Follows a snapshot, and changes a store.

    Args:
        snapshot: The instances.
        store: The saved targets.
        running: Whether the manager process runs: what happens while it does not changes nothing.
    """

    def __init__(self, snapshot: Snapshot, store: TargetStore, running: Callable[[], bool]) -> None:
        self._store = store
        self._running = running
        snapshot.subscribe(self._on_record_change)

    def completion_of(self, spec: InstanceSpec) -> Completion | None:
        """The saved completion of an instance; None if it is not done, or is another program now."""
        saved = self._store.completions.get(spec.instance_id)
        if saved is None or not spec.settings.one_shot or saved.agent_class != spec.agent_class:
            return None
        return Completion(saved.at, saved.fingerprint)

    def _on_record_change(self, instance_id: str, record: InstanceRecord | None) -> None:
        if not self._running():
            return
        store = self._store
        if record is None:
            store.remove_completion(instance_id)
            return
        done = record.completion
        if record.target is Target.PASSIVE or done is not None:
            store.remove(instance_id)
        if done is None:
            store.remove_completion(instance_id)
        else:
            saved = SavedCompletion(done.at, record.spec.agent_class, done.fingerprint)
            store.save_completion(instance_id, saved)
