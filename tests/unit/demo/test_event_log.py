"""What the demo tells of what it saw, and how it looks, without a router."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from hostmanager.demo.event_log import EventLog, last_words
from hostmanager.demo.runner import DemoRun, StopRequest
from hostmanager.demo.site import DemoSite
from hostmanager.demo.table import LiveTable
from hostmanager.demo.view import Exit, Row, View, length, read_session

UP = Row("a", "FakeDataAgent", "up", "up", 41, 3.0, 0, 1.0, None, "", None)
STARTING = replace(UP, state="wait_start", pid=None, uptime=None)
DOWN = replace(STARTING, name="b", state="down", target="down")
DIED = Exit("code 3", 99.0, 7.2, False, ("one", "giving up"))


def story():
    return EventLog(now=lambda: 100.0)


def told(lines):
    return [f"{line.about}: {line.text}" for line in lines]


def test_only_what_is_new_is_told():
    tale = story()
    assert told(tale.take(View((UP,), ((1.0, "hello"),)))) == [
        "manager: hello",
        "a: state up (target up), pid 41",
    ]
    assert tale.take(View((replace(UP, uptime=4.0),), ((1.0, "hello"),))) == []
    assert told(tale.take(View((UP,), ((1.0, "hello"), (2.0, "again"))))) == ["manager: again"]


def test_all_messages_of_a_new_session_are_told():
    tale = story()
    tale.take(View((UP,), ((1.0, "old"),)))
    assert told(tale.take(View((UP,), ((5.0, "new"),)))) == ["manager: new"]


def test_a_death_between_two_looks_is_told_and_counted():
    tale = story()
    tale.take(View((UP,)))
    news = tale.take(View((replace(UP, pid=42, restarts=1, last_exit=DIED),)))
    assert told(news) == [
        'a: died (code 3) after 7s, saying "giving up"',
        "a: state up (target up), pid 42",
    ]
    assert tale.summary() == (
        "Summary: 1 of 1 agents that should be up got up; a died once and came back."
    )


def test_a_death_whose_last_words_are_read_a_moment_later_is_one_death():
    tale = story()
    tale.take(View((UP,)))
    silent = replace(UP, pid=42, restarts=1, last_exit=replace(DIED, output=()))
    tale.take(View((silent,)))
    news = tale.take(View((replace(silent, last_exit=DIED),)))
    assert told(news) == ['a: died (code 3) after 7s, saying "giving up"']
    assert "a died once and came back" in tale.summary()
    tale.take(View((replace(silent, restarts=2, last_exit=replace(DIED, at=105.0)),)))
    assert "a died twice and came back" in tale.summary()


def test_an_agent_that_was_told_to_end_has_not_died():
    tale = story()
    tale.take(View((UP,)))
    ended = replace(DIED, text="code 0", expected=True)
    news = tale.take(View((replace(DOWN, name="a", last_exit=ended),)))
    assert told(news)[0] == "a: ended as told (code 0) after 7s"
    assert tale.deaths == {}


def test_an_agent_that_leaves_and_a_silent_manager_are_told():
    tale = story()
    tale.take(View((UP, DOWN)))
    assert told(tale.take(View((UP,)))) == ["b: is no longer managed"]
    silent = View((UP,), problem="The router does not answer.")
    assert told(tale.take(silent)) == ["demo: The router does not answer."]
    assert tale.take(silent) == []


def test_an_end_before_anything_was_seen_is_told_as_such():
    assert story().summary() == "Summary: it ended before any agent was seen."


def test_only_agents_that_should_be_up_are_missed():
    tale = story()
    tale.take(View((UP, DOWN, replace(STARTING, name="c"))))
    assert [row.name for row in tale.never_up()] == ["c"]
    assert not tale.all_up()


def test_an_agent_that_fails_while_it_starts_was_never_up():
    tale = story()
    tale.take(View((replace(UP, uptime=0.5),)))
    tale.take(View((replace(UP, state="start_at", pid=None, uptime=None, last_exit=DIED),)))
    assert [row.name for row in tale.never_up()] == ["a"]


class Words(list):
    """A display that keeps what it is told."""

    say = list.append


class SomeStage:
    manager = None


def test_an_agent_that_never_got_up_fails_the_demo_and_its_output_is_shown():
    words = Words()
    tale = story()
    tale.take(View((UP, replace(STARTING, name="c", last_exit=DIED, message="It is broken."))))
    assert DemoRun(SomeStage(), StopRequest(1.0), words, tale)._verdict("") == 1
    assert words == ["c should be up, but never got up. It is broken.", "  one", "  giving up"]


def test_a_demo_whose_agents_were_all_up_is_a_success():
    words = Words()
    tale = story()
    tale.take(View((UP, DOWN)))
    assert DemoRun(SomeStage(), StopRequest(1.0), words, tale)._verdict("") == 0
    assert words == []


def test_last_words_come_from_the_manager_or_from_the_file(tmp_path):
    file = tmp_path / "a.out"
    file.write_text("".join(f"{n}\n" for n in range(9)))
    assert last_words(replace(UP, last_exit=DIED)) == ["one", "giving up"]
    assert last_words(replace(UP, output=str(file))) == ["4", "5", "6", "7", "8"]
    assert last_words(replace(UP, output=str(tmp_path / "none"))) == []


def test_a_manager_that_shows_less_is_understood():
    child = {
        "instance_id": "a",
        "agent_class": "A",
        "target_state": "up",
        "next_action": "up",
        "stability": 1.0,
    }
    view = read_session({"status": "done", "data": {"child_states": [child]}})
    assert view.rows[0].name == "a"
    assert view.problem == "The manager process is done."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.4, "0s"), (59.9, "59s"), (185, "3:05"), (7209, "2:00:09")],
)
def test_lengths_of_time_are_short(seconds, text):
    assert length(seconds) == text


def drawn(view, width, height=24):
    console = Console(width=width, height=height, record=True, file=io.StringIO())
    tale = story()
    tale.take(view)
    site = DemoSite(Path("/tmp/hm-demo-abcdefgh"), 3)
    console.print(LiveTable(site, "ws://127.0.0.1:65535/ws", console).picture(tale))
    return console.export_text().splitlines()


def test_the_picture_fits_into_80_columns_and_24_lines_with_the_widest_words():
    killed = replace(DIED, text="SIGKILL")
    widest = Row(
        *("registry", "DemoFlakyAgent", "down", "wait_start", 4194304, 3599.0, 100, 0.25, killed),
        "It exited with code 3, 2 failures in a row, and so on and on and on and on and on.",
        None,
    )
    rows = tuple(replace(widest, name=f"fake{n}") for n in range(6))
    lines = drawn(View(rows, tuple((1.0, f"message {n} " * 20) for n in range(50))), 80)
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    shown = next(line for line in lines if line.startswith("fake0 "))
    for word in ("fake0", "DemoFlaky", "down", "wait_start", "4194304", "59:59", "100", "SIGKILL"):
        assert word in shown.split()
    assert any(line.startswith("fake0: It exited") for line in lines)


def test_a_wide_terminal_has_the_message_in_the_row():
    lines = drawn(View((replace(UP, message="Beware of the dog."),)), 140)
    assert any("FakeDataAgent" in line and "Beware of the dog." in line for line in lines)
