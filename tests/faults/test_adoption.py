"""A manager is killed at any moment; the next one takes up every agent as it runs."""

import json
import os
import signal
import time

import ocs
import pytest

from tests.support.clients import children, client
from tests.support.processes import processes_of, started
from tests.support.sites import instance
from tests.support.waiting import wait_for


def leaders(site) -> dict[str, list[int]]:
    return {name: pids for name, pids in processes_of(site).items() if name != site.manager_id}


def all_up(site, number: int):
    def look() -> bool:
        leader_pids = leaders(site)
        return len(leader_pids) == number and all(len(pids) == 1 for pids in leader_pids.values())

    return look


def wait_noted(site, *names: str) -> None:
    """Wait until each has noted its launch: an agent does so a moment after it exists."""
    wait_for(lambda: all(site.launches(name) for name in names), 20, f"{names} to be noted")


def wait_kept(site, *, ended: bool = False, **expected: str) -> None:
    """Wait until what operators said is on the disk: a slow one delays the answer by 0.2 s only."""
    path = site.state_dir / "wanted.json"
    kept = {"ended": ended, "targets": expected}

    def is_kept() -> bool:
        return path.exists() and kept.items() <= json.loads(path.read_text()).items()

    wait_for(is_kept, 20, f"{kept} on disk")


def test_agents_keep_their_pids_over_the_death_of_the_manager(site, start_manager):
    site.write(*[instance(f"a{n}") for n in range(5)])
    first = start_manager(site)
    wait_for(all_up(site, 5), 20, "five agents")
    wait_noted(site, *leaders(site))
    before = leaders(site)
    first.process.kill()
    first.process.wait()
    start_manager(site)
    shown = wait_for(
        lambda: (
            (s := children(client(site)))
            and all(x["next_action"] == "up" for x in s.values())
            and s
        ),
        10,
        "all shown up",
    )
    assert leaders(site) == before
    assert {name: [state["pid"]] for name, state in shown.items()} == before
    assert all(len(site.launches(name)) == 1 for name in before)
    for name, state in shown.items():
        began = started(before[name][0])
        assert abs(state["started_at"] - began) < 1.0


def test_the_exit_of_an_adopted_agent_is_seen_with_its_code(site, start_manager):
    site.write(instance("a"))
    first = start_manager(site)
    wait_for(all_up(site, 1), 20, "the agent")
    first.process.kill()
    start_manager(site)
    [pid] = leaders(site)["a"]
    os.kill(pid, signal.SIGKILL)

    def relaunched():
        state = children(client(site))["a"]
        return state["last_exit"] and state["next_action"] == "up" and state

    state = wait_for(relaunched, 10, "a relaunch")
    assert state["last_exit"]["signal"] == "SIGKILL"
    assert leaders(site)["a"] != [pid]


def test_an_adopted_agent_can_be_stopped(site, start_manager):
    site.write(instance("a"), instance("b", "--behave", "stubborn"))
    first = start_manager(site)
    wait_for(all_up(site, 2), 20, "the agents")
    first.process.kill()
    manager = start_manager(site, "--stop-timeout", "1")
    client(site).update(requests=[["all", "down"]])
    wait_for(lambda: not leaders(site), 10, "both gone")
    assert manager.process.poll() is None


@pytest.mark.usefixtures("fresh_managers")
def test_killed_at_any_moment_of_its_start_nothing_is_doubled_or_lost(site, start_manager):
    names = [f"a{n}" for n in range(12)]
    site.write(*[instance(name) for name in names])
    for delay in (0.1, 0.15, 0.2, 0.22, 0.25, 0.28, 0.3, 0.35, 0.4, 0.6, 1.0):
        manager = start_manager(site, ready=False)
        time.sleep(delay)  # the moment is the point
        manager.process.kill()
        manager.process.wait()
    start_manager(site)
    wait_for(all_up(site, 12), 20, "each once")
    wait_noted(site, *names)
    for name in names:
        assert len(site.launches(name)) == 1, site.launches(name)


def test_an_agent_that_left_the_site_config_meanwhile_is_ended(site, start_manager):
    site.write(instance("a"), instance("b"))
    first = start_manager(site)
    wait_for(all_up(site, 2), 20, "the agents")
    first.process.kill()
    site.write(instance("a"))
    start_manager(site)
    wait_for(lambda: set(leaders(site)) == {"a"}, 10, "b ended")
    wait_for(lambda: "b" not in children(client(site)), 10, "b to be forgotten")


def test_a_second_manager_of_the_same_id_names_the_first_and_starts_nothing(site, start_manager):
    site.write(instance("a"))
    first = start_manager(site)
    wait_for(all_up(site, 1), 20, "the agent")
    second = start_manager(site, ready=False)
    assert second.process.wait(60) == 2
    assert f"pid {first.process.pid}" in second.log_path.read_text()
    assert all_up(site, 1)()


def test_targets_are_in_force_after_an_unclean_death(site, start_manager):
    site.write(instance("a"), instance("b"), instance("c", manage="down"))
    first = start_manager(site)
    wait_for(lambda: {"a", "b"} <= leaders(site).keys(), 20, "a and b")
    client(site).update(requests=[["a", "down"], ["c", "up"]])
    wait_kept(site, a="down", c="up")
    first.process.kill()
    first.process.wait()
    start_manager(site)
    wait_for(lambda: set(leaders(site)) == {"b", "c"}, 10, "a down, b and c up")
    shown = children(client(site))
    assert shown["a"]["target_state"] == "down"
    assert shown["c"]["target_state"] == "up"


@pytest.mark.parametrize("end", ["SIGTERM", "die", "stop of the process"])
def test_targets_are_in_force_after_a_clean_end(site, start_manager, end):
    site.write(instance("a"), instance("b"), instance("c", manage="down"))
    first = start_manager(site)
    client(site).update(requests=[["a", "down"], ["c", "up"]])
    if end == "stop of the process":
        client(site).manager.stop()
        assert client(site).manager.wait(timeout=60).status == ocs.OK
    if end == "die":
        client(site).die.start()
    else:
        first.process.terminate()
    assert first.process.wait(60) == 0
    wait_kept(site, ended=True, a="down", c="up")
    start_manager(site)
    wait_for(lambda: set(leaders(site)) == {"b", "c"}, 20, "a down, b and c up")


@pytest.mark.parametrize("delay", [0.01, 0.1, 0.5])
def test_an_interrupted_stop_changes_no_target(site, start_manager, delay):
    site.write(instance("a"), instance("b", "--behave", "stubborn"), instance("c", manage="down"))
    first = start_manager(site)
    wait_for(lambda: set(leaders(site)) == {"a", "b"}, 20, "a and b")
    first.process.terminate()
    time.sleep(delay)  # the moment is the point
    first.process.kill()
    first.process.wait()
    start_manager(site, "--stop-timeout", "1")
    wait_for(
        lambda: (
            {x: s["next_action"] for x, s in children(client(site)).items()}
            == {"a": "up", "b": "up", "c": "down"}
        ),
        30,
        "a and b up, c down",
    )
    assert all_up(site, 2)()


def test_a_stop_of_the_manager_process_lasts_only_while_that_agent_lives(site, start_manager):
    site.write(instance("a"), instance("b"))
    first = start_manager(site)
    wait_for(all_up(site, 2), 20, "a and b")
    client(site).update(requests=[["a", "down"]])
    wait_kept(site, a="down")
    client(site).manager.stop()
    assert client(site).manager.wait(timeout=60).status == ocs.OK
    first.process.kill()
    first.process.wait()
    start_manager(site)
    wait_for(lambda: set(leaders(site)) == {"b"}, 20, "b up, a as it was told")


def test_a_target_goes_with_its_entry_also_while_no_manager_lives(site, start_manager):
    site.write(instance("a"), instance("b"), instance("c"))
    manager = start_manager(site)
    client(site).update(requests=[["a", "down"], ["b", "down"]])
    wait_kept(site, a="down", b="down")
    for entries in ([instance("b")], [instance("a"), instance("b")]):
        manager.stop()
        site.write(*entries)
        manager = start_manager(site)
    wait_for(lambda: set(leaders(site)) == {"a"}, 20, "a, as its new entry says, and not b")


def test_die_with_disown_leaves_every_agent_to_the_next_manager(site, start_manager):
    site.write(*[instance(f"a{n}") for n in range(4)])
    first = start_manager(site)
    wait_for(all_up(site, 4), 20, "four agents")
    client(site).update(requests=[["a0", "down"]])
    wait_for(all_up(site, 3), 10, "three agents")
    before = leaders(site)
    assert client(site).die(disown=True).session["success"]
    assert first.process.wait(60) == 0
    assert leaders(site) == before
    start_manager(site)
    assert leaders(site) == before
    assert children(client(site))["a0"]["next_action"] == "down"


def test_garbage_in_the_saved_targets_is_set_aside_and_reported(site, start_manager):
    site.write(instance("a"))
    site.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    (site.state_dir / "wanted.json").write_bytes(b"\xff\x00{")
    manager = start_manager(site)
    wait_for(all_up(site, 1), 20, "a")
    assert "set aside" in manager.log_path.read_text()
    assert list(site.state_dir.glob("wanted.json.broken-*"))


def test_an_agent_whose_entry_is_broken_at_a_restart_goes_on(site, start_manager):
    site.write(instance("a"), instance("b"))
    first = start_manager(site)
    wait_for(all_up(site, 2), 20, "a and b")
    first.process.kill()
    before = leaders(site)
    site.write(instance("a"), instance("b", manage="yess"))
    start_manager(site)
    shown = children(client(site))["b"]
    assert leaders(site) == before
    assert (shown["next_action"], shown["pid"]) == ("up", before["b"][0])
    assert "site config" in shown["message"]
    site.write(instance("a"), instance("b"))
    client(site).update(reload_config=True)
    assert leaders(site) == before
    assert children(client(site))["b"]["message"] == ""
