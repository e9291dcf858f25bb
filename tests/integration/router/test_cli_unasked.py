"""Nothing dangerous happens without a question, and a dry run changes nothing; on a real site."""

import itertools
import json
import sqlite3
from contextlib import closing

import pytest

from tests.integration.router.cli_site import make_cli_site, on_a_terminal
from tests.support.processes import processes_of
from tests.support.sites import instance
from tests.support.waiting import wait_for

cli_site = pytest.fixture(make_cli_site)

STOPPING = {
    "down --all": "stop 3 agents on daq1 and daq2",
    "stop --all": "stop 3 agents on daq1 and daq2",
    "down fake*": "stop 2 agents on daq1",
    "restart --all": "restart 3 agents on daq1 and daq2",
    "restart --host daq1": "restart 2 agents on daq1",
    "die --all": "end the managers of daq1 and daq2 and stop their 3 agents",
    "die --host daq2": "end the manager of daq2 and stop its agent",
    "die --host daq1 --disown": "end the manager of daq1 and leave its 2 agents running",
}
"""Commands that need a confirmation, and what for."""


def two_hosts(cli_site):
    cli_site.write(
        daq1=[instance("fake1"), instance("fake2"), instance("spare", manage="host/down")],
        daq2=[instance("cam1")],
    )
    cli_site.start("daq1", "daq2")
    wait_states(cli_site, fake1="up", fake2="up", cam1="up")
    cli_site.wait_minding("fake1", "fake2", "cam1")  # they have read the site config by then


def wait_states(cli_site, **wanted):
    wait_for(lambda: wanted.items() <= cli_site.states().items(), 20, str(wanted), cli_site.states)


def observed(cli_site):
    """The processes of the site, the targets of its agents, and how many requests there were."""
    requests = {}
    for host in cli_site.managers:
        journal = cli_site.site.directory / f"state-{host}" / "journal.sqlite"
        with closing(sqlite3.connect(journal, timeout=60)) as base:
            query = "SELECT count(*) FROM entries WHERE kind = 'request'"
            (requests[host],) = base.execute(query).fetchone()
    targets = {name: agent["target"] for name, agent in cli_site.status().items()}
    return processes_of(cli_site.site), targets, requests


def test_without_a_terminal_whatever_stops_more_than_one_needs_yes(cli_site):
    two_hosts(cli_site)
    before = observed(cli_site)
    for words, action in STOPPING.items():
        process = cli_site.popen(*words.split())  # stdin is /dev/null
        _, err = process.communicate(timeout=60)
        assert (words, process.returncode) == (words, 2)
        assert f"This would {action}. There is no terminal to ask on: add --yes" in err, words
        assert err.endswith("Nothing was changed.\n")
        result = json.loads(cli_site.run(*words.split(), "--json").out)
        assert (result["exit"], action in result["error"]) == (2, True)
    assert observed(cli_site) == before


def test_one_agent_that_is_named_is_stopped_without_a_question(cli_site):
    two_hosts(cli_site)
    assert cli_site.run("down", "cam1").code == 0
    assert cli_site.run("restart", "fake1", "cam1").code == 0  # cam1 is down: one is stopped
    assert cli_site.run("up", "--all").code == 0


def test_a_dry_run_of_any_command_changes_nothing(cli_site):
    two_hosts(cli_site)
    cli_site.run("down", "fake1")
    cli_site.write(daq1=[instance("fake1"), instance("late")], daq2=[instance("cam1", "--rate", 2)])
    before = observed(cli_site)
    commands = {
        "up --all": "start on daq1: fake1",
        "up --as-configured": "  fake1: stopped by hand by ",
        "down --all": "stop on daq2: cam1",
        "restart --all": "restart on daq2: cam1",
        "restart --outdated": "nothing to restart",
        "die --all": "end the manager of daq2\n  stop: cam1",
        "die --all --disown": "  leave running: cam1",
        "pull": "no compose files, so there is nothing to pull",
        "orphans --remove": "daq1: no orphans",
        "reload": "  - fake2 gone: TinyAgent (host): would be stopped and removed",
    }
    for words, text in commands.items():
        result = cli_site.run(*words.split(), "--dry-run")
        assert text in result.out, words
        assert result.out.endswith("Dry run: nothing was changed.\n"), words
        content = cli_site.run(*words.split(), "--dry-run", "--json").json
        assert (words, content["dry_run"]) == (words, True)
    assert observed(cli_site) == before


def test_the_dry_run_names_what_the_real_run_does(cli_site):
    two_hosts(cli_site)
    planned = cli_site.run("down", "--all", "--dry-run", "--json").json
    done = cli_site.run("down", "--all", "--yes", "--json").json

    def names(content):
        return [(step["host"], step["instance_id"], step["action"]) for step in content["steps"]]

    assert (
        names(planned)
        == names(done)
        == [
            ("daq1", "fake1", "stop"),
            ("daq1", "fake2", "stop"),
            ("daq2", "cam1", "stop"),
        ]
    )
    assert planned["stops"] == {
        "agents": {"daq1": ["fake1", "fake2"], "daq2": ["cam1"]},
        "managers": [],
        "needs_yes": True,
    }


REFUSALS = (
    # what is typed, the exit status, what is printed
    ("\r", 1, "Nothing was changed."),
    ("sure\r", 1, "Nothing was changed."),
    ("n\r", 1, "Nothing was changed."),
    ("\x04", 1, "Nothing was changed."),  # Ctrl-D
    ("^C", 130, "Interrupted. Nothing was changed."),
)


def test_anything_but_yes_changes_nothing(cli_site):
    two_hosts(cli_site)
    before = observed(cli_site)
    for command, (typed, code, text) in itertools.product(("down", "die"), REFUSALS):
        shown = on_a_terminal(cli_site, command, "--all", typed={"[y/N]": typed})
        assert f"hostmanager {command}: {text}" in shown
        assert shown.endswith(f"exit {code}")
    assert observed(cli_site) == before


def test_a_reload_that_would_stop_even_one_agent_asks(cli_site):
    two_hosts(cli_site)
    cli_site.write(daq1=[instance("fake1"), instance("spare", manage="host/down")], daq2=[])
    result = cli_site.run("reload", "--host", "daq1")
    assert (result.code, "This would stop 1 agent on daq1." in result.err) == (2, True)
    cli_site.write(
        daq1=[instance("fake1"), instance("fake2"), instance("spare", manage="host/up")], daq2=[]
    )
    result = cli_site.run("reload", "--host", "daq1")
    assert result.code == 0
    assert "  * spare manage: host/down → host/up: its target is left as it is (down)" in result.out


def test_the_reason_and_the_requester_are_kept(cli_site):
    two_hosts(cli_site)
    assert cli_site.run("down", "fake1", "--reason", "cable work").code == 0
    agent = cli_site.status()["fake1"]
    assert agent["target"] == "down"
    entries = cli_site.run("history", "fake1", "--kind", "request", "--json").json["entries"]
    assert "cable work" in json.dumps(entries[-1])
    assert "@" in json.dumps(entries[-1])
    result = cli_site.run("up", "--as-configured")
    assert result.code == 0
    assert "fake1: stopped by hand by " in result.out
    assert result.out.endswith("1 of 1 agent is as configured\n")
    assert ": cable work\n" in result.out
    wait_states(cli_site, fake1="up", spare="down")


def test_only_what_has_changed_since_it_was_started_is_restarted(cli_site):
    two_hosts(cli_site)
    cli_site.write(
        daq1=[instance("fake1", "--rate", 3), instance("fake2"), instance("spare", manage="no")],
        daq2=[instance("cam1")],
    )
    assert cli_site.run("reload").code == 0
    before = processes_of(cli_site.site)
    result = cli_site.run("restart", "--outdated")
    assert result.code == 0
    assert "  fake1: Its entry in the site config has changed since it was started" in result.out
    after = processes_of(cli_site.site)
    assert after["fake1"] != before["fake1"]
    assert (after["fake2"], after["cam1"]) == (before["fake2"], before["cam1"])
    assert "nothing to restart" in cli_site.run("restart", "--outdated").out


def test_an_agent_that_dies_some_seconds_after_its_start_is_reported_with_its_last_lines(cli_site):
    cli_site.write(
        daq1=[instance("late", "--behave", "crash-after", 3, "--code", 5, manage="host/down")]
    )
    cli_site.start("daq1")
    shown = on_a_terminal(cli_site, "up", "late")
    assert "checking that it stays up" in shown
    assert "does not stay up: It exited with code 5" in shown.replace("\r\n", "")
    assert "0 of 1 agent is up" in shown
    assert shown.endswith("exit 1")
