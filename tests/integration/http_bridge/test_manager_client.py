"""Asking managers: time limits, passwords, odd answers."""

import time
from types import SimpleNamespace

import pytest
from tests.support.http_bridge import child, session

from hostmanager.client.errors import ManagerError
from hostmanager.client.managers import http_bridge
from hostmanager.client.managers.manager_client import (
    MAX_ATTEMPTS,
    ManagerClient,
    OperationResult,
)
from hostmanager.client.site_model import Site


def sites(bridge, site_file, number, **children):
    hosts = {f"daq{i}": [f"a{i}"] for i in range(1, number + 1)}
    bridge.write(site_file, **hosts)
    for i in range(1, number + 1):
        bridge.sessions[f"hm-daq{i}"] = {
            "manager": session(child(f"a{i}"), config_parse_status={"/c.yaml": [True, 1.0, ""]})
        }


def test_all_hosts_are_asked_at_once_and_each_is_asked_once(bridge, site_file, run):
    sites(bridge, site_file, 12)
    assert run("status").code == 0
    assert sorted(asked[0] for asked in bridge.asked) == sorted(f"hm-daq{i}" for i in range(1, 13))


def test_silent_hosts_cost_their_limit_once(bridge, site_file, run):
    sites(bridge, site_file, 12)
    bridge.silent = {f"hm-daq{number}" for number in range(1, 13) if number not in (5, 8)}
    for argv in (
        ["status"],
        ["history"],
        ["diff"],
        ["orphans"],
        ["reload", "--timeout", "1m"],
        ["pull", "--timeout", "1m"],
        ["die", "--all", "--yes", "--timeout", "1m"],
        ["up", "--all", "--timeout", "1m"],
    ):
        bridge.tasks = {
            "history": lambda *_: (True, "", {"entries": [], "trouble": None}),
            "update": lambda *_: (True, "read", {}),
            "docker_pull": lambda *_: (True, "pulled", {}),
        }
        started = time.monotonic()
        result = run(argv[0], *argv[1:], "--answer-time", "1.5")
        spent = time.monotonic() - started
        assert result.code == 3, argv
        # One after the other, they would cost ten times as much; those with work a minute each.
        assert spent < 10 * 1.5, argv
        assert "no answer within 1.5 s" in result.out + result.err, argv


def test_a_password_goes_with_every_request_and_a_level_is_looked_up(
    bridge, site_file, run, monkeypatch, tmp_path
):
    sites(bridge, site_file, 1)
    bridge.tasks["update"] = lambda *_: (True, "done", {})
    assert run("reload", "--privs", "secret").code == 0
    assert {asked[4] for asked in bridge.asked} == {"secret"}
    bridge.asked.clear()
    run("reload")
    assert {asked[4] for asked in bridge.asked} == {None}
    passwords = tmp_path / "passwords.yaml"
    passwords.write_text(
        "- {default: true, password_2: two}\n- {instance_id: hm-daq1, password_3: x}"
    )
    monkeypatch.setenv("OCS_PASSWORDS_FILE", str(passwords))
    bridge.asked.clear()
    run("reload", "--privs", "3")
    assert {asked[4] for asked in bridge.asked} == {"x"}
    passwords.write_text("- {default: true, password_2: two}")
    result = run("reload", "--privs", "3")
    assert result.code == 2
    assert "has no password of that level for hm-daq1" in result.err
    monkeypatch.setenv("OCS_PASSWORDS_FILE", str(tmp_path / "none"))
    assert "password file cannot be used" in run("status", "--privs", "2").err


def test_what_a_manager_refuses_is_reported_as_it_says_it(bridge, site_file, run):
    sites(bridge, site_file, 1)
    bridge.tasks["update"] = lambda *_: (False, "The action requires level 2.", {})
    result = run("down", "a1")
    assert result.code == 1
    assert "! daq1 a1 up (target down): The action requires level 2." in result.out


def test_an_operation_that_an_older_manager_has_not_is_reported_as_such(bridge, site_file, run):
    sites(bridge, site_file, 1)
    result = run("pull")
    assert result.code == 1
    assert "hm-daq1 has no operation 'docker_pull': is it an older version" in result.out


@pytest.mark.parametrize("argv", [["status"], ["diff"], ["logs", "a1"], ["up", "a1"]])
def test_without_a_router_each_command_ends_with_3(bridge, site_file, run, argv):
    sites(bridge, site_file, 2)
    result = run(argv[0], *argv[1:], "--site-http", "http://127.0.0.1:9/call")
    assert result.code == 3
    assert "no router answers at http://127.0.0.1:9/call" in result.err
    assert result.err.count("\n") == 1


def test_a_hub_without_http_is_a_matter_of_the_site_file(bridge, site_file, run):
    sites(bridge, site_file, 1)
    text = site_file.read_text()
    site_file.write_text("\n".join(line for line in text.splitlines() if "wamp_http" not in line))
    result = run("status")
    assert result.code == 2
    assert "'hub' has no 'wamp_http'" in result.err
    assert run("status", "--site-http", bridge.url).code == 0


@pytest.mark.parametrize(
    ("operation", "params", "times"),
    [
        ("update", {"requests": [["a", "down"]]}, 1),
        ("docker_pull", {}, 1),
        ("history", {"limit": 5}, MAX_ATTEMPTS),
        ("output", {"instance_id": "a"}, MAX_ATTEMPTS),
    ],
)
def test_the_answer_to_another_client_is_never_taken_for_ours(
    monkeypatch, operation, params, times
):
    """A manager of before can only tell the latest. An order is not given again: that would undo
    what was said after it; a question is."""
    answers = Answers(
        start={"session_id": 1, "status": "running"},
        wait={"session_id": 2, "status": "done", "success": True, "messages": [[0.0, "not ours"]]},
    )
    monkeypatch.setattr(http_bridge, "call", answers)
    with pytest.raises(ManagerError, match="hm-daq1 answered another client"):
        client().run(operation, 1.0, **params)
    assert [asked for asked in answers.asked if asked[0] == "start"] == [
        ("start", operation, params)
    ] * times


def test_a_manager_is_asked_for_the_run_that_we_started(monkeypatch):
    ours = {"session_id": 7, "success": True, "messages": [[0.0, "ours"]], "data": {}}
    answers = Answers(start={**ours, "status": "running"}, wait={**ours, "status": "done"})
    monkeypatch.setattr(http_bridge, "call", answers)
    assert client().run("history", 1.0, limit=5) == OperationResult(True, "ours", {})
    assert answers.asked[1] == ("wait", "history", {"session_id": 7})


class Answers:
    """Stands for the HTTP bridge: a session for each action; an operation has no session yet."""

    def __init__(self, **sessions):
        self.sessions = sessions
        self.asked = []

    def __call__(self, _url, _realm, _procedure, action, operation, params, **_options):
        self.asked.append((action, operation, params))
        return 0, "fine", self.sessions.get(action)


def client():
    hub = {"wamp_http": "http://router/call", "address_root": "obs", "wamp_realm": "r"}
    config = SimpleNamespace(hub=SimpleNamespace(data=hub))
    return ManagerClient(Site("site.yaml", config), "daq1", "hm-daq1", None)
