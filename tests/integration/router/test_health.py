"""Whether agents work, as their manager hears it from OCS's own agents over a real router."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hostmanager.testing.crossbar_router import CrossbarRouter
from tests.integration.conftest import SHORT
from tests.integration.router.steps import wait_child
from tests.support.clients import children, client
from tests.support.managers import Manager
from tests.support.processes import kill_all
from tests.support.sites import Site, instance
from tests.support.waiting import wait_for

TIMEOUT = 120.0


def fake_data(instance_id: str, mode: str = "acq") -> dict:
    """An agent of OCS's own."""
    arguments = ("--mode", mode, "--sample-rate", "1")
    return instance(instance_id, *arguments, agent_class="FakeDataAgent")


@pytest.fixture
def make(tmp_path, no_router_is_left):
    made = []

    def begin(*instances: dict) -> tuple[Site, Manager]:
        router = CrossbarRouter(tmp_path / "router")
        router.start()
        site = Site(tmp_path / "site", router, follows_health=True)
        site.write(*instances, crossbar_timeout=0)
        manager = Manager(site, SHORT)
        made.append((site, manager))
        manager.wait_ready(TIMEOUT)
        return site, manager

    yield begin
    for site, manager in made:
        manager.stop()
        kill_all(site)
        site.router.stop()


def test_an_agent_is_ready_once_it_has_registered(make):
    site, _ = make(fake_data("fake1"))
    hm = client(site, timeout=TIMEOUT)
    shown = wait_child(hm, "fake1", TIMEOUT, next_action="up", health="ok")
    assert shown["started_at"] < shown["ready_at"]
    assert shown["operations"]["acq"] in ("running", "idle")
    assert shown["heartbeat_age"] >= 0.0
    assert shown["message"] == ""


def test_an_agent_that_hangs_is_named_and_heard_again(make):
    site, manager = make(fake_data("fake1"), fake_data("fake2"))
    hm = client(site, timeout=TIMEOUT)
    pid = wait_child(hm, "fake1", TIMEOUT, health="ok")["pid"]
    wait_child(hm, "fake2", TIMEOUT, health="ok")
    assert status(site)[0] == 0
    os.kill(pid, signal.SIGSTOP)
    try:
        shown = wait_child(hm, "fake1", TIMEOUT, health="no_heartbeat")
        assert shown["next_action"] == "up"
        assert "no heartbeat for 15 s" in shown["message"]
        assert children(hm)["fake2"]["health"] == "ok"
        code, text = status(site)
        assert (code, "1 wrong" in text) == (1, True)
        assert "no heartbeat for 15 s; it may hang" in text
        wait_for(lambda: children(hm)["fake2"]["resources"], TIMEOUT, "a sample")
        [row] = [
            line for line in status(site, "--wide")[1].splitlines() if line.startswith("fake2 ")
        ]
        assert "up    ok" in row
        assert row.count("MB") >= 2
    finally:
        os.kill(pid, signal.SIGCONT)
    shown = wait_child(hm, "fake1", TIMEOUT, health="ok")
    assert shown["pid"] == pid
    assert "fake1: runs, but has sent no heartbeat" in manager.output()
    assert "fake1: answers again" in manager.output()


def status(site: Site, *options: str) -> tuple[int, str]:
    """Run the command: its exit status and what it prints."""
    program = str(Path(sys.executable).with_name("hostmanager"))
    argv = [program, "status", *site.args[:2], *options]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_without_a_router_nothing_is_known_and_nothing_is_reported(make):
    site, manager = make(fake_data("fake1"))
    wait_child(client(site, timeout=TIMEOUT), "fake1", TIMEOUT, health="ok")
    site.router.kill()
    site.router.start()
    hm = client(site, timeout=TIMEOUT)
    assert wait_child(hm, "fake1", TIMEOUT, health="ok")["operations"]
    assert "heartbeat" not in manager.output()


def test_a_program_that_never_registers_is_not_called_ready(make):
    settings = {"ready-timeout": 5}
    site, _ = make(instance("tiny1", **{"host-manager": settings}))
    hm = client(site, timeout=TIMEOUT)
    shown = wait_child(hm, "tiny1", TIMEOUT, next_action="up")
    assert shown["health"] == "starting"
    assert shown["ready_at"] is None
    shown = wait_child(hm, "tiny1", TIMEOUT, health="unregistered")
    assert "has not registered with the router within 5 s" in shown["message"]


def test_a_new_manager_hears_the_agents_that_it_has_adopted(make):
    site, manager = make(fake_data("fake1"))
    pid = wait_child(client(site, timeout=TIMEOUT), "fake1", TIMEOUT, health="ok")["pid"]
    manager.kill()
    second = Manager(site, SHORT)
    try:
        second.wait_ready(TIMEOUT)
        shown = wait_child(client(site, timeout=TIMEOUT), "fake1", TIMEOUT, health="ok")
        assert (shown["pid"], shown["ready_at"]) == (pid, None)
        wait_for(lambda: "taken over as it is" in second.output(), TIMEOUT, "the adoption")
    finally:
        second.stop()


def test_an_agent_that_hangs_is_restarted_where_its_settings_say_so(make):
    settings = {"heartbeat": {"timeout": 5, "action": "restart"}}
    site, manager = make(fake_data("fake1") | {"host-manager": settings})
    hm = client(site, timeout=TIMEOUT)
    pid = wait_child(hm, "fake1", TIMEOUT, health="ok")["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: children(hm)["fake1"]["pid"] not in (pid, None), TIMEOUT, "another run")
    assert wait_child(hm, "fake1", TIMEOUT, health="ok")["ready_at"]
    assert "fake1: is restarted, as its settings say" in manager.output()
