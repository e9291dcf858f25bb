"""Which lines of an agent's output are new."""

from typing import Any, cast

import pytest

from hostmanager.client.logs.log_reader import LogSource
from hostmanager.client.manager_time import RelativeTime
from hostmanager.client.managers.manager_client import OperationResult
from hostmanager.client.status.model import AgentStatus


class Output:
    """Stands for a manager that answers `output` from what an agent has written so far."""

    def __init__(self) -> None:
        self.written: list[tuple[float, str]] = []
        self.now = 1000.0

    def run(self, operation: str, _limit: float, **params: Any) -> OperationResult:
        if operation == "history":
            return OperationResult(True, "", {"now": self.now})
        since = params["since"] or 0.0
        lines = [pair for pair in self.written if pair[0] >= since][-params["lines"] :]
        return OperationResult(True, "", {"instance_id": params["instance_id"], "lines": lines})


@pytest.fixture
def output() -> Output:
    return Output()


@pytest.fixture
def source(output: Output) -> LogSource:
    return LogSource(AgentStatus("daq1", "a"), cast(Any, output))


def texts(source: LogSource, lines: int) -> list[str]:
    return [line.text for line in source.read(lines, 1.0)]


def test_what_the_first_answer_left_out_of_a_moment_does_not_come_later(output, source):
    output.written = [(5.0, "a"), (5.0, "b"), (5.0, "c")]
    assert texts(source, 1) == ["c"]
    assert texts(source, 100) == []
    output.written += [(5.0, "d"), (6.0, "e")]
    assert texts(source, 100) == ["d", "e"]
    assert texts(source, 100) == []


def test_the_same_line_again_in_the_same_moment_is_new(output, source):
    output.written = [(5.0, "a"), (5.0, "a")]
    assert texts(source, 100) == ["a", "a"]
    output.written += [(5.0, "a")]
    assert texts(source, 100) == ["a"]


def test_lines_that_were_put_aside_meanwhile_hide_nothing(output, source):
    output.written = [(5.0, "a"), (5.0, "b")]
    assert texts(source, 100) == ["a", "b"]
    output.written = [(5.0, "c"), (7.0, "d")]  # the older file is gone
    assert texts(source, 100) == ["c", "d"]


def test_an_age_counts_by_the_clock_of_the_manager(output, source):
    """That of the client is ten minutes fast."""
    output.written = [(880.0, "old"), (970.0, "new"), (995.0, "newest")]
    source.since = RelativeTime(60.0, 1600.0)
    source.until = RelativeTime(10.0, 1600.0)
    assert texts(source, 10) == ["new"]


def test_that_newer_output_is_held_up_is_known_of_the_newest_page(output, source, monkeypatch):
    pages = {
        None: {"lines": [(7.0, "c")], "cut": True, "held_up": True, "older": 1},
        1: {"lines": [(5.0, "a"), (6.0, "b")], "held_up": False, "older": None},
    }
    monkeypatch.setattr(
        output, "run", lambda _, __, **p: OperationResult(True, "", pages[p.get("before")])
    )
    assert texts(source, 3) == ["a", "b", "c"]
    assert source.held_up
