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
from hostmanager.core import transitions as lifecycle
from hostmanager.core.model import Found, InstanceSpec, Kind
from hostmanager.core.policy import Policy
from hostmanager.core.protocols import Clock, Driver, Report, Timer
from hostmanager.core.record import Life
from hostmanager.util.guard import Guard

log = logging.getLogger(__name__)


LATE = 0.5
"""Seconds; a timer that rings later than this tells that the loop was busy or the host frozen."""

A_TURN = 0.05
"""Seconds that the loop is given then to hear what happened."""

UNHANDLED_KEPT = 100
"""Events that could not be handled and are tried again."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all keepers of a supervisor share.

    Attributes:
        drivers: Make instances run and end, one for each kind.
        clock: Time.
        policy: The rules in numbers.
        random: Source of the jitter; seeded in simulations.
        publish: Takes the instance's life after each change, None once forgotten.
        note: Takes what people want to read: instance-id, text, whether it is a warning.
        failing: The failing instances, by instance-id, as they are now.
        guard: Makes every call that may fail.
        keeper: The keeper of an instance, if it has one.
    """

    drivers: Mapping[Kind, Driver]
    clock: Clock
    policy: Policy
    random: Random
    publish: Callable[[str, Life | None], None]
    note: Callable[[str, ev.Note], None]
    failing: Mapping[str, Life]
    guard: Guard
    keeper: Callable[[str], "Keeper | None"]


class Keeper:
    """Keeps one instance in the state that is wanted of it."""

    __slots__ = (
        "_around",
        "_busy",
        "_ended_run",
        "_forgotten",
        "_queue",
        "_run",
        "_timer",
        "_unhandled",
        "instance_id",
        "life",
    )

    def __init__(self, life: Life, around: Surroundings) -> None:
        self.instance_id = life.spec.instance_id
        self.life = life
        self._around = around
        self._queue: deque[ev.Event] = deque()
        self._unhandled: deque[ev.Event] = deque(maxlen=UNHANDLED_KEPT)
        self._busy = False
        self._forgotten = False
        self._timer: Timer | None = None
        self._run = 0  # launches so far: a report of an earlier one is stale
        self._ended_run = 0  # the one that `life.last_exit` tells of
        self._publish()

    def post(self, event: ev.Event) -> None:
        """Tell the keeper of an event; it is handled at once, or after those before it."""
        if self._forgotten:
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

    def adopt(self, found: Found) -> None:
        """Take over what an earlier manager launched, instead of launching it."""
        report = self._next_run()
        self._ask("taking it over", lambda: self._driver.adopt(self.life.spec, found, report))

    @property
    def _driver(self) -> Driver:
        return self._around.drivers[self.life.spec.kind]

    def release(self) -> None:
        """Have its driver report nothing of it any more."""
        self._let_go(self._driver, lambda: self._around.keeper(self.instance_id) is None)

    def forsake(self) -> None:
        """Do nothing from now on, whatever happens."""
        self._forgotten = True
        self._queue.clear()
        self._guard("its timer", partial(self._arm, None))

    # --- calls that may fail: each by the same guard ----------------------------------------

    def _guard(
        self,
        what: str,
        work: Callable[[], object],
        wanted: Callable[[], bool] = lambda: True,
        failed: Callable[[Exception], object] | None = None,
    ) -> None:
        self._around.guard.until_done(f"{self.instance_id}: {what}", work, wanted, failed)

    def _ask(self, what: str, work: Callable[[], object]) -> None:
        """Ask its driver how it is. Until there is an answer, nothing may be decided."""
        run = self._run

        def tell(error: Exception) -> None:
            why = f"It is not known whether it runs: {type(error).__name__}: {error}."
            self.post(ev.LostSight(why))

        self._guard(what, work, lambda: run == self._run and not self._forgotten, tell)

    def _let_go(self, driver: Driver, wanted: Callable[[], bool]) -> None:
        self._guard("letting go of it", partial(driver.forget, self.instance_id), wanted)

    def _publish(self) -> None:
        def publish() -> None:  # tried again, it is what is known then
            life = None if self._forgotten else self.life
            self._around.publish(self.instance_id, life)

        keeper = self._around.keeper
        self._guard("showing it", publish, lambda: keeper(self.instance_id) in (None, self))

    # --- events -----------------------------------------------------------------------------

    def _handle(self, event: ev.Event) -> None:
        before = self.life
        effects: list[ev.Effect] = []
        what = f"{self.instance_id}: an event"
        if not self._around.guard.call(what, lambda: effects.extend(self._step(event))):
            self._unhandled.append(event)
            self._around.guard.after_pause(what, self._handle_again)
            return
        if self.life.deadline != before.deadline or self._timer is None:
            self._guard("its timer", lambda: self._arm(self.life.deadline))
        if self.life is not before:
            self._publish()
        kind = before.spec.kind
        if self.life.spec.kind is not kind:
            driver = self._around.drivers[kind]
            self._let_go(driver, lambda: self.life.spec.kind is not kind)
        for effect in effects:
            self._carry_out(effect)

    def _step(self, event: ev.Event) -> tuple[ev.Effect, ...]:
        around = self._around
        now, chance = around.clock.now(), around.random.random()
        self.life, effects = lifecycle.step(
            self.life, event, now, chance, around.policy, failing=around.failing
        )
        return effects

    def _handle_again(self) -> None:
        events = list(self._unhandled)
        self._unhandled.clear()
        for event in events:
            self.post(event)

    def _carry_out(self, effect: ev.Effect) -> None:
        match effect:
            case ev.Launch(spec):
                self._launch(spec)
            case ev.Prepare(spec):
                self._prepare(spec)
            case ev.Look(spec):
                report = self._next_run()
                self._ask("looking whether it runs", lambda: self._driver.look(spec, report))
            case ev.LetGo():
                self._run += 1  # what is still reported is stale
                run = self._run
                self._let_go(self._driver, lambda: run == self._run and not self._forgotten)
            case ev.Signal(step):
                life, signal = self.life, self._driver.signal
                # As long as nothing else has happened; else the deadline brings stronger means.
                self._guard(
                    "a signal", lambda: signal(self.instance_id, step), lambda: self.life is life
                )
            case ev.Forget():
                self._forgotten = True
                self._queue.clear()
                self.release()
                self._publish()
            case ev.Note():
                note = partial(self._around.note, self.instance_id, effect)
                self._around.guard.call(f"{self.instance_id}: a message", note)
            case ev.Oddity(text):
                log.warning(text)

    def _launch(self, spec: InstanceSpec) -> None:
        report = self._next_run()

        def tell(error: Exception) -> None:
            self.post(ev.LaunchFailed("driver", f"{type(error).__name__}: {error}"))

        what = f"{self.instance_id}: its launch"
        self._around.guard.call(what, lambda: self._driver.launch(spec, report), tell)

    def _prepare(self, spec: InstanceSpec) -> None:
        report = partial(self._observed, self._run)

        def tell(error: Exception) -> None:  # then what runs has to go on
            self.post(ev.PrepareFailed(f"{type(error).__name__}: {error}"))

        what = f"{self.instance_id}: preparing its next run"
        self._around.guard.call(what, lambda: self._driver.prepare(spec, report), tell)

    def _next_run(self) -> Report:
        self._run += 1
        return partial(self._observed, self._run)

    def _observed(self, run: int, observation: ev.Observation) -> None:
        if isinstance(observation, ev.Output):
            if run == self._ended_run:  # read late, it may be of a run before the last
                self.post(observation)
        elif run == self._run:
            if isinstance(observation, ev.Ended | ev.LeftBehind):
                self._ended_run = run
            self.post(observation)
        else:
            log.warning("%s: stale report %s of run %d", self.instance_id, observation, run)

    def _arm(self, deadline: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._ring_at(deadline, partial(self._woken, deadline))

    def _ring_at(self, mono: float, work: Callable[[], None]) -> Timer:
        callback = self._around.guard.callback(f"{self.instance_id}: its timer", work)
        return self._around.clock.call_at(mono, callback)

    def _woken(self, deadline: float, again: bool = False) -> None:
        # A timer that was queued behind the event that re-armed it must not count.
        if deadline != self.life.deadline:
            return
        self._timer = None
        if self._around.clock.now().mono < deadline:
            self._arm(deadline)  # some clocks (uvloop's) ring up to a millisecond early
        elif not again and self._around.clock.now().mono - deadline > LATE:
            # The loop did not turn: what was reported meanwhile is to be heard first.
            soon = self._around.clock.now().mono + A_TURN
            self._timer = self._ring_at(soon, partial(self._woken, deadline, True))
        else:
            self.post(ev.TimerFired())
