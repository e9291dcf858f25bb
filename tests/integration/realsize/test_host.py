"""A host of real size is run as it is documented: what people see of it is true and soon there.

Slow: each run takes a minute or two, and the first one installs socs (see `environment`).
"""

import re

import pytest

from tests.integration.realsize import hosts

SETTLE, WINDOW = 150.0, 60.0
"""Seconds: the agents of this host have all been started once by then on a busy machine, too."""


@pytest.fixture(scope="module")
def warm() -> dict:
    """What was seen of a host over some minutes."""
    seen = hosts.run("ours", "--settle", str(SETTLE), "--window", str(WINDOW))
    print({key: seen[key] for key in ("answers", "failed_share", "manager_share", "latency")})
    return seen


@pytest.fixture(scope="module")
def cold() -> dict:
    """What was seen of the first seconds of a host whose caches were cold."""
    return hosts.run("ours", "--cold", "--settle", "30")


def children(seen: dict) -> dict[str, dict]:
    return {child["instance_id"]: child for child in seen["children"]}


@pytest.mark.parametrize("start", ["warm", "cold"])
def test_the_manager_answers_and_shows_every_instance(start, request):
    seen = request.getfixturevalue(start)
    assert seen["answers"] is not None, seen["log"]
    assert len(children(seen)) == 55
    assert children(seen)["ds378"]["next_action"] == "?"  # a mistake in its documentation


@pytest.mark.parametrize("start", ["warm", "cold"])
def test_no_launch_is_called_slow_that_is_not(start, request):
    seen = request.getfixturevalue(start)
    assert "has not been completed" not in seen["log"]
    assert not [c for c in seen["children"] if "disk hanging" in c["message"]]


def test_agents_that_fail_wait_longer_and_say_why_and_when(warm):
    waiting = [c for c in warm["children"] if c["next_action"] == "start_at"]
    assert len(waiting) > 10
    for child in waiting:
        assert child["next_attempt_at"] is not None
        assert child["last_exit"]["output"], child
    reasons = [c for c in waiting if "of this host's CPU" in c["message"]]
    assert len(reasons) > len(waiting) / 2
    assert re.search(r"It and \d+ other failing agents together may use 8 %", reasons[0]["message"])


def test_agents_that_fail_use_a_tenth_of_the_cpu_and_no_more(warm):
    """CPU time, not time: what others do on this machine hardly matters. Some are just due."""
    assert warm["failed_share"] <= 0.15


def test_healthy_agents_run_beside_them(warm):
    up = [c for c in warm["children"] if c["next_action"] == "up"]
    assert len(up) > 15
