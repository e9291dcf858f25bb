"""As process 1 of a container: strangers that end are waited for, and nobody's status is taken."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from tests.support import managers
from tests.support.clients import client
from tests.support.processes import kill_all, processes_of
from tests.support.sites import instance
from tests.support.users import needs_root
from tests.support.waiting import wait_for

UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
"""`--kill-child`: what is in there ends when the test's process does."""


def in_container(code: str, **options) -> "subprocess.Popen[bytes]":
    begin = "from hostmanager.agent.daemon.pid1 import leave_process_1; leave_process_1(); "
    return subprocess.Popen([*UNSHARE, sys.executable, "-c", begin + code], **options)


def init_of(process: "subprocess.Popen[bytes]") -> psutil.Process:
    """Process 1 in there, as seen from here."""
    processes = wait_for(lambda: psutil.Process(process.pid).children(), 20, "process 1")
    return processes[0]


@needs_root
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import sys; sys.exit(7)", 7),
        ("import os; os._exit(0)", 0),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL),
        ("import os; assert os.getpid() != 1 == os.getppid()", 0),
        ("import os; assert os.getsid(0) == os.getpid()", 0),
        (
            "import signal; assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()",
            0,
        ),
    ],
)
def test_it_exits_as_the_child_does(code, status):
    assert in_container(code).wait(60) == status


@needs_root
def test_the_end_of_the_child_is_noticed_where_sigchld_was_ignored():
    ignoring = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
    code = "from hostmanager.agent.daemon.pid1 import leave_process_1; leave_process_1(); exit(7)"
    ignoring += f"os.execv(sys.executable, [sys.executable, '-c', {code!r}])"
    process = subprocess.Popen([*UNSHARE, sys.executable, "-c", ignoring])
    try:
        assert process.wait(60) == 7
    finally:
        process.kill()
        process.wait()


@needs_root
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_signals_reach_the_child_once(name, tmp_path):
    code = (
        f"import signal, sys, pathlib; expected = [signal.{name}]\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, expected)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "signal.sigwait(expected)\n"
        "again = signal.sigtimedwait(expected, 0.2)\n"
        "sys.exit(41 if again is None else 42)"
    )
    process = in_container(code)
    wait_for((tmp_path / "ready").exists, 20, "the handler")
    init_of(process).send_signal(getattr(signal, name))
    assert process.wait(60) == 41


def test_another_process_than_1_does_not_fork():
    code = (
        "import os; from hostmanager.agent.daemon.pid1 import leave_process_1; before = os.getpid(); "
        "leave_process_1(); assert os.getpid() == before"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@needs_root
def test_a_manager_in_a_container_reaps_orphans_and_knows_how_its_agents_ended(site):
    site.write(instance("a"), instance("b", "--behave", "quiet"))
    site.may_leave_processes = True  # what is in there ends with process 1
    argv = managers.command(managers.OURS, site)
    log = (site.directory / "manager.log").open("wb")
    process = subprocess.Popen(
        [*UNSHARE, *argv], stdout=log, stderr=log, env={**os.environ, "HM_TEST_MARK": site.mark}
    )
    log.close()
    try:
        hm = client(site)

        def child(name):
            data = hm.manager.status().session["data"]
            (result,) = (c for c in data["child_states"] if c["instance_id"] == name)
            return result

        seen = (site.directory / "manager.log").read_text
        wait_for(lambda: child("a")["next_action"] == "up", 40, "the agent", seen)
        wait_for(lambda: child("b")["next_action"] == "up", 40, "the agent", seen)
        init = init_of(process)
        manager = next(p for p in init.children() if "hostmanager.agent" in p.cmdline())

        orphans = "for n in 1 2 3 4 5 6 7 8; do (sleep 0.$n; exit $n) & done"
        where = ["nsenter", "--target", str(init.pid), "--pid", "--mount"]
        for _ in range(5):
            subprocess.run([*where, "sh", "-c", orphans], check=True)
        (pid,) = processes_of(site)["a"]
        before = child("a")["restarts"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: child("a")["restarts"] > before, 40, "the relaunch", seen)
        assert child("a")["last_exit"]["signal"] == "SIGKILL"
        wait_for(lambda: child("a")["next_action"] == "up", 40, "the agent", seen)

        def sleepers_or_zombies():
            return [
                p for p in init.children() if p.name() == "sleep" or p.status() == "zombie"
            ] or [p for p in manager.children() if p.status() == "zombie"]

        wait_for(lambda: not sleepers_or_zombies(), 40, "strangers to be waited for")
        init.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert "All agents are down" in seen()
    finally:
        process.kill()
        process.wait()
        kill_all(site)
