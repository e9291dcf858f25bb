"""What a command would stop, in words, and when somebody has to confirm it."""

import pytest
from tests.support.http_bridge import child

from hostmanager.client.change.die_plan import plan_die, stops_of
from hostmanager.client.change.pull_plan import plan_pull
from hostmanager.client.change.stops import Stops, list_hosts
from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.status.model import is_running


@pytest.mark.parametrize(
    ("agents", "needed"),
    [({}, False), ({"daq1": ["a"]}, False), ({"daq1": ["a", "b"]}, True)],
)
def test_more_than_one_agent_needs_a_confirmation(agents, needed):
    assert Stops("stop", agents).needs_confirmation is needed


def test_a_manager_needs_a_confirmation_even_if_it_has_no_agents():
    assert Stops("stop", {}, managers=("daq1",)).needs_confirmation


@pytest.mark.parametrize(
    ("stops", "action"),
    [
        (Stops("stop", {"daq2": ["a"] * 6, "daq3": ["b"] * 7}), "stop 13 agents on daq2 and daq3"),
        (Stops("restart", {"daq1": ["a"], "daq2": []}), "restart 1 agent on daq1"),
        (
            Stops("stop", {"daq1": ["a", "b"]}, ("daq1",)),
            "end the manager of daq1 and stop its 2 agents",
        ),
        (
            Stops("stop", {"d1": ["a"], "d2": ["b"]}, ("d1", "d2")),
            "end the managers of d1 and d2 and stop their 2 agents",
        ),
        (Stops("stop", {}, ("d1",)), "end the manager of d1"),
        (
            Stops("stop", {}, ("d1",), left=3),
            "end the manager of d1 and leave its 3 agents running",
        ),
        (
            Stops("stop", {"d1": ["a"]}, ("d1",), left=1),
            "end the manager of d1 and stop its agent and leave its other agent running",
        ),
        (Stops("remove", {"d1": ["x"] * 2}, noun="orphan"), "remove 2 orphans on d1"),
    ],
)
def test_the_question_names_number_and_hosts(stops, action):
    assert stops.action == action


def test_of_many_hosts_the_first_are_named():
    hosts = [f"daq{number}" for number in range(1, 9)]
    assert list_hosts(hosts[:5]) == "daq1, daq2, daq3, daq4 and daq5"
    assert list_hosts(hosts) == "daq1, daq2, daq3, daq4 and 4 more hosts"


@pytest.mark.parametrize(
    ("state", "running"),
    [
        ({"next_action": "up"}, True),
        ({"next_action": "wait_start"}, True),
        ({"next_action": "start_at"}, True),
        ({"next_action": "down", "target_state": "down"}, False),
        ({"next_action": "wait_dead", "target_state": "down"}, False),
        ({"next_action": "wait_dead", "target_state": "up"}, True),
        ({"next_action": "?", "pid": None}, False),
        ({"next_action": "?", "pid": 7}, True),
    ],
)
def test_what_runs_or_is_about_to_can_be_stopped(state, running):
    assert is_running(child("a", **state)) is running


SERVICE = child("s", agent_class="FakeDataAgent[d]")
OTHERS = child("redis", agent_class="[docker]", target_state="passive")
DOWN = child("off", target_state="down", next_action="down")


def sessions(*children):
    return {"daq1": {"status": "running", "data": {"child_states": list(children)}}}


@pytest.mark.parametrize(
    ("disown", "disown_services", "stopped", "left"),
    [
        (False, False, ("a", "s"), ("redis",)),
        (False, True, ("a",), ("s", "redis")),
        (True, False, (), ("a", "s", "redis")),
    ],
)
def test_die_stops_what_runs_and_leaves_what_nobody_manages(disown, disown_services, stopped, left):
    (end,) = plan_die(
        sessions(child("a"), SERVICE, OTHERS, DOWN), disown=disown, disown_services=disown_services
    )
    assert (end.stopped, end.left) == (stopped, left)


def test_a_manager_that_does_not_answer_is_not_counted():
    silent = {"daq2": ManagerError(FailureKind.TIMEOUT, "no answer")}
    ends = plan_die(sessions(child("a")) | silent, disown=False, disown_services=False)
    assert stops_of(ends).action == "end the manager of daq1 and stop its agent"
    assert ends[1].as_json()["error"] == "no answer"


def test_pull_lists_files_images_and_what_is_missing():
    data = {
        "config_parse_status": {"[SCF]": [True, 1.0, ""], "c.yaml": [True, 1.0, ""]},
        "new_tags": {"b": "img:2"},
        "child_states": [child("a", container={"image": "img:1"}), child("b", container=None)],
    }
    (plan,) = plan_pull({"daq1": {"data": data}})
    assert plan.as_json() == {
        "host": "daq1",
        "compose_files": ["c.yaml"],
        "images": {"a": "img:1", "b": "img:2"},
        "missing": ["b"],
    }
