"""Instances whose lock is held by who cannot be told: looked at again until that is over.

The holder may be another user's (an agent that was started with `sudo`), of another container
that shares the state folder, or just forked by a manager that is dead. Whatever it is, it
inherited the lock, so something of the instance is alive: nothing may be launched beside it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hostmanager.core.events import Absent, ObservationLost
from hostmanager.core.model import ObservedRun
from hostmanager.core.protocols import ReportObservation
from hostmanager.drivers.process.ownership.discovery import Ownership
from hostmanager.drivers.process.thread_pools import WorkerPool
from hostmanager.util.guard import Guard

RESCAN_DELAY = 1.0
"""Seconds between two looks."""

HolderKnown = Callable[[ObservedRun, int | None], None]
"""Takes who holds the lock, and a pidfd of the leader, once that can be told."""

LockObservation = tuple[ObservedRun | None, int | None, str]


UNKNOWN_HOLDER: LockObservation = (
    ObservedRun(None, 0.0, ""),
    None,
    "It is not known whether it runs.",
)
"""Where a look was not possible: no descriptors left, say."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """One instance."""

    instance_id: str
    report: ReportObservation
    on_known: HolderKnown


class UnobservedInstances:
    """Watches the locks.

    Args:
        owner: Tells who holds them.
        workers: Threads that look things up.
        guard: Makes the calls that may fail.
        loop: For the time.
    """

    def __init__(
        self,
        owner: Ownership,
        workers: WorkerPool,
        guard: Guard,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._owner = owner
        self._workers = workers
        self._guard = guard
        self._loop = loop
        self.watched: set[str] = set()

    def watch(self, instance_id: str, report: ReportObservation, known: HolderKnown) -> None:
        """Report that the instance is out of sight, and `Gone` once its lock is free.

        Where the holder can be told after all, `known` is called instead.
        """
        self.watched.add(instance_id)
        self._observe(_Watched(instance_id, report, known))

    def _observe(self, watched: _Watched) -> None:
        instance_id = watched.instance_id
        self._workers.submit(
            f"{instance_id}: who holds its lock",
            partial(_observe_lock, self._owner, instance_id),
            partial(self._on_observed, watched),
            lambda _: self._on_observed(watched, UNKNOWN_HOLDER),
        )

    def _on_observed(self, watched: _Watched, look: LockObservation) -> None:
        found, pidfd, why = look
        watched.report(ObservationLost(why))
        if found is not None and found.pid is None and not found.other_pids:
            again = self._guard.callback(f"{watched.instance_id}: its lock", self._observe)
            self._loop.call_later(RESCAN_DELAY, again, watched)
            return
        self.watched.discard(watched.instance_id)
        if found is None:
            watched.report(Absent())
        else:
            watched.on_known(found, pidfd)


def _observe_lock(owner: Ownership, instance_id: str) -> LockObservation:
    found = owner.lock_holder(instance_id, sure=False)
    if found is None:
        return None, None, ""
    return found, owner.open_leader(instance_id, found), owner.describe_lock_holders(instance_id)
