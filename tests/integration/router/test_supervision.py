"""Agents that die, crash, cling to life or leave others behind: what the manager does."""

import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.integration.conftest import PATIENT
from tests.integration.router.steps import (
    messages,
    outcome,
    output_of,
    send,
    wait_child,
    wait_gone,
    wait_ready,
    wait_states,
)
from tests.support.clients import children, client, states
from tests.support.managers import Manager
from tests.support.processes import Found, alive, kill_all, processes, processes_of
from tests.support.sites import Site, instance
from tests.support.waiting import BUSY_MACHINE, wait_for


def of(site: Site, instance_id: str) -> list[Found]:
    """All processes of an instance, those that it started included."""
    return [process for process in processes(site) if process.instance_id == instance_id]


# --- unexpected ends -----------------------------------------------------------------------


def test_a_killed_agent_is_back_at_once_with_a_new_pid_and_the_count_goes_up(site, begin):
    hm = begin(instance("a"), instance("b"))
    before = wait_ready(site, "a", "b")
    killed = time.monotonic()
    send(before["a"], signal.SIGKILL)
    after = wait_ready(site, "a", "b")
    assert after["a"] != before["a"]
    assert after["b"] == before["b"]
    assert site.launches("a")[-1].at - killed < 3
    child = wait_child(hm, "a", next_action="up", restarts=1)
    assert child["pid"] == after["a"]
    assert (child["last_exit"]["code"], child["last_exit"]["signal"]) == (None, "SIGKILL")
    assert child["last_exit"]["expected"] is False
    assert f"tiny a up pid {before['a']}" in child["last_exit"]["output"]
    assert child["stability"] < 0.5
    assert children(hm)["b"]["stability"] == 1


def test_every_kill_is_answered_again_and_again_with_one_copy_each_time(site, begin):
    hm = begin(instance("a"), options=("--restart-delay-max", "0.2"))
    for _ in range(4):
        pid = wait_ready(site, "a")["a"]
        send(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: site.launches("a")[-1].pid != pid, 10, "a relaunch")
    wait_ready(site, "a")
    assert wait_child(hm, "a", next_action="up")["restarts"] == 4


def test_an_agent_that_exits_at_once_shows_its_code_and_words_and_backs_off(site, begin):
    hm = begin(instance("a", "--behave", "exit-at-once", "--code", 42))
    wait_for(lambda: len(site.launches("a")) >= 3, 15, "three launches")
    child = wait_child(hm, "a", next_action="start_at")
    wait = child["next_attempt_at"] - time.time()
    assert 0 < wait < 10
    assert child["last_exit"]["code"] == 42
    assert child["stability"] == 0
    assert child["pid"] is None
    assert "exited with code 42" in child["message"]
    assert "failures in a row" in child["message"]
    output = wait_for(lambda: children(hm)["a"]["last_exit"]["output"], 5, "its last words")
    assert output[-1] == "tiny a: no answer from the device"
    pauses = [float(s) for s in re.findall(r"a: .* restarting in ([0-9.]+) s", messages(hm))]
    assert len(pauses) >= 2
    assert pauses[1] > pauses[0]


def test_up_for_a_waiting_agent_is_prompt(site, begin):
    hm = begin(instance("a", "--behave", "exit-at-once"))
    wait_for(lambda: len(site.launches("a")) >= 4, 20, "a wait of seconds after four launches")
    child = wait_child(hm, "a", next_action="start_at")
    due = child["next_attempt_at"]
    count = len(site.launches("a"))
    hm.update(requests=[("a", "up")])
    wait_for(lambda: len(site.launches("a")) > count, 10, "a prompt launch")
    assert time.time() < due, "it was the regular relaunch"


def test_down_for_a_waiting_agent_is_kept(site, begin):
    hm = begin(instance("a", "--behave", "exit-at-once"))
    wait_states(hm, a="start_at")
    hm.update(requests=[("a", "down")])
    wait_states(hm, a="down")
    assert processes_of(site) == {}
    hm.update(requests=[("a", "up")])
    wait_for(lambda: len(site.launches("a")) >= 2, 10, "a launch")


def test_a_segfault_is_shown_by_its_name(site, begin):
    hm = begin(instance("a", "--behave", "segfault"))
    child = wait_for(lambda: children(hm)["a"]["last_exit"] and children(hm)["a"], 10)
    assert (child["last_exit"]["signal"], child["last_exit"]["code"]) == ("SIGSEGV", None)
    wait_for(lambda: "SIGSEGV" in wait_child(hm, "a")["message"], 10)


def test_an_agent_that_ends_by_itself_with_success_is_relaunched_too(site, begin):
    hm = begin(instance("a", "--behave", "crash-after", 0.1, "--code", 0))
    wait_for(lambda: len(site.launches("a")) >= 2, 10, "a relaunch")
    assert wait_child(hm, "a")["last_exit"]["code"] == 0


def test_what_a_chatty_agent_writes_is_complete_and_costs_it_nothing(site, begin):
    begin(instance("a", "--behave", "chatty", "--rate", "20e6", "--total", "4e6"))
    result_file = site.working_dir / "chatty" / "a"
    wait_for(result_file.exists, 20, "all to be written")
    lines, size, _ = result_file.read_text().split()
    assert int(lines) == int(size) // 100

    def kept():
        return output_of(site, "a").count("....\n")

    # What it has written may still be on its way to the file.
    wait_for(lambda: kept() == int(lines), 20, f"{lines} lines to be kept", kept, every=0.1)


# --- ends on demand ------------------------------------------------------------------------


@dataclass
class Stops:
    """What was seen while one agent of each kind was told down.

    Attributes:
        pids: Of the agents, before.
        shown: For each agent, the states that clients were shown, in order.
        lies: Agents that were shown down while a process of theirs was alive.
        last: The child states at the end.
        told: When they were told, on the monotonic clock.
    """

    site: Site
    pids: dict[str, int]
    shown: dict[str, list[str]] = field(default_factory=dict)
    lies: list[tuple[str, list[Found]]] = field(default_factory=list)
    last: dict[str, dict] = field(default_factory=dict)
    told: float = 0.0

    def look(self, hm) -> bool:
        """Look at the states, then at /proc: one shown down must have nothing there."""
        now = states(hm)
        left = processes(self.site)
        for name, state in now.items():
            self.shown.setdefault(name, [])
            if self.shown[name][-1:] != [state]:
                self.shown[name].append(state)
            of_it = [process for process in left if process.instance_id == name]
            if state == "down" and of_it:
                self.lies.append((name, of_it))
        return set(now.values()) == {"down"}


@pytest.fixture(scope="module")
def stops(router, tmp_path_factory) -> Iterator[Stops]:
    """All kinds of agents are told down at once, and watched until all are."""
    site = Site(tmp_path_factory.mktemp("stops") / "site", router)
    site.write(
        instance("ok"),
        instance("slow", "--behave", "slow-stop", 0.7),
        instance("stubborn", "--behave", "stubborn"),
        instance("very-stubborn", "--behave", "very-stubborn"),
        instance("parent", "--behave", "fork"),
        instance("leaver", "--behave", "fork", "--leave"),
        instance("frozen"),
    )
    manager = Manager(site, ("--stop-timeout", "1")).wait_ready()
    hm = client(site)
    pids = wait_ready(site, *("ok", "slow", "stubborn", "very-stubborn"))
    pids |= wait_ready(site, "parent", "leaver", "frozen")
    send(pids["frozen"], signal.SIGSTOP)
    stops = Stops(site, pids)
    stops.told = time.monotonic()
    hm.update(requests=[("all", "down")])
    wait_for(lambda: stops.look(hm), 20, "all to be down", lambda: stops.shown)
    stops.last = children(hm)
    yield stops
    manager.stop()
    kill_all(site)


def test_down_is_never_shown_while_a_process_of_it_is_alive(stops):
    assert stops.lies == []
    assert not any(alive(pid) for pid in stops.pids.values())


def test_while_an_agent_is_being_ended_it_is_shown_as_wait_dead(stops):
    for name in ("slow", "stubborn", "very-stubborn"):
        assert stops.shown[name][-2:] == ["wait_dead", "down"]


def test_a_suspended_agent_is_continued_so_that_it_can_end(stops):
    assert [s.name for s in stops.site.signals("frozen")] == ["SIGINT"]
    assert stops.last["frozen"]["last_exit"]["code"] == 0


def test_an_agent_that_needs_a_while_is_given_it(stops):
    assert [s.name for s in stops.site.signals("slow")] == ["SIGINT"]
    assert stops.last["slow"]["last_exit"]["code"] == 0


def test_a_stubborn_agent_gets_sigterm_after_its_stop_timeout(stops):
    interrupted, terminated = stops.site.signals("stubborn")
    assert (interrupted.name, terminated.name) == ("SIGINT", "SIGTERM")
    assert stops.told + 1 <= terminated.at < interrupted.at + 3 * BUSY_MACHINE
    assert stops.last["stubborn"]["last_exit"]["expected"] is True


def test_a_very_stubborn_agent_is_killed(stops):
    assert [s.name for s in stops.site.signals("very-stubborn")] == ["SIGINT", "SIGTERM"]
    assert stops.last["very-stubborn"]["last_exit"]["signal"] == "SIGKILL"


def test_what_an_agent_has_left_behind_is_ended_before_it_is_down(stops):
    assert stops.last["leaver"]["last_exit"]["code"] == 0
    assert of(stops.site, "leaver") == of(stops.site, "parent") == []


def test_a_stop_that_was_asked_for_is_no_sign_of_instability(stops):
    for child in stops.last.values():
        assert (child["stability"], child["restarts"]) == (1, 0)
        assert (child["message"], child["pid"]) == ("", None)


def test_grandchildren_of_a_killed_agent_are_ended_before_it_is_relaunched(site, begin):
    hm = begin(instance("a", "--behave", "fork", "--grandchildren", "3"))
    pid = wait_ready(site, "a")["a"]
    old = {process.pid for process in of(site, "a")}
    assert len(old) == 4
    send(pid, signal.SIGKILL)
    together = []

    def relaunched() -> bool:
        now = {process.pid for process in of(site, "a")}
        if now & old and now - old:
            together.append(now)
        return len(site.launches("a")) > 1

    wait_for(relaunched, 15, "a relaunch")
    assert together == []
    assert not any(alive(pid) for pid in old)
    wait_ready(site, "a")
    wait_child(hm, "a", next_action="up", restarts=1)


# --- changes of mind -----------------------------------------------------------------------


def test_up_while_it_stops_starts_it_again_exactly_once(site, begin):
    hm = begin(instance("a", "--behave", "slow-stop", 2), options=PATIENT)
    old = wait_ready(site, "a")["a"]
    hm.update(requests=[("a", "down")])
    wait_for(lambda: site.signals("a"), 5, "SIGINT")
    hm.update(requests=[("a", "up")])
    assert alive(old)
    wait_for(lambda: len(site.launches("a")) == 2, 10, "a relaunch")
    assert not alive(old)
    new = wait_ready(site, "a")["a"]
    child = wait_child(hm, "a", next_action="up", pid=new)
    assert child["restarts"] == 0
    assert len(site.launches("a")) == 2
    assert len(site.signals("a")) == 1


def test_down_during_its_start_ends_it(site, begin):
    hm = begin(instance("a", manage="host/down"))
    for _ in range(3):
        hm.update(requests=[("a", "up")])
        hm.update(requests=[("a", "down")])
        wait_states(hm, a="down")
        wait_gone(site, "a", timeout=2)
    assert outcome(hm.update(requests=[("a", "up")]))[0]
    wait_ready(site, "a")


def test_a_thousand_changes_of_mind_end_in_one_copy(site, begin):
    hm = begin(instance("a"))
    targets = ["down", "up"] * 500
    assert outcome(hm.update(requests=[("a", word) for word in targets]))[0]
    wait_states(hm, a="up")
    wait_ready(site, "a")
    assert len(site.launches("a")) <= 3
