"""docs/bounds.md says what the code does."""

import importlib
import re
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import pytest

from hostmanager.agent import audit
from hostmanager.agent.operations import operation
from hostmanager.agent.operator_messages import (
    MAX_EARLY_MESSAGES,
    MAX_TEXT_CHARS,
    OperatorMessages,
)

ROOT = Path(__file__).parents[3]


def rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "bounds.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def test_there_are_rows():
    assert len(rows()) > 20


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_each_bound_is_that_of_the_code(row):
    _, bound, beyond, code, tested = row
    module, _, path = code.strip("`").partition(":")
    value = importlib.import_module(f"hostmanager.{module}")
    for name in path.split("."):
        value = getattr(value() if isinstance(value, type) else value, name)
    assert int(re.sub(r"\D", "", bound)) == value
    assert beyond
    assert (ROOT / tested.strip("`")).exists(), tested


def test_messages_of_a_session_are_bounded():
    messages: list[tuple[float, str]] = []
    session = SimpleNamespace(messages=messages)
    session.add_message = lambda text: messages.append((0.0, text))
    for number in range(operation.MAX_SESSION_MESSAGES * 2):
        operation.add_message(session, f"{number} " + "x" * 100_000)
    assert len(messages) == operation.MAX_SESSION_MESSAGES
    assert messages[-1][1].startswith(str(operation.MAX_SESSION_MESSAGES * 2 - 1))
    assert all(len(text) <= MAX_TEXT_CHARS for _, text in messages)


def test_a_long_list_of_requests_is_one_entry_of_bounded_length():
    entries: deque[tuple] = deque()
    journal = SimpleNamespace(record=lambda *entry: entries.append(entry))
    requests = [["a" * 200, "up"]] * 10_000
    audit.record_request(journal, "update", None, {"requests": requests})
    assert len(entries) == 1
    assert len(str(entries[0])) < 10_000


def test_messages_before_there_is_a_session_are_bounded():
    messages = OperatorMessages()
    for number in range(1000):
        messages.emit(f"{number} " + "x" * 100_000)
    kept = messages.open_session(print)
    assert len(kept) == MAX_EARLY_MESSAGES
    assert all(len(text) <= MAX_TEXT_CHARS for _, text in kept)
