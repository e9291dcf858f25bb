"""In which order instances are stopped: the setting ``after``, from its end.

With ``after: [registry]`` in `pump`, both requested down (or to restart) at the same time, `registry`
keeps running until `pump` has ended. Its target is down at once, so a death of it, or of the manager, changes
nothing of the outcome. What is waited for is only the stop timeout of `pump`: beyond SIGINT nobody
waits. The end of the manager (SIGTERM, `die`) waits for no order at all.

`is_awaited` is pure and decides by the records alone; `StopGate` asks it whenever one of them changes.
"""

from collections.abc import Callable, Mapping

from hostmanager.core.model import Target
from hostmanager.core.protocols import Clock
from hostmanager.core.record import InstanceRecord, State
from hostmanager.core.start_order import after_graph, without_cycles
from hostmanager.util.guard import Guard


def is_awaited(record: InstanceRecord) -> bool:
    """Whether an instance is about to end, and has the time that its stop may take.

    Each of the states has a deadline, after which the answer is no.
    """
    if record.unkillable:
        return False
    if record.state is State.STOPPING:
        return True
    if record.state not in (State.STARTING, State.UP, State.UNOBSERVED):
        return False
    asked = record.target is Target.DOWN or record.is_restarting
    return record.must_stop or (record.request.is_held and asked)


class StopGate:
    """Releases the instances that wait for others to end. On the loop's thread only.

    Args:
        records: What is known of the instances.
        clock: Time.
        guard: Makes the calls.
        release: Called with the id of one that may be stopped.
    """

    def __init__(
        self,
        records: Mapping[str, InstanceRecord],
        clock: Clock,
        guard: Guard,
        release: Callable[[str], object],
    ) -> None:
        self._records, self._clock, self._release = records, clock, release
        self._callback = guard.callback("the stop order", self._check)
        self._held: set[str] = set()
        self._is_scheduled = False

    def named(self) -> set[str]:
        """The instances that others come after: only these can have to wait."""
        return {other for record in self._records.values() for other in record.spec.settings.after}

    def waiting_for(self, instance_id: str) -> list[str]:
        """For whose end a held instance waits; empty: it does not."""
        if instance_id not in self._held:
            return []
        graph = after_graph(self._records)
        return [
            other
            for other, others in graph.items()
            if instance_id in others
            and is_awaited(self._records[other])
            and instance_id in without_cycles(graph, other)
        ]

    def changed(self, instance_id: str, record: InstanceRecord | None) -> None:
        """Its record has changed.

        Who is held is decided in the next turn of the loop: those that are requested down
        together are known only then.
        """
        if record is not None and record.request.is_held:
            self._held.add(instance_id)
        else:
            self._held.discard(instance_id)
        if self._held and not self._is_scheduled:
            self._is_scheduled = True
            self._clock.call_at(self._clock.now().monotonic, self._callback)

    def _check(self) -> None:
        self._is_scheduled = False
        for instance_id in [i for i in self._held if not self.waiting_for(i)]:
            self._release(instance_id)
