"""The setting `after` with OCS's own agents and a real router."""

import pytest

from tests.integration.router.cli_site import make_cli_site
from tests.integration.router.steps import parse_status, wait_child
from tests.integration.router.test_health import TIMEOUT, fake_data, make
from tests.support.clients import client
from tests.support.sites import instance
from tests.support.waiting import wait_for

__all__ = ["make"]

cli_site = pytest.fixture(make_cli_site)


def after(entry: dict, *others: str) -> dict:
    return entry | {"host-manager": {"after": list(others)}}


def test_an_agent_starts_once_another_has_registered(make):
    site, _ = make(after(fake_data("pump"), "registry"), fake_data("registry"))
    hm = client(site, timeout=TIMEOUT)
    pump = wait_child(hm, "pump", TIMEOUT, health="ok")
    registry = wait_child(hm, "registry", TIMEOUT, health="ok")
    assert pump["started_at"] >= registry["ready_at"]
    assert pump["settings"] == {"after": ["registry"]}


def test_who_waits_says_for_whom_and_an_unknown_id_is_named(make):
    never = instance("never")  # a program that does not register
    site, manager = make(after(fake_data("pump"), "never"), after(never, "nobody"))
    hm = client(site, timeout=TIMEOUT)
    shown = wait_child(hm, "pump", TIMEOUT, next_action="start")
    assert shown["message"] == "waiting for never to be ready"
    assert shown["pid"] is None
    assert "names 'nobody', which no host of this site has" in str(parse_status(hm))
    wait_child(hm, "pump", TIMEOUT, health="ok")
    assert "pump: is started although never is not known to be ready" in manager.output()


def test_one_of_another_host_is_waited_for_named_and_ends_after_those_behind_it(cli_site):
    cli_site.site.follows_health = True
    cli_site.write(
        near=[after(fake_data("gui"), "pump"), after(fake_data("pump"), "registry")],
        far=[fake_data("registry")],
    )
    cli_site.start("near")
    wait_for(lambda: cli_site.status()["gui"]["state"] == "start", TIMEOUT, "gui to wait")
    reasons = {name: each["reasons"] for name, each in cli_site.status().items()}
    assert reasons["pump"][0] == "waiting for registry (host far) to be ready"
    assert reasons["gui"][0] == "waiting for pump to be ready"
    assert "gui waits for it" in reasons["pump"]
    cli_site.start("far")
    done = cli_site.run("up", "gui", "pump", "registry", "--timeout", "100")
    assert done.code == 0, done.err
    blame = cli_site.run("blame", "--chain", "gui", "--json").json
    [links] = blame["chains"]
    assert [link["instance_id"] for link in links] == ["gui", "pump", "registry"]
    assert links[1]["launched_at"] >= links[2]["launched_at"]
    assert all(link["took"] > 0 for link in links)
    shown = cli_site.run("blame", "--chain").out
    assert "└─registry (host far, first launch " in shown
    assert cli_site.run("down", "--all", "--host", "near", "--yes").code == 0
    ends = {
        name: each["last_exit"]["time"] for name, each in cli_site.status("gui", "pump").items()
    }
    assert ends["gui"] <= ends["pump"]
