"""`hostmanager logs`, `history`, `diff`, `reload`, `die` on a real site."""

import json
import re
import signal
import sqlite3
from contextlib import closing

import pytest

from tests.integration.router.cli_site import on_a_terminal, places
from tests.support.processes import processes_of
from tests.support.sites import instance
from tests.support.waiting import wait_for

place = pytest.fixture(places)


def two_hosts(place):
    place.write(daq1=[instance("fake1"), instance("fake2")], daq2=[instance("cam1")])
    place.start("daq1", "daq2")
    wait_states(place, fake1="up", fake2="up", cam1="up")
    wait_for(
        lambda: all(f"tiny {n} up" in place.run("logs", n).out for n in ("fake1", "fake2", "cam1")),
        20,
        "their first lines",
    )


def wait_states(place, **expected):
    wait_for(lambda: expected.items() <= place.states().items(), 20, str(expected), place.states)


# --- logs --------------------------------------------------------------------------------------


def test_lines_of_all_hosts_are_merged_by_time_each_with_whose_it_is(place):
    two_hosts(place)
    result = place.run("logs", "fake*", "cam1")
    assert (result.code, result.err) == (0, "")
    for name in ("fake1", "fake2", "cam1"):
        assert re.search(rf"(?m)^\d\d:\d\d:\d\d\.\d{{3}} {name} +\| tiny {name} up pid", result.out)
    lines = [json.loads(line) for line in place.run("logs", "*", "--json").out.splitlines()]
    assert {line["host"] for line in lines} == {"daq1", "daq2"}
    times = [line["time"] for line in lines]
    assert times == sorted(times)
    assert len(place.run("logs", "fake1", "-n", "1").out.splitlines()) == 1
    assert place.run("logs", "--host", "daq2", "--since", "1d").out.count("cam1 | ") > 1


def test_what_nobody_has_lines_of_is_said(place):
    place.write(daq1=[instance("spare", manage="down"), instance("mine", manage="ignore")])
    place.start("daq1")
    result = place.run("logs", "spare")
    assert (result.code, result.out) == (0, "")
    assert result.err == "hostmanager logs: no output yet from spare\n"
    assert place.run("logs", "mine").code == 2
    assert "Did you mean 'spare'?" in place.run("logs", "spar").err
    assert place.run("logs").code == 2


def test_records_are_selected_by_pattern_level_run_and_time(place):
    place.write(daq1=[instance("talk", "--behave", "crash-after", 1, "--code", 4)])
    place.start("daq1")

    def pids(*options):
        return re.findall(r"tiny talk up pid (\d+)", place.run("logs", "talk", *options).out)

    wait_for(lambda: len(pids()) >= 3, 60, "three runs")
    first, second, *_ = pids()
    runs = [found for back in range(12) for found in [pids("--run", str(back))] if second in found]
    assert runs == [[second]]
    assert pids("--grep", f"pid {first}$") == [first]
    assert pids("--grep", f"PID {first}") == []
    assert pids("--grep", f"PID {first}", "-i") == [first]
    assert pids("--level", "error") == []
    assert set(pids("--level", "info")) >= {first, second}
    lines = [json.loads(line) for line in place.run("logs", "talk", "--json").out.splitlines()]
    (began,) = [line["time"] for line in lines if line["text"].endswith(f"pid {second}")]
    assert pids("--until", str(began)) == [first]
    assert pids("--since", str(began), "--until", str(began + 0.01)) == [second]
    result = place.run("logs", "talk", "--run", "900")
    assert result.code == 1
    assert re.search(r"daq1 talk: its history has \d+ runs, so no --run 900", result.err)
    assert "no such output of talk" in place.run("logs", "talk", "--grep", "nothing").err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--grep", "a("], "'a(' is not a regular expression: missing ), unterminated subpattern"),
        (["--level", "loud"], "'loud' is not a level; they are debug, info, warning, error"),
        (["-f", "--until", "1d"], "--follow shows what comes; it excludes --until and --run."),
        (["--run", "x"], "'x' is not a whole number"),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused(place, options, message):
    place.write(daq1=[instance("talk")])
    result = place.run("logs", "talk", *options)
    assert result.code == 2
    assert message in result.err


def test_following_from_now_on_shows_only_what_is_new(place):
    place.write(daq1=[instance("talk", "--behave", "crash-after", 1, "--code", 4)])
    place.start("daq1")
    wait_for(lambda: "tiny talk up" in place.run("logs", "talk").out, 20, "its first line")
    known = set(re.findall(r"pid (\d+)", place.run("logs", "talk").out))
    process = place.popen("logs", "talk", "-n", "0", "-f")
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not known & set(re.findall(r"pid (\d+)", line))


def test_following_shows_each_line_once_and_ends_with_ctrl_c(place):
    place.write(daq1=[instance("talk", "--behave", "crash-after", 1, "--code", 4)])
    place.start("daq1")
    process = place.popen("logs", "talk", "-f")
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


def test_history_tells_of_all_hosts_who_did_what_and_what_died(place):
    two_hosts(place)
    place.run("down", "fake1")
    result = place.run("history")
    assert result.code == 0
    assert re.search(r"daq1 fake1 +request +update: fake1 down \(client, level 1\)", result.out)
    assert re.search(r"daq1 fake1 +exit +exited with code 0", result.out)
    assert re.search(r"daq2 cam1 +launch", result.out)
    entries = place.run("history", "fake1", "--kind", "exit", "--json").json["entries"]
    assert [(e["host"], e["data"]["code"]) for e in entries] == [("daq1", 0)]
    every = place.run("history", "--json", "-n", "1000").json["entries"]
    assert [e["time"] for e in every] == sorted(e["time"] for e in every)
    assert {e["host"] for e in every} == {"daq1", "daq2"}
    assert {e["instance_id"] for e in place.run("history", "f*", "--json").json["entries"]} == {
        *("fake1", "fake2"),
    }
    assert len(place.run("history", "-n", "2").out.splitlines()) == 2
    assert "there is no agent 'fake7'" in place.run("history", "fake7").err


def test_history_of_an_agent_that_is_no_more_is_there(place):
    two_hosts(place)
    place.write(daq1=[instance("fake1")], daq2=[instance("cam1")])
    assert place.run("reload", "--yes").code == 0
    wait_for(lambda: "fake2" not in place.states(), 20, "it to be forgotten")
    result = place.run("history", "fake2")
    assert result.code == 0
    assert "exited with code 0" in result.out


def test_history_of_any_size_comes_whole(place):
    place.write(daq1=[instance("fake1", manage="down")])
    place.start("daq1")
    total, data = 3000, json.dumps({"lines": ["x" * 3900]})
    journal = place.site.directory / "state-daq1" / "journal.sqlite"
    wait_for(lambda: place.run("history").out, 20, "the journal to be there")
    with closing(sqlite3.connect(journal, timeout=60)) as base, base:
        base.executemany(
            "INSERT INTO entries (time, kind, instance_id, text, data) VALUES (?, ?, ?, ?, ?)",
            [(float(n), "output", "fake1", str(n), data) for n in range(total)],
        )
    result = place.run("history", "fake1", "--kind", "output", "-n", "5000", "--json")
    assert (result.code, result.err) == (0, "")
    assert [entry["text"] for entry in result.json["entries"]] == [str(n) for n in range(total)]
    assert {len(entry["data"]["lines"][0]) for entry in result.json["entries"]} == {3900}


# --- diff and reload ---------------------------------------------------------------------------


def test_diff_says_what_a_reload_does(place):
    place.write(
        daq1=[instance("same"), instance("gone"), instance("other"), instance("args", "--rate", 1)],
        daq2=[instance("cam1")],
    )
    place.start("daq1", "daq2")
    wait_states(place, same="up", gone="up", other="up", args="up", cam1="up")
    result = place.run("diff")
    assert (result.code, result.out) == (0, "daq1: no change\ndaq2: no change\n")
    place.write(
        daq1=[
            *(instance("same"), instance("other", agent_class="TinyAgent9")),
            *(instance("args", "--rate", 2), instance("new"), instance("later", manage="down")),
        ],
        daq2=[instance("cam1")],
    )
    result = place.run("diff")
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
        c["instance_id"]: c["what"] for c in place.run("diff", "--json").json["hosts"][0]["changes"]
    }
    assert whats == {
        **{"new": "add", "later": "add", "gone": "stop", "other": "replace", "args": "change"}
    }
    before = processes_of(place.site)
    result = place.run("reload", "--dry-run")
    assert (result.code, result.out.splitlines()) == (0, [*would, "Dry run: nothing was changed."])
    result = place.run("reload", "--host", "daq1")
    assert (result.code, result.out.splitlines()) == (2, would[:-1])
    assert result.err.splitlines() == [
        "hostmanager reload: This would stop 2 agents on daq1. There is no terminal to ask on: add "
        "--yes to confirm it. Nothing was changed.",
    ]
    shown = on_a_terminal(place, "reload", "--host", "daq1", columns=200, typed={"[y/N]": "n\r"})
    assert "Stop 2 agents on daq1? [y/N]" in shown
    assert shown.endswith("Nothing was changed.\r\nexit 1")
    assert (place.site.signals("gone"), place.site.signals("other")) == ([], [])
    result = place.run("reload", "--host", "daq1", "--yes")
    assert result.code == 0
    assert result.out.splitlines()[-1].startswith(
        "daq1: Site config read: 2 new, 1 changed class, "
    )
    wait_states(place, new="up", later="down", same="up", args="up")
    wait_for(lambda: "gone" not in place.states(), 20, "it to be forgotten")
    assert place.run("diff").code == 0
    after = processes_of(place.site)
    assert (after["same"], after["args"]) == (before["same"], before["args"])
    assert "restart" in " ".join(place.status("args")["args"]["reasons"])


def test_a_reload_of_a_broken_file_is_not_done_and_says_where(place):
    place.write(daq1=[instance("a")])
    place.start("daq1")
    good = place.site.directory / "good.yaml"
    good.write_text(place.site.file.read_text())
    place.site.write_text("hosts: [")
    result = place.run("reload", "--site-file", str(good))
    assert result.code == 1
    assert re.search(r"! daq1: .*all is left as it is.*site\.yaml:\d+:\d+", result.out)


# --- die ---------------------------------------------------------------------------------------


def test_die_ends_managers_and_agents_and_with_disown_the_manager_alone(place):
    two_hosts(place)
    assert place.run("die").code == 2
    before = processes_of(place.site)
    result = place.run("die", "--host", "daq1", "--disown", "--yes")
    assert (result.code, result.out) == (
        0,
        "end the manager of daq1\n  leave running: fake1, fake2\n"
        "daq1: 2 agents are left running, for the next manager.\n",
    )
    wait_for(lambda: not place.managers["daq1"].running(), 20, "the manager to be gone")
    assert processes_of(place.site)["fake1"] == before["fake1"]
    place.start("daq1")
    wait_states(place, fake1="up", fake2="up")
    assert processes_of(place.site)["fake1"] == before["fake1"]
    result = place.run("die", "--all", "--yes")
    assert (result.code, result.err) == (0, "")
    assert result.out.count("All agents are down.") == 2
    assert {name for name in processes_of(place.site) if not name.startswith("hm-")} == set()
    assert place.run("die", "--all", "--yes").code == 3


def test_somebody_at_a_terminal_is_asked_before_managers_die(place):
    place.write(daq1=[instance("a")])
    place.start("daq1")
    shown = on_a_terminal(place, "die", "--host", "daq1", typed={"[y/N]": "n\r"})
    assert "End the manager of daq1 and stop its agent? [y/N]" in shown
    assert shown.endswith("Nothing was changed.\r\nexit 1")
    assert place.run("status").code == 0


def test_without_services_there_are_no_orphans_and_nothing_is_pulled(place):
    place.write(daq1=[instance("a")])
    place.start("daq1")
    result = place.run("orphans")
    assert (result.code, result.out) == (0, "daq1: no orphans\n")
    assert place.run("orphans", "--remove", "--json").json["orphans"] == {"daq1": []}
    result = place.run("pull")
    assert result.code == 0
    assert "nothing was pulled" in result.out
