"""`hostmanager top` on a real terminal of 80 by 24, with a router, managers and agents."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration.router.cli_site import make_cli_site
from tests.support.sites import instance
from tests.support.terminal import NEEDS_TMUX, Terminal
from tests.support.waiting import wait_for

pytestmark = NEEDS_TMUX

cli_site = pytest.fixture(make_cli_site)


@pytest.fixture
def top(cli_site, tmp_path):
    opened = []

    def go(*arguments):
        opened.append(Terminal(tmp_path, cli_site.site.file, *arguments))
        return opened[-1]

    yield go
    for terminal in opened:
        terminal.close()


def two_hosts(cli_site):
    cli_site.write(
        daq1=[instance("fake1"), instance("crash", "--behave", "exit-at-once", "--code", 7)],
        daq2=[instance("cam1")],
    )
    cli_site.start("daq1", "daq2")
    states = {"fake1": "up", "cam1": "up", "crash": "start_at"}
    wait_for(
        lambda: cli_site.states() | states == cli_site.states(), 30, "the agents", cli_site.states
    )


def test_someone_on_call_finds_what_is_wrong_and_puts_things_right(cli_site, top):
    two_hosts(cli_site)
    terminal = top()
    terminal.until("2 hosts, 3 agents: 1 wrong, 2 OK")

    def first():  # what is wrong comes first, and is selected
        return terminal.screen.splitlines()[3]

    wait_for(lambda: "crash" in first(), 20, "the first line", first)
    lines = terminal.screen.splitlines()
    assert len(lines) == 24
    assert all(len(line) <= 80 for line in lines)
    terminal.until("crash (daq1): It exited with code 7")

    terminal.press("Enter")
    terminal.until("tiny crash: no answer from the device")
    terminal.press("d")
    terminal.until("Stop crash (daq1)?")
    terminal.press("y")
    terminal.until("down crash (daq1): done, down")
    assert cli_site.states()["crash"] == "down"
    terminal.press("h")
    terminal.until("history of crash (daq1), the newest last")
    terminal.until("state ")
    terminal.press("q", "q")

    terminal.narrow("cam")
    before = cli_site.status()["cam1"]["pid"]
    terminal.press("r")
    terminal.until("Restart cam1 (daq2)? It is up.")
    terminal.press("y")
    terminal.until("restart cam1 (daq2): done, up")
    assert cli_site.status()["cam1"]["pid"] != before

    terminal.press("q")
    terminal.until("exit 0 echo")  # the terminal is as it was


def test_a_host_whose_manager_freezes_is_shown_and_the_others_go_on(cli_site, top):
    two_hosts(cli_site)
    terminal = top("--answer-time", "1")
    terminal.until("2 hosts, 3 agents")
    frozen = cli_site.managers["daq2"].pid
    os.kill(frozen, signal.SIGSTOP)
    try:
        screen = terminal.until("hm-daq2: no answer for")
        assert "? daq2 cam1 ? was up" in screen
        terminal.narrow("fake")
        terminal.press("d", "y")
        terminal.until("down fake1 (daq1): done, down")
    finally:
        os.kill(frozen, signal.SIGCONT)
    terminal.press("Escape")
    terminal.until("daq2 cam1 up")
    terminal.resize(50, 12)
    terminal.until("daq1 crash")
    terminal.press("C-c")
    terminal.until("exit 130")


def test_a_signal_leaves_the_terminal_as_it_was(cli_site, top):
    cli_site.write(daq1=[instance("fake1")])
    terminal = top()  # no manager was started
    terminal.until("hm-daq1 is not at the router")
    os.kill(terminal.top(), signal.SIGTERM)
    terminal.until("exit 0 echo")  # the terminal is as it was


def test_a_terminal_that_is_closed_ends_it(cli_site, top):
    cli_site.write(daq1=[instance("fake1")])
    terminal = top()
    terminal.until("hm-daq1 is not at the router")
    pid = terminal.top()
    terminal.close()
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 20, "its end")
