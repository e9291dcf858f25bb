"""What OCS's own agents do when the router goes, and what the manager says and writes of it."""

import pytest

from hostmanager.testing.crossbar_router import CrossbarRouter
from tests.integration.conftest import SHORT
from tests.integration.router.steps import wait_child
from tests.support.clients import children, client
from tests.support.managers import Manager
from tests.support.processes import kill_all
from tests.support.sites import Site, instance
from tests.support.waiting import wait_for

PATIENCE = 120.0


def fake_data(instance_id: str) -> dict:
    """An agent of OCS's own."""
    arguments = ("--mode", "idle", "--sample-rate", "1")
    return instance(instance_id, *arguments, agent_class="FakeDataAgent")


@pytest.fixture
def make(tmp_path, no_router_is_left):
    made = []

    def begin(timeout: int) -> tuple[Site, Manager]:
        router = CrossbarRouter(tmp_path / "router")
        router.start()
        site = Site(tmp_path / "site", router)
        site.write(fake_data("fake1"), crossbar_timeout=timeout)
        manager = Manager(site, SHORT)
        made.append((site, manager))
        manager.wait_ready(PATIENCE)
        wait_child(client(site), "fake1", PATIENCE, next_action="up")
        wait_for(lambda: client(site, "fake1"), PATIENCE, "the agent to register")
        return site, manager

    yield begin
    for site, manager in made:
        manager.stop()
        kill_all(site)
        site.router.stop()


def history(site: Site) -> list[dict]:
    hm = client(site, timeout=PATIENCE)
    hm.history.start(limit=1000)
    return hm.history.wait(timeout=60).session["data"]["entries"]


def test_an_agent_of_ocs_ends_by_its_own_timeout_and_that_is_reported(make):
    site, manager = make(timeout=2)
    site.router.kill()
    wait_for(lambda: "fake1: exited with code 0" in manager.output(), PATIENCE, "its end")
    assert "(by its own crossbar_timeout: the router is away)" in manager.output()
    site.router.start()
    entries = history(site)
    reported = [entry["text"] for entry in entries if entry["kind"] == "router"]
    assert reported[0].startswith("the router went")
    assert reported[1].startswith("the router came back after ")
    assert len(reported) == 2
    exits = [entry["text"] for entry in entries if entry["kind"] == "exit"]
    assert "exited with code 0 (by its own crossbar_timeout: the router is away)" in exits[0]


def test_with_a_timeout_of_zero_it_goes_on(make):
    site, manager = make(timeout=0)
    before = children(client(site))["fake1"]["pid"]
    site.router.kill()
    wait_for(lambda: "the router is gone" in manager.output(), PATIENCE, "its absence")
    site.router.start()
    wait_for(lambda: client(site, "fake1"), PATIENCE, "the agent to register again")
    child = children(client(site, timeout=PATIENCE))["fake1"]
    assert (child["pid"], child["restarts"]) == (before, 0)
