"""What operators and the site config ask for."""

from collections.abc import Iterator

from hostmanager.core import events as ev
from hostmanager.core.model import InstanceSpec, Target
from tests.model.entries import label, next_entries
from tests.model.node import Node, is_passive
from tests.model.trial import Action, Trial, settle_passive


def start(node: Node) -> Node:
    """An operator asks for it to be up."""
    trial = Trial(node)
    if node.wish.configured:  # as the supervisor has it: what is being removed cannot be started
        # A stop that is under way is finished first.
        ends = node.wish.ends or (node.world.alive and node.world.stage > 0)
        trial.wished(target=Target.UP, ends=ends).submit(ev.StartRequested())
    return settle_passive(trial)


def stop(node: Node, *, in_order: bool = False) -> Node:
    """An operator asks for it to be down, perhaps after others."""
    trial = Trial(node).wished(target=Target.DOWN)
    return settle_passive(trial.submit(ev.StopRequested(in_order)))


def restart(node: Node, *, in_order: bool = False) -> Node:
    """An operator asks for a new run of what should run, perhaps after others."""
    trial = Trial(node)
    if node.wish.configured and node.wish.target is not Target.DOWN:
        trial.wished(ends=True)
    trial.submit(ev.RestartRequested(in_order))
    return settle_passive(trial)


def released(node: Node) -> Node:
    """Those that it waited for have ended."""
    return settle_passive(Trial(node).submit(ev.StopReleased()))


def change_spec(node: Node, spec: InstanceSpec) -> Node:
    """Its entry changes, and a reload reads it."""
    return settle_passive(Trial(node).submit(ev.SpecChanged(spec)))


def replace_spec(node: Node, spec: InstanceSpec) -> Node:
    """Its entry names another class."""
    trial = Trial(node).wished(target=spec.initial_target, ends=True, configured=True)
    return settle_passive(trial.submit(ev.SpecReplaced(spec)))


def unconfigure(node: Node) -> Node:
    """Its entry is taken out of the site config."""
    trial = Trial(node).wished(target=Target.DOWN, configured=False)
    return trial.submit(ev.Unconfigured()).node()


def operator_actions(node: Node) -> Iterator[Action]:
    """Everything that can be asked for next."""
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
    specs, replacements = next_entries(record.request.replacement or record.spec)
    if node.wish.configured:
        for spec in specs:
            if spec.agent_class == (record.request.replacement or record.spec).agent_class:
                yield f"entry {label(spec)}", lambda spec=spec: change_spec(node, spec)
    for spec in replacements:
        yield f"replaced by {label(spec)}", lambda spec=spec: replace_spec(node, spec)
    if not is_passive(record.spec) or record.request.replacement is not None:
        yield "taken out", lambda: unconfigure(node)
