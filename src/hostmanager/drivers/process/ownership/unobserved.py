"""Instances whose lock has an unknown holder: checked periodically until that is over.

The holder may be of another user (an agent that was started with `sudo`), of another container
that shares the state directory, or just forked by a manager that is dead. Whatever it is, it
inherited the lock, so something of the instance is alive: nothing may be launched beside it.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from hostmanager.core.events import Absent, ObservationLost
from hostmanager.core.model import ObservedRun
from hostmanager.core.protocols import ReportObservation
from hostmanager.drivers.process.ownership.discovery import Ownership
from hostmanager.drivers.process.thread_pools import WorkerPool
from hostmanager.util.guard import Guard

RESCAN_DELAY = 1.0
"""Seconds between two checks."""

HolderKnown = Callable[[ObservedRun, int | None], None]
"""Takes the run that holds the lock, and a pidfd of its leader, once they are known."""

LockObservation = tuple[ObservedRun | None, int | None, str]


UNKNOWN_HOLDER: LockObservation = (
    ObservedRun(None, 0.0, ""),
    None,
    "It is not known whether it runs.",
)
"""Where a check was not possible, for lack of file descriptors, say."""


class UnobservedInstances:
    """Checks the locks.

    Args:
        ownership: Knows their holders.
        workers: Threads for the checks.
        guard: Makes the calls that may fail.
        loop: Schedules the checks.
    """

    def __init__(
        self,
        ownership: Ownership,
        workers: WorkerPool,
        guard: Guard,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._ownership = ownership
        self._workers = workers
        self._guard = guard
        self._loop = loop
        self.watched: set[str] = set()

    def watch(self, instance_id: str, report: ReportObservation, on_known: HolderKnown) -> None:
        """Report `ObservationLost`, and `Absent` once the lock is free.

        If the holder becomes known, `on_known` is called instead.
        """
        self.watched.add(instance_id)

        def on_observed(observation: LockObservation) -> None:
            observed_run, pidfd, reason = observation
            report(ObservationLost(reason))
            if observed_run is not None and not (observed_run.pid or observed_run.other_pids):
                check_again = self._guard.callback(f"{instance_id}: its lock", self.watch)
                self._loop.call_later(RESCAN_DELAY, check_again, instance_id, report, on_known)
                return
            self.watched.discard(instance_id)
            if observed_run is None:
                report(Absent())
            else:
                on_known(observed_run, pidfd)

        self._workers.submit(
            f"{instance_id}: who holds its lock",
            partial(_observe_lock, self._ownership, instance_id),
            on_observed,
            lambda _: on_observed(UNKNOWN_HOLDER),
        )


def _observe_lock(ownership: Ownership, instance_id: str) -> LockObservation:
    observed_run = ownership.lock_holder(instance_id, only_tagged=False)
    if observed_run is None:
        return None, None, ""
    pidfd = ownership.open_leader(instance_id, observed_run)
    return observed_run, pidfd, ownership.describe_lock_holders(instance_id)
