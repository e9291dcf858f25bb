"""The fork server: whatever becomes of it, an agent runs, once, and is launched cold at worst."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hostmanager.drivers.process import WarmLauncher
from hostmanager.drivers.process.warm import control, launcher
from hostmanager.util.secret import Environment
from tests.integration.process.warm_launches import agents_alive, children, exit_of, fork, is_forked
from tests.support.waiting import wait_for


def test_a_fork_server_that_was_killed_is_replaced(launches):
    survivor = launches.launch("e", "--wait")
    server = launches.warm.pid
    os.kill(server, signal.SIGKILL)
    assert is_forked(launches.launch("f", "--wait").pid)
    assert launches.warm.pid != server
    signal.pidfd_send_signal(survivor.pidfd, signal.SIGTERM)
    assert exit_of(survivor) == (os.CLD_KILLED, signal.SIGTERM)


def test_a_fork_server_that_hangs_costs_one_cold_launch(launches, monkeypatch, caplog):
    exit_of(launches.launch("g"))
    monkeypatch.setattr(control, "FORK_TIMEOUT", 0.2)
    os.kill(launches.warm.pid, signal.SIGSTOP)
    before = agents_alive()
    cold = launches.launch("h", "--wait")
    assert not is_forked(cold.pid)
    # The kernel shows its command line a moment after it was executed.
    wait_for(lambda: agents_alive() - before == {cold.pid}, what="one process, the cold one")
    assert [record.message for record in caplog.records if "hangs" in record.message]
    monkeypatch.setattr(control, "FORK_TIMEOUT", 25)
    assert is_forked(launches.launch("i", "--wait").pid)


def test_one_that_goes_on_hanging_holds_up_two_launches_and_no_more(monkeypatch, tmp_path):
    server = tmp_path / "server.py"
    start = "import socket, sys, time\ncontrol = socket.socket(fileno=int(sys.argv[1]))\n"
    count = tmp_path / "count"
    server.write_text(
        f"{start}open({os.fspath(count)!r}, 'a').write('x')\ncontrol.send(b'ready 2'); time.sleep(60)"
    )
    monkeypatch.setattr(control, "SERVER", server)
    monkeypatch.setattr(control, "START_TIMEOUT", 100)
    monkeypatch.setattr(control, "FORK_TIMEOUT", 0.2)
    warm = WarmLauncher()
    try:
        for _ in range(4):
            assert fork(warm, tmp_path) is None
    finally:
        warm.close()
    assert count.read_text() == "xx"


@pytest.mark.usefixtures("launches")
def test_too_few_agents_have_no_fork_server(tmp_path):
    count = launcher.MIN_AGENTS - 1
    warm = WarmLauncher(lambda: count)
    try:
        assert fork(warm, tmp_path) is None
        assert warm.pid is None
        count += 1  # after a reload
        process = fork(warm, tmp_path)
        assert process is not None
        process.abandon()
    finally:
        warm.close()


FORKED = f"""
sys.path.insert(0, {os.fspath(control.SERVER.parent)!r}); from process_image import Cloner
control.send(b'ready 2'); fds = socket.recv_fds(control, 1, 8)[1]
pid = Cloner().fork()
if not pid: os.execvp('sleep', ['sleep', '60'])
"""
TOLD = f"""{FORKED}
socket.socket(fileno=fds[0]).send(b'{{"pid": %d}}' % pid)
"""
BROKEN_SERVERS = {
    "ends": "",
    "says why": "control.send(b'UnfitError: no')",
    "hangs": "time.sleep(60)",
    "says nonsense": "control.send(b'ready 2'); fds = socket.recv_fds(control, 1, 8)[1]\n"
    "socket.socket(fileno=fds[0]).send(b'{}')",
    "ends at a request": "control.send(b'ready 2'); control.recv(1)",
    "forks and ends": "control.send(b'ready 2'); socket.recv_fds(control, 1, 8); os.fork()",
    "ends after a fork": TOLD,
    "means another one": f"{TOLD}\ncontrol.send(b'1'); time.sleep(60)",
    "hangs after a fork": f"{TOLD}\ntime.sleep(60)",
    "what it forked hangs": f"{FORKED}\ncontrol.send(str(pid).encode()); time.sleep(60)",
    "what it forked ends": f"{FORKED}\nos.kill(pid, 9); control.send(str(pid).encode())\n"
    "os.closerange(fds[0], fds[-1] + 1); time.sleep(60)",
}


@pytest.mark.parametrize(("answer", "pause"), [(b"UnfitError: no", 3600), (b"ImportError: no", 60)])
def test_where_it_does_not_fit_it_is_seldom_tried(answer, pause, tmp_path, monkeypatch):
    server = tmp_path / "server.py"
    server.write_text(f"import os; os.write(int(os.sys.argv[1]), {answer!r})")
    monkeypatch.setattr(control, "SERVER", server)
    monkeypatch.setattr(control, "START_TIMEOUT", 100)
    now = 1000.0
    monkeypatch.setattr(launcher, "time", SimpleNamespace(monotonic=lambda: now))
    warm = WarmLauncher()
    warm.start(sys.executable, tmp_path, Environment(dict(os.environ)))
    now += pause - 1
    assert not warm.needs_start
    now += 2
    assert warm.needs_start


@pytest.mark.parametrize("code", BROKEN_SERVERS.values(), ids=BROKEN_SERVERS)
def test_whatever_a_fork_server_does_one_agent_runs(code, launches, tmp_path, monkeypatch):
    server = tmp_path / "server.py"
    start = "import os, socket, sys, time\ncontrol = socket.socket(fileno=int(sys.argv[1]))\n"
    server.write_text(start + code)
    monkeypatch.setattr(control, "SERVER", server)
    monkeypatch.setattr(control, "FORK_TIMEOUT", 1)
    monkeypatch.setattr(control, "START_TIMEOUT", 1)
    monkeypatch.setattr(launches, "warm", WarmLauncher())
    before = {child.pid for child in children()}
    try:
        agent = launches.launch("j", "--wait", "--say", "begun")
        assert not is_forked(agent.pid)
        wait_for(lambda: "begun" in launches.output("j"), what="the agent")
        assert {child.pid for child in children()} - before - {launches.warm.pid} == {agent.pid}
    finally:
        launches.warm.close()
        signal.pidfd_send_signal(launches.spawned[-1].pidfd, signal.SIGKILL)
        exit_of(launches.spawned[-1])


def test_a_file_that_changed_on_disk_is_imported_anew(launches, tmp_path, monkeypatch):
    """Here the one that Python imports at its start; no different for any other."""
    module = tmp_path / "sitecustomize.py"
    monkeypatch.setenv("PYTHONPATH", os.fspath(tmp_path))
    monkeypatch.setattr(launches, "warm", WarmLauncher())

    def seen_version(text: str) -> bool:
        module.write_text(f"import sys\nsys.probe_version = {text!r}  # {'x' * len(text)}\n")
        then = time.time() - 100
        os.utime(module, (then, then + len(text)))
        return f"{text!r}" in launches.probe("k")["sys/probe_version"]

    try:
        assert seen_version("one")
        server = launches.warm.pid
        assert seen_version("second")
        assert launches.warm.pid != server
        server = launches.warm.pid
        (tmp_path / "agent.log").touch()  # what agents write there is nothing to import
        assert is_forked(launches.launch("k", "--wait").pid)
        assert launches.warm.pid == server
    finally:
        launches.warm.close()


def test_it_is_preferred_as_the_manager_is_and_agents_are_not(
    privileged, launches, tmp_path, monkeypatch
):
    monkeypatch.setattr(control, "manager_nice", lambda: -7)
    monkeypatch.setattr(launches, "warm", WarmLauncher())

    def precedence(pid: int) -> list[int]:
        group = Path(f"/proc/{pid}/autogroup")
        of_session = int(group.read_text().split()[-1]) if group.exists() else None
        return [os.getpriority(os.PRIO_PROCESS, pid), of_session]

    try:
        agent = launches.launch("m", "--wait")
        server = launches.warm.pid
        expected = -7 if Path("/proc/self/autogroup").exists() else None
        assert precedence(server) == [-7, expected]
        usual = os.getpriority(os.PRIO_PROCESS, 0)
        assert precedence(agent.pid) == [usual, None if expected is None else 0]
    finally:
        launches.warm.close()


class Unkillable(subprocess.Popen):
    """A fork server that waits for a disk for ever: no signal ends it."""

    def __init__(self, argv: tuple[str, ...], **options: Any) -> None:
        super().__init__((sys.executable, "-c", "import time; time.sleep(1000)"), **options)

    def kill(self) -> None:
        """It is not ended."""


def test_a_fork_server_that_cannot_be_killed_holds_no_launch_up(tmp_path, monkeypatch, caplog):
    for name in ("START_TIMEOUT", "KILL_TIMEOUT"):
        monkeypatch.setattr(control, name, 0.2)
    monkeypatch.setattr(launcher, "KILL_TIMEOUT", 0.2)
    monkeypatch.setattr(control.subprocess, "Popen", Unkillable)
    warm = WarmLauncher()
    before = children()
    result: list[object] = ["it waits"]
    threading.Thread(
        target=lambda: result.__setitem__(0, fork(warm, tmp_path)),
        daemon=True,
    ).start()
    try:
        wait_for(lambda: result == [None], 20, "a cold launch")
        assert "its imports take more than" in caplog.text
        warm.close()
    finally:
        for process in children():
            if process not in before:
                process.kill()
                process.wait(20)
