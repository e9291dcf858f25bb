"""What clients read from the manager: session data, its API and its feeds (contract, 4 and 5)."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from ocs.base import OpCode
from ocs.ocs_client import OCSClient

from tests.integration.router.steps import output_of, wait_child, wait_ready, wait_states
from tests.support.clients import call, children, client
from tests.support.managers import Manager
from tests.support.processes import kill_all
from tests.support.sites import Site, instance
from tests.support.waiting import wait_for

NUMBER = (float, int)
NOTHING = type(None)
CONTRACT_FIELDS = {
    "instance_id": str,
    "agent_class": str,
    "target_state": str,
    "next_action": str,
    "stability": NUMBER,
    "operable": bool,
    "restart_required": bool,
}
MORE_FIELDS = {
    "pid": (int, NOTHING),
    "started_at": (float, NOTHING),
    "uptime": (float, NOTHING),
    "restarts": int,
    "restarting": bool,
    "given_up": bool,
    "last_exit": (dict, NOTHING),
    "next_attempt_at": (float, NOTHING),
    "fingerprint": (str, NOTHING),
    "manage": (str, NOTHING),
    "arguments": list,
    "process_state": (str, NOTHING),
    "message": str,
    "output": (str, NOTHING),
    "output_rotated": (str, NOTHING),
    "container": (dict, NOTHING),
    "built": bool,
    "settings": dict,
    "done": (dict, NOTHING),
    "target_source": str,
    "target_by": (str, NOTHING),
    "target_level": (int, NOTHING),
    "target_reason": (str, NOTHING),
    "target_since": (float, NOTHING),
    "health": (str, NOTHING),
    "ready_at": (float, NOTHING),
    "heartbeat_age": (float, NOTHING),
    "operations": (dict, NOTHING),
    "resources": (dict, NOTHING),
    "silenced": (dict, NOTHING),
    "off_target_since": (float, NOTHING),
    "waiting_for": list,
    "start_wait": (dict, NOTHING),
}
LAST_EXIT_FIELDS = {
    "code": (int, NOTHING),
    "signal": (str, NOTHING),
    "time": float,
    "expected": bool,
    "ran_for": float,
    "output": list,
}


class Shown(NamedTuple):
    """A manager whose site has one of everything."""

    site: Site
    hm: OCSClient
    pid: int


@pytest.fixture(scope="module")
def shown(router, tmp_path_factory) -> Iterator[Shown]:
    """One manager for all tests in here: they only look."""
    site = Site(tmp_path_factory.mktemp("shown") / "site", router)
    site.write(
        instance("runs"),
        instance("rests", manage="host/down"),
        instance("fails", "--behave", "exit-at-once", "--code", 3),
        instance("unreadable", "--behave", "bad-utf8"),
        instance("dock", manage="docker/up"),
        instance("dock-down", manage="docker/down"),
        instance("unknown", agent_class="NoSuchAgent"),
        instance("ignored", manage="ignore"),
    )
    manager = Manager(site, ("--stop-timeout", "1")).wait_ready()
    hm = client(site)
    wait_ready(site, "runs", "unreadable")
    wait_for(lambda: output_of(site, "unreadable").count("after the bad bytes") == 2, 20)
    os.kill(children(hm)["unreadable"]["pid"], 9)
    wait_child(hm, "unreadable", restarts=1, next_action="up")
    wait_for(lambda: children(hm)["unreadable"]["last_exit"]["output"], 20)
    wait_states(hm, fails="start_at")
    yield Shown(site, hm, manager.pid)
    manager.stop()
    kill_all(site)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_the_data_is_strict_json_on_the_wire(shown):
    answer = requests.post(
        shown.site.router.http,
        json={
            "procedure": f"{shown.site.address_root}.{shown.site.manager_id}.ops",
            "args": ["status", "manager"],
        },
        timeout=5,
    )
    data = json.loads(answer.content.decode("utf-8"), parse_constant=refuse)["args"][0][2]["data"]
    assert data.keys() == {
        "config_warnings",
        *("child_states", "config_parse_status", "orphans", "new_tags"),
        *("not_kept", "own_faults", "request_params", "now"),
    }
    json.dumps(data, allow_nan=False)


def test_every_child_state_has_the_fields_of_the_contract_and_ours(shown):
    fields = CONTRACT_FIELDS | MORE_FIELDS
    for child in children(shown.hm).values():
        assert child.keys() == fields.keys()
        for name, kind in fields.items():
            assert isinstance(child[name], kind), f"{child['instance_id']}: {name}"
        assert type(child["restarts"]) is int
        assert 0 <= child["stability"] <= 1
        assert child["target_state"] in ("up", "down", "passive")


def test_the_managed_entries_are_shown_in_their_order_and_no_others(shown):
    assert list(children(shown.hm)) == [
        *("runs", "rests", "fails", "unreadable", "dock", "dock-down", "unknown")
    ]


def test_a_running_agent_is_shown_with_its_pid_and_age(shown):
    before = time.time()
    child = children(shown.hm)["runs"]
    after = time.time()
    [launch] = shown.site.launches("runs")
    assert child["pid"] == launch.pid
    assert (child["target_state"], child["next_action"], child["stability"]) == ("up", "up", 1)
    assert child["operable"] is True
    assert child["restart_required"] is False
    assert before - 1 < child["started_at"] + child["uptime"] < after + 1
    assert child["last_exit"] is None
    assert child["message"] == ""
    assert Path(child["output"]).read_text().endswith(f"tiny runs up pid {launch.pid}\n")


def test_an_agent_that_rests_has_neither_pid_nor_age(shown):
    child = children(shown.hm)["rests"]
    assert (child["target_state"], child["next_action"]) == ("down", "down")
    assert (child["pid"], child["started_at"], child["uptime"]) == (None, None, None)


def test_docker_entries_without_a_service_cannot_be_operated_and_say_why(shown):
    for name, target in (("dock", "up"), ("dock-down", "down")):
        child = children(shown.hm)[name]
        assert child["agent_class"] == "TinyAgent[d?]"
        assert (child["next_action"], child["target_state"]) == ("?", target)
        assert child["operable"] is False
        assert "docker" in child["message"]


def test_an_agent_class_of_no_plugin_cannot_be_operated_and_says_why(shown):
    child = children(shown.hm)["unknown"]
    assert (child["agent_class"], child["next_action"]) == ("NoSuchAgent", "?")
    assert child["operable"] is False
    assert "NoSuchAgent" in child["message"]


def test_the_last_exit_tells_code_output_and_time(shown):
    def ended():  # its last lines are read a moment after its end
        child = children(shown.hm)["fails"]
        return child["next_action"] == "start_at" and child["last_exit"]["output"] and child

    last = wait_for(ended, 20, "an end with last lines")["last_exit"]
    assert last.keys() == LAST_EXIT_FIELDS.keys()
    for name, kind in LAST_EXIT_FIELDS.items():
        assert isinstance(last[name], kind), name
    assert (last["code"], last["signal"], last["expected"]) == (3, None, False)
    assert last["output"][-1] == "tiny fails: no answer from the device"
    assert 0 < time.time() - last["time"] < 60
    assert 0 < last["ran_for"] < 20


def test_the_last_exit_of_one_that_was_killed_has_the_name_of_the_signal(shown):
    last = children(shown.hm)["unreadable"]["last_exit"]
    assert (last["code"], last["signal"], last["expected"]) == (None, "SIGKILL", False)


def test_undecodable_and_split_characters_in_the_last_output_are_repaired(shown):
    assert children(shown.hm)["unreadable"]["last_exit"]["output"][-3:] == [
        "a bad byte: \N{REPLACEMENT CHARACTER}",
        "a split character: \N{LATIN SMALL LETTER E WITH ACUTE}",
        "after the bad bytes",
    ]


def test_the_site_file_is_in_the_parse_status_with_its_time(shown):
    status = shown.hm.manager.status().session["data"]["config_parse_status"]
    assert status.keys() == {"[SCF]"}
    ok, when, text = status["[SCF]"]
    assert ok is True or "NoSuchAgent" in text
    assert isinstance(text, str)
    assert 0 < time.time() - when < 120


def test_there_are_no_orphans_and_no_new_tags_but_both_keys(shown):
    data = shown.hm.manager.status().session["data"]
    assert data["orphans"] == {}
    assert data["new_tags"] == {}


def test_the_agent_answers_at_its_address_as_a_host_manager(shown):
    api = shown.hm._client.get_api()
    assert shown.hm._client.agent_addr == f"{shown.site.address_root}.hm-testhost"
    assert api["agent_class"] == "HostManager"
    assert api["instance_pid"] == shown.pid


def test_clients_see_the_operations_with_docstrings_for_operators(shown):
    api = shown.hm._client.get_api()
    described = {name: info for name, _, info in [*api["tasks"], *api["processes"]]}
    assert {"manager", "update", "die"} <= described.keys()
    assert [name for name, _, _ in api["processes"]] == ["manager"]
    for name, info in described.items():
        kind = "Process" if name == "manager" else "Task"
        assert info["docstring"].startswith(f"{name}(")
        assert f"**{kind}**" in info["docstring"]
        assert info["blocking"] is False
    assert "reload_config" in shown.hm.update.start.__doc__


@pytest.mark.parametrize("operation", ["manager", "update", "die"])
def test_an_unknown_parameter_is_refused_before_anything_is_done(shown, operation):
    before = children(shown.hm)["runs"]["pid"]
    reply = call(shown.site, "start", operation, nonsense=1)
    assert reply[0] == -1
    assert "nonsense" in reply[1] or "already in progress" in reply[1]
    assert children(shown.hm)["runs"]["pid"] == before


def test_an_unknown_operation_is_refused(shown):
    assert call(shown.site, "start", "no_such_operation")[0] == -1


def test_what_happened_is_in_the_messages_once_and_not_each_second(shown):
    messages = [text for _, text in shown.hm.manager.status().session["messages"]]
    assert any(text.startswith("unreadable: was ended by SIGKILL") for text in messages)
    assert len(messages) < 40


def listen(site: Site, seconds: float) -> list[tuple[float, Any]]:
    """The heartbeats of the manager, each with the time of its arrival, seconds."""
    code = "from ocs.client_cli import main; main()"
    command = [sys.executable, "-uc", code, *site.args, "listen", "--json"]
    topic = f"{site.address_root}.{site.manager_id}.feeds.heartbeat"
    with subprocess.Popen([*command, topic], stdout=subprocess.PIPE, text=True) as listener:
        beats = []
        started = None
        give_up = threading.Timer(seconds + 20, listener.kill)  # nothing comes, nothing ends
        give_up.start()
        for line in listener.stdout:
            if line.startswith("{"):
                started = started or time.monotonic()
                beats.append((time.monotonic(), json.loads(line)["message"]))
                if time.monotonic() - started > seconds:
                    break
        give_up.cancel()
        listener.kill()
    return beats


def test_a_heartbeat_with_the_state_of_the_operations_goes_out_each_second(shown):
    beats = listen(shown.site, 2.2)
    gaps = [late[0] - early[0] for early, late in pairwise(beats)]
    assert 3 <= len(beats) <= 5, gaps
    op_codes = beats[-1][1][0]
    assert op_codes["manager"] == OpCode.RUNNING.value
    assert op_codes["die"] == OpCode.NONE.value


def test_the_heartbeat_feed_is_listed(shown):
    feeds = dict(shown.hm._client.get_api()["feeds"])
    assert feeds["heartbeat"]["address"].endswith("hm-testhost.feeds.heartbeat")
