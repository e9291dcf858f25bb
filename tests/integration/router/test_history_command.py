"""`hostmanager history`: crash loops in a line, who and why, and times by the manager's clock."""

import re
import time

import pytest

from tests.integration.router.cli_site import make_cli_site
from tests.support.sites import instance
from tests.support.waiting import wait_for

cli_site = pytest.fixture(make_cli_site)


@pytest.fixture
def clock_off_by(monkeypatch):
    """Set the clock of the client, not of the managers, off by so many seconds."""
    real = time.time

    def set_off(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return set_off


def test_a_crash_loop_is_one_line_and_no_fold_shows_each_launch(cli_site):
    cli_site.write(daq1=[instance("a", "--behave", "exit-at-once", "--code", 3), instance("b")])
    cli_site.start("daq1", options=("--restart-delay-max", "0.2"))

    def launches() -> int:
        return cli_site.run("history", "a", "--no-fold", "--kind", "launch").out.count(
            "launched (pid"
        )

    wait_for(lambda: launches() >= 5, 30, "five launches", launches)
    cli_site.run("down", "a", "--reason", "no device")
    lines = cli_site.run("history", "a").out.splitlines()
    (folded,) = [line for line in lines if " times in " in line]
    assert re.search(
        r"launched \d+ times in .+, exited with code 3 each time, last .+ ago", folded
    ), folded
    (request,) = [line for line in lines if " request " in line]
    assert re.search(r"update: a down \(\S+@\S+, level 1\): no device$", request)
    assert lines.index(folded) < lines.index(request)
    whole = cli_site.run("history", "a", "--json").json["entries"]
    assert sum(entry["kind"] == "launch" for entry in whole) >= 5


def test_few_lines_of_a_long_loop_do_not_hide_what_was_before(cli_site):
    cli_site.write(daq1=[instance("a", "--behave", "exit-at-once"), instance("b")])
    cli_site.start("daq1", options=("--restart-delay-max", "0.2"))
    cli_site.run("down", "b")
    wait_for(
        lambda: len(cli_site.run("history", "a", "--json", "-n", "100").json["entries"]) > 40,
        60,
        "more entries than lines",
    )
    assert "update: b down" in cli_site.run("history", "-n", "20").out


@pytest.mark.parametrize("seconds", [600, -600])
def test_since_counts_by_the_clock_of_the_manager(cli_site, clock_off_by, seconds):
    cli_site.write(daq1=[instance("a")])
    cli_site.start("daq1")
    wait_for(lambda: cli_site.states() == {"a": "up"}, 20, "a to be up", cli_site.states)
    clock_off_by(seconds)
    assert "launched (pid" in cli_site.run("history", "a", "--since", "5m").out
    wait_for(
        lambda: "no events" in cli_site.run("history", "--since", "0.5s").out,
        20,
        "half a second without an event",
    )


@pytest.mark.parametrize("seconds", [86400, -86400])
def test_ages_in_status_are_those_of_the_managers_clock(cli_site, clock_off_by, seconds):
    cli_site.write(daq1=[instance("a")])
    cli_site.start("daq1")
    wait_for(lambda: cli_site.states() == {"a": "up"}, 20, "a to be up", cli_site.states)
    cli_site.wait_minding("a")
    cli_site.run("down", "a", "--reason", "test")
    clock_off_by(seconds)
    assert "stopped by hand just now by" in cli_site.run("status").out
