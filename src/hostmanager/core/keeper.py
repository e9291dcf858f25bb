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
from hostmanager.core import lifecycle
from hostmanager.core.life import Life
from hostmanager.core.model import Found, InstanceSpec, Kind
from hostmanager.core.policy import Policy
from hostmanager.core.ports import Clock, Driver, Report, Timer

log = logging.getLogger(__name__)


LATE = 0.5
"""Seconds; a timer that rings later than this tells that the loop was busy or the host frozen."""

A_TURN = 0.05
"""Seconds that the loop is given then to hear what happened."""


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
    """

    drivers: Mapping[Kind, Driver]
    clock: Clock
    policy: Policy
    random: Random
    publish: Callable[[str, Life | None], None]
    note: Callable[[str, ev.Note], None]
    failing: Mapping[str, Life]


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
        "instance_id",
        "life",
    )

    def __init__(self, life: Life, around: Surroundings) -> None:
        self.instance_id = life.spec.instance_id
        self.life = life
        self._around = around
        self._queue: deque[ev.Event] = deque()
        self._busy = False
        self._forgotten = False
        self._timer: Timer | None = None
        self._run = 0  # launches so far: a report of an earlier one is stale
        self._ended_run = 0  # the one that `life.last_exit` tells of
        around.publish(self.instance_id, life)

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
        self._run += 1
        self._driver.adopt(self.life.spec, found, partial(self._observed, self._run))

    @property
    def _driver(self) -> Driver:
        return self._around.drivers[self.life.spec.kind]

    def release(self) -> None:
        """Have its driver report nothing of it any more."""
        self._driver.forget(self.instance_id)

    def forsake(self) -> None:
        """Do nothing from now on, whatever happens."""
        self._forgotten = True
        self._queue.clear()
        self._arm(None)

    def _handle(self, event: ev.Event) -> None:
        around = self._around
        before = self.life
        self.life, effects = lifecycle.step(
            before,
            event,
            around.clock.now(),
            around.random.random(),
            around.policy,
            failing=around.failing,
        )
        if self.life.deadline != before.deadline or self._timer is None:
            self._arm(self.life.deadline)
        if self.life is not before:
            around.publish(self.instance_id, self.life)
        if self.life.spec.kind is not before.spec.kind:
            around.drivers[before.spec.kind].forget(self.instance_id)
        for effect in effects:
            self._carry_out(effect)

    def _carry_out(self, effect: ev.Effect) -> None:
        match effect:
            case ev.Launch(spec):
                self._launch(spec)
            case ev.Prepare(spec):
                self._prepare(spec)
            case ev.Look(spec):
                self._look(spec)
            case ev.LetGo():
                self._run += 1  # what is still reported is stale
                self._driver.forget(self.instance_id)
            case ev.Signal(step):
                self._signal(step)
            case ev.Forget():
                self._forgotten = True
                self._queue.clear()
                self._driver.forget(self.instance_id)
                self._around.publish(self.instance_id, None)
            case ev.Note():
                self._note(effect)
            case ev.Oddity(text):
                log.warning(text)

    def _note(self, note: ev.Note) -> None:
        try:
            self._around.note(self.instance_id, note)
        except Exception:  # what nobody can read must not keep an instance from its launch
            log.exception("%s: %s", self.instance_id, note.text)

    def _launch(self, spec: InstanceSpec) -> None:
        try:
            self._driver.launch(spec, self._next_run())
        except Exception as error:  # a fault in a driver is one instance's, not everybody's
            log.exception("%s: launch", self.instance_id)
            self.post(ev.LaunchFailed("driver", f"{type(error).__name__}: {error}"))

    def _prepare(self, spec: InstanceSpec) -> None:
        try:
            self._driver.prepare(spec, partial(self._observed, self._run))
        except Exception as error:  # then what runs has to go on
            log.exception("%s: prepare", self.instance_id)
            self.post(ev.PrepareFailed(f"{type(error).__name__}: {error}"))

    def _look(self, spec: InstanceSpec) -> None:
        try:
            self._driver.look(spec, self._next_run())
        except Exception as error:  # then nobody knows, and nothing may be decided
            log.exception("%s: look", self.instance_id)
            why = f"It is not known whether it runs: {type(error).__name__}: {error}."
            self.post(ev.LostSight(why))

    def _next_run(self) -> Report:
        self._run += 1
        return partial(self._observed, self._run)

    def _signal(self, step: ev.StopStep) -> None:
        try:
            self._driver.signal(self.instance_id, step)
        except Exception:  # the deadline of the state brings the next stronger means
            log.exception("%s: signal", self.instance_id)

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
            self._timer = self._around.clock.call_at(deadline, partial(self._woken, deadline))

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
            self._timer = self._around.clock.call_at(soon, partial(self._woken, deadline, True))
        else:
            self.post(ev.TimerFired())
