"""Settings of instances (docs/settings.md) with a real manager and real programs."""

import signal

import pytest

from tests.integration.conftest import SHORT
from tests.integration.router.cli_site import make_cli_site
from tests.integration.router.steps import (
    messages,
    outcome,
    parse_status,
    send,
    wait_child,
    wait_gone,
    wait_ready,
    wait_states,
)
from tests.support.clients import children, client, states
from tests.support.managers import REFERENCE
from tests.support.processes import processes, processes_of
from tests.support.sites import instance
from tests.support.waiting import wait_for

SETTINGS = "host-manager"
cli_site = pytest.fixture(make_cli_site)

NO_HEALTH = {"heartbeat.timeout": 0}
"""What the manager's entry of a test site sets for all."""


def manual(name, **keys):
    return instance(name, **{SETTINGS: {"manual": True}, **keys})


def one_shot(name, *arguments, **keys):
    """A program that runs for a moment and ends with code 0, unless it is told otherwise."""
    words = arguments or ("--behave", "crash-after", "0.5", "--code", "0")
    return instance(name, *words, **{SETTINGS: {"one-shot": True}, **keys})


def wait_done(hm, name):
    return wait_for(
        lambda: (child := children(hm)[name])["done"] and child, 20, f"{name} to be done"
    )


def reload(hm):
    return outcome(hm.update(reload_config=True))


# --- the file ------------------------------------------------------------------------------


def test_the_manager_of_ocs_runs_a_file_with_settings_as_if_there_were_none(site, start_manager):
    site.write(manual("a"), manual("b", manage="host/down"), instance("c", **{SETTINGS: "odd"}))
    start_manager(site, kind=REFERENCE)
    hm = client(site)
    up = {"a": "up", "b": "down", "c": "up"}
    wait_for(lambda: states(hm) == up, 30, "the states", lambda: states(hm))
    wait_for(lambda: {"a", "c"} <= processes_of(site).keys(), 15, "them", lambda: processes(site))
    assert outcome(hm.update(requests=[("a", "down")], reload_config=True))[0]
    wait_states(hm, a="down")


def test_a_wrong_setting_is_named_and_keeps_what_the_instance_had(site, begin):
    hm = begin(manual("a"), instance("b"))
    wait_ready(site, "b")
    site.write(
        instance("a", **{SETTINGS: {"manaul": True}}), instance("b", **{SETTINGS: {"manual": 5}})
    )
    ok, text = reload(hm)
    assert not ok
    parsed_ok, _, summary = parse_status(hm)
    assert not parsed_ok
    for said in (text, summary):
        assert "there is no setting 'manaul'. Did you mean 'manual'?" in said
        assert "the setting 'manual' is 5, not true or false." in said
        assert f"{site.file}:" in said
    assert children(hm)["a"]["settings"] == {"manual": True, **NO_HEALTH}
    assert children(hm)["b"]["settings"] == NO_HEALTH
    assert states(hm) == {"a": "down", "b": "up"}


# --- manual --------------------------------------------------------------------------------


def test_a_manual_agent_is_started_and_stopped_on_request_alone(site, begin):
    hm = begin(manual("a"), instance("b"), options=("--initial-state", "up"))
    wait_ready(site, "b")
    assert wait_child(hm, "a", target_state="passive", next_action="down")["manage"] == "host/up"
    assert outcome(hm.update(requests=[("a", "up")]))[0]
    pid = wait_ready(site, "a")["a"]
    wait_child(hm, "a", target_state="passive", next_action="up", pid=pid)
    send(pid, signal.SIGKILL)
    child = wait_child(hm, "a", target_state="passive", next_action="down")
    assert (child["last_exit"]["signal"], child["last_exit"]["expected"]) == ("SIGKILL", False)
    assert outcome(hm.update(requests=[("all", "up")]))[0]
    assert wait_ready(site, "a")["a"] != pid
    assert outcome(hm.update(requests=[("a", "down")]))[0]
    wait_gone(site, "a")
    wait_child(hm, "a", target_state="passive", next_action="down")
    assert len(site.launches("a")) == 2


def test_a_manual_agent_outlives_a_crash_of_its_manager_and_is_not_started_by_the_next(
    site, start_manager
):
    site.write(manual("a"), manual("b"))
    first = start_manager(site, *SHORT)
    hm = client(site)
    hm.update(requests=[("a", "up")])
    pids = wait_ready(site, "a")
    wait_child(hm, "a", target_state="passive", next_action="up")
    first.kill()
    start_manager(site, *SHORT)
    hm = client(site)
    wait_child(hm, "a", target_state="passive", next_action="up", pid=pids["a"])
    wait_child(hm, "b", target_state="passive", next_action="down")
    assert processes_of(site) == {"a": [pids["a"]]}


def test_a_reload_makes_it_manual_and_managed_again_without_a_restart(site, begin):
    hm = begin(instance("a"))
    pids = wait_ready(site, "a")
    site.write(manual("a"))
    assert reload(hm)[0]
    wait_child(hm, "a", target_state="passive", next_action="up", restart_required=False)
    site.write(instance("a"))
    assert reload(hm)[0]
    wait_child(hm, "a", target_state="up", next_action="up", pid=pids["a"])
    site.write(manual("a", manage="host/down"))
    assert reload(hm)[0]
    site.write(instance("a", manage="host/down"))
    assert reload(hm)[0]
    wait_gone(site, "a")
    wait_states(hm, a="down")


# --- one-shot ------------------------------------------------------------------------------


def test_a_one_shot_that_ends_well_is_done_and_runs_again_by_name(site, begin):
    hm = begin(one_shot("a"))
    child = wait_done(hm, "a")
    assert (child["target_state"], child["next_action"], child["pid"]) == ("down", "down", None)
    assert (child["last_exit"]["code"], child["last_exit"]["expected"]) == (0, True)
    assert "a: done: exited with code 0" in messages(hm)
    assert outcome(hm.update(requests=[("all", "up")]))[0]
    assert children(hm)["a"]["done"] == child["done"]
    assert outcome(hm.update(requests=[("a", "up")]))[0]
    wait_for(lambda: len(site.launches("a")) == 2, 20, "its second run")
    again = wait_done(hm, "a")
    assert again["done"]["time"] > child["done"]["time"]
    assert outcome(hm.restart(instances=["a"]))[0]
    wait_for(lambda: len(site.launches("a")) == 3, 20, "its third run")
    wait_done(hm, "a")


def test_a_one_shot_that_fails_is_tried_again(site, begin):
    hm = begin(one_shot("a", "--behave", "crash-after", "0.1", "--code", "3"))
    child = wait_for(
        lambda: (c := children(hm)["a"])["restarts"] >= 2 and c, 30, "two more attempts"
    )
    assert (child["target_state"], child["done"], child["last_exit"]["code"]) == ("up", None, 3)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_what_is_done_stays_done_over_the_end_of_the_manager_and_a_changed_entry(
    site, start_manager, end
):
    site.write(one_shot("a"))
    manager = start_manager(site, *SHORT)
    done = wait_done(client(site), "a")["done"]
    wait_for(lambda: '"done"' in (site.state_dir / "wanted.json").read_text(), 20, "it to be saved")
    getattr(manager, end)()
    site.write(one_shot("a", "--behave", "crash-after", "0.2", "--code", "0"))
    start_manager(site, *SHORT, "--initial-state", "up")
    hm = client(site)
    child = wait_child(hm, "a", target_state="down", next_action="down")
    assert child["done"] == {"time": done["time"], "changed_since": True}
    hm.manager.stop()
    hm.manager.wait()
    hm.manager.start()
    assert reload(hm)[0]
    assert wait_child(hm, "a", next_action="down")["done"]["time"] == done["time"]
    assert len(site.launches("a")) == 1


# --- as people see it ----------------------------------------------------------------------


def test_status_says_done_and_manual_and_up_runs_again_only_what_is_named(cli_site):
    cli_site.write(daq1=[one_shot("migrate"), manual("camera"), instance("fake1")])
    cli_site.start("daq1")
    hm = client(cli_site.site, "hm-daq1")
    wait_done(hm, "migrate")
    wait_for(lambda: cli_site.states()["fake1"] == "up", 20, "fake1 up")
    rows = {
        line.split()[0]: line.split() for line in cli_site.run("status").out.splitlines() if line
    }
    assert rows["migrate"][2:4] == ["done", "down"]
    assert rows["camera"][2:4] == ["down", "manual"]
    assert "all OK" in cli_site.run("status").out
    result = cli_site.run("up", "mig*", "--no-wait")
    assert "done; run again only if named: migrate" in result.out
    result = cli_site.run("up", "--as-configured", "--all")
    assert "nothing to" in result.out
    result = cli_site.run("up", "migrate", "camera")
    assert result.code == 0
    assert "daq1 migrate done" in result.out
    assert len(cli_site.site.launches("migrate")) == 2
    assert cli_site.run("status").out.count("manual") >= 1


def test_diff_says_what_another_setting_would_do(cli_site):
    cli_site.write(daq1=[instance("a"), manual("b")])
    cli_site.start("daq1")
    wait_for(
        lambda: cli_site.states() == {"a": "up", "b": "down"}, 20, "the states", cli_site.states
    )
    cli_site.write(daq1=[manual("a"), instance("b")])
    changes = cli_site.run("diff").out
    assert "manual: no → yes: takes effect at once" in changes
    assert "manual: yes → no: would be started" in changes
    assert cli_site.run("reload").code == 0
    wait_for(lambda: cli_site.states() == {"a": "up", "b": "up"}, 20, "the states", cli_site.states)
    assert cli_site.run("diff").code == 0
