"""`up` and `restart` wait until agents work; with OCS's own agents, and one that never registers."""

import pytest

from tests.integration.router.cli_site import make_cli_site
from tests.support.sites import instance

cli_site = pytest.fixture(make_cli_site)


def fake_data(instance_id: str, **keys: object) -> dict:
    """An agent of OCS's own, which is down at first."""
    arguments = ("--mode", "idle", "--sample-rate", "1")
    keys = {"manage": "host/down", **keys}
    return instance(instance_id, *arguments, agent_class="FakeDataAgent", **keys)


def test_up_waits_for_the_registration_and_says_when_it_does_not_come(cli_site):
    cli_site.site.follows_health = True
    never = {"host-manager": {"ready-timeout": 8}, "manage": "host/down"}
    cli_site.write(daq1=[fake_data("fake1"), instance("tiny1", **never)])
    cli_site.start("daq1")

    result = cli_site.run("up", "fake1")
    assert result.code == 0, result.out + result.err
    status = cli_site.run("status", "fake1", "--json").json
    assert status["hosts"][0]["agents"][0]["health"] == "ok"

    result = cli_site.run("up", "tiny1")
    assert result.code == 1
    assert "has not registered with the router within 8 s" in result.out + result.err

    cli_site.run("down", "tiny1")
    result = cli_site.run("up", "tiny1", "--no-wait-ready")
    assert result.code == 0, result.out + result.err


def test_a_restart_waits_for_the_new_run_to_be_ready(cli_site):
    cli_site.site.follows_health = True
    cli_site.write(daq1=[fake_data("fake1", manage="host/up")])
    cli_site.start("daq1")
    assert cli_site.run("up", "fake1").code == 0
    before = cli_site.status()["fake1"]
    assert cli_site.run("restart", "fake1").code == 0
    after = cli_site.status()["fake1"]
    assert after["pid"] != before["pid"]
    assert after["ready_at"] > after["started_at"]
