"""What `up`, `down` and `restart` plan, and when they say that an agent is there. Pure."""

import pytest
from tests.support.http_bridge import child, session

from hostmanager.client.change.plan import STABLE_AFTER, AgentChange
from hostmanager.client.change.progress import MAX_CRASHES, OTHER_TARGET_GRACE, AgentProgress
from hostmanager.client.status.model import AgentStatus

UP, DOWN = ("up", "up"), ("down", "down")


def state(target, now, **more):
    return child("a", target_state=target, next_action=now, **more)


def progress_of(final, *, begins_down=False, before=None):
    row = AgentStatus("daq1", "a", before or state(*UP), state="up")
    made = AgentProgress.of(AgentChange(row, final, stop_first=begins_down))
    made.requested(0.0)
    return made


# --- the plan ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [
        ("up", state(*UP), [], ["a"]),
        ("up", state(*UP, uptime=STABLE_AFTER), [], ["a"]),
        ("up", state(*UP, uptime=0.5), ["a"], []),  # it may be one that dies again and again
        ("up", state("up", "start_at"), ["a"], []),
        ("up", state(*DOWN), ["a"], []),
        ("up", state("passive", "down"), ["a"], []),
        ("up", state("passive", "up"), [], ["a"]),
        ("down", state(*DOWN), [], ["a"]),
        ("down", state("down", "wait_dead"), ["a"], []),
        ("down", state("passive", "up"), ["a"], []),
        ("restart", state(*UP), ["a"], []),
        ("restart", state("up", "start_at"), ["a"], []),
        ("restart", state(*DOWN), [], ["a"]),
        ("restart", state("passive", "up"), ["a"], []),
        ("restart", state("passive", "down"), [], ["a"]),
    ],
)
def test_what_is_done_depends_on_how_it_is(bridge, site_file, run, case):
    command, agent, steps, already = case
    bridge.write(site_file, daq1=["a"])
    bridge.sessions["hm-daq1"] = {"manager": session(agent)}
    data = run(command, "a", "--dry-run", "--json").json
    assert [step["instance_id"] for step in data["steps"]] == steps
    assert [row["instance_id"] for row in data["already"]] == already


def test_of_a_manager_that_is_stopping_only_what_the_site_config_has_can_be_started(
    bridge, site_file, run
):
    bridge.write(site_file, daq1=["a", "b"])
    retired = child("old", target_state="down", next_action="wait_dead")
    service = child("redis", target_state="passive", next_action="down", agent_class="[docker]")
    ends = child("a", target_state="down", next_action="wait_dead")
    answer = session(ends, child("b", target_state="down", next_action="down"), retired, service)
    bridge.sessions["hm-daq1"] = {"manager": {**answer, "status": "stopping"}}
    data = run("up", "--all", "--dry-run", "--json").json
    assert [step["instance_id"] for step in data["steps"]] == ["a", "b"]
    assert [row["instance_id"] for row in data["refused"]] == ["old", "redis"]
    data = run("down", "--all", "--dry-run", "--json").json
    assert data["steps"] == []
    assert [row["instance_id"] for row in data["already"]] == ["b", "redis"]
    assert {row["why"] for row in data["refused"]} == {
        "its manager process was stopped, and is stopping its agents"
    }


def test_patterns_leave_out_what_nobody_manages_and_names_do_not(bridge, site_file, run):
    ignored = {"instance-id": "ab", "agent-class": "X", "manage": "ignore"}
    bridge.write(site_file, daq1=["aa", ignored])
    bridge.sessions["hm-daq1"] = {"manager": session(child("aa"))}
    assert "aa" in run("down", "a*", "--dry-run").out
    assert run("down", "ab", "--dry-run").code == 2


def test_each_manager_gets_one_request_for_all_of_its_agents(bridge, site_file, run):
    bridge.write(site_file, daq1=["a", "b"], daq2=["c"])
    bridge.sessions["hm-daq1"] = {"manager": session(child("a"), child("b"))}
    bridge.sessions["hm-daq2"] = {"manager": session(child("c"))}
    bridge.tasks["update"] = lambda *_: (True, "told", {})
    result = run("down", "--all", "--yes", "--no-wait")
    assert result.code == 0
    asked = {a[0]: a[3] for a in bridge.asked if a[1] == "start"}
    assert asked == {
        "hm-daq1": {"requests": [["a", "down"], ["b", "down"]]},
        "hm-daq2": {"requests": [["c", "down"]]},
    }


# --- the way there -----------------------------------------------------------------------------


def test_down_is_reached_when_nothing_is_left_or_it_is_forgotten():
    progress = progress_of("down")
    assert not progress.observe(state("down", "wait_dead", message="Asked to stop."), 0.1, 0.0)
    assert progress.step.reason == "Asked to stop"
    assert progress.observe(state(*DOWN), 0.2, 0.0)
    assert progress_of("down").observe(None, 0.1, 0.0)


def test_up_is_reached_when_it_has_been_so_for_a_while():
    progress = progress_of("up")
    assert not progress.observe(state(*UP, uptime=0.1), 0.1, 0.0)
    assert progress.observe(state(*UP, uptime=STABLE_AFTER), 2.0, 0.0)
    plain = progress_of("up")  # of a manager that tells no uptime
    assert not plain.observe(state(*UP), 0.1, 0.0)
    assert not plain.observe(state("up", "start_at"), 1.0, 0.0)
    assert not plain.observe(state(*UP), 1.5, 0.0)
    assert plain.observe(state(*UP), 1.5 + STABLE_AFTER, 0.0)


def test_an_agent_that_dies_again_and_again_is_given_up_before_the_time_is_over():
    progress = progress_of("up")
    for number in range(MAX_CRASHES):
        assert progress.is_pending
        ended = {"code": 1, "time": float(number), "expected": False, "output": ["last words"]}
        progress.observe(state("up", "start_at", last_exit=ended, message="It died."), 0.1, 0.0)
    assert (progress.is_pending, progress.step.outcome) == (False, "failed")
    assert "does not stay up: It died" in progress.step.reason
    assert progress.step.last_lines == ["last words"]


def test_its_last_lines_are_waited_for_a_moment():
    progress = progress_of("up")

    def dies(when, output, now):
        ended = {"code": 1, "time": when, "expected": False, "output": output}
        progress.observe(state("up", "start_at", last_exit=ended, message="It died."), now, 0.0)

    dies(1.0, ["of the first end"], 0.1)
    dies(2.0, [], 0.2)
    assert progress.is_pending
    dies(2.0, ["of the second"], 0.3)
    assert (progress.step.outcome, progress.step.last_lines) == ("failed", ["of the second"])

    progress = progress_of("up")  # one that says nothing
    dies(1.0, [], 0.1)
    dies(2.0, [], 0.2)
    dies(2.0, [], 1.1)
    assert progress.is_pending
    dies(2.0, [], 1.2)
    assert (progress.step.outcome, progress.step.last_lines) == ("failed", [])


def test_one_that_is_up_again_when_it_is_given_up_is_given_up_for_the_reason_that_it_had():
    progress = progress_of("up")
    for when in (1.0, 2.0):
        ended = {"code": 7, "time": when, "expected": False, "output": []}
        died = state("up", "start_at", last_exit=ended, message="It exited with code 7.")
        progress.observe(died, when, 0.0)
    progress.observe(state(*UP, last_exit={**ended, "output": ["no answer"]}, message=""), 2.1, 0.0)
    assert progress.step.reason == "it does not stay up: It exited with code 7"
    assert progress.step.last_lines == ["no answer"]


def test_a_death_of_before_does_not_count():
    ended = {"code": 1, "time": 5.0, "expected": False, "output": []}
    progress = progress_of("up", before=state("up", "start_at", last_exit=ended))
    progress.observe(state("up", "wait_start", last_exit=ended), 0.1, 0.0)
    assert progress.crashes == set()


def test_another_target_means_somebody_else_but_not_at_once():
    progress = progress_of("down")
    assert not progress.observe(state(*UP), OTHER_TARGET_GRACE / 2, 0.0)
    assert progress.is_pending
    progress.observe(state(*UP), OTHER_TARGET_GRACE * 2, 0.0)
    assert "another client has set its target to up" in progress.step.reason


def test_what_cannot_be_operated_is_given_up_with_its_obstacle():
    progress = progress_of("up")
    progress.observe(state("up", "?", message="No plugin."), 0.1, 0.0)
    assert (progress.step.outcome, progress.step.reason) == ("failed", "No plugin")


def test_a_service_that_nobody_manages_is_passive_again_when_it_is_there():
    progress = progress_of("down", before=state("passive", "up"))
    assert not progress.observe(state("down", "wait_dead"), 0.1, 0.0)
    assert progress.observe(state("passive", "down"), 5.0, 0.0)


def test_a_restart_goes_down_first():
    progress = progress_of("up", begins_down=True)
    assert progress.stage == "down"
    assert progress.observe(state(*DOWN), 0.1, 0.0)


# --- a restart that the manager carries out ----------------------------------------------------


def restart_of(**before):
    row = AgentStatus("daq1", "a", state(*UP, restarting=False, pid=7, **before), state="up")
    made = AgentProgress.of(AgentChange(row, "up", by_manager=True))
    made.requested(0.0)
    return made


def test_a_restart_is_reached_when_another_run_stays_up():
    progress = restart_of()
    assert progress.stage == "up"
    assert not progress.observe(state(*UP, restarting=True, pid=7, uptime=900.0), 0.1, 0.0)
    assert not progress.observe(state("up", "wait_dead", restarting=True, pid=7), 0.2, 0.0)
    assert not progress.observe(state("up", "wait_start", restarting=True), 0.3, 0.0)
    assert not progress.observe(state(*UP, restarting=False, pid=8, uptime=0.1), 0.4, 0.0)
    assert progress.observe(state(*UP, restarting=False, pid=8, uptime=STABLE_AFTER), 3.0, 0.0)


def test_a_restart_that_the_manager_gives_up_has_failed_with_its_reason():
    progress = restart_of()
    assert not progress.observe(state(*UP, restarting=True, pid=7), 0.1, 0.0)
    refused = "It was not restarted: its image cannot be had. It keeps running as it is."
    assert not progress.observe(
        state(*UP, restarting=False, pid=7, uptime=9.0, message=refused), 0.2, 0.0
    )
    assert (progress.step.outcome, progress.step.reason) == ("failed", refused.rstrip("."))


def test_a_restart_that_somebody_calls_off_has_failed():
    progress = restart_of()
    progress.observe(
        state("down", "wait_dead", restarting=False, pid=7), OTHER_TARGET_GRACE * 2, 0.0
    )
    assert "another client has set its target to down" in progress.step.reason


def test_the_manager_is_asked_once_and_its_refusals_are_reported(bridge, site_file, run):
    bridge.write(site_file, daq1=["a", "b", "c"])
    agents = [child(name, restarting=False, pid=n) for n, name in enumerate("abc")]
    bridge.sessions["hm-daq1"] = {"manager": session(*agents)}
    data = {
        **{"restarting": ["a"], "preparing": [], "left": {"b": "its target is down"}},
        **{"refused": {"c": "its image cannot be had"}, "router": "a", "not_kept": ""},
    }
    bridge.tasks["restart"] = lambda *_: (False, "Restarting: a. ...", data)
    result = run("restart", "--all", "--yes", "--no-wait")
    assert [a[3] for a in bridge.asked if a[1] == "start"] == [{"instances": ["a", "b", "c"]}]
    assert result.code == 1
    assert "b up (target up): its target is down" in result.out
    assert "c up (target up): its image cannot be had" in result.out
    assert "1 agent: restart requested; not waited for" in result.out
    assert "a on daq1 runs the router: it is restarted last" in result.err


def test_to_a_manager_without_that_operation_it_says_so_and_does_it_itself(bridge, site_file, run):
    bridge.write(site_file, daq1=["a"])
    bridge.sessions["hm-daq1"] = {"manager": session(child("a"))}
    messages = []

    def update(manager, params):
        messages.extend(params["requests"])
        target = params["requests"][-1][1]
        now = child("a", target_state=target, next_action=target, uptime=STABLE_AFTER)
        bridge.sessions[manager]["manager"] = session(now)
        return True, "Told.", {}

    bridge.tasks["update"] = update
    result = run("restart", "a")
    assert (result.code, messages) == (0, [["a", "down"], ["a", "up"]])
    assert "the manager of daq1 has no operation 'restart'" in result.out
