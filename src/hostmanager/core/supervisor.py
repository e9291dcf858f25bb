"""The supervisor of a host: one keeper per instance, and the requests that concern several.

It knows neither files nor processes nor the router. The site room tells it what there is,
people tell it what they want, drivers do what it asks, and the `Snapshot` shows the rest.
"""

from collections.abc import Callable, Iterable, Mapping
from random import Random

from hostmanager.core import events as ev
from hostmanager.core.controller import ControllerDeps, InstanceController
from hostmanager.core.model import InstanceSpec, Kind, ObservedRun, Target
from hostmanager.core.policy import Policy
from hostmanager.core.protocols import Clock, Driver, guard_of
from hostmanager.core.record import ChangeRequest, InstanceRecord
from hostmanager.core.requests import ALL, Request
from hostmanager.core.snapshot import Snapshot

MessageSink = Callable[[str, ev.OperatorMessage], None]
"""Takes an instance-id and something about it that a person wants to read."""


class Supervisor:
    """Keeps all instances of a host."""

    def __init__(
        self,
        drivers: Mapping[Kind, Driver],
        clock: Clock,
        policy: Policy,
        random: Random,
        note: MessageSink,
    ) -> None:
        self.guard = guard_of(clock)
        self.snapshot = Snapshot(self.guard)
        self.clock = clock
        self.policy = policy
        self._controllers: dict[str, InstanceController] = {}
        self._idle_callbacks: list[Callable[[], None]] = []
        self._failing: dict[str, InstanceRecord] = {}
        self._deps = ControllerDeps(
            *(drivers, clock, policy, random, self._publish, note, self._failing, self.guard),
            find_controller=self._controllers.get,
        )

    def specs(self) -> dict[str, InstanceSpec]:
        """The instances that are here to stay, each as the site file had it last."""
        return {
            instance_id: life.request.replacement or life.spec
            for instance_id, life in self.snapshot.items()
            if not life.request.removing
        }

    def configured_specs(self) -> dict[str, InstanceSpec]:
        """Those of the known instances that are in the site file; the others are passive."""
        return {i: spec for i, spec in self.specs().items() if not spec.is_unmanaged}

    def removing(self) -> dict[str, str]:
        """The instances that are about to be forgotten, and a sentence for people."""
        return {
            instance_id: f"'{instance_id}' is no longer in the site config; it is being stopped."
            for instance_id, life in self.snapshot.items()
            if life.request.removing
        }

    def add(
        self,
        spec: InstanceSpec,
        target: Target | None = None,
        found: ObservedRun | None = None,
        restart_of: str | None = None,
    ) -> None:
        """Track an instance, with that target, or with the one that its entry names.

        An instance of that id that is still alive (a retired one, say) ends first. What was
        `found` of it is taken over: it goes on running if that is wanted, else it is ended. If
        that is the run that an earlier manager was to restart, it is restarted.
        """
        keeper = self._controllers.get(spec.instance_id)
        if keeper is None and (found is not None or restart_of is not None):
            prepared = restart_of is not None and spec.kind is Kind.HOST
            wanted = target or spec.initial_target
            kept = restart_of if wanted is not Target.DOWN else None
            request = ChangeRequest(restart_of=kept, prepared=prepared)
            keeper = self._track(InstanceRecord(spec, wanted, request=request))
            if found is not None:
                keeper.adopt(found)
            else:
                keeper.submit(ev.SpecChanged(spec))
            return
        keeper = keeper or self._track(InstanceRecord(spec, Target.DOWN))
        keeper.submit(ev.SpecReplaced(spec, target))

    def adopt_unlisted(self, instance_id: str, found: ObservedRun) -> None:
        """Take over what runs but is not in the site file (any more): it ends, and is forgotten."""
        spec = InstanceSpec(instance_id, found.agent_class, initial_target=Target.DOWN)
        keeper = self._track(
            InstanceRecord(spec, Target.DOWN, request=ChangeRequest(removing=True))
        )
        keeper.adopt(found)

    def _track(self, life: InstanceRecord) -> InstanceController:
        keeper = InstanceController(life, self._deps)
        self._controllers[life.spec.instance_id] = keeper
        return keeper

    def replace(self, spec: InstanceSpec, target: Target | None = None) -> None:
        """Put a new entry in the place of one with another class or kind, or a clean record."""
        self._controllers[spec.instance_id].submit(ev.SpecReplaced(spec, target))

    def update(self, spec: InstanceSpec) -> None:
        """Take note of a changed entry; what runs is left alone."""
        self._controllers[spec.instance_id].submit(ev.SpecChanged(spec))

    def remove(self, instance_id: str) -> None:
        """Have an instance down, then forgotten; what nobody manages is left as it is."""
        keeper = self._controllers[instance_id]
        if keeper.record.spec.is_unmanaged:
            self.remove_now(instance_id)
        else:
            keeper.submit(ev.Unconfigured())

    def remove_now(self, instance_id: str) -> None:
        """Forget an instance at once, and leave what runs of it as it is."""
        keeper = self._controllers[instance_id]
        keeper.abandon()
        del self._controllers[instance_id]
        keeper.detach_driver()
        self._publish(instance_id, None)

    def apply_requests(self, requests: Iterable[Request]) -> None:
        """Set the targets that were asked for, in order. They have been checked."""
        for request in requests:
            event = ev.StartRequested() if request.target is Target.UP else ev.StopRequested()
            for keeper in self._select(request.instance_id):
                if request.target is Target.DOWN or not keeper.record.request.removing:
                    keeper.submit(event)

    def restart(self, instance_id: str) -> None:
        """Have an instance ended and launched anew, if it is one that is to run."""
        for keeper in self._select(instance_id):
            keeper.submit(ev.RestartRequested())

    def _select(self, instance_id: str) -> list[InstanceController]:
        if instance_id == ALL:
            return list(self._controllers.values())
        return [self._controllers[instance_id]] if instance_id in self._controllers else []

    def stop_all(self) -> None:
        """Want everything down but what nobody manages."""
        for keeper in list(self._controllers.values()):
            if not (keeper.record.request.replacement or keeper.record.spec).is_unmanaged:
                keeper.submit(ev.StopRequested())

    def abandon(self, kinds: Iterable[Kind] = tuple(Kind)) -> None:
        """Leave what is of these kinds as it is, for the next manager: nothing happens to it."""
        for instance_id, keeper in list(self._controllers.items()):
            life = keeper.record
            if life.spec.kind in kinds:
                keeper.abandon()
                self.snapshot.exclude(instance_id)
            elif life.request.replacement is not None and life.request.replacement.kind in kinds:
                keeper.submit(ev.Unconfigured())  # it ends; nothing is to take its place
        self._report_if_idle()

    def escalate(self) -> None:
        """Use the next stronger means on everything that is being ended."""
        for keeper in list(self._controllers.values()):
            keeper.submit(ev.Escalate())

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call once, when nothing is alive or about to be; at once if that is so already."""
        if self.snapshot.is_idle:
            callback()
        else:
            self._idle_callbacks.append(callback)

    def _publish(self, instance_id: str, life: InstanceRecord | None) -> None:
        if life is None:
            self._controllers.pop(instance_id, None)
        if life is not None and life.failing:
            self._failing[instance_id] = life
        else:
            self._failing.pop(instance_id, None)
        self.snapshot.put(instance_id, life)
        self._report_if_idle()

    def _report_if_idle(self) -> None:
        if self._idle_callbacks and self.snapshot.is_idle:
            waiting, self._idle_callbacks = self._idle_callbacks, []
            for callback in waiting:
                self.guard.retry_until_done("telling that all is at rest", callback)
