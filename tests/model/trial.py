"""One action on a state of the model, and what must never come of it."""

import functools
from collections.abc import Callable
from dataclasses import replace

from hostmanager.core import events as ev
from hostmanager.core.events import StopStage, Timestamp
from hostmanager.core.model import Target
from hostmanager.core.policy import Policy
from hostmanager.core.record import InstanceRecord, State
from hostmanager.core.transitions.table import step
from tests.model.node import NOW, Node, Wish, World, is_passive, is_process, may_rest, normalize

Action = tuple[str, Callable[[], Node]]
"""Something that can happen next: its name, and the state that it leads to."""

POLICY = Policy()

NOT_RUNNING = frozenset({State.DOWN, State.INOPERABLE, State.BACKOFF, State.GIVEN_UP})
"""States in which nothing of a process may be alive."""


@functools.cache
def recorded_step(
    record: InstanceRecord, event: ev.Event, now: Timestamp
) -> tuple[InstanceRecord, tuple[ev.Effect, ...]]:
    """The real table's; many states of the world have the same record."""
    after, effects = step(record, event, now, 0.5, POLICY)
    return after, tuple(effects)


class Violation(Exception):  # noqa: N818 - of a rule; nothing went wrong in the program
    """Something that must never happen."""


class Trial:
    """One action on a state: events go to the real table, effects to the modelled driver."""

    def __init__(self, node: Node, now: Timestamp = NOW) -> None:
        assert node.record is not None
        self.record: InstanceRecord | None = node.record
        self.world = node.world
        self.wish = node.wish
        self.now = now
        self.used_driver = False

    def node(self) -> Node:
        """The state that resulted."""
        if self.record is None:
            return Node(None, self.world, self.wish)
        passed = self.now.monotonic - NOW.monotonic
        return Node(normalize(self.record, passed), self.world, self.wish)

    def submit(self, event: ev.Event) -> "Trial":
        """Have the manager handle an event."""
        assert self.record is not None
        before = self.record
        self.record, effects = recorded_step(before, event, self.now)
        for effect in effects:
            self._apply(effect)
        return self

    def change(self, **changes: object) -> "Trial":
        """Change what is so outside."""
        self.world = replace(self.world, **changes)  # type: ignore[arg-type]
        return self

    def wished(self, **changes: object) -> "Trial":
        """Change what is asked for."""
        self.wish = replace(self.wish, **changes)  # type: ignore[arg-type]
        return self

    def _apply(self, effect: ev.Effect) -> None:
        self.used_driver |= not isinstance(effect, ev.OperatorMessage)
        match effect:
            case ev.Launch():
                self._launch()
            case ev.Signal(stage):
                self._signal(stage)
            case ev.Prepare():
                self.change(preparing=True)
            case ev.Observe():
                self.change(observed=True, asked=True, launching=False, end_unreported=False)
            case ev.Unobserve():
                self.change(observed=False, asked=False, launching=False, end_unreported=False)
            case ev.Remove():
                if is_process(self._record) and self.world.alive:
                    raise Violation("forgotten while it runs")
                self.record = None
                self.change(observed=False, asked=False, launching=False, end_unreported=False)
            case ev.LogUnexpected(text):
                raise Violation(text)

    @property
    def _record(self) -> InstanceRecord:
        assert self.record is not None
        return self.record

    def _launch(self) -> None:
        world, wish = self.world, self.wish
        if world.launching or (world.alive and is_process(self._record)):
            raise Violation("a second one is launched")
        if world.end_unreported:
            raise Violation("launched before the end of the one before was reported")
        if not world.visible and not world.observed:
            raise Violation("launched without knowing whether it runs")
        if wish.target is Target.DOWN or not wish.configured:
            raise Violation("launched although it should be down")
        self.change(launching=True, observed=True, asked=False, preparing=False, stage=0)
        self.wished(ends=False)

    def _signal(self, stage: StopStage) -> None:
        wish = self.wish
        wanted = wish.target is not Target.DOWN and wish.configured and not wish.ends
        if self.world.running and wanted:
            raise Violation("stopped although nobody asked for it")
        self.change(stage=max(self.world.stage, int(stage)))


def check(node: Node) -> None:
    """What has to be so in every state.

    Raises:
        Violation: It is not.
    """
    record, world, wish = node.record, node.world, node.wish
    if record is None:
        return
    known = world.visible and not world.asked and not world.end_unreported
    if is_process(record) and record.state in NOT_RUNNING:
        if world.alive:
            raise Violation(f"'{record.state}' while it runs")
    elif world.observed and record.state is State.DOWN and world.running and known:
        raise Violation("'down' while its container runs, as was reported")
    if record.state is State.UP and known and world.observed and not world.running:
        raise Violation("'up' while nothing runs, as was reported")
    if record.target is not wish.target and not _is_started_once(record, wish):
        raise Violation(f"the target is {record.target}, nobody asked for it")
    if record.request.removing is wish.configured:
        raise Violation("removed, and nobody asked for it; or not removed")
    _check_way_out(record, world)


def _is_started_once(record: InstanceRecord, wish: Wish) -> bool:
    """Whether what nobody manages is on its way up because a restart was asked for."""
    restarting = record.request.restart_of is not None
    return wish.target is Target.PASSIVE and record.target is Target.UP and restarting


def _check_way_out(record: InstanceRecord, world: World) -> None:
    """Whatever does not rest goes on by a deadline, or by a reply that is bound to come."""
    owed = world.launching or world.asked or world.end_unreported or not world.visible
    if may_rest(record) or record.deadline is not None or owed:
        return
    raise Violation(f"'{record.state}' has no deadline, and no reply is outstanding")


def settle_passive(trial: Trial) -> Node:
    """What nobody manages is passive again once it has reached what it was asked for."""
    record = trial.record
    if record is not None and is_passive(record.spec) and record.target is Target.PASSIVE:
        trial.wished(target=Target.PASSIVE)
    return trial.node()
