"""The supervisor of a host: one controller per instance, and requests for several of them.

It knows neither files nor processes nor the router. It gets specs from the site config, requests
from operators and observations from drivers; the `Snapshot` has the result.
"""

from collections.abc import Callable, Iterable, Mapping
from random import Random

from hostmanager.core import events as ev
from hostmanager.core.controller import ControllerDeps, InstanceController
from hostmanager.core.model import InstanceSpec, Kind, ObservedRun, Target
from hostmanager.core.policy import Policy
from hostmanager.core.protocols import Clock, Driver, guard_of
from hostmanager.core.record import ChangeRequest, Completion, InstanceRecord
from hostmanager.core.requests import ALL, Request
from hostmanager.core.snapshot import Snapshot
from hostmanager.core.start_order import StartGate
from hostmanager.core.stop_order import StopGate

MessageSink = Callable[[str, ev.OperatorMessage], None]
"""Takes an instance-id and a message for operators."""


class Supervisor:
    """Keeps all instances of a host in the requested states."""

    def __init__(
        self,
        drivers: Mapping[Kind, Driver],
        clock: Clock,
        policy: Policy,
        random: Random,
        emit_message: MessageSink,
    ) -> None:
        self.guard = guard_of(clock)
        self.snapshot = Snapshot(self.guard)
        self.clock = clock
        self.policy = policy
        self.start_gate = StartGate(
            self.snapshot,
            clock,
            self.guard,
            lambda instance_id, text: emit_message(instance_id, ev.OperatorMessage(text)),
        )
        self._controllers: dict[str, InstanceController] = {}
        self.stop_gate = StopGate(self.snapshot, clock, self.guard, self._release_stop)
        self._idle_callbacks: list[Callable[[], None]] = []
        self._failing: dict[str, InstanceRecord] = {}
        self._deps = ControllerDeps(
            drivers,
            clock,
            policy,
            random,
            self._publish,
            emit_message,
            self._failing,
            self.guard,
            find_controller=self._controllers.get,
            start_gate=self.start_gate,
        )

    def specs(self) -> dict[str, InstanceSpec]:
        """The latest spec of each instance that is not being removed."""
        return {
            instance_id: record.request.replacement or record.spec
            for instance_id, record in self.snapshot.items()
            if not record.request.removing
        }

    def configured_specs(self) -> dict[str, InstanceSpec]:
        """The specs that are in the site config; the other instances are passive."""
        return {i: spec for i, spec in self.specs().items() if not spec.is_unmanaged}

    def removing(self) -> dict[str, str]:
        """The instances that are being removed, each with a sentence for operators."""
        return {
            instance_id: f"'{instance_id}' is no longer in the site config; it is being stopped."
            for instance_id, record in self.snapshot.items()
            if record.request.removing
        }

    def add(
        self,
        spec: InstanceSpec,
        target: Target | None = None,
        observed_run: ObservedRun | None = None,
        restart_of: str | None = None,
        completion: Completion | None = None,
    ) -> None:
        """Track an instance.

        An instance of that id that is still alive (one that is being removed, say) ends first.

        Args:
            spec: Its spec.
            target: The requested target; None: the default of the spec.
            observed_run: A run of it that an earlier manager launched: it is adopted, and
                stopped unless the target is up.
            restart_of: The run that an earlier manager had to restart: it is restarted.
            completion: That it is done, if it is a one-shot: it is not started then, unless its
                target is up.
        """
        controller = self._controllers.get(spec.instance_id)
        if controller is None and (observed_run is not None or restart_of is not None):
            prepared = restart_of is not None and spec.kind is Kind.HOST
            target = target or spec.default_target
            kept = restart_of if target is not Target.DOWN else None
            request = ChangeRequest(restart_of=kept, prepared=prepared)
            controller = self._track(InstanceRecord(spec, target, request=request))
            if observed_run is not None:
                controller.adopt(observed_run)
            else:
                controller.submit(ev.SpecChanged(spec))
            return
        if completion is not None and target is None and not spec.is_passive:
            target = Target.DOWN
        if controller is None:
            controller = self._track(InstanceRecord(spec, Target.DOWN, completion=completion))
        controller.submit(ev.SpecReplaced(spec, target))

    def adopt_unlisted(self, instance_id: str, observed_run: ObservedRun) -> None:
        """Adopt a run that has no entry in the site config: stop it, then remove the instance."""
        spec = InstanceSpec(instance_id, observed_run.agent_class, initial_target=Target.DOWN)
        controller = self._track(
            InstanceRecord(spec, Target.DOWN, request=ChangeRequest(removing=True))
        )
        controller.adopt(observed_run)

    def _track(self, record: InstanceRecord) -> InstanceController:
        controller = InstanceController(record, self._deps)
        self._controllers[record.spec.instance_id] = controller
        return controller

    def replace(self, spec: InstanceSpec, target: Target | None = None) -> None:
        """Replace an instance whose class or kind changed, or whose record should be reset."""
        self._controllers[spec.instance_id].submit(ev.SpecReplaced(spec, target))

    def update(self, spec: InstanceSpec) -> None:
        """Record a changed spec; a current run goes on, with those of its settings that it can have."""
        self._controllers[spec.instance_id].update_spec(spec)

    def remove(self, instance_id: str) -> None:
        """Stop an instance, then remove it; a service that is left alone is not stopped."""
        controller = self._controllers[instance_id]
        if controller.record.spec.is_left_running:
            self.remove_now(instance_id)
        else:
            controller.submit(ev.Unconfigured())

    def remove_now(self, instance_id: str) -> None:
        """Remove an instance at once, and leave a current run alone."""
        controller = self._controllers[instance_id]
        controller.abandon()
        del self._controllers[instance_id]
        controller.detach_driver()
        self._publish(instance_id, None)

    def apply_requests(self, requests: Iterable[Request]) -> None:
        """Set the requested targets, in order. The requests are valid.

        A one-shot that is done is as it should be for "all up"; by its name it is run again.
        """
        named = self.stop_gate.named()
        for request in requests:
            for controller in self._select(request.instance_id):
                record, in_order = controller.record, controller.instance_id in named
                is_up = request.target is Target.UP
                event = ev.StartRequested() if is_up else ev.StopRequested(in_order)
                if is_up and (
                    record.request.removing
                    or (record.completion is not None and request.instance_id == ALL)
                ):
                    continue
                controller.submit(event)

    def restart(self, instance_id: str) -> None:
        """Stop and launch an instance, if it should run."""
        in_order = instance_id in self.stop_gate.named()
        for controller in self._select(instance_id):
            controller.submit(ev.RestartRequested(in_order))

    def _release_stop(self, instance_id: str) -> None:
        for controller in self._select(instance_id):
            controller.submit(ev.StopReleased())

    def _select(self, instance_id: str) -> list[InstanceController]:
        if instance_id == ALL:
            return list(self._controllers.values())
        return [self._controllers[instance_id]] if instance_id in self._controllers else []

    def stop_all(self) -> None:
        """Request all instances down but what is left alone, and one-shots that are done.

        All at the same time: the end of a manager waits for no order.
        """
        for controller in list(self._controllers.values()):
            record = controller.record
            spec = record.request.replacement or record.spec
            if not spec.is_left_running and record.completion is None:
                controller.submit(ev.StopRequested())

    def abandon(self, kinds: Iterable[Kind] = tuple(Kind)) -> None:
        """Leave the instances of these kinds alone, for the next manager."""
        for instance_id, controller in list(self._controllers.items()):
            record = controller.record
            if record.spec.kind in kinds:
                controller.abandon()
                self.snapshot.exclude(instance_id)
            elif (
                record.request.replacement is not None and record.request.replacement.kind in kinds
            ):
                controller.submit(ev.Unconfigured())  # it ends; its replacement is not launched
        self._report_if_idle()

    def escalate(self) -> None:
        """Go to the next stop stage for each instance that is being stopped."""
        for controller in list(self._controllers.values()):
            controller.submit(ev.Escalate())

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call once, when nothing is alive or being launched; now if that is so already."""
        if self.snapshot.is_idle:
            callback()
        else:
            self._idle_callbacks.append(callback)

    def _publish(self, instance_id: str, record: InstanceRecord | None) -> None:
        if record is None:
            self._controllers.pop(instance_id, None)
        if record is not None and record.failing:
            self._failing[instance_id] = record
        else:
            self._failing.pop(instance_id, None)
        self.snapshot.put(instance_id, record)
        self.stop_gate.changed(instance_id, record)
        self.start_gate.changed()  # after all listeners: one of them follows the health
        self._report_if_idle()

    def _report_if_idle(self) -> None:
        if self._idle_callbacks and self.snapshot.is_idle:
            callbacks, self._idle_callbacks = self._idle_callbacks, []
            for callback in callbacks:
                self.guard.retry_until_done("an idle callback", callback)
