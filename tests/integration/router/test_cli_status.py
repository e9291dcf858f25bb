"""`hostmanager status` on a site of several hosts: what somebody on call sees of it."""

import os
import re
import signal
import time

import psutil
import pytest

from hostmanager.client.managers.manager_client import NO_ROUTER_HINT
from tests.integration.router.cli_site import (
    make_cli_site,
    make_shared_cli_site,
    on_a_terminal,
    plain,
)
from tests.support.clients import client
from tests.support.sites import instance
from tests.support.waiting import wait_for

cli_site = pytest.fixture(make_cli_site)
shared_site = pytest.fixture(make_shared_cli_site, scope="module")


@pytest.fixture
def two_hosts(shared_site, capsys):
    """A site of two hosts, for tests that only look."""
    shared_site.capture = capsys
    if not shared_site.managers:
        start_two_hosts(shared_site)
    return shared_site


def start_two_hosts(cli_site):
    cli_site.write(
        daq1=[
            instance("fake1"),
            instance("fake2"),
            instance("crash", "--behave", "exit-at-once", "--code", 7),
            instance("spare", manage="host/down"),
            instance("mine", manage="ignore"),
        ],
        daq2=[instance("cam1"), instance("typo", agent_class="TinyAgnet")],
    )
    cli_site.start("daq1", "daq2")
    wait_for(
        lambda: (
            cli_site.states() | {"crash": "start_at", "fake1": "up", "cam1": "up"}
            == cli_site.states()
        ),
        20,
        "the agents",
        cli_site.states,
    )


def having(read_status, *arguments):
    """What `look` gives, as soon as it has these words: `crash` is not always in one state."""

    def fits():
        shown = read_status()
        return shown if all(w in getattr(shown, "out", shown) for w in arguments) else None

    return wait_for(fits, 30, str(arguments))


def test_what_is_wrong_comes_first_with_why_and_the_table_is_by_host(two_hosts):
    expected = (
        "| tiny crash: no answer from the device"  # between two runs, it has not said them yet
    )
    result = having(lambda: two_hosts.run("status"), expected, "daq1 crash restarting")
    assert result.code == 1
    assert result.err == ""
    head, _, rest = result.out.partition("\n\n")
    assert head == "2 hosts, 6 agents: 2 wrong, 4 OK"
    wrong, _, table = rest.partition("\n\n")
    assert re.search(
        r"! daq1 crash restarting( in [^(]+)? \(target up\): It exited with code 7", wrong
    )
    assert expected in wrong
    assert "! daq2 typo ? (target up): no installed OCS plugin provides" in wrong
    assert "'TinyAgent'" in wrong
    lines = table.splitlines()
    assert lines[0].split() == [
        *("agent", "class", "state", "target", "pid", "uptime", "restarts", "stable"),
        *("last", "exit", "notes"),
    ]
    names = [line.split()[0] for line in lines[1:]]
    assert names == ["daq1", "crash", "fake1", "fake2", "spare", "mine", "daq2", "typo", "cam1"]
    assert all(line == line.rstrip() for line in result.out.splitlines())
    assert "\x1b" not in result.out


def test_json_has_numbers_and_all_that_managers_say(two_hosts):
    result = having(lambda: two_hosts.run("status", "--json", "--host", "daq1"), '"start_at"')
    data = result.json
    assert (result.code, data["exit"], data["command"]) == (1, 1, "status")
    assert data["summary"] == {
        **{"hosts": 1, "hosts_silent": 0, "agents": 4},
        **{"ok": 3, "note": 0, "warning": 0, "unknown": 0, "wrong": 1, "silenced": 0},
    }
    (host,) = data["hosts"]
    assert (host["host"], host["manager"], host["answers"]) == ("daq1", "hm-daq1", True)
    agents = {agent["instance_id"]: agent for agent in host["agents"]}
    assert list(agents) == ["crash", "fake1", "fake2", "spare", "mine"]
    assert isinstance(agents["fake1"]["uptime"], float)
    assert isinstance(agents["fake1"]["pid"], int)
    assert agents["crash"]["last_exit"]["code"] == 7
    assert agents["crash"]["severity"] == "wrong"
    assert agents["mine"]["state"] == "-"
    assert agents["mine"]["manage"] == "ignore"
    assert not agents["mine"]["known_to_manager"]


def test_names_patterns_classes_and_hosts_narrow_it_down(two_hosts):
    assert set(two_hosts.status("fake*")) == {"fake1", "fake2"}
    assert set(two_hosts.status("cam1", "spare")) == {"cam1", "spare"}
    assert set(two_hosts.status("--class", "TinyAgnet")) == {"typo"}
    assert set(two_hosts.status("--host", "daq2")) == {"typo", "cam1"}
    wrong = having(lambda: two_hosts.run("status", "--wrong", "--json"), '"start_at"').json
    assert {a["instance_id"] for h in wrong["hosts"] for a in h["agents"]} == {"crash", "typo"}
    assert two_hosts.run("status", "--wrong", "--json").json["summary"]["agents"] == 6
    assert two_hosts.run("status", "--wrong", "fake*").out == "1 host, 2 agents: all OK\n"
    assert two_hosts.run("status", "fake*").code == 0


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["fake3"], "there is no agent 'fake3'. Did you mean 'fake2' or 'fake1'?"),
        (["xyz*"], "no agent matches 'xyz*'."),
        (["--host", "daq3"], "has no such host. Did you mean"),
        (["--class", "TinyAgents"], "Did you mean 'TinyAgent'"),
        (["hm-daq1"], "is the manager of host daq1"),
        (["daq1"], "daq1 is a host. Use --host daq1 for all of its agents."),
        (["TinyAgent"], "TinyAgent is a class of agents. Use --class TinyAgent"),
        (["cam1", "--host", "daq1"], "there is no agent 'cam1' on daq1"),
    ],
)
def test_what_fits_nothing_is_an_error_that_names_what_is_near(two_hosts, arguments, hint):
    result = two_hosts.run("status", *arguments)
    assert result.code == 2
    assert result.out == ""
    assert hint in result.err
    assert two_hosts.run("status", "--json", *arguments).json["error"] in result.err


def test_without_a_router_it_says_so(cli_site):
    cli_site.write(daq1=[instance("a")])
    result = cli_site.run("status", "--site-http", "http://127.0.0.1:9/call")
    assert result.code == 3
    assert result.err == (
        f"hostmanager status: no router answers at http://127.0.0.1:9/call. {NO_ROUTER_HINT}\n"
    )


def test_what_is_no_router_is_reported_not_to_be_one(cli_site):
    cli_site.write(daq1=[instance("a")])
    http = cli_site.site.router.http
    result = cli_site.run("status", "--site-http", http.replace("/call", "/nowhere"))
    assert result.code == 3
    assert "is not the HTTP bridge of a router" in result.err


def test_a_broken_site_file_is_named_with_its_line(cli_site):
    cli_site.site.write_text("hub: {\nhosts: [\n")
    result = cli_site.run("status")
    assert result.code == 2
    assert re.search(r"site\.yaml:\d+:\d+: ", result.err)


def test_a_host_without_its_manager_is_shown_as_silent_and_the_others_are_shown(cli_site):
    cli_site.write(daq1=[instance("a")], daq2=[instance("b"), instance("c")])
    cli_site.start("daq1")
    result = cli_site.run("status")
    assert result.code == 3
    assert result.out.startswith("2 hosts (1 silent), 3 agents: 2 unknown, 1 OK\n")
    assert "! daq2 hm-daq2 is not at the router" in result.out
    assert cli_site.states() == {"a": "up", "b": "?", "c": "?"}
    assert cli_site.run("status", "--host", "daq1").code == 0


def test_frozen_managers_cost_their_time_limit_once(cli_site):
    cli_site.write(**{f"daq{i}": [instance(f"a{i}", manage="down")] for i in (1, 2, 3)})
    cli_site.start("daq1", "daq2", "daq3")
    frozen = [cli_site.managers[host].pid for host in ("daq2", "daq3")]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        result = cli_site.run("status", "--answer-time", "12")
        spent = time.monotonic() - started
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    assert result.code == 3
    assert "daq2, daq3 no answer within 12 s" in result.out
    assert 12 <= spent < 24  # in sum it would be 24
    wait_for(lambda: cli_site.run("status").code == 0, 20, "all to answer again")


def test_ctrl_c_while_a_frozen_manager_is_waited_for_ends_at_once(cli_site):
    cli_site.write(daq1=[instance("a", manage="down")])
    cli_site.start("daq1")
    os.kill(cli_site.managers["daq1"].pid, signal.SIGSTOP)
    try:
        process = cli_site.popen("status", "--answer-time", "10m")
        connections = psutil.Process(process.pid).net_connections
        wait_for(connections, 20, "a question to the router")
        time.sleep(1)  # nothing shows from outside that it has begun to wait
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        os.kill(cli_site.managers["daq1"].pid, signal.SIGCONT)
    assert (process.returncode, out) == (130, "")
    assert err == "hostmanager status: Interrupted.\n"


def test_a_manager_that_was_stopped_by_a_client_is_shown_with_the_command_that_starts_it(cli_site):
    cli_site.write(testhost=[instance("a")])
    cli_site.start("testhost")
    hm = client(cli_site.site)
    hm.manager.stop()
    hm.manager.wait(timeout=60)
    result = cli_site.run("status")
    assert result.code == 1
    assert "was stopped, so its agents are not supervised" in result.out
    assert "hostmanager up --host testhost --all" in result.out
    assert cli_site.states() == {"a": "?"}


def test_where_site_config_and_manager_disagree_the_row_says_so(cli_site):
    cli_site.write(daq1=[instance("gone"), instance("other"), instance("told", manage="down")])
    cli_site.start("daq1")
    cli_site.run("up", "told")
    cli_site.write(
        daq1=[
            instance("other", agent_class="TinyAgent2"),
            instance("told", manage="down"),
            instance("new"),
        ]
    )
    status = cli_site.status()
    reasons = {name: " ".join(agent["reasons"]) for name, agent in status.items()}
    assert (
        "not in the site config; `hostmanager reload --host daq1` would stop it" in reasons["gone"]
    )
    assert "runs as TinyAgent (host), the site config says TinyAgent2 (host)" in reasons["other"]
    assert re.fullmatch(r"started by hand just now by \S+@\S+ \(config: down\)", reasons["told"])
    assert "new in the site config" in reasons["new"]
    assert [status[name]["severity"] for name in ("gone", "other", "new", "told")] == [
        *("warning", "warning", "warning", "note"),
    ]
    shown = cli_site.run("status").out
    assert "· daq1 gone up: not in the site config" in shown


def test_a_manager_whose_site_file_is_broken_is_wrong(cli_site):
    cli_site.write(daq1=[instance("a")])
    cli_site.start("daq1")
    good = cli_site.site.file.read_text()
    cli_site.site.write_text("hosts: [")
    other = cli_site.site.directory / "good.yaml"
    other.write_text(good)
    cli_site.managers["daq1"].process.send_signal(signal.SIGHUP)

    def told() -> bool:
        return (
            "its manager cannot use the site config"
            in cli_site.run("status", "--site-file", str(other)).out
        )

    wait_for(told, 20, "the manager to say what is wrong")
    assert cli_site.run("status", "--site-file", str(other)).code == 1


# --- watching, and on a terminal --------------------------------------------------------------


def test_watch_prints_a_line_for_each_change_and_ends_with_ctrl_c(cli_site):
    cli_site.write(daq1=[instance("a"), instance("b")])
    cli_site.start("daq1")
    process = cli_site.popen("status", "--watch", "--interval", "0.2")
    try:
        lines = iter(process.stdout.readline, "")
        assert next(line for line in lines if "daq1 a up pid" in line)
        cli_site.run("down", "b")
        assert next(line for line in lines if "daq1 b down" in line)
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert err == ""
    assert process.returncode == 0


def test_on_a_terminal_of_80_columns_every_agent_has_one_line_and_there_are_colours(two_hosts):
    shown = having(lambda: on_a_terminal(two_hosts, "status"), "restarting")
    assert "\x1b[" in shown
    lines = plain(shown)
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1] == "exit 1"
    rows = [line.split() for line in lines if line.startswith(("fake1", "crash", "cam1"))]
    assert {row[0]: row[1:3] for row in rows} == {
        "fake1": ["up", "up"],
        "crash": ["restarting", "up"],
        "cam1": ["up", "up"],
    }


def test_on_a_small_terminal_what_is_wrong_is_reported_again_below_the_table(cli_site):
    cli_site.write(
        daq1=[
            *(instance(f"agent{i:02}", manage="down") for i in range(30)),
            instance("typo", agent_class="TinyAgnet"),
        ]
    )
    cli_site.start("daq1")
    lines = plain(on_a_terminal(cli_site, "status"))
    assert lines[0].startswith("1 host, 31 agents: 1 wrong, 30 OK")
    assert lines[-2] == lines[0]
    assert lines[-3].startswith("! daq1 typo ? (target up): no installed OCS plugin")


@pytest.mark.parametrize("typed", ["^C", "q"])
def test_watch_on_a_terminal_is_live_and_gives_the_terminal_back(cli_site, typed):
    cli_site.write(daq1=[instance("a")])
    cli_site.start("daq1")
    shown = on_a_terminal(cli_site, "status", "--watch", typed={"hm-daq1": typed})
    assert "\x1b[?1049h" in shown
    assert "\x1b[?1049l" in shown
    assert "Traceback" not in shown
    assert shown.endswith("exit 0")
