"""A manager is killed at any moment; the next one takes up every agent as it runs."""

import os
import signal
import time

import psutil
from tests.support.clients import children, client
from tests.support.processes import processes_of
from tests.support.sites import instance
from tests.support.waiting import wait_for


def leaders(site) -> dict[str, list[int]]:
    return {name: pids for name, pids in processes_of(site).items() if name != site.manager_id}


def all_up(site, number: int):
    def look() -> bool:
        found = leaders(site)
        return len(found) == number and all(len(pids) == 1 for pids in found.values())

    return look


def test_agents_keep_their_pids_over_the_death_of_the_manager(site, start_manager):
    site.write(*[instance(f"a{n}") for n in range(5)])
    first = start_manager(site)
    wait_for(all_up(site, 5), 20, "five agents")
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
        began = psutil.Process(before[name][0]).create_time()
        assert abs(state["started_at"] - began) < 1.0


def test_the_exit_of_an_adopted_agent_is_seen_with_its_code(site, start_manager):
    site.write(instance("a"))
    start_manager(site).process.kill()
    wait_for(all_up(site, 1), 20, "the agent")
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
    start_manager(site).process.kill()
    wait_for(all_up(site, 2), 20, "the agents")
    manager = start_manager(site, "--stop-timeout", "1")
    client(site).update(requests=[["all", "down"]])
    wait_for(lambda: not leaders(site), 10, "both gone")
    assert manager.process.poll() is None


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
    for name in names:
        assert len(site.launches(name)) == 1, site.launches(name)


def test_an_agent_that_left_the_site_config_meanwhile_is_ended(site, start_manager):
    site.write(instance("a"), instance("b"))
    start_manager(site).process.kill()
    wait_for(all_up(site, 2), 20, "the agents")
    site.write(instance("a"))
    start_manager(site)
    wait_for(lambda: set(leaders(site)) == {"a"}, 10, "b ended")
    assert "b" not in children(client(site))


def test_a_second_manager_of_the_same_id_names_the_first_and_starts_nothing(site, start_manager):
    site.write(instance("a"))
    first = start_manager(site)
    wait_for(all_up(site, 1), 20, "the agent")
    second = start_manager(site, ready=False)
    assert second.process.wait(10) == 2
    assert f"pid {first.process.pid}" in second.log_path.read_text()
    assert all_up(site, 1)()
