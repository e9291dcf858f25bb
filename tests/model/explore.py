"""Exploration of the model, breadth-first, and what has to be so of the whole."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from hostmanager.core.model import Target
from hostmanager.core.record import STOPPING_STATES, State
from tests.model import driver, operators
from tests.model.model import actions, deadline
from tests.model.node import Node, is_passive, is_process, may_rest
from tests.model.trial import Violation, check, recorded_step

MAX_STEPS = 60
"""Steps of a world that helps (or is stubborn) within which something has to come of a wish."""


@dataclass(slots=True)
class Exploration:
    """All states that can be reached, and how each was first reached.

    Attributes:
        paths: For each state the one before it, and the action that led to it.
        transitions: How many actions were tried.
        states: How many of them are in each state of the table.
    """

    paths: dict[Node, tuple[Node | None, str]] = field(default_factory=dict)
    transitions: int = 0
    states: Counter[str] = field(default_factory=Counter)

    def trace(self, node: Node | None) -> list[str]:
        """The actions that lead to a state, in order."""
        names: list[str] = []
        while node is not None:
            node, name = self.paths[node]
            names.append(name)
        return names[::-1]


def explore(beginnings: Iterable[Node]) -> Exploration:
    """Visit every state that can be reached.

    Raises:
        Violation: Something must not be so; the message has the shortest way to it.
    """
    recorded_step.cache_clear()  # the table may have been changed
    exploration = Exploration()
    queue: deque[Node] = deque()

    def visit(node: Node, before: Node | None, name: str) -> None:
        if node not in exploration.paths:
            exploration.paths[node] = (before, name)
            exploration.states[node.record.state if node.record else "forgotten"] += 1
            queue.append(node)

    for number, node in enumerate(beginnings):
        visit(node, None, f"beginning {number}")
    while queue:
        node = queue.popleft()
        try:
            check(node)
            check_wish(node)
        except Violation as violation:
            raise Violation(f"{violation}: {' → '.join(exploration.trace(node))}") from None
        for name, act in actions(node):
            exploration.transitions += 1
            try:
                visit(act(), node, name)
            except Violation as violation:
                way = " → ".join([*exploration.trace(node), name])
                raise Violation(f"{violation}: {way}") from None
    return exploration


def check_wish(node: Node) -> None:
    """In a world that helps, each wish is reached; in a stubborn one, the obstacle is shown."""
    end = _follow(node, helpful)
    if not _is_reached(end):
        raise Violation(f"not reached although nothing stands in the way ({_describe(end)})")
    _follow_stubborn(node)


def helpful(node: Node) -> Callable[[Node], Node] | None:
    """What a world does next that does as it is asked; None: nothing is left to do."""
    record, world = node.record, node.world
    if record is None:
        return None
    choices: Mapping[Callable[[Node], Node], bool] = {
        driver.engine_back: not world.visible,
        operators.released: record.request.is_held,
        driver.end_reported: world.end_unreported,
        driver.launched: world.launching,
        driver.observed: world.asked and not world.remnants,
        driver.prepared: world.preparing,
        driver.dies: world.running and world.stage > 0 and not world.asked,
        driver.remnants_gone: world.remnants and world.stage > 1 and not world.asked,
        driver.remnants_end_unseen: world.remnants and world.asked,
        deadline: record.deadline is not None,
    }
    return next((act for act, possible in choices.items() if possible), None)


def _follow(node: Node, choose: Callable[[Node], Callable[[Node], Node] | None]) -> Node:
    for _ in range(MAX_STEPS):
        act = choose(node)
        if act is None:
            return node
        node = act(node)
    raise Violation(f"nothing comes of it in {MAX_STEPS} steps ({_describe(node)})")


def _follow_stubborn(node: Node) -> None:
    """Nothing ends and nothing replies: in the end the manager says what holds it up."""
    for _ in range(MAX_STEPS):
        record = node.record
        if record is None or record.unkillable or may_rest(record):
            break
        if record.deadline is None:
            break
        node = deadline(node)
    record = node.record
    shown = record is None or record.error is not None or may_rest(record)
    stuck = record is not None and record.state in STOPPING_STATES and not record.unkillable
    if stuck or not (shown or node.world.end_unreported or node.world.asked):
        raise Violation(f"the obstacle is not shown ({_describe(node)})")


def _is_reached(node: Node) -> bool:
    record, world, wish = node.record, node.world, node.wish
    if record is None:
        return not wish.configured
    request = record.request
    if request.removing or request.restart_of is not None or request.replacement is not None:
        return False
    if record.spec.inoperable_reason is not None:
        held = not world.alive or not is_process(record) or wish.target is not Target.DOWN
        return record.state in (State.INOPERABLE, State.UP) and held
    if is_passive(record.spec) and wish.target is Target.PASSIVE:
        return record.state is (State.UP if world.running else State.DOWN)
    if wish.target is Target.UP:
        # Given up as its settings say; then the obstacle is shown.
        is_given_up = record.state is State.GIVEN_UP and record.error is not None
        return is_given_up or (record.state is State.UP and world.running)
    return record.state is State.DOWN and not world.alive


def _describe(node: Node) -> str:
    return f"{node.record and node.record.state}, {node.world}, {node.wish}"
