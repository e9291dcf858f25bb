"""`hostmanager top` with managers to ask: dead ones, silent ones, refusals, passwords."""

import asyncio
import io
import os
import subprocess
import sys
import time

import pytest
from rich.console import Console
from tests.support.http_bridge import child, session
from tests.support.waiting import BUSY_MACHINE
from tests.unit.cli.top.site import on_screen

from hostmanager.cli.options import add_common, add_selection
from hostmanager.cli.top.app import TopApp
from hostmanager.cli.top.data_source import LiveDataSource
from hostmanager.client.site_model import read_site
from hostmanager.client.status.selection import hosts_to_query
from hostmanager.client.watch.poller import SessionPoller
from hostmanager.util.help_parser import HelpParser


@pytest.fixture
def ask(site_file):
    """Make the source of this command line."""
    made = []

    def go(*arguments):
        parser = HelpParser()
        add_selection(parser)
        add_common(parser, json=False)
        args = parser.parse_args(["--site-file", str(site_file), "--answer-time", "20", *arguments])
        args.interval, args.timeout, args.no_wait, args.wrong = 0.1, 20.0, False, False
        site = read_site(args)
        made.append(LiveDataSource(site, hosts_to_query(site, args), args))
        return made[-1]

    yield go
    for source in made:
        source.finish()


STAMP = "2026-01-31T12:00:00+0000 "


async def until(app, pilot, expected, limit=20.0 * BUSY_MACHINE):
    """Wait until this can be read, however it is wrapped."""
    end = time.monotonic() + limit
    while expected not in (text := " ".join("\n".join(on_screen(app)).split())):
        assert time.monotonic() < end, f"{expected!r} is not on the screen:\n{text}"
        await pilot.pause(0.05)
    return text


def two_hosts(bridge, site_file):
    bridge.write(site_file, daq1=["a", "b"], daq2=["c"])
    bridge.sessions["hm-daq1"] = {"manager": session(child("a"), child("b"))}
    bridge.sessions["hm-daq2"] = {"manager": session(child("c"))}


async def test_a_silent_host_holds_up_nobody_and_is_shown_with_how_its_agents_were(
    bridge, site_file, ask
):
    two_hosts(bridge, site_file)
    app = TopApp(ask("--answer-time", "1"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, pilot, "2 hosts, 3 agents: all OK")
        bridge.silent.add("hm-daq2")
        text = await until(app, pilot, "daq2 == hm-daq2: no answer for")
        assert "(last answer " in text
        assert "? daq2 c ? was up " in text
        bridge.sessions["hm-daq1"]["manager"] = session(child("a"), child("new"))
        await until(app, pilot, "daq1 new")
        bridge.silent.clear()
        bridge.released.set()
        await until(app, pilot, "daq2 c up")


async def test_a_manager_that_is_gone_and_one_that_talks_nonsense_cost_only_their_hosts(
    bridge, site_file, ask
):
    two_hosts(bridge, site_file)
    del bridge.sessions["hm-daq2"]
    bridge.sessions["hm-daq1"]["manager"]["data"]["child_states"] = [{"oops": 1}]
    app = TopApp(ask())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, pilot, "hm-daq2 is not at the router")
        text = await until(app, pilot, "its manager sent invalid data")
        assert "hm-daq2 is not at the router" in text


async def test_a_refusal_is_shown_in_the_words_of_the_manager(bridge, site_file, ask):
    two_hosts(bridge, site_file)
    bridge.tasks["update"] = lambda *_: (False, "c is locked by the observer.", {})
    app = TopApp(ask("c"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, pilot, "daq2 c up")
        await pilot.press("down", "d", "y")
        await until(app, pilot, "down c (daq2): NOT done: c is locked by the observer")
        assert [a[3] for a in bridge.asked if a[1] == "start"] == [{"requests": [["c", "down"]]}]


async def test_down_is_followed_until_it_is_so(bridge, site_file, ask):
    two_hosts(bridge, site_file)

    def update(manager, params):
        for name, target in params["requests"]:
            now = child(name, target_state=target, next_action=target)
            bridge.sessions[manager]["manager"] = session(now)
        return True, "Told.", {}

    bridge.tasks["update"] = update
    app = TopApp(ask("--host", "daq2", "--privs", "secret"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, pilot, "daq2 c up")
        await pilot.press("down", "d", "y")
        await until(app, pilot, "down c (daq2): done, down")
        await until(app, pilot, "daq2 c down")  # the row is of another look
        await pilot.press("d", "y")
        await until(app, pilot, "down c (daq2): already down")
    assert {a[4] for a in bridge.asked} == {"secret"}


async def left_amid(source, before, keys, shown):
    """Press keys, and quit as soon as this is shown; what is said then."""
    app = TopApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, pilot, before)
        await pilot.press(*keys)
        await until(app, pilot, shown)
        await pilot.press("q")
    (line,) = source.finish()
    return line


@pytest.mark.parametrize("first", ["the_one_who_watches", "the_one_who_wakes"])
async def test_what_waits_for_a_manager_to_begin_again_is_not_shown_as_under_way_after_quitting(
    bridge, site_file, ask, monkeypatch, first
):
    if first == "the_one_who_wakes":  # to see that it was given up
        # A look takes so long.
        monkeypatch.setattr(SessionPoller, "wait_for_update", lambda *_: time.sleep(0.5))
    two_hosts(bridge, site_file)
    ends = session(child("c", target_state="down", next_action="wait_dead"))
    bridge.sessions["hm-daq2"]["manager"] = {**ends, "status": "stopping"}
    shown = "up c (daq2): sending the request"
    line = await left_amid(ask("--host", "daq2"), "daq2 c stopping", ("down", "u"), shown)
    assert "NOT done" in line
    assert (
        "its manager is still stopping its agents; its manager may not have got the request" in line
    )
    assert not [asked for asked in bridge.asked if asked[1] == "start"]


@pytest.mark.parametrize(
    "case",
    [
        ("restart", [["c", "down"], ["c", "up"]], "It will be started when it has ended"),
        ("down", [["c", "down"]], "requested; now stopping (Asked to stop"),
    ],
)
async def test_what_is_under_way_goes_on_after_quitting_and_has_not_failed(
    bridge, site_file, ask, case
):
    command, requests, message = case
    two_hosts(bridge, site_file)
    messages = []

    def update(manager, params):
        messages.extend(params["requests"])
        target = params["requests"][-1][1]
        now = child("c", target_state=target, next_action="wait_dead", message="Asked to stop.")
        bridge.sessions[manager]["manager"] = session(now)
        return True, "Told.", {}

    bridge.tasks["update"] = update
    shown = f"{command} c (daq2): requested; now stopping"
    line = await left_amid(ask("--host", "daq2"), "daq2 c up", ("down", command[0], "y"), shown)
    assert messages == requests
    assert message in line
    assert "NOT done" not in line


async def test_a_restart_whose_manager_falls_silent_is_shown_as_left_down_when_quitting(
    bridge, site_file, ask
):
    two_hosts(bridge, site_file)

    def update(manager, params):
        now = child("c", target_state="down", next_action="wait_dead", message="Asked to stop.")
        bridge.sessions[manager]["manager"] = session(now)
        return True, "Told.", {}

    bridge.tasks["update"] = update
    source = ask("--host", "daq2", "--answer-time", "1")
    app = TopApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, pilot, "daq2 c up")
        await pilot.press("down", "r", "y")
        await until(app, pilot, "restart c (daq2): requested; now stopping")
        bridge.silent.add("hm-daq2")
        await pilot.press("q")
    (line,) = source.finish()
    bridge.released.set()
    assert "NOT done" in line
    assert "Its manager did NOT get the request to start it again" in line
    assert " within " not in line


async def test_output_and_history_are_asked_of_the_manager_of_that_agent(bridge, site_file, ask):
    two_hosts(bridge, site_file)
    count = iter(range(1000, 9999))
    bridge.tasks["output"] = lambda _, p: (
        True,
        "",
        {
            "instance_id": p["instance_id"],
            "lines": [[float(next(count)), f"{STAMP}the motor is warm"]],
        },
    )
    entry = {"time": 1e9, "kind": "exit", "instance_id": "c", "text": "exited with code 1"}
    bridge.tasks["history"] = lambda *_: (True, "", {"entries": [{**entry, "data": {}}]})
    app = TopApp(ask())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, pilot, "daq2 c up")
        await pilot.press("end", "enter")
        shown = await until(app, pilot, "the motor is warm")
        assert STAMP.strip() not in shown
        await pilot.press("h")
        await until(app, pilot, "exit exited with code 1")
    asked = {a[:3] for a in bridge.asked if a[1] == "start"}
    assert asked == {("hm-daq2", "start", "output"), ("hm-daq2", "start", "history")}


async def test_an_old_manager_without_output_and_history_is_named(bridge, site_file, ask):
    two_hosts(bridge, site_file)
    app = TopApp(ask())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, pilot, "daq2 c up")
        await pilot.press("end", "enter")
        await until(app, pilot, "hm-daq2 has no operation 'output'")
        await pilot.press("h")
        await until(app, pilot, "hm-daq2 has no operation 'history'")


async def test_names_that_fit_nothing_are_reported_and_it_goes_on_looking(bridge, site_file, ask):
    two_hosts(bridge, site_file)
    app = TopApp(ask("z*"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, pilot, "no agent matches 'z*'")
        bridge.sessions["hm-daq1"]["manager"] = session(child("zebra"))
        await until(app, pilot, "daq1 zebra up")


async def test_a_failure_of_the_view_itself_shows_no_password(bridge, site_file, ask):
    two_hosts(bridge, site_file)
    source = ask("--privs", "very-secret")
    app = TopApp(source)
    stderr = io.StringIO()  # Textual puts streams of its own in the place of stderr for a while
    app.error_console = Console(file=stderr)
    with pytest.raises(RuntimeError, match="broken here"):
        async with app.run_test(size=(80, 24)) as pilot:
            source.fetch = broken
            end = time.monotonic() + 20 * BUSY_MACHINE
            while app.return_code is None and time.monotonic() < end:
                await pilot.pause(0.05)
    assert app.return_code == 1
    end = time.monotonic() + 20 * BUSY_MACHINE
    while "RuntimeError: broken here" not in stderr.getvalue():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
    printed = stderr.getvalue()
    assert "please report this" in printed
    assert "RuntimeError: broken here" in printed
    assert "very-secret" not in printed


def broken():
    password = "very-secret"
    raise RuntimeError(f"broken here, {len(password)}")


def test_without_a_terminal_it_names_the_command_that_needs_none(bridge, site_file, run):
    two_hosts(bridge, site_file)
    result = run("top")
    assert result.code == 2
    assert "hostmanager status --watch" in result.err


def test_a_broken_site_config_or_unknown_host_is_reported_before_the_screen_is_taken(
    bridge, site_file, run
):
    two_hosts(bridge, site_file)
    result = run("top", "--host", "daq7")
    assert (result.code, "no such host" in result.err) == (2, True)


def test_only_top_imports_textual():
    code = (
        "import sys; from hostmanager.cli import main\n"
        "for name in main.COMMANDS: main.command_module(name)\n"
        "import hostmanager.agent\n"
        "sys.exit('textual' in sys.modules)"
    )
    environment = {**os.environ, "PYBJDATA_NO_EXTENSION": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert result.returncode == 0
