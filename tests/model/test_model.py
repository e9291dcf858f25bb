"""The transition table in every situation that can come about, each visited once.

What must never be is in `model` (of one action or state) and `explore` (of what comes of it). The
three faults that are put in here show that the exploration can find one of each kind.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from hostmanager.core import events as ev
from hostmanager.core.events import EventType
from hostmanager.core.record import State
from hostmanager.core.transitions import table as transition_table
from hostmanager.core.transitions.stopped import Transition, no_change, reconcile_stopped
from tests.model import entries
from tests.model.explore import Exploration, explore
from tests.model.model import initial_nodes
from tests.model.node import Node
from tests.model.trial import Violation

# Ten seconds of processor each; of a busy machine it may get a thirtieth.
pytestmark = [pytest.mark.exhaustive, pytest.mark.timeout(900)]


def processes() -> Iterator[Node]:
    """A process of the host, as it can begin."""
    yield from initial_nodes(entries.AGENT)


def limited_processes() -> Iterator[Node]:
    """A process that is given up after three failures, as it can begin."""
    yield from initial_nodes(entries.LIMITED)


def services() -> Iterator[Node]:
    """A compose service, with an entry in the site config and without one, as it can begin."""
    yield from initial_nodes(entries.SERVICE)
    yield from initial_nodes(entries.PASSIVE)


def report(kind: str, exploration: Exploration, capsys: pytest.CaptureFixture[str]) -> None:
    """Print what was explored: a count that shrinks shows a model that became blind."""
    states = ", ".join(f"{state} {count}" for state, count in sorted(exploration.states.items()))
    with capsys.disabled():
        print(
            f"\n{kind}: {len(exploration.paths)} states, {exploration.transitions} transitions ({states})"
        )


@pytest.mark.parametrize("kind", [processes, limited_processes, services])
def test_nothing_that_must_never_be_can_be_reached(
    kind: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    exploration = explore(kind())
    report(kind.__name__, exploration, capsys)
    visited = {State(state) for state in exploration.states if state != "forgotten"}
    given_up = {State.GIVEN_UP} if kind is limited_processes else set()
    assert visited == set(State) - {State.GIVEN_UP} | given_up


FAULTS: Mapping[str, tuple[State, EventType, Transition, str]] = {
    "a start during a launch launches again": (
        State.STARTING,
        ev.StartRequested,
        reconcile_stopped,
        "a second one is launched",
    ),
    "the kill is not repeated": (
        State.KILLING,
        ev.DeadlineReached,
        no_change,
        "a deadline that changes nothing",
    ),
    "a launch that fails is not tried again": (
        State.STARTING,
        ev.LaunchFailed,
        no_change,
        "nothing stands in the way|no reply is outstanding",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_table_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state, event, transition, violation = FAULTS[fault]
    table = {row: dict(columns) for row, columns in transition_table.TABLE.items()}
    table[state][event] = transition
    monkeypatch.setattr(transition_table, "TABLE", MappingProxyType(table))
    with pytest.raises(Violation, match=violation):
        explore(processes())
