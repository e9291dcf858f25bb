"""The pure parts of `hostmanager top`: order, columns, sentences about requests."""

import pytest
from rich.text import Text
from tests.unit.cli.top.site import agent, dead, dying, host, usual

from hostmanager.cli.top.format import ColumnWidths, detail_rows, heading, row_text
from hostmanager.cli.top.model import ListItem, SortOrder, list_items
from hostmanager.cli.top.requests import UserRequest
from hostmanager.cli.top.widgets import fit_text
from hostmanager.client.change.plan import AgentChange, Plan, Refusal
from hostmanager.client.status.model import AgentStatus

NOW = 1e9 + 5


def names(hosts):
    return [item.key[1] or item.host for item in hosts]


def test_only_whole_words_of_a_filter_with_wildcards_fit():
    assert names(list_items(usual(), SortOrder.SITE, "fake?")) == ["fake1", "fake2"]
    assert names(list_items(usual(), SortOrder.SITE, "*1")) == [
        "daq1",
        "fake1",
        "fake2",
        "cam1",
        "acu1",
        "far1",
    ]
    assert names(list_items(usual(), SortOrder.SITE, "DAQ2 Start")) == ["acu1"]
    assert names(list_items(usual(), SortOrder.SITE, "wrong")) == ["acu1", "daq3"]


def test_what_looks_like_a_wildcard_is_found_as_it_was_typed_too():
    hosts = [host("daq1", agent("a", agent_class="Cam[d]"), agent("b", agent_class="Cam"))]
    assert names(list_items(hosts, SortOrder.SITE, "[d]")) == ["a"]


def test_most_restarts_first():
    hosts = [host("h", agent("a", restarts=1), agent("b"), agent("c", restarts=5))]
    assert names(list_items(hosts, SortOrder.RESTARTS)) == ["c", "a", "b", "h"]


@pytest.mark.parametrize("width", range(1, 200, 7))
def test_a_line_is_never_wider_than_the_screen_and_columns_stand_below_each_other(width):
    long = "x" * 60
    items = list_items(
        [*usual(), host(long, agent(long), dying("b", message=long))], SortOrder.WORST
    )
    widths = ColumnWidths.fitted(items, width)
    lengths = {row_text(item, widths, NOW).cell_len for item in items}
    assert lengths == {heading(widths).cell_len} == {width}


def test_a_wide_character_counts_as_two_columns():
    items = list_items([host("h", dying("a", message="望遠鏡" * 30))], SortOrder.WORST)
    widths = ColumnWidths.fitted(items, 80)
    assert {row_text(item, widths, NOW).cell_len for item in items} == {80}


@pytest.mark.parametrize(
    ("text", "height", "shown"),
    [
        ("short", 1, "short"),
        ("one two three four", 1, "one two t…"),
        ("one two three four", 2, "one two\nthree four"),
        ("one two three four five", 2, "one two\nthree fou…"),
        ("abcdefghijklmnop", 2, "abcdefghij\nklmnop"),
    ],
)
def test_what_does_not_fit_is_cut_visibly(text, height, shown):
    assert [part.rstrip() for part in fit_text(Text(text), 10, height).plain.split("\n")] == (
        shown.split("\n")
    )


def test_how_a_quiet_agent_ended_last_stands_in_its_line():
    ended = {"code": None, "signal": "SIGKILL", "time": NOW - 90, "expected": True}
    (_, item) = list_items([host("h", agent("a", last_exit=ended))], SortOrder.SITE)
    assert item.short_note(NOW) == "SIGKILL 1 m 30 s ago"


def test_facts_of_a_container_and_of_a_manager_that_says_less():
    box = {"id": "4f", "name": "site-web-1", "status": "running", "health": None, "image": "web:1"}
    (_, item) = list_items([host("h", agent("a", container=box))], SortOrder.SITE)
    rows = dict(detail_rows(item, NOW))
    assert rows["container"] == "id 4f, name site-web-1, status running, image web:1"
    assert rows["running"] == "pid 4711, for 1 m 15 s"
    assert dict(detail_rows(ListItem(dead("h", "a")), NOW))["agents"] == "1, not OK: a"


def request(*steps, **more):
    return UserRequest("restart", "x", plan=Plan("restart", steps, **more))


def step(name, outcome, **more):
    made = AgentChange(AgentStatus("h", name, state="up"), "up")
    made.outcome = outcome
    for key, value in more.items():
        setattr(made, key, value)
    return made


def test_a_request_tells_failures_first_and_each_reason_once():
    made = request(
        step("a", "reached"),
        step("b", "failed", reason="no."),
        step("c", "failed", reason="no"),
        step("d", "told", state="wait_dead"),
        step("e", "told", state="wait_dead"),
        unchanged=(AgentStatus("h", "f"),),
        refused=(Refusal(AgentStatus("h", "g"), "its manager does not know it"),),
    )
    message = made.text().split(": ", 1)[1]
    assert message == (
        "refused: g: its manager does not know it; NOT done: b, c: no; "
        "2 agents on the way: 2 stopping ...; done: 1 of 5 up; f left down"
    )
    assert made.text().startswith("!! ")


def test_a_request_about_nobody_says_so():
    assert request().text().endswith("nothing to do: no manager controls it")
    assert not request(step("a", "reached")).has_failed


def using(name, cpu, memory, **more):
    """An agent of which it is known what it uses."""
    return agent(name, resources={"cpu": cpu, "memory": memory}, **more)


def test_most_cpu_or_memory_first_and_what_is_not_measured_last():
    hosts = [host("h", agent("a"), using("b", 0.1, 9e9), using("c", None, 1e6), using("d", 2, 1))]
    assert names(list_items(hosts, SortOrder.CPU)) == ["d", "b", "h", "a", "c"]
    assert names(list_items(hosts, SortOrder.MEMORY)) == ["b", "c", "d", "h", "a"]


def test_cpu_and_memory_stand_where_the_list_is_sorted_by_them_and_the_reason_keeps_its_room():
    items = list_items([host("h", using("a", 0.5, 48e6), dying("b"))], SortOrder.SITE)
    plain = ColumnWidths.fitted(items, 80)
    sorted_by = ColumnWidths.fitted(items, 80, SortOrder.CPU)
    assert sorted_by.note >= plain.note - 4
    lines = [row_text(item, sorted_by, NOW).plain for item in items]
    assert "cpu   memory" in heading(sorted_by).plain
    assert "50.0 %  48.0 MB" in lines[1]
    assert lines[2] == row_text(items[2], plain, NOW).plain  # all its room is for the reason
    assert "memory" not in heading(plain).plain


def test_health_has_a_column_on_wide_terminals_and_resources_on_the_widest():
    items = list_items([host("h", using("a", 0.5, 48e6, health="ok"))], SortOrder.SITE)
    assert "health" in heading(ColumnWidths.fitted(items, 110)).plain
    widest = ColumnWidths.fitted(items, 140)
    line = row_text(items[1], widest, NOW).plain
    assert " ok " in line
    assert "50.0 %  48.0 MB" in line
    assert ColumnWidths.fitted(items, 80).health == 0


def test_an_agent_that_has_not_registered_yet_is_starting_on_a_narrow_terminal_too():
    items = list_items([host("h", agent("a", health="starting"))], SortOrder.SITE)
    assert "up, starting" in row_text(items[1], ColumnWidths.fitted(items, 80), NOW).plain
