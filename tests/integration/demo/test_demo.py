"""The demo as people use it, with a real router and real agents."""

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import requests
from tests.support.demos import HOSTMANAGER, environment, left_in
from tests.support.processes import alive
from tests.support.waiting import wait_for

from hostmanager.core.model import DEFAULT_STOP_GRACE
from hostmanager.demo import environment as stage

pytestmark = pytest.mark.router


def test_all_agents_get_up_and_the_flaky_one_dies_and_comes_back(start_demo):
    demo = start_demo()
    for name in ("registry", "fake1", "fake2", "fake3", "flaky"):
        demo.wait_for_text(f" {name} ", "state up (target up)")
    demo.wait_for_text(" spare ", "state down (target down)")
    demo.wait_for_text("No compose services in this demo: ")
    demo.wait_for_text("The whole site in a browser: http://127.0.0.1:")
    [address] = re.findall(r"browser: (http\S+)", demo.text())
    assert "fake1" in requests.get(address, timeout=60).text
    demo.wait_for_text(" flaky ", "died (code 3)", "giving up after")
    demo.wait_for_text(" manager ", "flaky: exited with code 3")
    died = demo.text().index("died (code 3)")
    wait_for(lambda: "flaky      state up" in demo.text()[died:], 20, "flaky to be back", demo.text)
    demo.signal(signal.SIGINT)
    assert demo.wait() == 0
    summary = demo.text().splitlines()[-1]
    assert "5 of 5 agents that should be up got up; " in summary
    assert "flaky died" in summary
    assert "Traceback" not in demo.text()
    assert "NumPy" not in demo.text()
    assert demo.left() == []


def test_it_ends_by_itself_after_its_duration(start_demo):
    demo = start_demo("--duration", "60", "--agents", "1")
    assert demo.wait() == 0, demo.text()
    assert time.monotonic() - demo.begun > 60
    assert "3 of 3 agents" in demo.text()
    assert demo.left() == []


def test_the_printed_commands_work_when_pasted(start_demo):
    demo = start_demo("--agents", "1")
    demo.wait_for_text("kill -9")  # shown once all are ready
    assert "health ok" in demo.text()
    commands = re.findall(r"^  (\S.*)$", demo.text(), re.MULTILINE)
    status, down, up, kill = commands
    shown = subprocess.run(
        status, shell=True, check=False, capture_output=True, text=True, timeout=240
    )
    assert re.search(r"fake1 +FakeDataAgent +up +up", shown.stdout), shown
    pid = kill.split()[-1]
    subprocess.run(kill, shell=True, check=True)
    demo.wait_for_text(" fake1 ", "died (SIGKILL)")
    subprocess.run(down, shell=True, check=True, timeout=240)
    demo.wait_for_text(" fake1 ", "state down (target down)")
    subprocess.run(up, shell=True, check=True, timeout=240)
    demo.wait_for_text(" spare ", "state up (target up)")
    wait_for(lambda: len(set(re.findall(r"fake1 .*state up.*pid (\d+)", demo.text()))) == 3, 20)
    assert not Path(f"/proc/{pid}").exists()


def test_a_time_too_short_for_anything_to_get_up_is_a_failure(start_demo):
    demo = start_demo("--duration", "0.5")
    assert demo.wait() == 1
    assert "The time was over before the manager could be seen" in demo.text()
    assert demo.left() == []


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Starting the router", signal.SIGINT),
        ("*/router/crossbar.log", signal.SIGHUP),
        ("No compose services", signal.SIGTERM),
        ("Starting the manager", signal.SIGINT),
        ("  fake1 ", signal.SIGINT),
    ],
)
def test_ended_while_it_starts_it_leaves_nothing(start_demo, moment, number):
    """A moment is a text that it has printed, or a file that it has made."""
    demo = start_demo()
    wait_for(lambda: moment in demo.text() or any(demo.directory.glob(moment)), 60, moment)
    demo.signal(number)
    assert demo.wait() == 0, demo.text()
    assert "Traceback" not in demo.text()
    assert demo.left() == []


def test_a_second_signal_hurries_and_still_leaves_nothing(start_demo):
    demo = start_demo()
    demo.wait_for_text("kill -9")
    agents = {
        int(pid) for pid in re.findall(r"state up .*pid (\d+)", demo.text())
    }  # a line may come again
    assert len(agents) == 5
    for agent in agents:
        os.kill(agent, signal.SIGSTOP)
    demo.signal(signal.SIGINT)
    demo.wait_for_text("Ending, as requested")
    demo.signal(signal.SIGINT)
    # Left alone, they are killed after the stop timeout and 5 s more.
    wait_for(lambda: not any(map(alive, agents)), DEFAULT_STOP_GRACE, "the agents to end")
    assert demo.wait() == 0
    assert demo.left() == []


@pytest.mark.parametrize("moment", ["Starting the router", "Starting the manager", "kill -9"])
def test_killed_outright_it_leaves_nothing_a_few_seconds_later(start_demo, moment):
    demo = start_demo("--agents", "1")
    demo.wait_for_text(moment)
    demo.signal(signal.SIGKILL)
    demo.wait()
    wait_for(lambda: demo.left() == [], 20, "nothing to be left", demo.left)


def test_a_manager_that_dies_ends_the_demo_with_its_output(start_demo):
    demo = start_demo("--agents", "1")
    demo.wait_for_text("kill -9")
    (manager,) = [line.split()[0] for line in demo.left() if "-P -m hostmanager.agent" in line]
    subprocess.run(["kill", "-9", manager], check=True)
    assert demo.wait() == 1
    assert "The manager has ended" in demo.text()
    assert demo.left() == []


def test_whoever_reads_its_output_may_leave(tmp_path):
    command = f"{HOSTMANAGER} demo --agents 1 | head -1"
    shell = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        check=False,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert shell.returncode == 141  # as of a program that SIGPIPE ends
    assert shell.stderr == ""
    assert left_in(tmp_path) == []


def test_a_port_that_is_taken_is_refused(start_demo):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        demo = start_demo("--port", str(taken.getsockname()[1]))
        assert demo.wait() == 2
    assert re.search(r"--port \d+ cannot be used: Address already in use", demo.text())
    assert demo.left() == []


def test_the_name_of_its_directory_is_one_that_an_image_may_have(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    directories = {stage.make_directory() for _ in range(200)}
    assert len(directories) == 200
    for directory in directories:
        assert re.fullmatch(r"hm-demo-[0-9a-f]{8}", directory.name)
        assert directory.stat().st_mode & 0o777 == 0o700
