"""Restarts that operators requested: begun, kept in the state directory, and reported.

The intention itself is in the record of the instance (`restart_of`): which run has to end. Here it
is written to the state directory *before* anything is ended, and removed once the new run exists.
So whatever is killed in the middle, the next manager finds either the run that was to be
restarted, still alive, and restarts it; or another one, or none, and nothing is left to be done
but what it does anyway.

A service that runs the router itself is restarted last and alone: requests to the hosts of the
site go through it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from hostmanager.agent.targets.store import TargetStore
from hostmanager.core.record import ANY_RUN, InstanceRecord, State, restart_denial_reason
from hostmanager.core.supervisor import Supervisor

log = logging.getLogger(__name__)

SAVE_TIMEOUT = 1.0
"""Seconds that a restart waits until it is saved; a disk that hangs does not prevent it."""

PREPARE_TIMEOUT = 2.0
"""Seconds that a reply waits for images: by then, most registries have refused or delivered."""

ROUTER_NOTICE = 5.0
"""Seconds from the message until the router goes; all hosts have the request by then."""

OTHERS_TIMEOUT = 120.0
"""Seconds that the router's service waits for the restarts of others at most."""


@dataclass(frozen=True, slots=True)
class RestartOutcome:
    """The result of a request, for each instance.

    Attributes:
        restarting: Those that are being restarted, or will be without further ado.
        preparing: Those of them whose image is being pulled first.
        left: Those that are left as they are because they are not to run, and why.
        refused: Those that cannot be restarted, and why; they go on as they are.
        router: The one of `restarting` that runs the router.
        not_kept: Why a death of this manager would lose the request; empty if it would not. Clients
            get it by this name.
    """

    restarting: tuple[str, ...] = ()
    preparing: tuple[str, ...] = ()
    left: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    router: str | None = None
    not_kept: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """A sentence for each outcome."""
        at_once = [i for i in self.restarting if i not in self.preparing and i != self.router]
        lines = [f"Restarting: {', '.join(at_once)}."] if at_once else []
        if self.preparing:
            ids = ", ".join(self.preparing)
            lines.append(f"Restarting once the image is here, running until then: {ids}.")
        if self.router is not None:
            lines.append(
                f"{self.router} runs the router: it is restarted last, by itself, "
                f"{ROUTER_NOTICE:g} s after the others; no manager can be reached until it is back."
            )
        lines += [f"Not restarted: {i}: {why.rstrip('.')}." for i, why in self.refused.items()]
        lines += [f"Left as it is: {i}: {why.rstrip('.')}." for i, why in self.left.items()]
        return (*lines, self.not_kept) if self.not_kept else tuple(lines)


class RestartCoordinator:
    """Carries out requests to restart instances.

    Args:
        supervisor: Supervises all instances.
        target_store: Saves what operators requested.
        running: Whether the manager process runs.
        router: Returns the instance that runs the router, if one does.
        emit_message: Takes a sentence for operators.

    Attributes:
        waiting_router_id: The instance that runs the router, while it waits for the others.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        target_store: TargetStore,
        running: Callable[[], bool],
        router: Callable[[], Awaitable[str | None]],
        emit_message: Callable[[str], object],
    ) -> None:
        self._supervisor = supervisor
        self._snapshot = supervisor.snapshot
        self._target_store = target_store
        self._running = running
        self._router = router
        self._emit_message = emit_message
        self._being_saved: set[str] = set()  # not begun before they are on the disk
        self.waiting_router_id = ""
        self._changed = asyncio.Event()
        self._router_task: asyncio.Task[None] | None = None
        self._snapshot.subscribe(self._on_record_change)

    async def request(self, ids: Iterable[str]) -> RestartOutcome:
        """Have instances restarted; they have been checked to be known.

        Returns once they are on their way; an image that takes long to come is not waited for.
        """
        router = await self._router()
        chosen, left, refused = self._sort(ids)
        not_saved = await self._save(chosen)
        router = router if router in chosen else None
        others = [i for i in chosen if i != router]
        for instance_id in others:
            self._begin(instance_id)
        if router is not None:
            self._begin_router(router, others)
        await self._until(lambda: not any(map(self._is_preparing, chosen)), PREPARE_TIMEOUT)
        refused |= {i: why for i in others if (why := self._denial_reason(i)) is not None}
        restarting = tuple(i for i in chosen if i not in refused)
        preparing = tuple(i for i in restarting if self._is_preparing(i))
        return RestartOutcome(restarting, preparing, left, refused, router, not_saved)

    def _sort(self, ids: Iterable[str]) -> tuple[list[str], dict[str, str], dict[str, str]]:
        chosen: list[str] = []
        left: dict[str, str] = {}
        refused: dict[str, str] = {}
        for instance_id in ids:
            record = self._snapshot.get(instance_id)
            if record is None:
                left[instance_id] = "it is not managed here any more"
                continue
            reason = restart_denial_reason(record)
            if reason is None:
                chosen.append(instance_id)
            elif record.run.pid is not None and not record.must_stop:
                refused[instance_id] = reason  # it runs, and could not be started again
            else:
                left[instance_id] = reason
        return chosen, left, refused

    async def _save(self, ids: Iterable[str]) -> str:
        """Save which runs are to be ended, before any of them is."""
        runs = {i: self._snapshot[i].run.run_id or ANY_RUN for i in ids if self._may_run(i)}
        self._being_saved |= runs.keys()
        try:
            self._target_store.save_restarts(runs)
            return await self._target_store.flush(SAVE_TIMEOUT)
        finally:
            self._being_saved -= runs.keys()

    def _may_run(self, instance_id: str) -> bool:
        record = self._snapshot[instance_id]
        ended = record.state in (State.BACKOFF, State.GIVEN_UP)
        return not ended and record.request.restart_of is None

    def _begin(self, instance_id: str) -> None:
        if self._running():
            self._supervisor.restart(instance_id)
        self._on_record_change(instance_id, self._snapshot.get(instance_id))

    # --- the router ---------------------------------------------------------------------------

    def _begin_router(self, instance_id: str, others: list[str]) -> None:
        if self._router_task is None or self._router_task.done():
            self.waiting_router_id = instance_id  # its entry on the disk stays until it has begun
            run_id = self._snapshot[instance_id].run.run_id if instance_id in self._snapshot else ""
            restart = self._restart_router(instance_id, run_id, others)
            self._router_task = asyncio.ensure_future(restart)

    async def _restart_router(self, instance_id: str, run_id: str, others: list[str]) -> None:
        try:
            await self._until(lambda: not any(map(self._is_restarting, others)), OTHERS_TIMEOUT)
            self._emit_message(
                f"{instance_id}: it runs the router, and is restarted in {ROUTER_NOTICE:g} s; "
                "no manager can be reached until it is back"
            )
            over, clock = asyncio.Event(), self._supervisor.clock
            clock.call_at(clock.now().monotonic + ROUTER_NOTICE, over.set)
            await over.wait()
        finally:
            self.waiting_router_id = ""
        record = self._snapshot.get(instance_id)
        if record is not None and run_id and record.run.run_id not in ("", run_id):
            self._on_record_change(instance_id, record)  # it has ended meanwhile: a new run
        else:
            self._begin(instance_id)

    # --- what follows ---------------------------------------------------------------------------

    async def _until(self, condition: Callable[[], bool], max_seconds: float) -> None:
        """Wait until a condition of the instances holds; not for ever."""
        try:
            async with asyncio.timeout(max_seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            log.debug("restart: not within %g s", max_seconds)

    def _is_restarting(self, instance_id: str) -> bool:
        record = self._snapshot.get(instance_id)
        return record is not None and record.request.restart_of is not None

    def _is_preparing(self, instance_id: str) -> bool:
        record = self._snapshot.get(instance_id)
        return record is not None and record.needs_preparation

    def _denial_reason(self, instance_id: str) -> str | None:
        record = self._snapshot.get(instance_id)
        return None if record is None else record.request.restart_denied

    def _on_record_change(self, instance_id: str, record: InstanceRecord | None) -> None:
        """Keep the file in line with the record; what is to outlive this manager stays in it."""
        self._changed.set()
        if not self._running() or instance_id in (self.waiting_router_id, *self._being_saved):
            return
        if record is None or record.request.restart_of is None:
            self._target_store.remove_restart(instance_id)
        elif record.request.restart_of:  # else the new run is to come, and the old one is known
            self._target_store.save_restarts({instance_id: record.request.restart_of})
