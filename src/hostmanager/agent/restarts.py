"""Restarts that operators requested: begun, kept in the state directory, and answered for.

The intention itself is in the record of the instance (`core.life`, `restart_of`): which run has to
end. Here it is written to the state directory *before* anything is ended, and taken out of it once
the new run exists. So whatever is killed in the middle, the next manager finds either the run that
was to be restarted, still alive, and restarts it; or another one, or none, and nothing is left to
be done but what it does anyway.

A service that runs the router itself is restarted last and alone: what is asked of the hosts of
the site goes through it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from hostmanager.agent.target_store import TargetStore
from hostmanager.core.record import ANY_RUN, InstanceRecord, State, restart_denial_reason
from hostmanager.core.supervisor import Supervisor

log = logging.getLogger(__name__)

KEEPING = 1.0
"""Seconds that a restart waits until it is kept; a disk that hangs does not hinder it."""

PREPARING = 2.0
"""Seconds that an answer waits for images: by then, most registries have refused or delivered."""

ROUTER_NOTICE = 5.0
"""Seconds from the word of warning until the router goes; all hosts have been told by then."""

OTHERS_TIME = 120.0
"""Seconds that the router's service waits for the restarts of others at most."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request, for each instance.

    Attributes:
        restarting: Those that are being restarted, or will be without further ado.
        preparing: Those of them whose image is being pulled first.
        left: Those that are left as they are because they are not to run, and why.
        refused: Those that cannot be restarted, and why; they go on as they are.
        router: The one of `restarting` that runs the router.
        not_kept: Why a death of this manager would lose the request; empty if it would not.
    """

    restarting: tuple[str, ...] = ()
    preparing: tuple[str, ...] = ()
    left: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    router: str | None = None
    not_kept: str = ""

    def as_data(self) -> dict[str, Any]:
        """As clients get it."""
        return {
            "restarting": list(self.restarting),
            "preparing": list(self.preparing),
            "left": self.left,
            "refused": self.refused,
            "router": self.router,
            "not_kept": self.not_kept,
        }

    @property
    def lines(self) -> tuple[str, ...]:
        """A sentence for each outcome."""
        at_once = [i for i in self.restarting if i not in self.preparing and i != self.router]
        lines = [f"Restarting: {', '.join(at_once)}."] if at_once else []
        if self.preparing:
            which = ", ".join(self.preparing)
            lines.append(f"Restarting once the image is here, going on until then: {which}.")
        if self.router is not None:
            lines.append(
                f"{self.router} runs the router: it is restarted last, by itself, "
                f"{ROUTER_NOTICE:g} s after the others; nobody can be asked until it is back."
            )
        lines += [f"Not restarted: {i}: {_ended(why)}" for i, why in self.refused.items()]
        lines += [f"Left as it is: {i}: {_ended(why)}" for i, why in self.left.items()]
        return (*lines, self.not_kept) if self.not_kept else tuple(lines)


def _ended(text: str) -> str:
    return f"{text.rstrip('.')}."


class Restarts:
    """Carries out requests to restart instances.

    Args:
        supervisor: Keeps all instances.
        wanted: Keeps what operators requested.
        running: Whether the manager process runs.
        router: Tells which instance runs the router, if one does.
        say: Takes what people want to read.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        wanted: TargetStore,
        running: Callable[[], bool],
        router: Callable[[], Awaitable[str | None]],
        say: Say,
    ) -> None:
        self._supervisor = supervisor
        self._snapshot = supervisor.snapshot
        self._wanted = wanted
        self._running = running
        self._router = router
        self._say = say
        self._being_kept: set[str] = set()  # on their way to the disk, and not begun before
        self.last = ""  # the instance that waits for the others, since it runs the router
        self._changed = asyncio.Event()
        self._last: asyncio.Task[None] | None = None
        self._snapshot.subscribe(self._noticed)

    async def request(self, ids: Iterable[str]) -> Outcome:
        """Have instances restarted; they have been checked to be known.

        Returns once they are on their way; an image that takes long to come is not waited for.
        """
        router = await self._router()
        chosen, left, refused = self._sort(ids)
        not_kept = await self._keep(chosen)
        late = router if router in chosen else None
        for instance_id in chosen:
            if instance_id != late:
                self._begin(instance_id)
        if late is not None:
            self._begin_last(late, chosen)
        await self._prepared(chosen)
        begun = [i for i in chosen if i != late]
        refused |= {i: why for i in begun if (why := self._refusal(i)) is not None}
        going = tuple(i for i in chosen if i not in refused)
        preparing = tuple(i for i in going if self._is_preparing(i))
        return Outcome(going, preparing, left, refused, late, not_kept)

    def _sort(self, ids: Iterable[str]) -> tuple[list[str], dict[str, str], dict[str, str]]:
        chosen: list[str] = []
        left: dict[str, str] = {}
        refused: dict[str, str] = {}
        for instance_id in ids:
            life = self._snapshot.get(instance_id)
            if life is None:
                left[instance_id] = "it is not managed here any more"
                continue
            why = restart_denial_reason(life)
            if why is None:
                chosen.append(instance_id)
            elif life.run.pid is not None and not life.must_stop:
                refused[instance_id] = why  # it runs, and could not be started again
            else:
                left[instance_id] = why
        return chosen, left, refused

    async def _keep(self, ids: Iterable[str]) -> str:
        """Write down which runs are to be ended, before any of them is."""
        runs = {i: self._snapshot[i].run.run_id or ANY_RUN for i in ids if self._may_run(i)}
        self._being_kept |= runs.keys()
        try:
            self._wanted.keep_restarts(runs)
            return await self._wanted.flush(KEEPING)
        finally:
            self._being_kept -= runs.keys()

    def _may_run(self, instance_id: str) -> bool:
        life = self._snapshot[instance_id]
        return life.state is not State.BACKOFF and life.request.restart_of is None

    def _begin(self, instance_id: str) -> None:
        if self._running():
            self._supervisor.restart(instance_id)
        self._noticed(instance_id, self._snapshot.get(instance_id))

    # --- the router ---------------------------------------------------------------------------

    def _begin_last(self, instance_id: str, chosen: Iterable[str]) -> None:
        if self._last is None or self._last.done():
            others = [i for i in chosen if i != instance_id]
            self.last = instance_id  # what is on the disk stays until it has begun
            run = self._snapshot[instance_id].run.run_id if instance_id in self._snapshot else ""
            restart = self._restart_router(instance_id, run, others)
            self._last = asyncio.ensure_future(restart)

    async def _restart_router(self, instance_id: str, run: str, others: list[str]) -> None:
        try:
            await self._until(lambda: not any(map(self._is_restarting, others)), OTHERS_TIME)
            self._say(
                f"{instance_id}: it runs the router, and is restarted in {ROUTER_NOTICE:g} s; "
                "nobody can be asked until it is back"
            )
            await asyncio.sleep(ROUTER_NOTICE)
        finally:
            self.last = ""
        life = self._snapshot.get(instance_id)
        if life is not None and run and life.run.run_id not in ("", run):
            self._noticed(instance_id, life)  # it was ended meanwhile, and this is a new run
        else:
            self._begin(instance_id)

    # --- what comes of it -----------------------------------------------------------------------

    async def _prepared(self, ids: list[str]) -> None:
        await self._until(lambda: not any(map(self._is_preparing, ids)), PREPARING)

    async def _until(self, is_so: Callable[[], bool], limit: float) -> None:
        """Wait until something is so of the instances; not for ever."""
        try:
            async with asyncio.timeout(limit):
                while not is_so():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            log.debug("restart: not within %g s", limit)

    def _is_restarting(self, instance_id: str) -> bool:
        life = self._snapshot.get(instance_id)
        return life is not None and life.request.restart_of is not None

    def _is_preparing(self, instance_id: str) -> bool:
        life = self._snapshot.get(instance_id)
        return life is not None and life.needs_preparation

    def _refusal(self, instance_id: str) -> str | None:
        life = self._snapshot.get(instance_id)
        return None if life is None else life.request.restart_denied

    def _noticed(self, instance_id: str, life: InstanceRecord | None) -> None:
        """Keep the file in line with the record; what is to be kept over our end stays in it."""
        self._changed.set()
        if not self._running() or instance_id in (self.last, *self._being_kept):
            return
        if life is None or life.request.restart_of is None:
            self._wanted.drop_restart(instance_id)
        elif life.request.restart_of:  # else the old run is known, and the new one is to come
            self._wanted.keep_restarts({instance_id: life.request.restart_of})
