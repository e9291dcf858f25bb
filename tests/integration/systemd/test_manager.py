"""The manager under systemd, as far as it goes without one: its socket and its watchdog."""

import os
import signal
import time
from pathlib import Path

import pytest
from tests.integration.router.steps import Program, send, wait_gone, wait_ready
from tests.support.clients import client
from tests.support.managers import OURS, command
from tests.support.processes import processes
from tests.support.service import NotifySocket
from tests.support.sites import instance
from tests.support.waiting import wait_for

from hostmanager.testing.crossbar_router import CrossbarRouter

WATCHDOG = 2.0


def is_suspended(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.fixture
def systemd(tmp_path):
    with NotifySocket(tmp_path / "notify") as end:
        yield end


@pytest.fixture
def start(start_program, systemd):
    """Start the manager as systemd would."""

    def go(site, *options: str, watchdog: float | None = None) -> Program:
        environment = {"NOTIFY_SOCKET": systemd.address}
        if watchdog is not None:
            # No WATCHDOG_PID: it would have to be known before the fork.
            environment["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        return start_program(site, command(OURS, site, options), environment)

    return go


def wait_status(systemd, text: str) -> None:
    wait_for(lambda: systemd.status == text, 20, text, lambda: systemd.messages)


def test_it_tells_when_it_is_ready_how_it_is_and_that_it_stops(site, start, systemd):
    site.write(instance("a"), instance("b"), instance("c", manage="host/down"))
    manager = start(site)
    wait_status(systemd, "2 of 3 up, 1 down; router connected")
    assert systemd.messages[0] == "READY=1"
    client(site).update(requests=[("b", "down")])
    wait_status(systemd, "1 of 3 up, 2 down; router connected")
    assert manager.stop() == 0
    assert systemd.times("READY=1") == 1
    assert systemd.times("STOPPING=1") == 1
    assert systemd.status.startswith("stopping; ")
    assert systemd.times("WATCHDOG=1") == 0


def test_it_is_ready_without_a_router(make_site, start, systemd, tmp_path):
    site = make_site(CrossbarRouter(tmp_path / "no-router"))  # never started
    site.write(instance("a"))
    start(site)
    wait_status(systemd, "1 of 1 up; no router")
    assert systemd.times("READY=1") == 1


def test_sighup_is_reported_as_a_reload(site, start, systemd):
    site.write(instance("a"))
    manager = start(site)
    wait_status(systemd, "1 of 1 up; router connected")
    site.write(instance("a"), instance("b"))
    before = time.monotonic()
    send(manager.pid, signal.SIGHUP)
    wait_for(lambda: systemd.times("READY=1") == 2, 20, "the end of the reload")
    (reload,) = [m for m in systemd.messages if m.startswith("RELOADING=1")]
    assert int(reload.partition("MONOTONIC_USEC=")[2]) >= int(before * 1e6)
    wait_status(systemd, "2 of 2 up; router connected")


def test_a_reload_that_fails_ends_too(site, start, systemd):
    site.write(instance("a"))
    manager = start(site)
    wait_status(systemd, "1 of 1 up; router connected")
    site.write_text("hosts: [")
    send(manager.pid, signal.SIGHUP)
    wait_for(lambda: systemd.times("READY=1") == 2, 20, "the end of the reload")
    assert systemd.status == "1 of 1 up; router connected"


def test_its_watchdog_is_fed_and_a_manager_that_hangs_feeds_it_no_more(site, start, systemd):
    site.write(instance("a"))
    manager = start(site, watchdog=WATCHDOG)
    pid = wait_ready(site, "a")["a"]
    wait_for(lambda: systemd.times("WATCHDOG=1") >= 3, 20, "the watchdog to be fed")
    os.kill(manager.pid, signal.SIGSTOP)
    wait_for(lambda: is_suspended(manager.pid), 20, "the manager to be suspended")
    count = systemd.times("WATCHDOG=1")
    # What systemd does then; its agents go on, and the next manager takes them over.
    os.kill(manager.pid, signal.SIGABRT)
    os.kill(manager.pid, signal.SIGCONT)
    manager.process.wait(60)
    assert systemd.times("WATCHDOG=1") == count
    assert "Fatal Python error: Aborted" in manager.output()
    start(site)
    wait_for(lambda: systemd.times("READY=1") == 2, 20, "the next manager")
    wait_for(lambda: client(site).manager.status().session["status"] == "running", 20, "it to run")
    assert wait_ready(site, "a")["a"] == pid
    assert len(site.launches("a")) == 1


def test_nobody_else_can_speak_for_it(site, start, systemd):
    site.write(instance("a"))
    start(site, watchdog=60)
    wait_ready(site, "a")
    wait_status(systemd, "1 of 1 up; router connected")
    others = [process for process in processes(site) if process.kind != "manager"]
    assert {process.kind for process in others} >= {"agent", "log daemon"}
    for process in others:
        environ = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert b"NOTIFY_SOCKET" not in environ, process
        assert b"WATCHDOG" not in environ, process


def test_die_that_leaves_agents_is_a_stop_of_the_manager(site, start, systemd):
    site.write(instance("a"))
    manager = start(site)
    pid = wait_ready(site, "a")["a"]
    client(site).die(disown=True)
    assert manager.process.wait(60) == 0
    assert systemd.times("STOPPING=1") == 1
    start(site)
    wait_for(lambda: systemd.times("READY=1") == 2, 20, "the next manager")
    assert wait_ready(site, "a")["a"] == pid
    client(site).die()
    wait_gone(site, "a")
