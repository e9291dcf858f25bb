"""A small model of driver, clock and operators around the real transition table.

`actions` names everything that can happen next in a state: an operator asks, the program ends or
does not, the driver replies, the engine goes away, a delay is over. Each gives the next state, or
raises `Violation` where the manager did what must never happen.
"""

from collections.abc import Iterator
from dataclasses import replace

from hostmanager.core import events as ev
from hostmanager.core.events import Timestamp
from hostmanager.core.model import InstanceSpec, Kind, ObservedRun, Target
from hostmanager.core.record import ChangeRequest, InstanceRecord, State
from tests.model.driver import driver_actions, engine_actions
from tests.model.node import LATER, NOW, Node, Wish, World, is_process
from tests.model.operators import operator_actions, replace_spec
from tests.model.trial import Action, Trial, Violation, settle_passive


def actions(node: Node) -> Iterator[Action]:
    """Everything that can happen next, each with a name."""
    if node.record is None:
        return  # an entry that comes again is a beginning
    yield from operator_actions(node)
    yield from driver_actions(node)
    if not is_process(node.record):
        yield from engine_actions(node)
    yield from _clock(node)


# --- time ----------------------------------------------------------------------


def deadline(node: Node) -> Node:
    """The deadline of its state is reached, and every delay is over."""
    later = Timestamp(NOW.monotonic + LATER, NOW.wall + LATER)
    trial = Trial(node, later).submit(ev.DeadlineReached())
    after = settle_passive(trial)
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


# --- where it begins ------------------------------------------------------------


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
    return settle_passive(trial.submit(ev.Launched(1, run, run_id="found")))


def _restart_continued(spec: InstanceSpec, target: Target, restart_of: str) -> Node:
    """It does not run, and an earlier manager had to restart it."""
    trial = Trial(Node(_record(spec, target, restart_of), World(), Wish(target)))
    return settle_passive(trial.submit(ev.SpecChanged(spec)))
