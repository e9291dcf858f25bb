"""What is sent only after a confirmation, and what of a reason, by managers of any kind."""

import pytest
from tests.support.http_bridge import child, session

ORPHAN = {"compose_file": "/etc/ocs/c.yaml", "service": "ocs-old", "running_image": "old:1"}
FILES = {"[SCF]": [True, 1.0, ""], "/etc/ocs/c.yaml": [True, 1.0, ""]}


def started(bridge):
    """The operations that were started, with their parameters."""
    return [(asked[0], asked[2], asked[3]) for asked in bridge.asked if asked[1] == "start"]


@pytest.fixture
def one_host(bridge, site_file):
    bridge.write(site_file, daq1=["a", "b"])

    def answers(*children, **data):
        bridge.sessions["hm-daq1"] = {"manager": session(*children, **data)}

    return answers


def test_several_orphans_are_removed_only_with_yes(bridge, one_host, run):
    one_host(child("a"), orphans={"c1": ORPHAN, "c2": {**ORPHAN, "service": "ocs-older"}})
    bridge.tasks["remove_orphans"] = lambda *_: (True, "Removed.", {})
    action = "stop and remove 2 orphaned containers on daq1"
    result = run("orphans", "--remove", "--dry-run")
    assert (result.code, f"would {action}\n" in result.out) == (0, True)
    result = run("orphans", "--remove")
    assert (result.code, f"This would {action}." in result.err) == (2, True)
    assert started(bridge) == []
    assert run("orphans", "--remove", "--yes").code == 0
    assert started(bridge) == [("hm-daq1", "remove_orphans", {})]


def test_a_dry_run_of_pull_names_files_images_and_what_is_missing(bridge, one_host, run):
    service = child("a", agent_class="FakeDataAgent[d]", container={"image": "img:1"})
    one_host(service, config_parse_status=FILES, new_tags={"b": "img:2"})
    result = run("pull", "--dry-run")
    assert result.out.splitlines() == [
        "daq1: would pull the images of /etc/ocs/c.yaml",
        "  a: img:1",
        "  b: img:2 (not on this host yet)",
        "Dry run: nothing was changed.",
    ]
    (plan,) = run("pull", "--dry-run", "--json").json["plan"]
    assert plan["missing"] == ["b"]
    assert started(bridge) == []


@pytest.mark.parametrize(
    ("arguments", "operation"),
    [
        (("down", "a", "--no-wait"), "update"),
        (("restart", "a", "--no-wait"), "restart"),
        (("reload",), "update"),
        (("pull",), "docker_pull"),
    ],
)
def test_a_reason_and_the_requester_go_to_a_manager_that_keeps_them(
    bridge, one_host, run, arguments, operation
):
    children = [child(name, restarting=False) for name in "ab"]
    one_host(*children, request_params=["reason", "requested_by"], config_parse_status=FILES)
    bridge.tasks[operation] = lambda *_: (True, "done", {})
    result = run(*arguments, "--reason", "cable work")
    assert (result.code, result.err) == (0, "")
    ((_, sent_to, params),) = started(bridge)
    assert (sent_to, params["reason"]) == (operation, "cable work")
    assert "@" in params["requested_by"]


@pytest.mark.parametrize(
    ("arguments", "operation"),
    [(("down", "a", "--no-wait"), "update"), (("reload",), "update"), (("pull",), "docker_pull")],
)
def test_another_manager_does_what_is_requested_and_it_is_said_that_the_reason_is_lost(
    bridge, one_host, run, arguments, operation
):
    one_host(child("a"), child("b"), config_parse_status=FILES)
    bridge.tasks[operation] = lambda *_: (True, "done", {})
    result = run(*arguments, "--reason", "cable work")
    assert result.code == 0
    assert "the manager of daq1 does not keep reasons" in result.err
    assert result.err.count("\n") == 1
    ((_, _, params),) = started(bridge)
    assert not {"reason", "requested_by"} & params.keys()


@pytest.mark.parametrize("reason", ["", "x" * 201, "two\nlines"])
def test_a_reason_that_cannot_be_kept_changes_nothing(bridge, one_host, run, reason):
    one_host(child("a"), child("b"))
    result = run("down", "a", "--reason", reason)
    assert (result.code, "--reason" in result.err) == (2, True)
    assert started(bridge) == []


def test_of_those_that_came_up_one_that_dies_while_others_are_waited_for_is_reported(
    bridge, one_host, run
):
    down = {"target_state": "down", "next_action": "down"}
    one_host(child("a", **down), child("b", **down))
    up = {"target_state": "up", "next_action": "up"}
    dead = {"code": 3, "time": 9.0, "expected": False, "ran_for": 6.0, "output": ["no module x"]}
    later = [
        session(child("a", **up, uptime=9.0), child("b", **up, uptime=0.1)),
        session(child("a", **up, uptime=0.2, last_exit=dead), child("b", **up, uptime=0.5)),
        session(child("a", **up, uptime=0.9, last_exit=dead), child("b", **up, uptime=9.0)),
    ]

    class Answers(dict):
        def get(self, name, default=None):
            return later.pop(0) if len(later) > 1 else later[0]

        __getitem__ = get

    def update(manager, _):
        bridge.sessions[manager] = Answers()
        return True, "told", {}

    bridge.tasks["update"] = update
    result = run("up", "--all")
    assert result.code == 1
    assert "! daq1 a up (target up): it came up, and exited with code 3 after 6.0 s" in result.out
    assert "    | no module x" in result.out
    assert result.out.endswith("1 of 2 agents are up\n")
