"""The one truth: what is known of every instance, changed in one place.

Session data, messages, tables and metrics are views, computed from here when somebody
looks. Nothing else keeps a copy of a state.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from hostmanager.core.record import RESTING_STATES, InstanceRecord
from hostmanager.util.guard import Guard

Listener = Callable[[str, InstanceRecord | None], None]
"""Told of each change: the instance, and its life, or None when it was forgotten."""


class Snapshot(Mapping[str, InstanceRecord]):
    """The lives of all tracked instances, by instance-id, in the order of their tracking.

    Args:
        guard: Tells the listeners.
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
    def restless(self) -> frozenset[str]:
        """The instances that are not at rest: alive, about to be, or waiting."""
        return frozenset(self._active)

    @property
    def unkillable_ids(self) -> tuple[str, ...]:
        """The instances that do not end although killed, or whose launch does not either."""
        return tuple(i for i in self._records if i in self._active and self._records[i].unkillable)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is alive, about to be, or waiting; but for the hopeless."""
        return all(self._records[i].unkillable for i in self._active)

    def subscribe(self, listener: Listener) -> None:
        """Have `listener` told of each change, after it was made."""
        self._listeners.append(listener)

    def exclude(self, instance_id: str) -> None:
        """Whether this instance is at rest is nobody's business any more."""
        self._excluded.add(instance_id)
        self._active.discard(instance_id)

    def put(self, instance_id: str, life: InstanceRecord | None) -> None:
        """Put in what is known now; None forgets the instance. The only writer's door."""
        if life is None:
            self._records.pop(instance_id, None)
            self._active.discard(instance_id)
            self._excluded.discard(instance_id)
        else:
            self._records[instance_id] = life
            # What nobody manages is ended by nobody, so nobody waits for its end.
            nobodys = life.spec.is_unmanaged and life.request.replacement is None
            if life.state in RESTING_STATES or nobodys or instance_id in self._excluded:
                self._active.discard(instance_id)
            else:
                self._active.add(instance_id)
        for number, listener in enumerate(self._listeners):
            what = f"{instance_id}: telling listener {number} of a change"
            again = partial(self._retry_listener, what, listener, instance_id)
            self._guard.call(what, partial(listener, instance_id, life), again)

    def _retry_listener(
        self, what: str, listener: Listener, instance_id: str, _: Exception
    ) -> None:
        """Later, it is told what is known then."""
        tell = self._guard.callback(what, lambda: listener(instance_id, self.get(instance_id)))
        self._guard.schedule(what, tell)
