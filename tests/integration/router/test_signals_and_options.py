"""The command line, signals, directories, and how agents are launched (contract, section 2)."""

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from typing import Any

import pytest

from hostmanager.drivers.process.priority import MANAGER_NICE
from tests.integration.router.steps import (
    outcome,
    send,
    targets,
    wait_child,
    wait_gone,
    wait_ready,
    wait_states,
)
from tests.support.clients import client, states
from tests.support.processes import alive, processes, processes_of
from tests.support.sites import Site, instance
from tests.support.waiting import BUSY_MACHINE, wait_for

# --- signals -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_agent_and_the_manager_exits_with_zero(site, start_manager, number):
    site.write(instance("a"), instance("slow", "--behave", "slow-stop", 0.3), instance("b"))
    manager = start_manager(site)
    wait_ready(site, "a", "b", "slow")
    send(manager.pid, number)
    wait_gone(site, "a", "b", "slow")
    gone = time.monotonic()
    assert manager.process.wait(60) == 0
    assert time.monotonic() - gone < 2 * BUSY_MACHINE
    assert processes(site) == []
    assert [s.name for s in site.signals("slow")] == ["SIGINT"]
    assert "Traceback" not in manager.output()


def test_a_second_signal_hurries_a_very_stubborn_agent(site, start_manager):
    site.write(instance("mule", "--behave", "very-stubborn"))
    manager = start_manager(site, "--stop-timeout", "60")
    pid = wait_ready(site, "mule")["mule"]
    manager.terminate()
    wait_for(lambda: len(site.signals("mule")) == 1, 5, "SIGINT")
    manager.terminate()
    wait_for(lambda: len(site.signals("mule")) == 2, 5, "SIGTERM")
    send(manager.pid, signal.SIGINT)
    assert manager.process.wait(60) == 0
    assert [s.name for s in site.signals("mule")] == ["SIGINT", "SIGTERM"]
    assert not alive(pid)


@pytest.mark.usefixtures("fresh_managers")
def test_a_signal_soon_after_the_first_launch_is_heeded(site, start_manager):
    site.write(instance("a"), instance("b"))
    for count in range(1, 4):
        manager = start_manager(site, ready=False)
        wait_for(lambda: processes_of(site), 10, "a process")
        time.sleep(0.1 * count)  # at different points of what else has to be set up
        manager.terminate()
        assert manager.process.wait(60) == 0
        assert processes(site) == []
        assert manager.output().count("SIGTERM: stopping all agents") == count
        assert "Traceback" not in manager.output()


def test_a_manager_that_is_started_while_it_dies_starts_nothing(site, start_manager):
    site.write(instance("a"), instance("slow", "--behave", "slow-stop", 0.7))
    manager = start_manager(site)
    wait_ready(site, "a", "slow")
    hm = client(site)
    hm.manager.stop()
    wait_gone(site, "a")
    hm.die.start()
    hm.manager.wait(timeout=60)
    with contextlib.suppress(RuntimeError):  # it may be gone already
        hm.manager.start()
    assert manager.process.wait(60) == 0
    assert processes(site) == []
    assert [len(site.launches(name)) for name in ("a", "slow")] == [1, 1]


# --- options -------------------------------------------------------------------------------


def test_initial_state_up_brings_all_up_whatever_their_entries_say(site, begin):
    hm = begin(instance("a", manage="host/down"), instance("b"), options=("--initial-state", "up"))
    wait_ready(site, "a", "b")
    assert targets(hm) == {"a": "up", "b": "up"}
    hm.manager.stop()
    hm.manager.wait(timeout=60)
    hm.manager.start()  # it counts at the start of the program only
    wait_states(hm, a="down", b="up")


def test_initial_state_down_starts_none_but_they_can_be_started(site, begin):
    hm = begin(instance("a"), instance("b"), options=("--initial-state", "down"))
    assert states(hm) == targets(hm) == {"a": "down", "b": "down"}
    assert site.launches("a") == []
    hm.update(requests=[("a", "up")])
    wait_ready(site, "a")
    wait_states(hm, a="up", b="down")


def run(site: Site, *options: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Start a manager that is not expected to stay."""
    return subprocess.run(
        [sys.executable, "-m", "hostmanager.agent", *options],
        cwd=site.working_dir,
        env={**os.environ, "HM_TEST_MARK": site.mark},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )


BAD_LINES = {
    # options instead of the usual ones, what the message names
    "an unknown option": (["{usual}", "--stop-timout", "5"], ["--stop-timout"]),
    "a missing site file": (["--site-file", "none.yaml"], ["none.yaml"]),
    "no site file": (["--site-host", "testhost"], ["--site-file", "OCS_CONFIG_DIR"]),
    "a site file without YAML": (["--site-file", "broken.yaml"], ["broken.yaml:2:"]),
    "a directory as site file": (["--site-file", "."], ["directory"]),
    "an unknown host": (["--site-file", "{file}", "--site-host", "testhots"], ["'testhost'"]),
    "an unknown id": (["{usual}", "--instance-id", "hm-testhots"], ["hm-testhost"]),
    "the id of an agent": (["{usual}", "--instance-id", "a"], ["TinyAgent", "HostManager"]),
    "a word as stop timeout": (["{usual}", "--stop-timeout", "soon"], ["soon", "--stop-timeout"]),
    "no stop timeout": (["{usual}", "--stop-timeout", "0"], ["--stop-timeout"]),
    "a negative stop timeout": (["{usual}", "--stop-timeout", "-3"], ["--stop-timeout"]),
    "an endless stop timeout": (["{usual}", "--stop-timeout", "nan"], ["--stop-timeout"]),
    "an unknown state": (["{usual}", "--initial-state", "sideways"], ["sideways", "up"]),
    "a word too many": (["{usual}", "now"], ["now"]),
    "an unusable state dir": (["{usual}", "--state-dir", "/proc/state"], ["/proc/state"]),
}


@pytest.mark.parametrize("what", BAD_LINES)
def test_a_bad_command_line_is_refused_in_one_clear_message(make_site, router, what):
    site = make_site(router)
    site.write(instance("a"))
    (site.working_dir / "broken.yaml").write_text("hub: {}\nhosts: ]\n")
    options, named = BAD_LINES[what]
    usual = ["--state-dir", str(site.state_dir), *site.args]
    argv = [usual if word == "{usual}" else [word] for word in options]
    line = [word.format(file=site.file) for part in argv for word in part]
    ended = run(site, *line)
    assert ended.returncode == 2
    assert ended.stdout == ""
    for word in named:
        assert word in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) <= 3, ended.stderr
    assert processes(site) == []
    assert site.launches("a") == []


def test_help_names_every_option_and_the_exit_statuses(site):
    shown = run(site, "--help")
    assert shown.returncode == 0
    for word in ("--initial-state", "--docker-compose", "--quiet", "--site-file", "SIGHUP"):
        assert word in shown.stdout
    assert shown.stderr == ""


# --- directories -------------------------------------------------------------------------------


def test_the_state_dir_is_for_its_owner_alone(site, start_manager):
    site.write(instance("a"))
    site.state_dir.mkdir(mode=0o755)
    (site.state_dir / "manager.lock").touch()  # so it is a manager's
    start_manager(site)
    wait_ready(site, "a")
    assert stat.S_IMODE(site.state_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((site.state_dir / "output").stat().st_mode) == 0o700


def test_output_goes_to_the_log_dir_of_the_host(site, start_manager):
    directory = site.working_dir / "logs"
    directory.mkdir()
    site.write(instance("a"), **{"log-dir": "logs"})
    manager = start_manager(site)
    hm = client(site)
    pid = wait_child(hm, "a", next_action="up")["pid"]
    output = directory / "a.out"
    wait_for(lambda: f"tiny a up pid {pid}" in output.read_text(), 10, "the agent's words")
    assert wait_child(hm, "a")["output"] == str(output)
    own = directory / f"{site.address_root}.{site.manager_id}.log"
    wait_for(lambda: "registered with the router" in own.read_text(), 5, "the manager's log")
    assert manager.stop() == 0
    assert "All agents are down" in own.read_text()


def test_a_missing_log_dir_is_reported_as_a_warning_and_output_is_kept_elsewhere(
    site, start_manager
):
    site.write(instance("a"), **{"log-dir": "nowhere"})
    manager = start_manager(site)
    wait_ready(site, "a")
    assert f"{site.working_dir}/nowhere does not exist" in manager.output()
    assert not (site.working_dir / "nowhere").exists()


def test_an_absolute_log_dir_on_the_command_line_wins(site, start_manager):
    for name in ("one", "two"):
        (site.working_dir / name).mkdir()
    site.write(instance("a"), **{"log-dir": "one"})
    start_manager(site, "--log-dir", str(site.working_dir / "two"))
    output = site.working_dir / "two" / "a.out"
    wait_for(lambda: "tiny a up" in output.read_text(), 10, "the agent's words")
    assert list((site.working_dir / "one").iterdir()) == []


# --- how agents are launched ---------------------------------------------------------------


@pytest.fixture
def dumped(site, begin) -> dict[str, Any]:
    """What an agent was started with, by a manager that has overrides of its own."""
    begin(
        instance("a", "--behave", "dump-env"),
        options=("--site-hub", site.router.url, "--site-http", site.router.http, "--log-dir", "."),
    )
    dump = site.working_dir / "dumps" / "a.json"
    return wait_for(lambda: json.loads(dump.read_text()), 10, "the dump")


def test_an_agent_is_launched_as_the_contract_says(site, dumped):
    assert dumped["argv"] == [
        *(sys.executable, "-m", "ocs.agent_cli", "--instance-id", "a"),
        *("--site-file", str(site.file), "--site-host", "testhost"),
        *("--working-dir", str(site.working_dir)),
    ]
    assert dumped["cwd"] == str(site.working_dir)
    assert_is_on_its_own(dumped, site)


def assert_is_on_its_own(dumped: dict[str, Any], site: Site) -> None:
    """Own session and group, default signals, no descriptor but the three and its lock."""
    assert dumped["sid"] == dumped["pgid"] == dumped["pid"]
    masks = {name: int(mask, 16) for name, mask in dumped["signals"].items() if name != "SigQ"}
    assert masks["SigBlk"] == 0
    python_ignores = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
    standard = 0x7FFFFFFF  # 32 and beyond are the C library's own; whoever runs us may ignore them
    assert masks["SigIgn"] & standard & ~python_ignores == 0
    assert "default_int_handler" in dumped["sigint"]
    fds = dumped["fds"]
    pipe = str(site.state_dir / "pipes" / "a.pipe")
    assert [fds.pop(fd) for fd in "012"] == ["/dev/null", pipe, pipe]
    assert list(fds.values()) == [str(site.state_dir / "locks" / "a.lock")]
    assert dumped["nice"] == os.nice(0)


def test_the_manager_takes_precedence_over_its_agents_and_its_log_daemon(
    privileged, site, start_manager
):
    site.write(instance("a"), instance("b", "--behave", "fork"))
    manager = start_manager(site)
    wait_ready(site, "a", "b")
    others = [(one.kind, one.pid) for one in processes(site) if one.pid != manager.pid]
    assert {kind for kind, _ in others} == {"agent", "grandchild", "log daemon"}
    assert os.getpriority(os.PRIO_PROCESS, manager.pid) == MANAGER_NICE
    assert [os.getpriority(os.PRIO_PROCESS, pid) for _, pid in others] == [0] * len(others)


def test_variables_of_systemd_are_not_passed_on_to_agents(site, start_program):
    site.write(instance("a", "--behave", "dump-env"))
    usual = ["--state-dir", str(site.state_dir), "--working-dir", str(site.working_dir)]
    start_program(
        site,
        [sys.executable, "-m", "hostmanager.agent", *site.args, *usual],
        {"NOTIFY_SOCKET": "/run/none", "WATCHDOG_USEC": "5000000", "LISTEN_FDS": "1", "MINE": "1"},
    )
    dump = site.working_dir / "dumps" / "a.json"
    environment = wait_for(lambda: json.loads(dump.read_text()), 10, "the dump")["environ"]
    assert environment["MINE"] == "1"
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"} & environment.keys()


def test_a_manager_in_a_shell_that_ignores_signals_launches_agents_that_do_not(site, start_program):
    site.write(instance("a", "--behave", "dump-env"))
    argv = [sys.executable, "-m", "hostmanager.agent", *site.args]
    argv += ["--state-dir", str(site.state_dir), "--working-dir", str(site.working_dir)]
    trap = "trap '' INT TERM HUP QUIT; exec \"$@\""
    program = start_program(site, ["/bin/sh", "-c", trap, "sh", *argv])
    dump = site.working_dir / "dumps" / "a.json"
    dumped = wait_for(lambda: json.loads(dump.read_text()), 10, "the dump")
    masks = int(dumped["signals"]["SigIgn"], 16)
    assert not masks & (1 << signal.SIGINT - 1 | 1 << signal.SIGTERM - 1), hex(masks)
    assert "default_int_handler" in dumped["sigint"]
    assert outcome(client(site).update(requests=[("a", "down")]))[0]
    wait_gone(site, "a")
    assert program.stop() == 0


def test_a_compose_file_that_is_not_there_keeps_no_agent_from_being_started(site, start_manager):
    site.write(instance("a"))
    manager = start_manager(site, "--docker-compose", "no.yaml")
    wait_states(client(site), a="up")
    assert "no.yaml is not a readable file (yet)" in manager.output()

    def shown():
        data = client(site).manager.status().session["data"]
        return data["config_parse_status"].get("no.yaml")

    ok, _, text = wait_for(shown, 20, "no.yaml to be looked at")
    assert not ok
    assert text
