"""What a driver reports; and the Docker Engine, which others use, and which may not answer."""

from collections.abc import Iterator

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus
from hostmanager.core.model import ObservedRun
from hostmanager.core.record import ChangeRequest, State
from tests.model.node import NOW, Node, is_process
from tests.model.trial import Action, Trial, settle_passive


def launched(node: Node) -> Node:
    """The program was started, and the driver says so."""
    trial = Trial(node).change(launching=False, running=True)
    return settle_passive(trial.submit(ev.Launched(1, run_id="new")))


def launch_failed(node: Node) -> Node:
    """The program could not be started."""
    trial = Trial(node).change(launching=False)
    return settle_passive(trial.submit(ev.LaunchFailed("program", "no such file")))


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
    return settle_passive(trial.submit(ev.Exited(ExitStatus(1))))


def remnants_gone(node: Node) -> Node:
    """What the program had left behind ends, and the driver says so."""
    trial = Trial(node).change(remnants=False, stage=0).wished(ends=False)
    return settle_passive(trial.submit(ev.RemnantsGone()))


def prepared(node: Node) -> Node:
    """The image of the new run is here."""
    return settle_passive(Trial(node).change(preparing=False).submit(ev.Prepared()))


def not_prepared(node: Node) -> Node:
    """The image of the new run cannot be had, so the old run goes on."""
    trial = Trial(node).change(preparing=False)
    trial.submit(ev.PrepareFailed("no such image"))
    request = trial.record.request if trial.record else ChangeRequest()
    if request.restart_of is None and request.replacement is None and node.world.stage == 0:
        trial.wished(ends=False)
    return settle_passive(trial)


def driver_actions(node: Node) -> Iterator[Action]:
    """Everything that can happen to the program next, or be reported."""
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
        return settle_passive(trial.submit(ev.Launched(1, run_id="seen")))
    trial.wished(ends=False).change(stage=0)
    return settle_passive(trial.submit(ev.Absent()))


def lost(node: Node) -> Node:
    """The driver cannot see any more whether it runs; it looks again."""
    trial = Trial(node).change(asked=True, preparing=False)
    return trial.submit(ev.ObservationLost("It cannot be inspected.")).node()


# --- the Docker Engine ------------------------------------------------------------


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
    return settle_passive(trial)


def engine_restarts(node: Node) -> Node:
    """The engine starts a container again that ended, by its own restart policy."""
    trial = Trial(node).wished(ends=False)
    run = ObservedRun(1, NOW.wall, "f1", run_id="again")
    return settle_passive(trial.submit(ev.StatusChanged(new_run=run)))


def engine_actions(node: Node) -> Iterator[Action]:
    """Everything that the engine, and others who use it, can do next."""
    world = node.world
    if world.visible:
        yield "engine gone", lambda: engine_gone(node)
        if not world.running and not world.launching and not world.end_unreported:
            yield "others start it", lambda: others_start(node)
    else:
        yield "engine back", lambda: engine_back(node)
        if not world.running:
            yield "started unseen", lambda: others_start(node)
