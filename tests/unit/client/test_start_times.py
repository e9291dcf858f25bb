"""How long agents took to be ready, and which chain held a host back."""

import pytest

from hostmanager.client.start_times import (
    StartTime,
    chain,
    critical_chains,
    first_launches,
    first_starts,
    start_time,
)
from hostmanager.client.status.model import AgentStatus


def start(name, launched, took=None, *, host="daq1", waited=0.0, last=()):
    return StartTime(host, name, launched, took, waited, tuple(last))


def agent(state="up", **child):
    child = {"next_action": state, "target_state": "up", "started_at": 100.0, **child}
    return AgentStatus("daq1", "pump", child, state=state)


def test_it_took_from_its_launch_to_its_first_heartbeat():
    wait = {"seconds": 4.0, "last": ["registry"], "given_up": []}
    found = start_time(agent(ready_at=109.5, health="ok", start_wait=wait))
    assert found == start("pump", 100.0, 9.5, waited=4.0, last=["registry"])
    assert (found.due_at, found.ready_at) == (96.0, 109.5)


@pytest.mark.parametrize("child", [{"start_wait": [1]}, {"ready_at": "soon"}])
def test_invalid_data_costs_its_agent_alone(child):
    found = start_time(agent(**child))
    assert (found.took, found.note[:30]) == (None, "its manager sent invalid data ")


def test_a_one_shot_took_until_it_was_done():
    last_exit = {"time": 130.0, "ran_for": 30.0}
    found = start_time(agent("down", done={"time": 130.0}, last_exit=last_exit, started_at=None))
    assert (found.launched_at, found.took) == (100.0, 30.0)


@pytest.mark.parametrize(
    ("child", "note"),
    [
        ({"health": "ok", "ready_at": None, "heartbeat_age": 0.5}, "taken over"),
        (
            {"health": "starting", "ready_at": None, "heartbeat_age": None},
            "nothing has been heard of it",
        ),
        ({"health": None}, "no heartbeats"),
        ({}, "no heartbeats"),  # another manager than ours
        (
            {"state": "start", "waiting_for": ["b"], "message": "waiting for b to be ready"},
            "waiting for b to be ready",
        ),
        ({"state": "wait_start"}, "is being launched"),
    ],
)
def test_what_is_not_known_is_said(child, note):
    found = start_time(agent(**child))
    assert found.took is None
    assert note in found.note


def test_of_what_is_down_there_is_nothing_to_say():
    assert start_time(agent("down")) is None
    assert start_time(AgentStatus("daq1", "pump")) is None


def test_what_somebody_started_later_is_no_part_of_the_start_of_the_host():
    boot = [start("a", 0.0, 3.0), start("b", 64.0, 2.0, waited=62.0, last=["far"])]
    later = start("c", 4000.0, 9.0)
    assert [s.instance_id for s in first_starts([later, *boot, start("d", 1.0)])] == ["a", "b"]
    assert first_launches([later, *boot]) == {"daq1": 0.0}


def test_a_chain_goes_to_the_one_that_was_ready_last_also_on_other_hosts():
    starts = [
        start("gui", 20.0, 1.0, waited=18.0, last=["pump", "db"]),
        start("db", 2.0, 5.0),
        start("pump", 12.0, 8.0, waited=10.0, last=["registry"]),
        start("registry", 1.0, 11.0, host="daq2"),
    ]
    [found] = critical_chains(starts, (), ["daq1"])
    assert [link.instance_id for link in found] == ["gui", "pump", "registry"]
    assert [links[0].instance_id for links in critical_chains(starts, ["db", "pump"], ())] == [
        "db",
        "pump",
    ]


def test_who_waits_for_each_other_or_for_one_who_is_not_known_ends_the_chain():
    a, b = start("a", 1.0, last=["b"]), start("b", 1.0, last=["a", "gone"])
    assert [link.instance_id for link in chain(a, {"a": a, "b": b})] == ["a", "b", "gone"]
    assert "not asked" in chain(a, {"a": a, "b": b})[-1].note
