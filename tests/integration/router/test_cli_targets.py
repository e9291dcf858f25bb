"""`hostmanager up`, `down` and `restart` on a real site: what is done, and what is said of it."""

import os
import re
import signal
import time

import pytest

from tests.integration.router.cli_site import make_cli_site, on_a_terminal
from tests.support.clients import client
from tests.support.processes import processes_of
from tests.support.sites import instance
from tests.support.waiting import wait_for

cli_site = pytest.fixture(make_cli_site)


def two_hosts(cli_site):
    cli_site.write(
        daq1=[instance("fake1"), instance("fake2"), instance("spare", manage="host/down")],
        daq2=[instance("cam1"), instance("mine", manage="ignore")],
    )
    cli_site.start("daq1", "daq2")
    wait_states(cli_site, fake1="up", fake2="up", cam1="up")


def wait_states(cli_site, **expected):
    wait_for(
        lambda: expected.items() <= cli_site.states().items(), 20, str(expected), cli_site.states
    )


def alive(cli_site) -> set[str]:
    return {name for name in processes_of(cli_site.site) if not name.startswith("hm-")}


def test_down_and_up_act_on_all_hosts_and_wait_until_it_is_so(cli_site):
    two_hosts(cli_site)
    result = cli_site.run("down", "fake*", "cam1", "--yes")
    assert (result.code, result.err) == (0, "")
    assert "stop on daq1: fake1, fake2\n" in result.out
    assert "stop on daq2: cam1\n" in result.out
    assert result.out.endswith("3 of 3 agents are down\n")
    assert alive(cli_site) == set()
    again = cli_site.run("down", "fake1")
    assert (again.code, again.out) == (0, "nothing to stop\nalready down: fake1\n")
    result = cli_site.run("up", "--host", "daq1", "--all")
    assert result.code == 0
    assert "start on daq1: fake1, fake2, spare" in result.out
    assert alive(cli_site) == {"fake1", "fake2", "spare"}
    assert cli_site.states()["cam1"] == "down"


def test_a_dry_run_says_what_would_happen_and_does_nothing(cli_site):
    two_hosts(cli_site)
    before = processes_of(cli_site.site)
    for command, what in (("down", "stop on daq2: cam1"), ("restart", "restart on daq2: cam1")):
        result = cli_site.run(command, "--all", "--dry-run")
        assert result.code == 0
        assert what in result.out
    data = cli_site.run("restart", "--all", "--dry-run", "--json").json
    assert [step["instance_id"] for step in data["steps"]] == ["fake1", "fake2", "cam1"]
    assert [row["instance_id"] for row in data["already"]] == ["spare"]
    assert {step["outcome"] for step in data["steps"]} == {"pending"}
    assert processes_of(cli_site.site) == before


def test_restart_gives_new_processes_to_those_that_were_up_and_leaves_the_others(cli_site):
    two_hosts(cli_site)
    before = processes_of(cli_site.site)
    result = cli_site.run("restart", "--all", "--yes")
    assert result.code == 0
    assert "left down: spare\n" in result.out
    assert result.out.endswith("3 of 3 agents are up\n")
    after = processes_of(cli_site.site)
    for name in ("fake1", "fake2", "cam1"):
        assert len(after[name]) == 1
        assert after[name] != before[name]
    assert "spare" not in after
    assert {agent["target"] for agent in cli_site.status("fake*", "cam1").values()} == {"up"}


def test_what_does_not_get_there_is_named_with_why_and_its_last_lines(cli_site):
    cli_site.write(
        daq1=[
            instance("crash", "--behave", "exit-at-once", "--code", 7, manage="down"),
            instance("typo", agent_class="TinyAgnet", manage="down"),
            instance("good", manage="down"),
        ]
    )
    cli_site.start("daq1")

    def it_died_while_it_was_looked_at():
        """On a busy machine it may need longer than that to come to its end."""
        cli_site.run("down", "--all", "--yes")
        result = cli_site.run("up", "--all")
        return None if "daq1 crash up\n" in result.out else result

    outcome = wait_for(it_died_while_it_was_looked_at, 30, "an early death")
    assert outcome.code == 1
    assert "daq1 good up\n" in outcome.out
    assert re.search(r"! daq1 crash .*does not stay up: It exited with code 7", outcome.out)
    assert "! daq1 typo ? (target up): no installed OCS plugin provides" in outcome.out
    assert outcome.out.endswith("1 of 3 agents are up\n")
    assert "    | tiny crash: no answer from the device\n" in outcome.out

    def it_is_said_to_have_failed():
        data = cli_site.run("up", "crash", "--json").json
        return data if data["exit"] else None

    result = wait_for(it_is_said_to_have_failed, 30, "an early death")
    (step,) = result["steps"]
    assert (result["exit"], step["outcome"]) == (1, "failed")
    assert step["last_lines"][-1] == "tiny crash: no answer from the device"


def test_what_takes_too_long_is_reported_and_goes_on(cli_site):
    cli_site.write(daq1=[instance("slow", "--behave", "slow-stop", 4)])
    cli_site.start("daq1", options=("--stop-timeout", "30"))
    cli_site.wait_minding("slow")
    result = cli_site.run("down", "slow", "--timeout", "1.5s")
    assert result.code == 1
    assert "! daq1 slow stopping (target down): not down within 1.5 s: Asked to stop" in result.out
    wait_states(cli_site, slow="down")


def test_a_restart_that_takes_too_long_brings_the_agent_up_all_the_same(cli_site):
    cli_site.write(daq1=[instance("slow", "--behave", "slow-stop", 4)])
    cli_site.start("daq1", options=("--stop-timeout", "30"))
    cli_site.wait_minding("slow")
    (before,) = processes_of(cli_site.site)["slow"]
    result = cli_site.run("restart", "slow", "--timeout", "1.5s")
    assert result.code == 1
    assert "Its manager completes the restart; if it dies, the next one does." in result.out
    wait_for(lambda: processes_of(cli_site.site).get("slow", [before]) != [before], 20, "a new one")
    wait_states(cli_site, slow="up")


def test_without_waiting_the_request_is_only_sent(cli_site):
    two_hosts(cli_site)
    result = cli_site.run("down", "fake1", "--no-wait")
    assert result.code == 0
    assert result.out.endswith("1 agent: down requested; not waited for\n")
    wait_states(cli_site, fake1="down")


SENSELESS = (
    ([], "name at least one agent"),
    (["fake1", "--all"], "exclude each other"),
    (["mine"], "manage: ignore"),
    (["fake9"], "Did you mean 'fake2' or 'fake1'?"),
    (["hm-daq1"], "Use --host daq1 for all of its agents"),
)


def test_a_command_line_that_makes_no_sense_changes_nothing(cli_site):
    two_hosts(cli_site)
    before = processes_of(cli_site.site)
    for arguments, text in SENSELESS:
        result = cli_site.run("down", *arguments)
        assert (arguments, result.code) == (arguments, 2)
        assert text in result.err
    assert processes_of(cli_site.site) == before


def test_agents_of_a_silent_host_are_named_and_the_others_get_the_request(cli_site):
    cli_site.write(daq1=[instance("a")], daq2=[instance("b")])
    cli_site.start("daq1")
    wait_states(cli_site, a="up")
    result = cli_site.run("down", "--all", "--yes")
    assert result.code == 3
    assert "! daq2 b: hm-daq2 is not at the router" in result.out
    assert "1 of 1 agent is down" in result.out
    assert alive(cli_site) == set()


def test_an_agent_that_its_manager_does_not_know_yet_needs_a_reload(cli_site):
    cli_site.write(daq1=[instance("a")])
    cli_site.start("daq1")
    cli_site.write(daq1=[instance("a"), instance("b", manage="down")])
    result = cli_site.run("up", "b")
    assert result.code == 1
    assert "! daq1 b: new in the site config; `hostmanager reload --host daq1`" in result.out


def test_up_starts_a_manager_that_was_stopped_and_starts_nothing_else(cli_site):
    cli_site.write(testhost=[instance("a"), instance("b")])
    cli_site.start("testhost")
    hm = client(cli_site.site)
    hm.manager.stop()
    hm.manager.wait(timeout=60)
    assert "left down: a" in cli_site.run("restart", "a").out
    result = cli_site.run("up", "a")
    assert result.code == 0
    assert "it starts with only these up" in result.out
    assert cli_site.states() == {"a": "up", "b": "down"}


def test_up_waits_for_a_manager_that_still_ends_its_agents_and_starts_it_then(cli_site):
    cli_site.write(testhost=[instance("slow", "--behave", "slow-stop", 8), instance("a")])
    cli_site.start("testhost", options=("--stop-timeout", "30"))
    cli_site.wait_minding("slow")
    wait_states(cli_site, slow="up", a="up")
    client(cli_site.site).manager.stop()
    result = cli_site.run("status")
    assert "was stopped, and is stopping its agents" in result.out
    assert cli_site.states()["slow"] == "wait_dead"
    refused = cli_site.run("down", "slow")
    assert refused.code == 1
    assert (
        "! testhost slow: its manager process was stopped, and is stopping its agents"
        in refused.out
    )
    result = cli_site.run("up", "slow", "--no-wait")
    assert (result.code, "1 agent: up requested; not waited for" in result.out) == (0, True)
    wait_states(cli_site, slow="up", a="down")


def test_two_who_wake_a_manager_at_the_same_time_both_get_what_they_asked_for(cli_site):
    cli_site.write(testhost=[instance("slow", "--behave", "slow-stop", 4), instance("a")])
    cli_site.start("testhost", options=("--stop-timeout", "30"))
    cli_site.wait_minding("slow")
    wait_states(cli_site, slow="up", a="up")
    client(cli_site.site).manager.stop()
    both = [cli_site.popen("up", name) for name in ("slow", "a")]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
    wait_states(cli_site, slow="up", a="up")


def test_up_gives_up_on_a_manager_that_does_not_come_to_an_end(cli_site):
    cli_site.write(testhost=[instance("slow", "--behave", "slow-stop", 6)])
    cli_site.start("testhost", options=("--stop-timeout", "30"))
    cli_site.wait_minding("slow")
    wait_states(cli_site, slow="up")
    client(cli_site.site).manager.stop()
    result = cli_site.run("up", "slow", "--timeout", "1")
    assert result.code == 1
    assert "not up within 1 s: its manager is still stopping its agents." in result.out
    wait_states(cli_site, slow="?")  # nobody tells it up behind anybody's back


def test_somebody_who_requests_the_opposite_meanwhile_is_reported(cli_site):
    cli_site.write(testhost=[instance("slow", "--behave", "slow-stop", 3)])
    cli_site.start("testhost", options=("--stop-timeout", "30"))
    cli_site.wait_minding("slow")
    wait_states(cli_site, slow="up")
    process = cli_site.popen("down", "slow")
    wait_for(lambda: cli_site.states()["slow"] == "wait_dead", 20, "it to be told")
    client(cli_site.site).update(requests=[("slow", "up")])
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "another client has set its target to up meanwhile" in out
    wait_states(cli_site, slow="up")


# --- Ctrl-C, and on a terminal ----------------------------------------------------------------


WAITS = "stopping"
"""What a terminal shows when the command has its answer, and waits."""


def wait_told(cli_site, instance_id):
    """Wait until an agent is told to stop, and the command that told it has its answer."""
    wait_for(lambda: cli_site.states()[instance_id] == "wait_dead", 20, "it to be told")
    time.sleep(1)  # nothing shows from outside that the answer has come


def test_ctrl_c_ends_the_waiting_and_says_what_goes_on(cli_site):
    cli_site.write(daq1=[instance("slow", "--behave", "slow-stop", 5)])
    cli_site.start("daq1", options=("--stop-timeout", "30"))
    cli_site.wait_minding("slow")
    wait_states(cli_site, slow="up")
    shown = on_a_terminal(cli_site, "down", "slow", columns=200, typed={WAITS: "^C"})
    assert shown.endswith("hostmanager down: Interrupted. Still stopping: slow.\r\nexit 130")
    wait_states(cli_site, slow="down")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_a_restart_that_nobody_waits_for_any_longer_goes_on_on_the_hosts(cli_site, number):
    cli_site.write(daq1=[instance("slow", "--behave", "slow-stop", 6)])
    cli_site.start("daq1", options=("--stop-timeout", "30"))
    cli_site.wait_minding("slow")
    wait_states(cli_site, slow="up")
    before = cli_site.status()["slow"]["pid"]
    shown = on_a_terminal(cli_site, "restart", "slow", columns=200, typed={WAITS: number})
    assert shown.endswith(
        "hostmanager restart: Interrupted. Still stopping: slow; it will be started afterwards.\r\n"
        "exit 130"
    )
    wait_states(cli_site, slow="up")
    assert cli_site.status()["slow"]["pid"] != before


def test_a_restart_that_is_interrupted_while_the_manager_is_gone_is_made_by_the_next_one(cli_site):
    cli_site.write(daq1=[instance("slow", "--behave", "slow-stop", 5)])
    cli_site.start("daq1", options=("--stop-timeout", "30"))
    cli_site.wait_minding("slow")
    wait_states(cli_site, slow="up")
    before = cli_site.status()["slow"]["pid"]
    process = cli_site.popen("restart", "slow")
    wait_told(cli_site, "slow")
    cli_site.managers["daq1"].kill()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Still stopping: slow; it will be started afterwards." in err
    cli_site.start("daq1", options=("--stop-timeout", "30"))
    wait_for(lambda: cli_site.status()["slow"]["pid"] not in (None, before), 20, "another process")
    wait_states(cli_site, slow="up")


def test_before_everything_is_stopped_somebody_at_a_terminal_is_asked(cli_site):
    two_hosts(cli_site)
    before = processes_of(cli_site.site)
    shown = on_a_terminal(cli_site, "down", "--all", typed={"[y/N]": "\r"})
    assert "Stop 3 agents on daq1 and daq2? [y/N]" in shown
    assert shown.endswith("Nothing was changed.\r\nexit 1")
    assert processes_of(cli_site.site) == before
    shown = on_a_terminal(cli_site, "down", "--all", typed={"[y/N]": "y\r"})
    assert "3 of 3 agents are down" in shown
    assert shown.endswith("exit 0")
    shown = on_a_terminal(cli_site, "up", "--all")
    assert "[y/N]" not in shown
    assert "4 of 4 agents are up" in shown
    shown = on_a_terminal(cli_site, "down", "--all", "--yes")
    assert "[y/N]" not in shown
    assert alive(cli_site) == set()


def test_on_a_terminal_the_progress_is_shown_and_taken_away(cli_site):
    cli_site.write(daq1=[instance("slow", "--behave", "slow-stop", 2)])
    cli_site.start("daq1", options=("--stop-timeout", "30"))
    cli_site.wait_minding("slow")
    wait_states(cli_site, slow="up")
    shown = on_a_terminal(cli_site, "restart", "slow")
    assert "0 of 1" in shown
    assert "(restarting)" in shown
    assert "checking that it stays up" in shown
    assert shown.count(os.linesep) > 2
    assert "1 of 1 agent is up" in shown
