"""Keeps the saved targets in line with what has become of them.

A request for what is left alone (a service without an entry, a manual instance) counts once: it is
forgotten once it is reached. A one-shot that is done is saved as done, and the requests for it are
forgotten; its next start removes the completion.
"""

from collections.abc import Callable

from hostmanager.agent.targets.completions import SavedCompletion
from hostmanager.agent.targets.store import TargetStore
from hostmanager.core.model import Target
from hostmanager.core.record import InstanceRecord
from hostmanager.core.snapshot import Snapshot


def keep_in_line(store: TargetStore, snapshot: Snapshot, is_running: Callable[[], bool]) -> None:
    """Have a store follow a snapshot from now on.

    Args:
        store: The saved targets.
        snapshot: The instances.
        is_running: Whether the manager process is: what happens while it is not changes nothing.
    """

    def on_change(instance_id: str, record: InstanceRecord | None) -> None:
        if not is_running():
            return
        done = record.completion if record is not None else None
        if done is not None or (record is not None and record.target is Target.PASSIVE):
            store.remove(instance_id)
        if record is None or done is None:
            store.remove_completion(instance_id)
        else:
            saved = SavedCompletion(done.at, record.spec.agent_class, done.fingerprint)
            store.save_completion(instance_id, saved)

    snapshot.subscribe(on_change)
