"""What is known of every instance, changed in one place.

Session data, messages, tables and metrics are views, computed from here when they are read.
Nothing else keeps a copy of a state.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from hostmanager.core.record import RESTING_STATES, InstanceRecord
from hostmanager.util.guard import Guard

Listener = Callable[[str, InstanceRecord | None], None]
"""Gets each change: the instance-id and its record, or None when it was removed."""


class Snapshot(Mapping[str, InstanceRecord]):
    """The records of all tracked instances, by instance-id, in the order of their tracking.

    Args:
        guard: Calls the listeners.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._records: dict[str, InstanceRecord] = {}
        self._active: set[str] = set()
        self._excluded: set[str] = set()
        self._listeners: list[Listener] = []

    def __getitem__(self, instance_id: str) -> InstanceRecord:
        return self._records[instance_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def unkillable_ids(self) -> tuple[str, ...]:
        """The instances that do not end although killed, or whose launch hangs."""
        return tuple(i for i in self._records if i in self._active and self._records[i].unkillable)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is alive, being launched or waiting, apart from unkillable instances."""
        return all(self._records[i].unkillable for i in self._active)

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    def exclude(self, instance_id: str) -> None:
        """Ignore this instance in `is_idle` from now on."""
        self._excluded.add(instance_id)
        self._active.discard(instance_id)

    def put(self, instance_id: str, record: InstanceRecord | None) -> None:
        """Set the record of an instance; None removes it. The only method that changes records."""
        if record is None:
            self._records.pop(instance_id, None)
            self._active.discard(instance_id)
            self._excluded.discard(instance_id)
        else:
            self._records[instance_id] = record
            # A service that is left alone is never stopped, so nobody waits for its end.
            is_left = record.spec.is_left_running and record.request.replacement is None
            if record.state in RESTING_STATES or is_left or instance_id in self._excluded:
                self._active.discard(instance_id)
            else:
                self._active.add(instance_id)
        for number, listener in enumerate(self._listeners):
            name = f"{instance_id}: listener {number} of changes"
            retry = partial(self._retry_listener, name, listener, instance_id)
            self._guard.call(name, partial(listener, instance_id, record), retry)

    def _retry_listener(
        self, name: str, listener: Listener, instance_id: str, _: Exception
    ) -> None:
        """Call a listener later, with what is known then."""
        call = self._guard.callback(name, lambda: listener(instance_id, self.get(instance_id)))
        self._guard.schedule(name, call)
