"""The setting `after` with OCS's own agents and a real router."""

from tests.integration.router.steps import parse_status, wait_child
from tests.integration.router.test_health import TIMEOUT, fake_data, make
from tests.support.clients import client
from tests.support.sites import instance

__all__ = ["make"]


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
