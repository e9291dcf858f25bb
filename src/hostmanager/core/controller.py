"""The keeper of one instance: queues what happens to it and carries out what follows.

Each instance has its own, so that a slow or broken one never delays another. Events are
handled strictly one after another, also when a driver answers from within a call: the
lifecycle never sees half a step.
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
from hostmanager.core.record import InstanceRecord
from hostmanager.core.transition_table import step
from hostmanager.util.guard import Guard

log = logging.getLogger(__name__)


LATE_TIMER = 0.5
"""Seconds; a timer that rings later than this tells that the loop was busy or the host frozen."""

LOOP_TURN_GRACE = 0.05
"""Seconds that the loop is given then to hear what happened."""

MAX_UNHANDLED = 100
"""Events that could not be handled and are tried again."""


@dataclass(frozen=True, slots=True)
class ControllerDeps:
    """What all keepers of a supervisor share.

    Attributes:
        drivers: Make instances run and end, one for each kind.
        clock: Time.
        policy: The rules in numbers.
        random: Source of the jitter; seeded in simulations.
        publish: Takes the instance's life after each change, None once forgotten.
        emit_message: Takes what people want to read: instance-id, text, whether it is a warning.
        failing: The failing instances, by instance-id, as they are now.
        guard: Makes every call that may fail.
        find_controller: The keeper of an instance, if it has one.
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


class InstanceController:
    """Keeps one instance in the state that is wanted of it."""

    __slots__ = (
        "_busy",
        "_deps",
        "_exited_run_id",
        "_queue",
        "_removed",
        "_run_id",
        "_timer",
        "_unhandled",
        "instance_id",
        "record",
    )

    def __init__(self, life: InstanceRecord, around: ControllerDeps) -> None:
        self.instance_id = life.spec.instance_id
        self.record = life
        self._deps = around
        self._queue: deque[ev.Event] = deque()
        self._unhandled: deque[ev.Event] = deque(maxlen=MAX_UNHANDLED)
        self._busy = False
        self._removed = False
        self._timer: Timer | None = None
        self._run_id = 0  # launches so far: a report of an earlier one is stale
        self._exited_run_id = 0  # the one that `life.last_exit` tells of
        self._publish()

    def submit(self, event: ev.Event) -> None:
        """Tell the keeper of an event; it is handled at once, or after those before it."""
        if self._removed:
            return  # a late report must not bring back what was forgotten
        self._queue.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._queue:
                self._handle(self._queue.popleft())
        finally:
            self._busy = False

    def adopt(self, found: ObservedRun) -> None:
        """Take over what an earlier manager launched, instead of launching it."""
        report = self._next_run()
        self._observe_with(
            "taking it over", lambda: self._driver.adopt(self.record.spec, found, report)
        )

    @property
    def _driver(self) -> Driver:
        return self._deps.drivers[self.record.spec.kind]

    def detach_driver(self) -> None:
        """Have its driver report nothing of it any more."""
        self._release(self._driver, lambda: self._deps.find_controller(self.instance_id) is None)

    def abandon(self) -> None:
        """Do nothing from now on, whatever happens."""
        self._removed = True
        self._queue.clear()
        self._guard("its timer", partial(self._set_timer, None))

    # --- calls that may fail: each by the same guard ----------------------------------------

    def _guard(
        self,
        what: str,
        work: Callable[[], object],
        wanted: Callable[[], bool] = lambda: True,
        failed: Callable[[Exception], object] | None = None,
    ) -> None:
        self._deps.guard.retry_until_done(f"{self.instance_id}: {what}", work, wanted, failed)

    def _observe_with(self, what: str, work: Callable[[], object]) -> None:
        """Ask its driver how it is. Until there is an answer, nothing may be decided."""
        run = self._run_id

        def tell(error: Exception) -> None:
            why = f"It is not known whether it runs: {type(error).__name__}: {error}."
            self.submit(ev.ObservationLost(why))

        self._guard(what, work, lambda: run == self._run_id and not self._removed, tell)

    def _release(self, driver: Driver, wanted: Callable[[], bool]) -> None:
        self._guard("letting go of it", partial(driver.release, self.instance_id), wanted)

    def _publish(self) -> None:
        def publish() -> None:  # tried again, it is what is known then
            life = None if self._removed else self.record
            self._deps.publish(self.instance_id, life)

        keeper = self._deps.find_controller
        self._guard("showing it", publish, lambda: keeper(self.instance_id) in (None, self))

    # --- events -----------------------------------------------------------------------------

    def _handle(self, event: ev.Event) -> None:
        before = self.record
        effects: list[ev.Effect] = []
        what = f"{self.instance_id}: an event"
        if not self._deps.guard.call(what, lambda: effects.extend(self._step(event))):
            self._unhandled.append(event)
            self._deps.guard.schedule(what, self._handle_again)
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

    def _step(self, event: ev.Event) -> tuple[ev.Effect, ...]:
        around = self._deps
        now, chance = around.clock.now(), around.random.random()
        self.record, effects = step(
            self.record, event, now, chance, around.policy, failing=around.failing
        )
        return effects

    def _handle_again(self) -> None:
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
                self._observe_with(
                    "looking whether it runs", lambda: self._driver.observe(spec, report)
                )
            case ev.Unobserve():
                self._run_id += 1  # what is still reported is stale
                run = self._run_id
                self._release(self._driver, lambda: run == self._run_id and not self._removed)
            case ev.Signal(step):
                life, signal = self.record, self._driver.signal
                # As long as nothing else has happened; else the deadline brings stronger means.
                self._guard(
                    "a signal", lambda: signal(self.instance_id, step), lambda: self.record is life
                )
            case ev.Remove():
                self._removed = True
                self._queue.clear()
                self.detach_driver()
                self._publish()
            case ev.OperatorMessage():
                note = partial(self._deps.emit_message, self.instance_id, effect)
                self._deps.guard.call(f"{self.instance_id}: a message", note)
            case ev.LogUnexpected(text):
                log.warning(text)

    def _launch(self, spec: InstanceSpec) -> None:
        report = self._next_run()

        def tell(error: Exception) -> None:
            self.submit(ev.LaunchFailed("driver", f"{type(error).__name__}: {error}"))

        what = f"{self.instance_id}: its launch"
        self._deps.guard.call(what, lambda: self._driver.launch(spec, report), tell)

    def _prepare(self, spec: InstanceSpec) -> None:
        report = partial(self._observed, self._run_id)

        def tell(error: Exception) -> None:  # then what runs has to go on
            self.submit(ev.PrepareFailed(f"{type(error).__name__}: {error}"))

        what = f"{self.instance_id}: preparing its next run"
        self._deps.guard.call(what, lambda: self._driver.prepare(spec, report), tell)

    def _next_run(self) -> ReportObservation:
        self._run_id += 1
        return partial(self._observed, self._run_id)

    def _observed(self, run: int, observation: ev.Observation) -> None:
        if isinstance(observation, ev.LastOutput):
            if run == self._exited_run_id:  # read late, it may be of a run before the last
                self.submit(observation)
        elif run == self._run_id:
            if isinstance(observation, ev.Exited | ev.ExitedWithRemnants):
                self._exited_run_id = run
            self.submit(observation)
        else:
            log.warning("%s: stale report %s of run %d", self.instance_id, observation, run)

    def _set_timer(self, deadline: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._call_at(deadline, partial(self._on_timer, deadline))

    def _call_at(self, mono: float, work: Callable[[], None]) -> Timer:
        callback = self._deps.guard.callback(f"{self.instance_id}: its timer", work)
        return self._deps.clock.call_at(mono, callback)

    def _on_timer(self, deadline: float, again: bool = False) -> None:
        # A timer that was queued behind the event that re-armed it must not count.
        if deadline != self.record.deadline:
            return
        self._timer = None
        if self._deps.clock.now().monotonic < deadline:
            self._set_timer(deadline)  # some clocks (uvloop's) ring up to a millisecond early
        elif not again and self._deps.clock.now().monotonic - deadline > LATE_TIMER:
            # The loop did not turn: what was reported meanwhile is to be heard first.
            soon = self._deps.clock.now().monotonic + LOOP_TURN_GRACE
            self._timer = self._call_at(soon, partial(self._on_timer, deadline, True))
        else:
            self.submit(ev.DeadlineReached())
