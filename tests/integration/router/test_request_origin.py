"""Who requested something, and why: taken by operations, kept, shown; the level is OCS's word."""

import time

import pytest

from tests.integration.router.steps import (
    messages,
    outcome,
    targets,
    wait_child,
    wait_ready,
    wait_states,
)
from tests.support.clients import children, client
from tests.support.sites import instance

WHO = {"requested_by": "ann@control", "reason": "pump exchange"}


def origin(hm, name: str) -> dict[str, object]:
    child = children(hm)[name]
    keys = ("target_source", "target_by", "target_level", "target_reason")
    return {key: child[key] for key in keys}


def requests_of(hm, instance_id: str | None = None) -> list[dict]:
    entries = hm.history(instance_id=instance_id).session["data"]["entries"]
    return [entry for entry in entries if entry["kind"] == "request"]


def test_who_stopped_an_agent_and_why_is_shown_and_kept_over_a_crash(site, start_manager):
    before = time.time()
    site.write(instance("a"), instance("b"))
    manager = start_manager(site)
    hm = client(site)
    wait_ready(site, "a", "b")
    assert hm.manager.status().session["data"]["request_params"] == ["reason", "requested_by"]
    assert outcome(hm.update(requests=[("a", "down")], **WHO))[0]
    wait_states(hm, a="down")
    stopped = {
        "target_source": "request",
        "target_by": "ann@control",
        "target_level": 1,
        "target_reason": "pump exchange",
    }
    nobody = {"target_source": "config"} | dict.fromkeys(list(stopped)[1:])
    assert (origin(hm, "a"), origin(hm, "b")) == (stopped, nobody)
    assert before <= children(hm)["a"]["target_since"] <= time.time()
    assert "Request by ann@control: a down. Reason: pump exchange" in messages(hm)
    (entry,) = requests_of(hm, "a")
    assert entry["text"] == "update: a down (ann@control, level 1): pump exchange"
    assert entry["data"].items() >= {**WHO, "level": 1}.items()

    since = children(hm)["a"]["target_since"]
    manager.kill()
    start_manager(site)
    hm = client(site)
    wait_child(hm, "a", next_action="down", target_reason="pump exchange", target_since=since)
    assert origin(hm, "a") == stopped


@pytest.mark.parametrize("name", ["restart", "docker_pull", "remove_orphans", "update"])
def test_every_operation_that_changes_something_takes_both(site, begin, name):
    hm = begin(instance("a"))
    wait_ready(site, "a")
    params = {"restart": {"instances": ["a"]}, "update": {"reload_config": True}}.get(name, {})
    getattr(hm, name)(**params, **WHO)
    assert "(ann@control, level 1): pump exchange" in requests_of(hm)[-1]["text"]


@pytest.mark.parametrize(
    "params",
    [{"reason": "x" * 201}, {"reason": "a\nb"}, {"requested_by": 7}, {"requested_by": "\x1b[2J"}],
)
def test_what_is_no_short_text_is_refused_and_changes_nothing(site, begin, params):
    hm = begin(instance("a"))
    wait_ready(site, "a")
    ok, message = outcome(hm.update(requests=[("a", "down")], **params))
    assert (ok, "Nothing was changed." in message, targets(hm)) == (False, True, {"a": "up"})
    assert not outcome(hm.die(**params))[0]
    assert children(hm)["a"]["next_action"] == "up"
