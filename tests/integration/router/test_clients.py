"""The clients that come with OCS, and the ways to start the manager."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ocs import ocsbow

import hostmanager.agent.main as agent_main
from tests.integration.router.steps import (
    outcome,
    output_of,
    send,
    wait_gone,
    wait_ready,
    wait_states,
)
from tests.support.clients import client, states
from tests.support.processes import processes_of
from tests.support.sites import Site, instance
from tests.support.waiting import wait_for

BIN = Path(sys.executable).parent


@pytest.fixture
def bow(site, capsys) -> Callable[..., str]:
    """Run `ocsbow` in this process: ``bow("up", "a")``; what it printed."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        ocsbow.main([*site.args, *arguments])
        return capsys.readouterr().out

    return run


def rows(shown: str) -> dict[str, list[str]]:
    """The table of `ocsbow status`: class, state and target by instance-id."""
    _, _, table = shown.partition("[instance-id]")
    cells = [line.split() for line in table.splitlines()[1:]]
    return {row[0]: row[1:] for row in cells if len(row) == 4}


def command(site: Site, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a console command with the site's options."""
    return subprocess.run(
        [BIN / name, *site.args, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- ocsbow --------------------------------------------------------------------------------


def test_ocsbow_status_shows_each_agent_with_its_class_as_in_the_site_file(site, begin, bow):
    hm = begin(
        instance("a"),
        instance("b", manage="host/down"),
        instance("c", "--behave", "exit-at-once"),
        instance("i", manage="ignore"),
    )
    wait_states(hm, a="up", b="down", c="start_at")
    shown = bow("status")
    assert rows(shown) == {
        "hm-testhost": ["HostManager", "up", "n/a"],
        "a": ["TinyAgent", "up", "up"],
        "b": ["TinyAgent", "down", "down"],
        "c": ["TinyAgent", "unstable", "up"],
        "i": ["TinyAgent[unman]", "?", "?"],
    }
    assert "WARNING" not in shown


def test_ocsbow_status_with_reload_makes_the_manager_read_the_site_file(site, begin, bow):
    begin(instance("a"))
    site.write(instance("a"), instance("b", manage="host/down"))
    shown = bow("status", "-r")
    assert "Ok on hm-testhost" in shown
    assert rows(shown)["b"] == ["TinyAgent", "down", "down"]
    site.write(instance("a"), instance("b", manage="host/dwon"))
    shown = bow("status", "-r")
    assert "Failed on hm-testhost" in shown


def test_ocsbow_down_and_up_act_on_the_agent_that_was_named(site, begin, bow):
    hm = begin(instance("a"), instance("b"))
    wait_ready(site, "a", "b")
    assert "down agent a via hm-testhost" in bow("down", "a")
    wait_states(hm, a="down", b="up")
    wait_gone(site, "a")
    bow("up", "a")
    wait_states(hm, a="up", b="up")
    assert len(wait_ready(site, "a", "b")) == 2


def test_ocsbow_down_and_up_of_the_manager_act_on_all_of_its_agents(site, begin, bow):
    hm = begin(instance("a"), instance("b"))
    wait_ready(site, "a", "b")
    for whom in ("hm-testhost", "--all"):
        bow("down", whom)
        wait_states(hm, a="down", b="down")
        wait_gone(site, "a", "b")
        bow("up", whom)
        wait_ready(site, "a", "b")


def test_a_dry_run_of_ocsbow_changes_nothing(site, begin, bow):
    hm = begin(instance("a"))
    pids = wait_ready(site, "a")
    shown = bow("down", "--dry-run", "a", "hm-testhost")
    assert "dry-run" in shown
    assert wait_ready(site, "a") == pids
    assert states(hm) == {"a": "up"}


def test_ocsbow_up_of_an_agent_that_was_just_added_makes_it_known(site, begin, bow):
    hm = begin(instance("a"))
    site.write(instance("a"), instance("b", manage="host/down"))
    bow("up", "b")
    wait_states(hm, a="up", b="up")


def test_a_stopped_manager_is_shown_sleeping_and_ocsbow_up_starts_it(site, begin, bow):
    hm = begin(instance("a"), instance("b"))
    hm.manager.stop()
    hm.manager.wait(timeout=60)
    assert rows(bow("status"))["hm-testhost"][1] == "sleeping"
    assert "Starting manager process." in bow("up", "b")
    wait_states(hm, a="down", b="up")
    wait_ready(site, "b")
    assert rows(bow("status"))["hm-testhost"][1] == "up"


# --- console commands ----------------------------------------------------------------------


def test_the_console_commands_of_ocs_know_the_manager(site, begin):
    hm = begin(instance("a"))
    wait_ready(site, "a")
    shown = command(site, "ocsbow", "status")
    assert shown.returncode == 0, shown.stderr
    assert rows(shown.stdout)["a"] == ["TinyAgent", "up", "up"]
    assert command(site, "ocsbow", "down", "a").returncode == 0
    wait_states(hm, a="down")
    scan = command(site, "ocs-client-cli", "scan", "--details")
    assert scan.returncode == 0, scan.stderr
    result = scan.stdout.partition("List of Detected Agents")[2].split()
    assert site.manager_id in result
    assert result[result.index("manager") + 2] == "RUNNING"
    supports = command(site, "ocs-local-support", "status")
    assert supports.returncode == 0, supports.stderr
    for question in ("configured on this host:", "agent running?", "manager process running?"):
        assert re.search(re.escape(question) + r":?\s+True", supports.stdout), question
    assert re.search(r"instance-id:\s+hm-testhost", supports.stdout)


# --- ways to start it ----------------------------------------------------------------------


def ways(site: Site) -> dict[str, list[str]]:
    """Command lines that start the manager, without the site's options."""
    state = ["--state-dir", str(site.state_dir)]
    script = [str(BIN / "ocs-agent-cli"), "--agent", agent_main.__file__, "--entrypoint", "main"]
    return {
        "module": [sys.executable, "-m", "hostmanager.agent", *state],
        "hostmanager run": [str(BIN / "hostmanager"), "run", *state],
        "ocs-agent-cli": [*script, "--instance-id", site.manager_id, *state],
    }


@pytest.mark.parametrize("way", ["module", "hostmanager run", "ocs-agent-cli"])
def test_the_manager_can_be_started_in_each_of_the_usual_ways(site, start_program, way):
    if way == "hostmanager run" and importlib.util.find_spec("hostmanager.cli.main") is None:
        pytest.skip("there is no `hostmanager run` yet")
    site.write(instance("a"))
    program = start_program(
        site, [*ways(site)[way], *site.args, "--working-dir", str(site.working_dir)]
    ).wait_ready()
    wait_ready(site, "a")
    assert rows_in_process(site) == {"a": "up"}
    assert program.stop() == 0
    assert processes_of(site) == {}
    assert "Traceback" not in program.output()
    assert "Warning" not in program.output()


def rows_in_process(site: Site) -> dict[str, str]:
    hm = client(site)
    wait_states(hm, a="up")
    return states(hm)


def test_the_environment_names_instance_host_site_file_and_hub(site, start_program):
    site.write(instance("a"))
    right = site.file.read_text()
    site.write_text(right.replace(site.router.url, "ws://127.0.0.1:9/ws"))
    (site.directory / "default.yaml").write_text(site.file.read_text())
    program = start_program(
        site,
        [sys.executable, "-m", "hostmanager.agent", "--state-dir", str(site.state_dir)],
        {
            "OCS_CONFIG_DIR": str(site.directory),
            "INSTANCE_ID": "hm-testhost",
            "SITE_HOST": "testhost",
            "SITE_HUB": site.router.url,
            "SITE_HTTP": site.router.http,
        },
    ).wait_ready()
    wait_for(lambda: "tiny a up" in output_of(site, "a"), 10, "the agent", program.output)


def test_the_command_line_wins_over_the_environment(site, start_program):
    site.write(instance("a"))
    wrong = {
        "OCS_CONFIG_DIR": "/no/such",
        "INSTANCE_ID": "a",
        "SITE_HOST": "elsewhere",
        "SITE_HUB": "ws://127.0.0.1:9/ws",
    }
    argv = ["--instance-id", site.manager_id, "--site-hub", site.router.url, *site.args]
    argv += ["--state-dir", str(site.state_dir), "--working-dir", str(site.working_dir)]
    start_program(site, [sys.executable, "-m", "hostmanager.agent", *argv], wrong).wait_ready()
    wait_ready(site, "a")


# --- quiet ---------------------------------------------------------------------------------


def test_quiet_prints_nothing_whatever_happens(site, start_manager):
    site.write(
        instance("a"), instance("c", "--behave", "exit-at-once"), instance("d", manage="docker")
    )
    manager = start_manager(site, "--quiet", "--stop-timeout", "0.3")
    hm = client(site)
    send(wait_ready(site, "a")["a"], 9)
    assert outcome(hm.update(requests=[("nobody", "up")]))[0] is False
    site.write_text("hosts: [")
    assert outcome(hm.update(reload_config=True))[0] is False
    hm.manager.stop()
    hm.manager.wait(timeout=60)
    hm.manager.start()
    with pytest.raises(RuntimeError):
        hm._client.call(f"{site.address_root}.{site.manager_id}.nonsense")
    assert manager.stop() == 0
    assert manager.output() == ""


def test_quiet_keeps_the_log_file(site, start_manager):
    (site.working_dir / "logs").mkdir()
    site.write(instance("a"), **{"log-dir": "logs"})
    manager = start_manager(site, "--quiet")
    assert manager.stop() == 0
    assert manager.output() == ""
    log = site.working_dir / "logs" / f"{site.address_root}.{site.manager_id}.log"
    assert "All agents are down" in log.read_text()
    assert os.access(log, os.R_OK)
