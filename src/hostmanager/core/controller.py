"""The controller of one instance: queues its events and carries out what follows.

Each instance has its own controller, so a slow or broken instance never delays another. Events
are handled strictly one after another, also when a driver reports from within a call.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random

from hostmanager.core import events as ev
from hostmanager.core.model import InstanceSpec, Kind, ObservedRun
from hostmanager.core.policy import Policy
from hostmanager.core.protocols import Clock, Driver, ReportObservation, Timer
from hostmanager.core.record import InstanceRecord, State
from hostmanager.core.start_order import StartGate
from hostmanager.core.transitions.table import step
from hostmanager.util.guard import Guard

log = logging.getLogger(__name__)

LATE_TIMER = 0.5
"""Seconds; a timer later than this shows that the loop was busy or the host frozen."""

LOOP_TURN_GRACE = 0.05
"""Seconds that the loop is then given to deliver what happened."""

MAX_UNHANDLED = 100
"""Events whose handling failed and is retried."""


@dataclass(frozen=True, slots=True)
class ControllerDeps:
    """What all controllers of a supervisor share.

    Attributes:
        drivers: One for each kind of instance.
        clock: Time.
        policy: The rules in numbers.
        random: Source of the jitter; seeded in simulations.
        publish: Takes the record after each change; None once the instance is removed.
        emit_message: Takes messages for operators, with the instance-id.
        failing: The failing instances, by instance-id, as they are now.
        guard: Makes every call that may fail.
        find_controller: The controller of an instance, or None.
        start_gate: Holds launches back until others are ready.
    """

    drivers: Mapping[Kind, Driver]
    clock: Clock
    policy: Policy
    random: Random
    publish: Callable[[str, InstanceRecord | None], None]
    emit_message: Callable[[str, ev.OperatorMessage], None]
    failing: Mapping[str, InstanceRecord]
    guard: Guard
    find_controller: Callable[[str], "InstanceController | None"]
    start_gate: StartGate


class InstanceController:
    """Keeps one instance in the requested state."""

    __slots__ = (
        "_busy",
        "_deps",
        "_exited_run",
        "_queue",
        "_removed",
        "_run",
        "_timer",
        "_unhandled",
        "instance_id",
        "record",
    )

    def __init__(self, record: InstanceRecord, deps: ControllerDeps) -> None:
        self.instance_id = record.spec.instance_id
        self.record = record
        self._deps = deps
        self._queue: deque[ev.Event] = deque()
        self._unhandled: deque[ev.Event] = deque(maxlen=MAX_UNHANDLED)
        self._busy = False
        self._removed = False
        self._timer: Timer | None = None
        self._run = 0  # launches so far: a report of an earlier one is stale
        self._exited_run = 0  # the one of `record.last_exit`
        self._publish()

    def submit(self, event: ev.Event) -> None:
        """Handle an event now, or after those before it."""
        if self._removed:
            return  # a late report must not bring a removed instance back
        self._queue.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._queue:
                self._handle(self._queue.popleft())
        finally:
            self._busy = False

    def update_spec(self, spec: InstanceSpec) -> None:
        """Record a changed spec, and tell the driver of it."""
        self.submit(ev.SpecChanged(spec))
        name = f"{self.instance_id}: its settings"
        self._deps.guard.call(name, lambda: self._driver.update_spec(spec))

    def adopt(self, observed_run: ObservedRun) -> None:
        """Adopt what an earlier manager launched, instead of launching it."""
        report = self._next_run()
        self._call_observer(
            "its adoption", lambda: self._driver.adopt(self.record.spec, observed_run, report)
        )

    @property
    def _driver(self) -> Driver:
        return self._deps.drivers[self.record.spec.kind]

    def detach_driver(self) -> None:
        """Stop its driver from reporting."""
        self._release(self._driver, lambda: self._deps.find_controller(self.instance_id) is None)

    def abandon(self) -> None:
        """Do nothing from now on, whatever happens."""
        self._removed = True
        self._queue.clear()
        self._deps.start_gate.cancel(self.instance_id)
        self._guard("its timer", partial(self._set_timer, None))

    # --- calls that may fail: each by the same guard ----------------------------------------

    def _guard(
        self,
        name: str,
        function: Callable[[], object],
        is_needed: Callable[[], bool] = lambda: True,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        full_name = f"{self.instance_id}: {name}"
        self._deps.guard.retry_until_done(full_name, function, is_needed, on_error)

    def _call_observer(self, name: str, function: Callable[[], object]) -> None:
        """Make a call that its driver answers by its state; nothing is decided before that."""
        run = self._run

        def report_error(error: Exception) -> None:
            reason = f"It is not known whether it runs: {type(error).__name__}: {error}."
            self.submit(ev.ObservationLost(reason))

        self._guard(name, function, lambda: run == self._run and not self._removed, report_error)

    def _release(self, driver: Driver, is_needed: Callable[[], bool]) -> None:
        self._guard("its release", partial(driver.release, self.instance_id), is_needed)

    def _publish(self) -> None:
        def publish() -> None:  # a retry publishes what is known then
            record = None if self._removed else self.record
            self._deps.publish(self.instance_id, record)

        find_controller = self._deps.find_controller
        self._guard(
            "its publication", publish, lambda: find_controller(self.instance_id) in (None, self)
        )

    # --- events -----------------------------------------------------------------------------

    def _handle(self, event: ev.Event) -> None:
        before = self.record
        effects: list[ev.Effect] = []
        name = f"{self.instance_id}: an event"
        if not self._deps.guard.call(name, lambda: effects.extend(self._step(event))):
            self._unhandled.append(event)
            self._deps.guard.schedule(name, self._retry_unhandled)
            return
        if self.record.deadline != before.deadline or self._timer is None:
            self._guard("its timer", lambda: self._set_timer(self.record.deadline))
        if self.record is not before:
            self._publish()
        kind = before.spec.kind
        if self.record.spec.kind is not kind:
            driver = self._deps.drivers[kind]
            self._release(driver, lambda: self.record.spec.kind is not kind)
        for effect in effects:
            self._apply(effect)
        if self.record.state is not State.STARTING:
            self._deps.start_gate.cancel(self.instance_id)  # others have started it, say
        elif self.record.must_stop:
            self._cancel_held_launch()

    def _step(self, event: ev.Event) -> tuple[ev.Effect, ...]:
        deps = self._deps
        now, jitter_sample = deps.clock.now(), deps.random.random()
        self.record, effects = step(
            self.record, event, now, jitter_sample, deps.policy, failing=deps.failing
        )
        return effects

    def _retry_unhandled(self) -> None:
        events = list(self._unhandled)
        self._unhandled.clear()
        for event in events:
            self.submit(event)

    def _apply(self, effect: ev.Effect) -> None:
        match effect:
            case ev.Launch(spec):
                self._launch(spec)
            case ev.Prepare(spec):
                self._prepare(spec)
            case ev.Observe(spec):
                report = self._next_run()
                self._call_observer("its observation", lambda: self._driver.observe(spec, report))
            case ev.Unobserve():
                self._run += 1  # what is still reported is stale
                run = self._run
                self._release(self._driver, lambda: run == self._run and not self._removed)
            case ev.Signal(stage):
                record, signal = self.record, self._driver.signal
                # Retried until something else happens; then the deadline brings stronger means.
                self._guard(
                    "a signal",
                    lambda: signal(self.instance_id, stage),
                    lambda: self.record is record,
                )
            case ev.Remove():
                self._removed = True
                self._queue.clear()
                self.detach_driver()
                self._publish()
            case ev.OperatorMessage():
                emit = partial(self._deps.emit_message, self.instance_id, effect)
                self._deps.guard.call(f"{self.instance_id}: a message", emit)
            case ev.LogUnexpected(text):
                log.warning(text)

    def _cancel_held_launch(self) -> None:
        """Cancel a launch that waits for other instances."""
        if self._deps.start_gate.cancel(self.instance_id):
            self.submit(ev.LaunchFailed("order", "not needed any more"))

    def _launch(self, spec: InstanceSpec) -> None:
        def report_error(error: Exception) -> None:
            self.submit(ev.LaunchFailed("driver", f"{type(error).__name__}: {error}"))

        name = f"{self.instance_id}: its launch"

        def launch() -> None:
            report = self._next_run()  # what was observed counts until here
            if spec.settings.after and spec.kind is Kind.DOCKER:
                self.submit(ev.StatusChanged(launching=True))  # its time counts from here
            self._deps.guard.call(name, lambda: self._driver.launch(spec, report), report_error)

        self._deps.start_gate.enter(spec, launch)

    def _prepare(self, spec: InstanceSpec) -> None:
        report = partial(self._on_observation, self._run)

        def report_error(error: Exception) -> None:  # then the old run has to go on
            self.submit(ev.PrepareFailed(f"{type(error).__name__}: {error}"))

        name = f"{self.instance_id}: preparing its next run"
        self._deps.guard.call(name, lambda: self._driver.prepare(spec, report), report_error)

    def _next_run(self) -> ReportObservation:
        self._run += 1
        return partial(self._on_observation, self._run)

    def _on_observation(self, run: int, observation: ev.Observation) -> None:
        if isinstance(observation, ev.LastOutput):
            if run == self._exited_run:  # read late, it may be of a run before the last
                self.submit(observation)
        elif run == self._run:
            if isinstance(observation, ev.Exited | ev.ExitedWithRemnants):
                self._exited_run = run
            self.submit(observation)
        else:
            log.warning("%s: stale report %s of run %d", self.instance_id, observation, run)

    # --- the timer --------------------------------------------------------------------------

    def _set_timer(self, deadline: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._call_at(deadline, partial(self._on_timer, deadline))

    def _call_at(self, monotonic: float, function: Callable[[], None]) -> Timer:
        callback = self._deps.guard.callback(f"{self.instance_id}: its timer", function)
        return self._deps.clock.call_at(monotonic, callback)

    def _on_timer(self, deadline: float, was_late: bool = False) -> None:
        # A timer that was queued behind the event that set it anew must not count.
        if deadline != self.record.deadline:
            return
        self._timer = None
        now = self._deps.clock.now().monotonic
        if now < deadline:
            self._set_timer(deadline)  # some clocks (uvloop's) are up to a millisecond early
        elif not was_late and now - deadline > LATE_TIMER:
            # The loop was blocked: first let it deliver what was reported meanwhile.
            callback = partial(self._on_timer, deadline, True)
            self._timer = self._call_at(now + LOOP_TURN_GRACE, callback)
        else:
            self.submit(ev.DeadlineReached())
