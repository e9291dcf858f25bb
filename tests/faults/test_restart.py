"""A restart that was requested is made, whoever dies in the middle: client, router, manager."""

import contextlib
import json
import signal
import subprocess
import time

import pytest
import requests

from tests.integration.router.cli_site import HOSTMANAGER
from tests.integration.router.steps import outcome, wait_child, wait_gone, wait_ready, wait_states
from tests.support.clients import children, client
from tests.support.processes import processes_of
from tests.support.sites import instance
from tests.support.waiting import wait_for

BOUND = 15.0


def leader(site, name: str) -> int | None:
    """The only process of an agent; None if there is none."""
    processes = processes_of(site).get(name, [])
    assert len(processes) <= 1, processes
    return processes[0] if processes else None


def wait_restarted(site, name: str, old: int) -> int:
    """Wait until another process of it runs, and only that; never are there two."""

    def new() -> int | None:
        pid = leader(site, name)
        return pid if pid not in (None, old) else None

    return wait_for(new, BOUND, f"another process of {name} than {old}")


def kept_restarts(site) -> dict[str, str]:
    """The restarts that are on the disk."""
    path = site.state_dir / "wanted.json"
    return json.loads(path.read_text()).get("restarts", {}) if path.exists() else {}


def wait_nothing_kept(site) -> None:
    wait_for(lambda: not kept_restarts(site), 20, "no restart on the disk", lambda: site)


def launched(site, **expected: int) -> None:
    """Each has been launched so often, and no more; it notes that a moment after it exists."""

    def noted() -> bool:
        return {name: len(site.launches(name)) for name in expected} == expected

    wait_for(noted, 20, f"launches: {expected}", lambda: [site.launches(name) for name in expected])


# --- the operation --------------------------------------------------------------------------


def test_each_that_is_wanted_up_is_ended_and_started_anew(site, start_manager):
    site.write(instance("a"), instance("b"), instance("c", manage="down"), instance("d"))
    start_manager(site)
    hm = client(site)
    before = wait_ready(site, "a", "b", "d")
    ok, message = outcome(hm.restart(instances=["a", "b", "c"]))
    assert ok, message
    assert "Restarting: a, b." in message
    assert "Left as it is: c: its target is down." in message
    for name in "ab":
        wait_restarted(site, name, before[name])
    wait_states(hm, a="up", b="up", c="down", d="up")
    wait_child(hm, "a", restarting=False, target_state="up")
    assert leader(site, "d") == before["d"]
    assert leader(site, "c") is None
    wait_nothing_kept(site)
    launched(site, a=2, b=2, d=1)


def test_all_means_all_that_are_wanted_up(site, start_manager):
    site.write(instance("a"), instance("b"), instance("c", manage="down"))
    start_manager(site)
    before = wait_ready(site, "a", "b")
    ok, message = outcome(client(site).restart(instances=["all"]))
    assert ok, message
    for name in "ab":
        wait_restarted(site, name, before[name])
    assert leader(site, "c") is None


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        (["a", "aa"], "no instance 'aa' is managed here (did you mean 'a'?)"),
        ([], "'instances' is [], but must be a list"),
        ([["a"]], "no instance ['a'] is managed here"),
        ({"a": 1}, "must be a list of instance-ids"),
        (None, "must be a list of instance-ids"),
    ],
)
def test_a_list_that_makes_no_sense_changes_nothing(site, start_manager, instances, expected):
    site.write(instance("a"))
    start_manager(site)
    before = wait_ready(site, "a")
    ok, message = outcome(client(site).restart(instances=instances))
    assert not ok
    assert expected in message
    assert "Nothing was changed." in message
    assert leader(site, "a") == before["a"]


def test_a_second_click_is_queued_and_joins(site, start_manager):
    """Ended by force after a second: the second request comes while the first is under way."""
    site.write(instance("a", "--behave", "stubborn"))
    start_manager(site, "--stop-timeout", "1")
    hm = client(site)
    before = wait_ready(site, "a")
    for _ in range(3):
        assert outcome(hm.restart(instances=["a"]))[0]
    child = children(hm)["a"]
    assert (child["restarting"], child["target_state"]) == (True, "up")
    wait_restarted(site, "a", before["a"])
    wait_child(hm, "a", restarting=False, next_action="up")
    launched(site, a=2)


def test_a_later_down_calls_it_off_and_a_later_up_joins_it(site, start_manager):
    site.write(instance("a", "--behave", "stubborn"), instance("b", "--behave", "stubborn"))
    start_manager(site, "--stop-timeout", "1")
    hm = client(site)
    before = wait_ready(site, "a", "b")
    assert outcome(hm.restart(instances=["a", "b"]))[0]
    hm.update(requests=[["a", "down"], ["b", "up"]])
    wait_restarted(site, "b", before["b"])
    wait_gone(site, "a", timeout=BOUND)
    wait_states(hm, a="down", b="up")
    wait_nothing_kept(site)
    launched(site, a=1, b=2)


def test_one_that_waits_to_be_started_again_is_started_at_once(site, start_manager):
    site.write(instance("a", "--behave", "exit-at-once"))
    start_manager(site, "--restart-delay-max", "1000")
    hm = client(site)
    wait_for(lambda: (children(hm)["a"]["next_attempt_at"] or 0) > time.time() + 4, BOUND, "a wait")
    launches = len(site.launches("a"))
    assert outcome(hm.restart(instances=["a"]))[0]
    wait_for(lambda: len(site.launches("a")) > launches, 3.5, "a launch before its time")


# --- who dies in the middle -------------------------------------------------------------------


def test_the_client_dies(site, start_manager):
    """The smallest sample: the command is killed while the agent is being ended."""
    site.write(instance("a", "--behave", "stubborn"))
    start_manager(site, "--stop-timeout", "3")
    hm = client(site)
    before = wait_ready(site, "a")
    command = subprocess.Popen(
        [HOSTMANAGER, "restart", "a", *site.args],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    wait_child(hm, "a", BOUND, next_action="wait_dead")
    command.kill()
    command.communicate(timeout=60)
    wait_restarted(site, "a", before["a"])
    wait_child(hm, "a", next_action="up", target_state="up", restarting=False)


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.03, 0.2, 1.2])
def test_the_manager_dies(site, start_manager, delay):
    """At any moment after the answer: the old one may be alive, ending, ended, or replaced."""
    site.write(instance("a", "--behave", "stubborn"))
    first = start_manager(site, "--stop-timeout", "1")
    before = wait_ready(site, "a")
    assert outcome(client(site).restart(instances=["a"]))[0]
    time.sleep(delay)  # the moment is the point
    first.kill()
    start_manager(site, "--stop-timeout", "1")
    wait_restarted(site, "a", before["a"])
    hm = client(site)
    wait_child(hm, "a", BOUND, next_action="up", target_state="up", restarting=False)
    wait_nothing_kept(site)
    launched(site, a=2)  # not again by the next manager


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.01, 0.05])
def test_the_manager_dies_before_it_has_answered(site, start_manager, delay):
    """Then it is restarted, or it is not; but it is up, and there is one."""
    site.write(instance("a"))
    first = start_manager(site)
    wait_ready(site, "a")
    procedure = f"{site.address_root}.{site.manager_id}.ops"
    body = {"procedure": procedure, "args": ["start", "restart", {"instances": ["a"]}]}
    with contextlib.suppress(requests.RequestException):
        requests.post(site.router.http, json=body, timeout=delay or 0.001)
    first.kill()
    start_manager(site)
    wait_child(client(site), "a", BOUND, next_action="up", target_state="up", restarting=False)
    wait_ready(site, "a")
    wait_nothing_kept(site)


def test_the_manager_is_stopped_in_the_middle_and_killed(site, start_manager):
    site.write(instance("a", "--behave", "stubborn"))
    first = start_manager(site, "--stop-timeout", "30")
    before = wait_ready(site, "a")
    assert outcome(client(site).restart(instances=["a"]))[0]
    first.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)  # a shutdown that was cut short
    first.kill()
    start_manager(site, "--stop-timeout", "1")
    wait_restarted(site, "a", before["a"])
    wait_child(client(site), "a", BOUND, next_action="up", target_state="up", restarting=False)


def test_a_down_that_called_it_off_is_in_force_after_the_death_of_the_manager(site, start_manager):
    site.write(instance("a", "--behave", "stubborn"))
    first = start_manager(site, "--stop-timeout", "30")
    wait_ready(site, "a")
    hm = client(site)
    assert outcome(hm.restart(instances=["a"]))[0]
    hm.update(requests=[["a", "down"]])
    wait_nothing_kept(site)
    first.kill()
    start_manager(site, "--stop-timeout", "1")
    wait_gone(site, "a", timeout=BOUND)
    wait_child(client(site), "a", next_action="down", target_state="down", restarting=False)


def test_the_router_dies(make_site, own_router, start_manager):
    site = make_site(own_router)
    site.write(instance("a", "--behave", "stubborn"))
    start_manager(site, "--stop-timeout", "1")
    before = wait_ready(site, "a")
    assert outcome(client(site).restart(instances=["a"]))[0]
    own_router.stop()
    wait_restarted(site, "a", before["a"])
    own_router.start()
    hm = client(site, timeout=60)
    wait_child(hm, "a", BOUND, next_action="up", target_state="up", restarting=False)
    launched(site, a=2)
