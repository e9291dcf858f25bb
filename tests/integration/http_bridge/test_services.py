"""`hostmanager orphans` and `pull`, and logs of managers that say odd things."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.http_bridge import child, session

from hostmanager.cli.output import Output

HOSTMANAGER = str(Path(sys.executable).parent / "hostmanager")
ORPHAN = {
    "compose_file": "/etc/ocs/compose.yaml",
    "service": "ocs-old",
    "container_id": "c" * 64,
    "running": True,
    "exit_code": 127,
    "container_found": True,
    "running_image": "old:1",
}


def two_hosts(bridge, site_file):
    bridge.write(site_file, daq1=["a"], daq2=["b"])
    files = {"config_parse_status": {"/etc/ocs/compose.yaml": [True, 1.0, "fine"]}}
    with_orphan = session(child("a"), orphans={"c" * 64: ORPHAN}, **files)
    bridge.sessions["hm-daq1"] = {"manager": with_orphan}
    bridge.sessions["hm-daq2"] = {"manager": session(child("b"), **files)}


def test_orphans_are_shown_and_removed_only_when_asked(bridge, site_file, run):
    two_hosts(bridge, site_file)
    bridge.tasks["remove_orphans"] = lambda *_: (True, "Removed: ocs-old.", {})
    result = run("orphans")
    assert (result.code, result.out.splitlines()) == (
        0,
        [
            "daq1: ocs-old (container cccccccccccc, image old:1), not in /etc/ocs/compose.yaml "
            "any more",
            "daq2: no orphans",
        ],
    )
    assert [asked[1] for asked in bridge.asked] == ["status", "status"]
    assert run("orphans", "--json").json["orphans"] == {"daq1": [ORPHAN], "daq2": []}
    bridge.asked.clear()
    result = run("orphans", "--remove")
    assert (result.code, result.out.splitlines()[-1]) == (0, "daq1: Removed: ocs-old.")
    assert {asked[0] for asked in bridge.asked if asked[1] == "start"} == {"hm-daq1"}
    bridge.tasks["remove_orphans"] = lambda *_: (False, "It could not be removed.", {})
    result = run("orphans", "--remove", "--json")
    assert (result.code, result.json["exit"], result.json["hosts"][0]["ok"]) == (1, 1, False)


def test_pull_shows_the_reply_of_each_manager_and_fails_if_one_does(bridge, site_file, run):
    two_hosts(bridge, site_file)
    bridge.tasks["docker_pull"] = lambda man, _: (
        (True, "All images were pulled.", {}) if man == "hm-daq1" else (False, "b: denied.", {})
    )
    result = run("pull")
    assert (result.code, result.out) == (1, "daq1: All images were pulled.\n! daq2: b: denied.\n")
    assert run("pull", "--host", "daq1").code == 0


def test_a_pull_that_is_under_way_already_is_followed(bridge, site_file, run):
    two_hosts(bridge, site_file)
    running = {
        **{"session_id": 7, "status": "running", "success": None, "data": {}},
        "messages": [[1.0, "Status is now 'running'."], [2.0, "pulling img:1 (1 of 2)."]],
    }
    ended = {**running, "status": "done", "success": True}
    ended["messages"] = [*running["messages"], [3.0, "All images were pulled."]]
    answers = iter([running, running, running])

    class Sessions(dict):
        def get(self, key, default=None):
            return next(answers, ended) if key == "docker_pull" else super().get(key, default)

    bridge.sessions["hm-daq1"] = Sessions(bridge.sessions["hm-daq1"])
    result = run("pull", "--host", "daq1")
    assert (result.code, result.out.splitlines()) == (
        *(0, ["daq1: pulling img:1 (1 of 2).", "daq1: All images were pulled."]),
    )
    assert not [asked for asked in bridge.asked if asked[1] == "start"]


def test_lines_without_a_time_stand_where_they_stood(bridge, site_file, run):
    two_hosts(bridge, site_file)
    lines = {
        "a": [[None, "a0"], [10.0, "a1"], [None, "a2"], [30.0, "a3"]],
        "b": [[20.0, "b1 \x1b[31mred [bold]"], [20.0, "b2"]],
    }
    bridge.tasks["output"] = lambda _, given: (
        *(True, "", {"instance_id": given["instance_id"], "lines": lines[given["instance_id"]]}),
    )
    data = [json.loads(line) for line in run("logs", "a", "b", "--json").out.splitlines()]
    assert [line["text"].split()[0] for line in data] == ["a0", "a1", "a2", "b1", "b2", "a3"]
    shown = run("logs", "a", "b").out
    assert "b | b1" in shown
    assert "red [bold]" in shown


def test_the_time_that_ocs_prints_is_left_out_only_where_somebody_looks(
    bridge, site_file, run, monkeypatch
):
    two_hosts(bridge, site_file)
    text = "2026-01-31T12:00:00+0000 the motor is warm"
    bridge.tasks["output"] = lambda _, given: (
        *(True, "", {"instance_id": "a", "lines": [[1.0, text]]}),
    )
    assert f"a | {text}" in run("logs", "a").out
    assert json.loads(run("logs", "a", "--json").out)["text"] == text
    monkeypatch.setattr(Output, "is_terminal", True)
    assert "a | the motor is warm" in run("logs", "a").out


def test_what_agents_print_does_nothing_to_the_terminal(bridge, site_file, run):
    """Escape sequences in output could clear the screen, or retitle the window."""
    two_hosts(bridge, site_file)
    text = "\x1b]0;title\x07 \x1b[2J bell\x07 back\x08 end"
    bridge.tasks["output"] = lambda _, given: (
        *(True, "", {"instance_id": "a", "lines": [[1.0, text]]}),
    )
    shown = run("logs", "a").out
    assert not set(shown) & set("\x1b\x07\x08")
    assert "␛]0;title␇ ␛[2J bell␇ back␈ end" in shown
    assert json.loads(run("logs", "a", "--json").out)["text"] == text
    ended = {"code": 1, "signal": None, "time": 1.0, "expected": False, "output": [text]}
    bad = child("a", next_action="start_at", message=text, last_exit=ended)
    bridge.sessions["hm-daq1"] = {"manager": session(bad)}
    shown = run("status").out
    assert shown.count("␛[2J") == 3
    assert not set(shown) & set("\x1b\x07\x08")


def as_process(site_file, pipe, **environment):
    command = f"{HOSTMANAGER} status --site-file {site_file} {pipe}"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=300,
        check=False,
    )


def test_who_reads_no_further_and_who_reads_latin_1_get_no_traceback(bridge, site_file):
    def write_site(number_of_agents):
        names = [f"agent{number}" for number in range(number_of_agents)]
        bridge.write(site_file, daq1=names)
        children = [child(name, message="… ␛ ·") for name in names]
        bridge.sessions["hm-daq1"] = {"manager": session(*children)}

    write_site(1500)  # twice as many bytes as a pipe takes
    result = as_process(site_file, "| head -1")
    assert result.stdout.startswith(b"1 host, 1500 agents: 1500 warnings")
    assert (result.returncode, result.stderr) == (141, b"")
    write_site(2)
    result = as_process(site_file, "", PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert (result.returncode, result.stderr) == (0, b"")
    [row] = [line for line in result.stdout.splitlines() if line.startswith(b"agent1 ")]
    assert b"? ?" in row


def test_status_and_diff_show_what_should_be_put_right_in_a_compose_file(bridge, site_file, run):
    two_hosts(bridge, site_file)
    text = "c.yaml, line 5: the variable DIR is not set. Compose puts nothing in its place."
    data = session(child("a"), config_warnings={"c.yaml": text})
    bridge.sessions["hm-daq1"] = {"manager": data}
    assert "line 5: the variable DIR is not set" in " ".join(run("status").out.split())
    assert f"  ! c.yaml: {text}" in run("diff").out.splitlines()


def test_a_warning_of_the_site_config_on_several_hosts_is_one_line_with_their_names(
    bridge, site_file, run
):
    two_hosts(bridge, site_file)
    text = "site.yaml:9:3: warning: the key 'daq1' is here a second time (first on line 3)."
    for host in ("daq1", "daq2"):
        data = session(child("a"), config_warnings={"[SCF]": text})
        bridge.sessions[f"hm-{host}"] = {"manager": data}
    lines = run("status").out.splitlines()
    assert "2 with warnings" in lines[0]
    assert "all OK" not in lines[0]
    assert len([line for line in lines if line.startswith(f"· daq1, daq2 {text}"[:60])]) == 1
    assert f"  ! {text}" in run("diff").out.splitlines()
