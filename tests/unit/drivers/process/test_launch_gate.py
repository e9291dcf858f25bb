"""Launches wait while the manager itself starts, in the order of coming."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostmanager.drivers.process import LaunchGate


def launches(gate: LaunchGate, numbers: range) -> list[int]:
    result: list[int] = []
    for number in numbers:
        gate.enter(lambda number=number: result.append(number))
    return result


def test_a_gate_is_open_unless_it_is_closed():
    assert launches(LaunchGate(), range(3)) == [0, 1, 2]


@given(st.integers(0, 20), st.integers(0, 20))
def test_the_first_ones_pass_a_closed_gate_and_the_others_when_it_is_opened(free, count):
    gate = LaunchGate()
    gate.close(free)
    result = launches(gate, range(count))
    assert result == list(range(min(free, count)))
    gate.open()
    assert result == list(range(count))
    gate.open()
    assert result == list(range(count))
    assert launches(gate, range(2)) == [0, 1]


def test_a_launch_that_cannot_begin_for_lack_of_memory_is_not_lost():
    gate, failures, result = LaunchGate(), [MemoryError()], []

    def launch() -> None:
        if failures:
            raise failures.pop()
        result.append(1)

    gate.close(0)
    gate.enter(launch)
    launches(gate, range(2))
    with pytest.raises(MemoryError):
        gate.open()
    gate.open()
    assert result == [1]
