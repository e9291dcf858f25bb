"""A small model of driver, clock and operators around the real transition table.

`actions` names everything that can happen next in a state: an operator asks, the program ends or
does not, the driver replies, the engine goes away, a delay is over. Each gives the next state, or
raises `Violation` where the manager did what must never happen.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus, StopStage, Timestamp
from hostmanager.core.model import (
    InstanceSettings,
    InstanceSpec,
    Kind,
    ObservedRun,
    ServiceRef,
    Target,
)
from hostmanager.core.policy import Policy
from hostmanager.core.record import ChangeRequest, InstanceRecord, State
from hostmanager.core.transitions.table import step
from tests.model.node import (
    LATER,
    NOW,
    Node,
    Wish,
    World,
    is_passive,
    is_process,
    may_rest,
    normalize,
)

POLICY = Policy()

AGENT = InstanceSpec("a", "Agent", fingerprint="f1")
LIMITED = replace(AGENT, settings=InstanceSettings(restart_give_up_failures=3))
AGENT_SPECS = (
    AGENT,
    replace(AGENT, fingerprint="f2"),
    replace(AGENT, inoperable_reason="Its entry cannot be used."),
)
AGENT_REPLACEMENTS = (
    replace(AGENT, agent_class="Other"),
    replace(AGENT, agent_class="Other", initial_target=Target.DOWN),
)

SERVICE = InstanceSpec(
    "a", "Agent", Kind.DOCKER, fingerprint="f1", service=ServiceRef("file", "project", "a")
)
SERVICE_SPECS = (
    SERVICE,
    replace(SERVICE, service=None, inoperable_reason="No compose file has it."),
)
SERVICE_REPLACEMENTS = (
    replace(SERVICE, agent_class="Other"),
    replace(SERVICE, agent_class="Other", initial_target=Target.DOWN),
)

PASSIVE = replace(SERVICE, initial_target=Target.PASSIVE)
PASSIVE_SPECS = (PASSIVE,)
PASSIVE_REPLACEMENTS = (SERVICE, replace(SERVICE, initial_target=Target.DOWN))


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


Action = tuple[str, Callable[[], Node]]


def actions(node: Node) -> Iterator[Action]:
    """Everything that can happen next, each with a name."""
    if node.record is None:
        return  # an entry that comes again is a beginning
    yield from _operator(node)
    yield from _driver(node)
    if not is_process(node.record):
        yield from _engine(node)
    yield from _clock(node)


# --- operators and the site config -----------------------------------------------------------


def start(node: Node) -> Node:
    """An operator asks for it to be up."""
    trial = Trial(node)
    if node.wish.configured:  # as the supervisor has it: what is being removed cannot be started
        # A stop that is under way is finished first.
        ends = node.wish.ends or (node.world.alive and node.world.stage > 0)
        trial.wished(target=Target.UP, ends=ends).submit(ev.StartRequested())
    return _settle_passive(trial)


def stop(node: Node, *, in_order: bool = False) -> Node:
    """An operator asks for it to be down, perhaps after others."""
    trial = Trial(node).wished(target=Target.DOWN)
    return _settle_passive(trial.submit(ev.StopRequested(in_order)))


def restart(node: Node, *, in_order: bool = False) -> Node:
    """An operator asks for a new run of what should run, perhaps after others."""
    trial = Trial(node)
    if node.wish.configured and node.wish.target is not Target.DOWN:
        trial.wished(ends=True)
    trial.submit(ev.RestartRequested(in_order))
    return _settle_passive(trial)


def released(node: Node) -> Node:
    """Those that it waited for have ended."""
    return _settle_passive(Trial(node).submit(ev.StopReleased()))


def change_spec(node: Node, spec: InstanceSpec) -> Node:
    """Its entry changes, and a reload reads it."""
    return _settle_passive(Trial(node).submit(ev.SpecChanged(spec)))


def replace_spec(node: Node, spec: InstanceSpec) -> Node:
    """Its entry names another class."""
    trial = Trial(node).wished(target=spec.initial_target, ends=True, configured=True)
    return _settle_passive(trial.submit(ev.SpecReplaced(spec)))


def unconfigure(node: Node) -> Node:
    """Its entry is taken out of the site config."""
    trial = Trial(node).wished(target=Target.DOWN, configured=False)
    return trial.submit(ev.Unconfigured()).node()


def _operator(node: Node) -> Iterator[Action]:
    record = node.record
    assert record is not None
    yield "start", lambda: start(node)
    yield "stop", lambda: stop(node)
    yield "restart", lambda: restart(node)
    yield "stop in order", lambda: stop(node, in_order=True)
    yield "restart in order", lambda: restart(node, in_order=True)
    if record.request.is_held:
        yield "released", lambda: released(node)
    yield "escalate", lambda: Trial(node).submit(ev.Escalate()).node()
    specs, replacements = _entries(record.request.replacement or record.spec)
    if node.wish.configured:
        for spec in specs:
            if spec.agent_class == (record.request.replacement or record.spec).agent_class:
                yield f"entry {_label(spec)}", lambda spec=spec: change_spec(node, spec)
    for spec in replacements:
        yield f"replaced by {_label(spec)}", lambda spec=spec: replace_spec(node, spec)
    if not is_passive(record.spec) or record.request.replacement is not None:
        yield "taken out", lambda: unconfigure(node)


def _entries(spec: InstanceSpec) -> tuple[tuple[InstanceSpec, ...], tuple[InstanceSpec, ...]]:
    if spec.kind is Kind.HOST:
        settings = spec.settings
        return (
            tuple(replace(s, agent_class=spec.agent_class, settings=settings) for s in AGENT_SPECS),
            tuple(replace(s, settings=settings) for s in AGENT_REPLACEMENTS),
        )
    if is_passive(spec):
        return PASSIVE_SPECS, PASSIVE_REPLACEMENTS
    same = tuple(replace(s, agent_class=spec.agent_class) for s in SERVICE_SPECS)
    return same, SERVICE_REPLACEMENTS


def _label(spec: InstanceSpec) -> str:
    marks = (spec.agent_class, spec.fingerprint, spec.initial_target.value)
    return " ".join((*marks, *(["unusable"] if spec.inoperable_reason else [])))


# --- the driver ----------------------------------------------------------------------------------


def launched(node: Node) -> Node:
    """The program was started, and the driver says so."""
    trial = Trial(node).change(launching=False, running=True)
    return _settle_passive(trial.submit(ev.Launched(1, run_id="new")))


def launch_failed(node: Node) -> Node:
    """The program could not be started."""
    trial = Trial(node).change(launching=False)
    return _settle_passive(trial.submit(ev.LaunchFailed("program", "no such file")))


def dies(node: Node, *, remnants: bool = False) -> Node:
    """The program ends; the driver has not noticed yet."""
    return Trial(node).change(running=False, remnants=remnants, end_unreported=True).node()


def ends_unseen(node: Node, *, remnants: bool = False) -> Node:
    """The program ends while the driver cannot see it."""
    return Trial(node).change(running=False, remnants=remnants).node()


def remnants_end_unseen(node: Node) -> Node:
    """What the program had left behind ends while the driver cannot see it."""
    return Trial(node).change(remnants=False).node()


def end_reported(node: Node) -> Node:
    """The driver reports that the program has ended."""
    trial = Trial(node).change(end_unreported=False, preparing=False)
    if node.world.remnants:
        return trial.submit(ev.ExitedWithRemnants(ExitStatus(0), ("sleep",))).node()
    trial.change(stage=0).wished(ends=False)
    return _settle_passive(trial.submit(ev.Exited(ExitStatus(1))))


def remnants_gone(node: Node) -> Node:
    """What the program had left behind ends, and the driver says so."""
    trial = Trial(node).change(remnants=False, stage=0).wished(ends=False)
    return _settle_passive(trial.submit(ev.RemnantsGone()))


def prepared(node: Node) -> Node:
    """The image of the new run is here."""
    return _settle_passive(Trial(node).change(preparing=False).submit(ev.Prepared()))


def not_prepared(node: Node) -> Node:
    """The image of the new run cannot be had, so the old run goes on."""
    trial = Trial(node).change(preparing=False)
    trial.submit(ev.PrepareFailed("no such image"))
    request = trial.record.request if trial.record else ChangeRequest()
    if request.restart_of is None and request.replacement is None and node.world.stage == 0:
        trial.wished(ends=False)
    return _settle_passive(trial)


def _driver(node: Node) -> Iterator[Action]:
    world, record = node.world, node.record
    assert record is not None
    if world.launching and world.visible:
        yield "launched", lambda: launched(node)
        yield "launch failed", lambda: launch_failed(node)
    if world.running and world.visible and not world.asked:
        yield "dies", lambda: dies(node)
        if is_process(record):
            yield "dies, remnants", lambda: dies(node, remnants=True)
    if world.running and not (world.visible and not world.asked):
        yield "ends unseen", lambda: ends_unseen(node)
        if is_process(record):
            yield "ends unseen, remnants", lambda: ends_unseen(node, remnants=True)
    if world.remnants and world.asked:
        yield "remnants end unseen", lambda: remnants_end_unseen(node)
    if world.end_unreported:
        yield "end reported", lambda: end_reported(node)
    if world.remnants and not world.end_unreported and not world.asked:
        yield "remnants gone", lambda: remnants_gone(node)
    if world.preparing and world.visible:
        yield "prepared", lambda: prepared(node)
        yield "not prepared", lambda: not_prepared(node)
    if world.asked and world.visible and not world.remnants:
        yield "observed", lambda: observed(node)
    if is_process(record) and record.state is State.UP and world.running:
        yield "lost from sight", lambda: lost(node)


def observed(node: Node) -> Node:
    """The driver replies what is so."""
    trial = Trial(node).change(asked=False, end_unreported=False)
    if node.world.running:
        return _settle_passive(trial.submit(ev.Launched(1, run_id="seen")))
    trial.wished(ends=False).change(stage=0)
    return _settle_passive(trial.submit(ev.Absent()))


def lost(node: Node) -> Node:
    """The driver cannot see any more whether it runs; it looks again."""
    trial = Trial(node).change(asked=True, preparing=False)
    return trial.submit(ev.ObservationLost("It cannot be inspected.")).node()


# --- the Docker Engine: others use it, and it may not answer -------------------------------------


def engine_gone(node: Node) -> Node:
    """The engine does not answer any more."""
    trial = Trial(node).change(visible=False, preparing=False, end_unreported=False)
    if node.world.observed:
        trial.change(launching=False, asked=True)
        trial.submit(ev.ObservationLost("The engine does not answer."))
    return trial.node()


def engine_back(node: Node) -> Node:
    """The engine answers again."""
    return Trial(node).change(visible=True).node()


def others_start(node: Node) -> Node:
    """Somebody starts its container by hand."""
    trial = Trial(node).change(running=True, stage=0)
    if node.world.visible and node.world.observed and not node.world.asked:
        trial.submit(ev.Launched(1, run_id="others"))
    return _settle_passive(trial)


def engine_restarts(node: Node) -> Node:
    """The engine starts a container again that ended, by its own restart policy."""
    trial = Trial(node).wished(ends=False)
    run = ObservedRun(1, NOW.wall, "f1", run_id="again")
    return _settle_passive(trial.submit(ev.StatusChanged(new_run=run)))


def _engine(node: Node) -> Iterator[Action]:
    world = node.world
    if world.visible:
        yield "engine gone", lambda: engine_gone(node)
        if not world.running and not world.launching and not world.end_unreported:
            yield "others start it", lambda: others_start(node)
    else:
        yield "engine back", lambda: engine_back(node)
        if not world.running:
            yield "started unseen", lambda: others_start(node)


# --- time ----------------------------------------------------------------------------------------


def deadline(node: Node) -> Node:
    """The deadline of its state is reached, and every delay is over."""
    later = Timestamp(NOW.monotonic + LATER, NOW.wall + LATER)
    trial = Trial(node, later).submit(ev.DeadlineReached())
    after = _settle_passive(trial)
    if after == node and not trial.used_driver:
        raise Violation("a deadline that changes nothing")
    return after


def time_passes(node: Node) -> Node:
    """A delay is over while the instance does something else."""
    return Trial(node, Timestamp(NOW.monotonic + LATER, NOW.wall + LATER)).node()


def _clock(node: Node) -> Iterator[Action]:
    record = node.record
    assert record is not None
    if record.deadline is not None:
        yield "deadline", lambda: deadline(node)
    if record.failures.next_start_at > NOW.monotonic and record.state is not State.BACKOFF:
        yield "time passes", lambda: time_passes(node)


def _settle_passive(trial: Trial) -> Node:
    """What nobody manages is passive again once it has reached what it was asked for."""
    record = trial.record
    if record is not None and is_passive(record.spec) and record.target is Target.PASSIVE:
        trial.wished(target=Target.PASSIVE)
    return trial.node()


# --- where it begins -----------------------------------------------------------------------------


def initial_nodes(spec: InstanceSpec) -> Iterator[Node]:
    """A new entry; and what a manager finds that starts while, or after, an instance ran."""
    fresh = Node(InstanceRecord(spec, Target.DOWN), World(), Wish(Target.DOWN))
    yield replace_spec(fresh, spec)
    if spec.kind is Kind.DOCKER:
        yield replace_spec(replace(fresh, world=World(running=True)), spec)
    for target in dict.fromkeys((Target.UP, Target.DOWN, spec.initial_target)):
        for restart_of in (None, "found", "ended before"):
            if restart_of is not None and target is Target.DOWN:
                continue
            yield _adopted(spec, target, restart_of)
            if restart_of is not None:
                yield _restart_continued(spec, target, restart_of)


def _record(spec: InstanceSpec, target: Target, restart_of: str | None) -> InstanceRecord:
    prepared = restart_of is not None and spec.kind is Kind.HOST
    return InstanceRecord(
        spec, target, request=ChangeRequest(restart_of=restart_of, prepared=prepared)
    )


def _adopted(spec: InstanceSpec, target: Target, restart_of: str | None) -> Node:
    """It runs, launched by an earlier manager."""
    world, wish = World(running=True, observed=True), Wish(target, ends=restart_of is not None)
    trial = Trial(Node(_record(spec, target, restart_of), world, wish))
    run = ObservedRun(1, NOW.wall, "f1", run_id="found")
    if restart_of == "ended before":  # the restart was done; only its end had not been recorded
        trial.wished(ends=False)
    return _settle_passive(trial.submit(ev.Launched(1, run, run_id="found")))


def _restart_continued(spec: InstanceSpec, target: Target, restart_of: str) -> Node:
    """It does not run, and an earlier manager had to restart it."""
    trial = Trial(Node(_record(spec, target, restart_of), World(), Wish(target)))
    return _settle_passive(trial.submit(ev.SpecChanged(spec)))
