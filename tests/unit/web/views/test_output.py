"""Which lines of output a page shows, live or not; how they look."""

import pytest

from hostmanager.client.logs.log_filter import LogLine
from hostmanager.client.logs.log_reader import LogSource
from hostmanager.client.managers.manager_client import OperationResult
from hostmanager.client.status.model import AgentStatus
from hostmanager.web.errors import PageError
from hostmanager.web.feeds.output import Batch
from hostmanager.web.views.output import (
    LiveSelection,
    OutputQuery,
    OutputView,
    line_data,
    older_than,
    read_selected,
    search,
    text_lines,
)


def line(text, when=1.0):
    return LogLine(when, "h", "a", text)


def texts(lines):
    return [each.text for each in lines]


class FakeManager:
    """Has output in pages, the newest first."""

    def __init__(self, *pages):
        self.pages = pages
        self.asked = 0

    def run(self, operation, limit, /, **params):
        assert operation == "output"
        self.asked += 1
        number = (params.get("before") or [0, 0])[1]
        older = [0, number + 1] if number + 1 < len(self.pages) else None
        return OperationResult(
            True, "", {"lines": self.pages[number], "older": older, "cut": bool(older)}
        )


def source(manager):
    return LogSource(AgentStatus("h", "a"), manager)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"level": "loud"}, "'loud' is not a level"),
        ({"since": "yesterdayish"}, "not a valid time"),
        ({"until": "25:99"}, "not a valid time"),
        ({"lines": "0"}, "from 1 to 5000"),
        ({"lines": "many"}, "from 1 to 5000"),
        ({"search": "x" * 201}, "more than 200"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_with_what_would(fields, problem):
    with pytest.raises(PageError, match=problem):
        OutputQuery.of(fields)


def test_a_searched_text_is_no_pattern_and_has_no_case():
    query = OutputQuery.of({"search": "(A+)+$"})

    assert query.selection.pattern.search("we have (a+)+$ here")
    assert not query.selection.pattern.search("aaaa")


def test_a_live_page_begins_with_what_is_kept_and_asks_nobody():
    manager = FakeManager()

    view = search(OutputQuery(lines=2), [line("1"), line("2"), line("3")], source(manager), 1.0)

    assert texts(view.lines) == ["2", "3"]
    assert manager.asked == 0


def test_a_search_goes_back_beyond_what_is_kept_without_showing_a_line_twice():
    kept = [line("x c", 3.0), line("x d", 4.0), line("no", 5.0)]
    manager = FakeManager([[1.0, "x a"], [3.0, "x b"], [3.0, "x c"], [4.0, "x d"], [5.0, "no"]])

    view = search(OutputQuery(search="x"), kept, source(manager), 1.0)

    assert texts(view.lines) == ["x a", "x b", "x c", "x d"]
    assert view.notes == ()


def test_a_search_that_finds_enough_in_what_is_kept_asks_nobody():
    manager = FakeManager()

    view = search(OutputQuery(search="x", lines=1), [line("x"), line("y")], source(manager), 1.0)

    assert texts(view.lines) == ["x"]
    assert manager.asked == 0


def test_what_cannot_be_divided_by_time_is_searched_as_a_whole():
    assert older_than([line("a", 1.0), line("b", 1.0)]) == (None, [])
    assert older_than([]) == (None, [])


def test_a_search_in_too_much_output_ends_and_says_so(monkeypatch):
    monkeypatch.setattr("hostmanager.web.views.output.MAX_PAGES", 3)
    manager = FakeManager(*([[10.0 - n, f"line {n}"]] for n in range(8)))

    view = read_selected(OutputQuery(search="nothing"), source(manager), 1.0)

    assert manager.asked == 3
    assert "Not all of its output was searched" in view.notes[0]


def test_where_there_are_older_lines_that_is_said():
    manager = FakeManager([[1.0, "a"], [2.0, "b"]], [[0.0, "0"]])

    view = read_selected(OutputQuery(lines=2), source(manager), 1.0)

    assert texts(view.lines) == ["a", "b"]
    assert view.notes == ("These are the newest 2 lines; there are older ones.",)


def test_a_traceback_that_comes_after_its_line_brings_it_along():
    live = LiveSelection(OutputQuery(level="error"), [line("it begins")])

    data = live.data(Batch([line("Traceback (most recent call last):")], "p", False, ""), 2.0)
    later = live.data(Batch([line("ValueError: no")], "p", False, "late"), 2.0)

    assert [each["text"] for each in data["lines"]] == [
        "it begins",
        "Traceback (most recent call last):",
    ]
    assert [each["text"] for each in later["lines"]] == ["ValueError: no"]
    assert later["error"] == "late"


def test_a_line_is_shown_as_by_logs_and_its_level_by_a_class():
    data = line_data(line("2026-01-31T14:05:00+0000 [acu#error] no\x1b[2J\x07", None), 2.0)

    assert data == {"time": "?", "text": "[acu#error] no␛[2J␇", "level": "error"}
    assert line_data(line("WARNING: hot"), 2.0)["level"] == "warning"
    assert line_data(line("fine"), 2.0)["level"] == ""


def test_a_file_begins_with_what_is_missing_in_it():
    text = text_lines(OutputView([line("a\x00b")], ("There are older ones.",)), 2.0)

    notes, first = text.splitlines()
    assert notes == "# There are older ones."
    assert first.endswith(" a␀b")
