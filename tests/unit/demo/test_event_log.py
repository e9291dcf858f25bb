"""What the demo says about what it saw, and how it looks, without a router."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from hostmanager.cli.status.table import hosts_table
from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.site_model import SiteHost
from hostmanager.demo.event_log import EventLog, output_tail
from hostmanager.demo.live_table import LiveTable
from hostmanager.demo.runner import DemoRun, StopRequest
from hostmanager.demo.site import DemoSite
from hostmanager.demo.status import View, build_view

HOST = SiteHost("demo-host", "hm-demo-host", {})
MESSAGE = (1.0, "hello")


def child(name="a", **changes):
    state = {
        "instance_id": name,
        "agent_class": "FakeDataAgent",
        "target_state": "up",
        "next_action": "up",
        "stability": 1.0,
        "pid": 41,
        "uptime": 3.0,
        "restarts": 0,
        "last_exit": None,
        "message": "",
        "output": None,
    }
    return {**state, **changes}


NOT_UP = {"pid": None, "uptime": None}
STARTING = {"next_action": "wait_start", **NOT_UP}
DOWN = {"next_action": "down", "target_state": "down", **NOT_UP}
DIED = {
    "code": 3,
    "signal": None,
    "time": 99.0,
    "ran_for": 7.2,
    "expected": False,
    "output": ["one", "giving up"],
}


def view(*children, messages=(), status="running"):
    data = {"child_states": list(children)}
    session = {"status": status, "messages": [list(m) for m in messages], "data": data}
    return build_view(HOST, session, View())


@pytest.fixture
def log():
    return EventLog(now=lambda: 100.0)


def texts(events):
    return [f"{event.subject}: {event.text}" for event in events]


def test_only_what_is_new_is_reported(log):
    assert texts(log.update(view(child(), messages=[MESSAGE]))) == [
        "manager: hello",
        "a: state up (target up), pid 41",
    ]
    assert log.update(view(child(uptime=4.0), messages=[MESSAGE])) == []
    assert texts(log.update(view(child(), messages=[MESSAGE, (2.0, "again")]))) == [
        "manager: again"
    ]


def test_all_messages_of_a_new_session_are_reported(log):
    log.update(view(child(), messages=[(1.0, "old")]))
    assert texts(log.update(view(child(), messages=[(5.0, "new")]))) == ["manager: new"]


def test_a_death_between_two_views_is_reported_and_counted(log):
    log.update(view(child()))
    assert texts(log.update(view(child(pid=42, restarts=1, last_exit=DIED)))) == [
        'a: died (code 3) after 7.2 s, its last output: "giving up"',
        "a: state up (target up), pid 42",
    ]
    assert log.summary() == (
        "Summary: 1 of 1 agents that should be up got up; a died once and came back."
    )


def test_a_death_whose_last_output_is_read_a_moment_later_is_one_death(log):
    log.update(view(child()))
    silent = {"pid": 42, "restarts": 1, "last_exit": {**DIED, "output": []}}
    log.update(view(child(**silent)))
    events = log.update(view(child(**{**silent, "last_exit": DIED})))
    assert texts(events) == ['a: died (code 3) after 7.2 s, its last output: "giving up"']
    assert "a died once and came back" in log.summary()
    log.update(view(child(**{**silent, "restarts": 2, "last_exit": {**DIED, "time": 105.0}})))
    assert "a died twice and came back" in log.summary()


def test_an_agent_that_was_stopped_has_not_died(log):
    log.update(view(child()))
    stopped = {**DIED, "code": 0, "expected": True}
    events = log.update(view(child(**DOWN, last_exit=stopped)))
    assert texts(events)[0] == "a: stopped as requested (code 0) after 7.2 s"
    assert log.deaths == {}


def test_an_agent_that_leaves_is_reported(log):
    log.update(view(child(), child("b", **DOWN)))
    assert texts(log.update(view(child()))) == ["b: is no longer managed"]


def test_a_silent_manager_is_reported_once_and_what_was_known_stays(log):
    log.update(view(child()))
    error = ManagerError(FailureKind.TIMEOUT, "no answer for 3 s")
    silent = build_view(HOST, error, log.view)
    assert texts(log.update(silent)) == ["demo: no answer for 3 s."]
    assert log.update(silent) == []
    assert [agent.instance_id for agent in log.view.agents] == ["a"]


def test_an_end_before_anything_was_seen_is_reported_as_such(log):
    assert log.summary() == "Summary: it ended before any agent was seen."


def test_only_agents_that_should_be_up_are_missed(log):
    log.update(view(child(), child("b", **DOWN), child("c", **STARTING)))
    assert [agent.instance_id for agent in log.never_up()] == ["c"]
    assert not log.all_ready()


def test_what_has_heartbeats_is_ready_once_it_is_heard_and_is_waited_for(log):
    log.update(view(child(health="starting"), child("b")))
    assert log.awaited() == ["a"]
    assert log.readiness() == "Waiting for a to be ready (registered with the router)."
    assert "a did not register with the router" in log.summary()
    events = log.update(view(child(health="ok"), child("b", health=None)))
    assert texts(events) == ["a: state up (target up), pid 41, health ok"]
    assert log.all_ready()
    log.update(view(child(health="no_heartbeat"), child("b")))
    assert log.all_ready()  # it has been; what is wrong with it now is in the table


def test_an_agent_that_fails_while_it_starts_was_never_up(log):
    log.update(view(child(uptime=0.5)))
    log.update(view(child(next_action="start_at", **NOT_UP, last_exit=DIED)))
    assert [agent.instance_id for agent in log.never_up()] == ["a"]


class Messages(list):
    """A display that keeps its messages."""

    message = list.append


class Environment:
    manager = None


def test_an_agent_that_never_got_up_fails_the_demo_and_its_output_is_shown(log):
    messages = Messages()
    broken = child("c", **STARTING, last_exit=DIED)
    log.update(view(child(), {**broken, "message": "It is broken."}))
    assert DemoRun(Environment(), StopRequest(1.0), messages, log).verdict("") == 1
    assert messages == ["c should be up, but never got up. It is broken.", "  one", "  giving up"]


def test_a_demo_whose_agents_were_all_up_is_a_success(log):
    messages = Messages()
    log.update(view(child(), child("b", **DOWN)))
    assert DemoRun(Environment(), StopRequest(1.0), messages, log).verdict("") == 0
    assert messages == []


def test_the_last_output_comes_from_the_manager_or_from_the_file(tmp_path):
    file = tmp_path / "a.out"
    file.write_text("".join(f"{n}\n" for n in range(9)))

    def output(**changes):
        return output_tail(view(child(**changes)).agents[0])

    assert output(last_exit=DIED) == ["one", "giving up"]
    assert output(output=str(file)) == ["4", "5", "6", "7", "8"]
    assert output(output=str(tmp_path / "none")) == []


def test_a_manager_process_that_has_ended_is_a_problem():
    assert view(child(), status="done").problem == "The manager process is done."


def test_the_picture_fits_into_80_columns_and_24_lines_with_the_widest_words(log):
    widest = {"next_action": "wait_start", "target_state": "down", "uptime": 3599.0}
    killed = {**DIED, "signal": "SIGKILL"}
    children = [
        child(f"fake{n}", **widest, restarts=100, stability=0.25, last_exit=killed)
        for n in range(6)
    ]
    log.update(view(*children, messages=[(float(n), f"message {n} " * 20) for n in range(50)]))
    console = Console(width=80, height=24, record=True, file=io.StringIO())
    site = DemoSite(Path("/tmp/hm-demo-abcdefgh"), 3)
    console.print(LiveTable(site, "ws://127.0.0.1:65535/ws", hosts_table, console).render(log))
    lines = console.export_text().splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    shown = next(line for line in lines if line.startswith("fake0 "))
    for word in ("starting", "down", "100", "0.25"):
        assert word in shown.split()
    assert any(line.startswith("demo-host") for line in lines)
