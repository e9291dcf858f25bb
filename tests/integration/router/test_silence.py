"""Silence, as an operator uses it: the command, and managers that keep what it says."""

import json

import pytest

from tests.integration.router.cli_site import make_cli_site
from tests.support.sites import instance
from tests.support.waiting import wait_for

cli_site = pytest.fixture(make_cli_site)


def test_a_silenced_agent_is_shown_and_not_counted(cli_site):
    failing = instance("det1", "--behave", "exit-at-once", "--code", 3)
    cli_site.write(daq1=[failing, instance("det2")], daq2=[instance("cam1")])
    cli_site.start("daq1", "daq2")
    wait_for(lambda: cli_site.run("status").code == 1, 30, "det1 to be wrong")

    result = cli_site.run("silence", "det*", "--for", "2h", "--reason", "pump exchange")
    assert (result.code, result.out) == (0, "daq1: Silenced for 2 h 00 m: det1, det2.\n")
    status = cli_site.run("status")
    assert status.code == 0, status.out
    assert status.out.startswith("2 hosts, 3 agents: 1 silenced but not OK, 2 OK (1 silenced)")
    assert "silenced for another" in status.out
    assert "pump exchange" in status.out

    shown = json.loads(cli_site.run("silence", "--json").out)["silences"]
    assert [(s["host"], s["instance_id"], s["reason"]) for s in shown] == [
        ("daq1", "det1", "pump exchange"),
        ("daq1", "det2", "pump exchange"),
    ]
    assert all("@" in s["requested_by"] for s in shown)

    result = cli_site.run("silence", "det1", "--end")
    assert (result.code, result.out) == (0, "daq1: No longer silenced: det1.\n")
    # It is up for a moment each time that it is started again.
    wait_for(lambda: cli_site.run("status").code == 1, 30, "det1 to be wrong again")
    assert cli_site.run("silence", "cam1").out == "No agent is silenced.\n"


def test_nothing_is_silenced_by_mistake(cli_site):
    cli_site.write(daq1=[instance("det1")])
    cli_site.start("daq1")
    result = cli_site.run("silence", "--for", "2h")
    assert result.code == 2
    assert "name at least one agent, or give --all" in result.err
    result = cli_site.run("silence", "det9", "--for", "2h")
    assert (result.code, "there is no agent 'det9'" in result.err) == (2, True)
    result = cli_site.run("silence", "det1", "--for", "1000d")
    assert (result.code, "from 1 s to 90 days" in result.out) == (1, True)
    result = cli_site.run("silence", "--all", "--for", "1h", "--dry-run")
    assert result.out == "would silence det1 on daq1\nDry run: nothing was changed.\n"
    assert cli_site.run("silence").out == "No agent is silenced.\n"
