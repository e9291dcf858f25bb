"""`hostmanager logs`, `history`, `diff`, `reload`, `die` on a real site."""

import json
import re
import signal
import sqlite3
from contextlib import closing

import pytest

from tests.integration.router.cli_site import make_cli_site, on_a_terminal
from tests.support.processes import processes_of
from tests.support.sites import instance
from tests.support.waiting import wait_for

cli_site = pytest.fixture(make_cli_site)


def two_hosts(cli_site):
    cli_site.write(daq1=[instance("fake1"), instance("fake2")], daq2=[instance("cam1")])
    cli_site.start("daq1", "daq2")
    wait_states(cli_site, fake1="up", fake2="up", cam1="up")
    wait_for(
        lambda: all(
            f"tiny {n} up" in cli_site.run("logs", n).out for n in ("fake1", "fake2", "cam1")
        ),
        20,
        "their first lines",
    )


def wait_states(cli_site, **expected):
    wait_for(
        lambda: expected.items() <= cli_site.states().items(), 20, str(expected), cli_site.states
    )


# --- logs --------------------------------------------------------------------------------------


def test_lines_of_all_hosts_are_merged_by_time_each_with_whose_it_is(cli_site):
    two_hosts(cli_site)
    result = cli_site.run("logs", "fake*", "cam1")
    assert (result.code, result.err) == (0, "")
    for name in ("fake1", "fake2", "cam1"):
        assert re.search(rf"(?m)^\d\d:\d\d:\d\d\.\d{{3}} {name} +\| tiny {name} up pid", result.out)
    lines = [json.loads(line) for line in cli_site.run("logs", "*", "--json").out.splitlines()]
    assert {line["host"] for line in lines} == {"daq1", "daq2"}
    times = [line["time"] for line in lines]
    assert times == sorted(times)
    assert len(cli_site.run("logs", "fake1", "-n", "1").out.splitlines()) == 1
    assert cli_site.run("logs", "--host", "daq2", "--since", "1d").out.count("cam1 | ") > 1


def test_what_nobody_has_lines_of_is_reported(cli_site):
    cli_site.write(daq1=[instance("spare", manage="down"), instance("mine", manage="ignore")])
    cli_site.start("daq1")
    result = cli_site.run("logs", "spare")
    assert (result.code, result.out) == (0, "")
    assert result.err == "hostmanager logs: no output yet from spare\n"
    assert cli_site.run("logs", "mine").code == 2
    assert "Did you mean 'spare'?" in cli_site.run("logs", "spar").err
    assert cli_site.run("logs").code == 2


def test_records_are_selected_by_pattern_level_run_and_time(cli_site):
    cli_site.write(daq1=[instance("talk", "--behave", "crash-after", 1, "--code", 4)])
    cli_site.start("daq1")

    def pids(*options):
        return re.findall(r"tiny talk up pid (\d+)", cli_site.run("logs", "talk", *options).out)

    wait_for(lambda: len(pids()) >= 3, 60, "three runs")
    first, second, *_ = pids()
    runs = [
        pids_of_run
        for back in range(12)
        for pids_of_run in [pids("--run", str(back))]
        if second in pids_of_run
    ]
    assert runs == [[second]]
    assert pids("--grep", f"pid {first}$") == [first]
    assert pids("--grep", f"PID {first}") == []
    assert pids("--grep", f"PID {first}", "-i") == [first]
    assert pids("--level", "error") == []
    assert set(pids("--level", "info")) >= {first, second}
    lines = [json.loads(line) for line in cli_site.run("logs", "talk", "--json").out.splitlines()]
    (began,) = [line["time"] for line in lines if line["text"].endswith(f"pid {second}")]
    assert pids("--until", str(began)) == [first]
    assert pids("--since", str(began), "--until", str(began + 0.01)) == [second]
    result = cli_site.run("logs", "talk", "--run", "900")
    assert result.code == 1
    assert re.search(r"daq1 talk: its history has \d+ runs, so no --run 900", result.err)
    assert "no matching output of talk" in cli_site.run("logs", "talk", "--grep", "nothing").err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--grep", "a("], "'a(' is not a regular expression: missing ), unterminated subpattern"),
        (["--level", "loud"], "'loud' is not a level; they are debug, info, warning, error"),
        (["-f", "--until", "1d"], "--follow shows what comes; it excludes --until and --run."),
        (["--run", "x"], "'x' is not a whole number"),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused(cli_site, options, message):
    cli_site.write(daq1=[instance("talk")])
    result = cli_site.run("logs", "talk", *options)
    assert result.code == 2
    assert message in result.err


def test_following_from_now_on_shows_only_what_is_new(cli_site):
    cli_site.write(daq1=[instance("talk", "--behave", "crash-after", 1, "--code", 4)])
    cli_site.start("daq1")
    wait_for(lambda: "tiny talk up" in cli_site.run("logs", "talk").out, 20, "its first line")
    known = set(re.findall(r"pid (\d+)", cli_site.run("logs", "talk").out))
    process = cli_site.popen("logs", "talk", "-n", "0", "-f")
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not known & set(re.findall(r"pid (\d+)", line))


def test_following_shows_each_line_once_and_ends_with_ctrl_c(cli_site):
    cli_site.write(daq1=[instance("talk", "--behave", "crash-after", 1, "--code", 4)])
    cli_site.start("daq1")
    process = cli_site.popen("logs", "talk", "-f")
    pids = []
    for line in iter(process.stdout.readline, ""):
        pids += re.findall(r"tiny talk up pid (\d+)", line)
        if len(pids) == 4:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in err
    assert len(set(pids)) == 4


# --- history -----------------------------------------------------------------------------------


def test_history_tells_of_all_hosts_who_did_what_and_what_died(cli_site):
    two_hosts(cli_site)
    cli_site.run("down", "fake1")
    result = cli_site.run("history")
    assert result.code == 0
    assert re.search(r"daq1 fake1 +request +update: fake1 down \(\S+@\S+, level 1\)", result.out)
    assert re.search(r"daq1 fake1 +exit +exited with code 0", result.out)
    assert re.search(r"daq2 cam1 +launch", result.out)
    entries = cli_site.run("history", "fake1", "--kind", "exit", "--json").json["entries"]
    assert [(e["host"], e["data"]["code"]) for e in entries] == [("daq1", 0)]
    every = cli_site.run("history", "--json", "-n", "1000").json["entries"]
    assert [e["time"] for e in every] == sorted(e["time"] for e in every)
    assert {e["host"] for e in every} == {"daq1", "daq2"}
    assert {e["instance_id"] for e in cli_site.run("history", "f*", "--json").json["entries"]} == {
        *("fake1", "fake2"),
    }
    assert len(cli_site.run("history", "-n", "2").out.splitlines()) == 2
    assert "there is no agent 'fake7'" in cli_site.run("history", "fake7").err


def test_history_of_an_agent_that_is_no_more_is_there(cli_site):
    two_hosts(cli_site)
    cli_site.write(daq1=[instance("fake1")], daq2=[instance("cam1")])
    assert cli_site.run("reload", "--yes").code == 0
    wait_for(lambda: "fake2" not in cli_site.states(), 20, "it to be forgotten")
    result = cli_site.run("history", "fake2")
    assert result.code == 0
    assert "exited with code 0" in result.out


def test_history_of_any_size_comes_whole(cli_site):
    cli_site.write(daq1=[instance("fake1", manage="down")])
    cli_site.start("daq1")
    total, data = 3000, json.dumps({"lines": ["x" * 3900]})
    journal = cli_site.site.directory / "state-daq1" / "journal.sqlite"
    wait_for(lambda: cli_site.run("history").out, 20, "the journal to be there")
    with closing(sqlite3.connect(journal, timeout=60)) as base, base:
        base.executemany(
            "INSERT INTO entries (time, kind, instance_id, text, data) VALUES (?, ?, ?, ?, ?)",
            [(float(n), "output", "fake1", str(n), data) for n in range(total)],
        )
    result = cli_site.run("history", "fake1", "--kind", "output", "-n", "5000", "--json")
    assert (result.code, result.err) == (0, "")
    assert [entry["text"] for entry in result.json["entries"]] == [str(n) for n in range(total)]
    assert {len(entry["data"]["lines"][0]) for entry in result.json["entries"]} == {3900}


# --- diff and reload ---------------------------------------------------------------------------


def test_diff_says_what_a_reload_does(cli_site):
    cli_site.write(
        daq1=[instance("same"), instance("gone"), instance("other"), instance("args", "--rate", 1)],
        daq2=[instance("cam1")],
    )
    cli_site.start("daq1", "daq2")
    wait_states(cli_site, same="up", gone="up", other="up", args="up", cam1="up")
    result = cli_site.run("diff")
    assert (result.code, result.out) == (0, "daq1: no change\ndaq2: no change\n")
    cli_site.write(
        daq1=[
            *(instance("same"), instance("other", agent_class="TinyAgent9")),
            *(instance("args", "--rate", 2), instance("new"), instance("later", manage="down")),
        ],
        daq2=[instance("cam1")],
    )
    result = cli_site.run("diff")
    assert result.code == 1
    would = [
        "daq1:",
        "  + new new: TinyAgent (host/up): would be started",
        "  + later new: TinyAgent (host/down): would be added, and left down",
        "  - gone gone: TinyAgent (host): would be stopped and removed",
        "  ~ other TinyAgent (host) → TinyAgent9 (host): would be stopped, "
        "and started as TinyAgent9",
        "  * args arguments: --rate 1 → --rate 2: would keep running as it is; needs a restart",
        "daq2: no change",
    ]
    assert result.out.splitlines() == would
    whats = {
        c["instance_id"]: c["what"]
        for c in cli_site.run("diff", "--json").json["hosts"][0]["changes"]
    }
    assert whats == {
        **{"new": "add", "later": "add", "gone": "stop", "other": "replace", "args": "change"}
    }
    before = processes_of(cli_site.site)
    result = cli_site.run("reload", "--dry-run")
    assert (result.code, result.out.splitlines()) == (0, [*would, "Dry run: nothing was changed."])
    result = cli_site.run("reload", "--host", "daq1")
    assert (result.code, result.out.splitlines()) == (2, would[:-1])
    assert result.err.splitlines() == [
        "hostmanager reload: This would stop 2 agents on daq1. There is no terminal to ask on: add "
        "--yes to confirm it. Nothing was changed.",
    ]
    shown = on_a_terminal(cli_site, "reload", "--host", "daq1", columns=200, typed={"[y/N]": "n\r"})
    assert "Stop 2 agents on daq1? [y/N]" in shown
    assert shown.endswith("Nothing was changed.\r\nexit 1")
    assert (cli_site.site.signals("gone"), cli_site.site.signals("other")) == ([], [])
    result = cli_site.run("reload", "--host", "daq1", "--yes")
    assert result.code == 0
    assert result.out.splitlines()[-1].startswith(
        "daq1: Site config read: 2 new, 1 changed class, "
    )
    wait_states(cli_site, new="up", later="down", same="up", args="up")
    wait_for(lambda: "gone" not in cli_site.states(), 20, "it to be forgotten")
    assert cli_site.run("diff").code == 0
    after = processes_of(cli_site.site)
    assert (after["same"], after["args"]) == (before["same"], before["args"])
    assert "restart" in " ".join(cli_site.status("args")["args"]["reasons"])


def test_a_reload_of_a_broken_file_is_not_done_and_says_where(cli_site):
    cli_site.write(daq1=[instance("a")])
    cli_site.start("daq1")
    good = cli_site.site.directory / "good.yaml"
    good.write_text(cli_site.site.file.read_text())
    cli_site.site.write_text("hosts: [")
    result = cli_site.run("reload", "--site-file", str(good))
    assert result.code == 1
    assert re.search(r"! daq1: .*all is left as it is.*site\.yaml:\d+:\d+", result.out)


# --- die ---------------------------------------------------------------------------------------


def test_die_ends_managers_and_agents_and_with_disown_the_manager_alone(cli_site):
    two_hosts(cli_site)
    assert cli_site.run("die").code == 2
    before = processes_of(cli_site.site)
    result = cli_site.run("die", "--host", "daq1", "--disown", "--yes")
    assert (result.code, result.out) == (
        0,
        "end the manager of daq1\n  leave running: fake1, fake2\n"
        "daq1: 2 agents are left running, for the next manager.\n",
    )
    wait_for(lambda: not cli_site.managers["daq1"].running(), 20, "the manager to be gone")
    assert processes_of(cli_site.site)["fake1"] == before["fake1"]
    cli_site.start("daq1")
    wait_states(cli_site, fake1="up", fake2="up")
    assert processes_of(cli_site.site)["fake1"] == before["fake1"]
    result = cli_site.run("die", "--all", "--yes")
    assert (result.code, result.err) == (0, "")
    assert result.out.count("All agents are down.") == 2
    assert {name for name in processes_of(cli_site.site) if not name.startswith("hm-")} == set()
    assert cli_site.run("die", "--all", "--yes").code == 3


def test_somebody_at_a_terminal_is_asked_before_managers_die(cli_site):
    cli_site.write(daq1=[instance("a")])
    cli_site.start("daq1")
    shown = on_a_terminal(cli_site, "die", "--host", "daq1", typed={"[y/N]": "n\r"})
    assert "End the manager of daq1 and stop its agent? [y/N]" in shown
    assert shown.endswith("Nothing was changed.\r\nexit 1")
    assert cli_site.run("status").code == 0


def test_without_services_there_are_no_orphans_and_nothing_is_pulled(cli_site):
    cli_site.write(daq1=[instance("a")])
    cli_site.start("daq1")
    result = cli_site.run("orphans")
    assert (result.code, result.out) == (0, "daq1: no orphans\n")
    assert cli_site.run("orphans", "--remove", "--json").json["orphans"] == {"daq1": []}
    result = cli_site.run("pull")
    assert result.code == 0
    assert result.out == "daq1: no compose files, so there is nothing to pull\n"
