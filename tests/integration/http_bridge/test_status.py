"""What is made of what managers say: how bad each thing is, and why."""

import pytest
from tests.support.http_bridge import child, session

DIED = {
    "code": 3,
    "signal": None,
    "time": 5.0,
    "expected": False,
    "ran_for": 1.0,
    "output": ["Traceback", "ValueError: no device"],
}


def shown(bridge, site_file, run, *children, entries=None, **data):
    """What `status --json` makes of these child states, by instance-id, and its exit status."""
    names = [c["instance_id"] for c in children]
    bridge.write(site_file, daq1=entries if entries is not None else names)
    bridge.sessions["hm-daq1"] = {"manager": session(*children, **data)}
    result = run("status", "--json")
    (host,) = result.json["hosts"]
    return {agent["instance_id"]: agent for agent in host["agents"]}, result.code, host


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, ("ok", 0, "")),
        (
            {"target_state": "down", "next_action": "down"},
            ("warning", 0, "stopped by hand (config: up)"),
        ),
        ({"next_action": "start_at", "last_exit": DIED}, ("wrong", 1, "it exited with code 3")),
        ({"next_action": "start_at", "message": "It died."}, ("wrong", 1, "It died.")),
        ({"next_action": "wait_start"}, ("warning", 1, "going up")),
        (
            {"next_action": "wait_start", "last_exit": DIED, "message": "It died."},
            ("wrong", 1, "It died."),
        ),
        ({"target_state": "down", "next_action": "wait_dead"}, ("warning", 1, "going down")),
        (
            {"target_state": "down", "next_action": "up"},
            ("wrong", 1, "its target is down, but it is up"),
        ),
        ({"next_action": "down"}, ("wrong", 1, "its target is up, but it is down")),
        ({"next_action": "?", "message": "No plugin."}, ("wrong", 1, "No plugin.")),
        ({"target_state": "down", "next_action": "?"}, ("warning", 1, "cannot operate")),
        (
            {"stability": 0.5, "last_exit": DIED},
            ("warning", 0, "unstable: it exited with code 3 recently"),
        ),
        (
            {"stability": 0.5, "last_exit": DIED, "health": "starting"},
            ("wrong", 1, "it exited with code 3 recently, and has not registered since"),
        ),
        ({"restart_required": True, "message": "Changed."}, ("warning", 0, "Changed.")),
        ({"restart_required": True}, ("warning", 0, "takes effect when it is restarted")),
        ({"message": "The container is unhealthy."}, ("warning", 0, "unhealthy")),
        ({"fingerprint": "other"}, ("note", 0, "differs from what its manager has read")),
        ({"agent_class": "Other"}, ("warning", 0, "runs as Other (host)")),
        ({"agent_class": "FakeDataAgent[d]"}, ("warning", 0, "runs as FakeDataAgent (docker)")),
    ],
)
def test_how_bad_it_is_and_why(bridge, site_file, run, more, message):
    severity, code, reason = message
    agents, result, _ = shown(bridge, site_file, run, child("a", **more))
    assert agents["a"]["severity"] == severity
    assert result == code
    assert reason in " ".join(agents["a"]["reasons"])


def test_services_without_an_entry_are_watched_only(bridge, site_file, run):
    redis = child(
        "redis", agent_class="[docker]", target_state="passive", next_action="down", stability=1.0
    )
    agents, code, _ = shown(bridge, site_file, run, redis, child("a"), entries=["a"])
    assert (code, agents["redis"]["severity"]) == (0, "ok")
    assert not agents["redis"]["in_site_config"]


def test_docker_entries_with_and_without_a_service(bridge, site_file, run):
    entries = [
        {"instance-id": name, "agent-class": "A", "manage": "docker"} for name in ("here", "none")
    ]
    children = (
        child("here", agent_class="A[d]", fingerprint=None),
        child("none", agent_class="A[d?]", next_action="?", operable=False, message="No service."),
    )
    agents, code, _ = shown(bridge, site_file, run, *children, entries=entries)
    assert (agents["here"]["severity"], agents["none"]["severity"]) == ("ok", "wrong")
    assert code == 1


def test_an_image_that_is_not_here_orphans_and_a_broken_file_are_reported(bridge, site_file, run):
    orphan = {"service": "ocs-old", "compose_file": "c.yaml", "container_id": "1", "running": True}
    agents, code, host = shown(
        *(bridge, site_file, run, child("a")),
        new_tags={"a": "img:2"},
        orphans={"1" * 64: orphan},
        config_parse_status={"c.yaml": [False, 1.0, "line 3: what?"]},
    )
    assert "its image img:2 is not on this machine" in agents["a"]["reasons"][0]
    assert (code, host["severity"]) == (1, "wrong")
    assert host["reasons"][0] == "its manager cannot use c.yaml: line 3: what?"
    assert "1 orphaned container (ocs-old)" in host["reasons"][1]


def test_a_broken_entry_is_shown_with_its_place(bridge, site_file, run):
    bridge.write(site_file, daq1=["a", {"instance-id": "b", "agent-class": "B", "manage": "yess"}])
    bridge.sessions["hm-daq1"] = {"manager": session(child("a"))}
    result = run("status", "--json")
    agents = {a["instance_id"]: a for a in result.json["hosts"][0]["agents"]}
    assert agents["b"]["severity"] == "warning"
    assert "site.yaml:" in agents["b"]["reasons"][0]
    assert "'yess'" in agents["b"]["reasons"][0]


def test_a_manager_that_says_no_more_than_the_contract_is_understood(bridge, site_file, run):
    bridge.write(site_file, daq1=["a", "b"])
    bridge.sessions["hm-daq1"] = {
        "manager": session(child("a"), child("b", next_action="start_at", stability=0.2))
    }
    result = run("status")
    assert result.code == 1
    assert "! daq1 b restarting (target up): it exited" in result.out


def test_a_host_without_a_manager_has_agents_that_nobody_looks_after(bridge, site_file, run):
    bridge.write(site_file, daq1=["a"])
    site_file.write_text(site_file.read_text().replace("HostManager", "Registry"))
    result = run("status", "--json")
    (host,) = result.json["hosts"]
    assert (result.code, host["severity"], host["answers"]) == (0, "note", False)
    assert "no manager controls its agents" in host["reasons"][0]


def test_what_a_router_hands_on_from_a_manager_gone_mad_is_no_traceback(bridge, site_file, run):
    bridge.write(site_file, daq1=["a"])
    for data in ({}, {"child_states": None}, None):
        bridge.sessions["hm-daq1"] = {"manager": {"status": "running", "data": data}}
        assert run("status").code in (0, 1)
