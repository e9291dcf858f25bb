"""The supervisor of a host: one keeper per instance, and the requests that concern several.

It knows neither files nor processes nor the router. The site room tells it what there is,
people tell it what they want, drivers do what it asks, and the `Snapshot` shows the rest.
"""

from collections.abc import Callable, Iterable, Mapping
from random import Random

from hostmanager.core import events as ev
from hostmanager.core.controller import Keeper, Surroundings
from hostmanager.core.model import Found, InstanceSpec, Kind, Target
from hostmanager.core.policy import Policy
from hostmanager.core.protocols import Clock, Driver, guard_of
from hostmanager.core.record import Life
from hostmanager.core.requests import ALL, Request
from hostmanager.core.snapshot import Snapshot

NoteTaker = Callable[[str, ev.Note], None]
"""Takes an instance-id and something about it that a person wants to read."""


class Supervisor:
    """Keeps all instances of a host."""

    def __init__(
        self,
        drivers: Mapping[Kind, Driver],
        clock: Clock,
        policy: Policy,
        random: Random,
        note: NoteTaker,
    ) -> None:
        self.guard = guard_of(clock)
        self.snapshot = Snapshot(self.guard)
        self.clock = clock
        self.policy = policy
        self._keepers: dict[str, Keeper] = {}
        self._at_rest: list[Callable[[], None]] = []
        self._failing: dict[str, Life] = {}
        self._around = Surroundings(
            *(drivers, clock, policy, random, self._publish, note, self._failing, self.guard),
            keeper=self._keepers.get,
        )

    def known(self) -> dict[str, InstanceSpec]:
        """The instances that are here to stay, each as the site file had it last."""
        return {
            instance_id: life.pending or life.spec
            for instance_id, life in self.snapshot.items()
            if not life.retiring
        }

    def listed(self) -> dict[str, InstanceSpec]:
        """Those of the known instances that are in the site file; the others are passive."""
        return {i: spec for i, spec in self.known().items() if not spec.passive}

    def leaving(self) -> dict[str, str]:
        """The instances that are about to be forgotten, and a sentence for people."""
        return {
            instance_id: f"'{instance_id}' is no longer in the site config; it is being stopped."
            for instance_id, life in self.snapshot.items()
            if life.retiring
        }

    def add(
        self,
        spec: InstanceSpec,
        target: Target | None = None,
        found: Found | None = None,
        restart_of: str | None = None,
    ) -> None:
        """Track an instance, with that target, or with the one that its entry names.

        An instance of that id that is still alive (a retired one, say) ends first. What was
        `found` of it is taken over: it goes on running if that is wanted, else it is ended. If
        that is the run that an earlier manager was to restart, it is restarted.
        """
        keeper = self._keepers.get(spec.instance_id)
        if keeper is None and (found is not None or restart_of is not None):
            prepared = restart_of is not None and spec.kind is Kind.HOST
            wanted = target or spec.initial_target
            kept = restart_of if wanted is not Target.DOWN else None
            keeper = self._track(Life(spec, wanted, restart_of=kept, prepared=prepared))
            if found is not None:
                keeper.adopt(found)
            else:
                keeper.post(ev.Update(spec))
            return
        keeper = keeper or self._track(Life(spec, Target.DOWN))
        keeper.post(ev.Replace(spec, target))

    def adopt_unlisted(self, instance_id: str, found: Found) -> None:
        """Take over what runs but is not in the site file (any more): it ends, and is forgotten."""
        spec = InstanceSpec(instance_id, found.agent_class, initial_target=Target.DOWN)
        keeper = self._track(Life(spec, Target.DOWN, retiring=True))
        keeper.adopt(found)

    def _track(self, life: Life) -> Keeper:
        keeper = Keeper(life, self._around)
        self._keepers[life.spec.instance_id] = keeper
        return keeper

    def replace(self, spec: InstanceSpec, target: Target | None = None) -> None:
        """Put a new entry in the place of one with another class or kind, or a clean record."""
        self._keepers[spec.instance_id].post(ev.Replace(spec, target))

    def update(self, spec: InstanceSpec) -> None:
        """Take note of a changed entry; what runs is left alone."""
        self._keepers[spec.instance_id].post(ev.Update(spec))

    def retire(self, instance_id: str) -> None:
        """Have an instance down, then forgotten; what nobody manages is left as it is."""
        keeper = self._keepers[instance_id]
        if keeper.life.spec.passive:
            self.drop(instance_id)
        else:
            keeper.post(ev.Retire())

    def drop(self, instance_id: str) -> None:
        """Forget an instance at once, and leave what runs of it as it is."""
        keeper = self._keepers[instance_id]
        keeper.forsake()
        del self._keepers[instance_id]
        keeper.release()
        self._publish(instance_id, None)

    def carry_out(self, requests: Iterable[Request]) -> None:
        """Set the targets that were asked for, in order. They have been checked."""
        for request in requests:
            event = ev.WantUp() if request.target is Target.UP else ev.WantDown()
            for keeper in self._meant_by(request.instance_id):
                if request.target is Target.DOWN or not keeper.life.retiring:
                    keeper.post(event)

    def restart(self, instance_id: str) -> None:
        """Have an instance ended and launched anew, if it is one that is to run."""
        for keeper in self._meant_by(instance_id):
            keeper.post(ev.RestartRequested())

    def _meant_by(self, instance_id: str) -> list[Keeper]:
        if instance_id == ALL:
            return list(self._keepers.values())
        return [self._keepers[instance_id]] if instance_id in self._keepers else []

    def stop_all(self) -> None:
        """Want everything down but what nobody manages."""
        for keeper in list(self._keepers.values()):
            if not (keeper.life.pending or keeper.life.spec).passive:
                keeper.post(ev.WantDown())

    def forsake(self, kinds: Iterable[Kind] = tuple(Kind)) -> None:
        """Leave what is of these kinds as it is, for the next manager: nothing happens to it."""
        for instance_id, keeper in list(self._keepers.items()):
            life = keeper.life
            if life.spec.kind in kinds:
                keeper.forsake()
                self.snapshot.disregard(instance_id)
            elif life.pending is not None and life.pending.kind in kinds:
                keeper.post(ev.Retire())  # it ends; nothing is to take its place
        self._tell_if_at_rest()

    def hurry(self) -> None:
        """Use the next stronger means on everything that is being ended."""
        for keeper in list(self._keepers.values()):
            keeper.post(ev.Hurry())

    def when_at_rest(self, callback: Callable[[], None]) -> None:
        """Call once, when nothing is alive or about to be; at once if that is so already."""
        if self.snapshot.at_rest:
            callback()
        else:
            self._at_rest.append(callback)

    def _publish(self, instance_id: str, life: Life | None) -> None:
        if life is None:
            self._keepers.pop(instance_id, None)
        if life is not None and life.failing:
            self._failing[instance_id] = life
        else:
            self._failing.pop(instance_id, None)
        self.snapshot.set(instance_id, life)
        self._tell_if_at_rest()

    def _tell_if_at_rest(self) -> None:
        if self._at_rest and self.snapshot.at_rest:
            waiting, self._at_rest = self._at_rest, []
            for callback in waiting:
                self.guard.until_done("telling that all is at rest", callback)
