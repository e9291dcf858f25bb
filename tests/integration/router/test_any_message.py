"""Whatever comes from the router, the manager answers or leaves out, and its loop goes on turning.

What a message costs is measured as the CPU time of the manager's main thread, where the loop
runs: a turn takes no more than that, however busy the machine is.
"""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from hostmanager.agent.framework.connection import MAX_FRAME_BYTES
from hostmanager.agent.framework.message_limits import MAX_MESSAGE_BYTES
from hostmanager.agent.framework.start_queue import MAX_WAITING_CALLS
from hostmanager.agent.operator_messages import MAX_TEXT_CHARS
from hostmanager.core.requests import MAX_REQUESTS
from tests.integration.router.steps import wait_ready
from tests.support.clients import client
from tests.support.managers import Manager
from tests.support.processes import kill_all, processes
from tests.support.seeds import chosen_seed
from tests.support.sites import Site, instance

MOST = 2.0
"""Seconds of CPU time that a message may cost the loop here. On an idle machine it is to be less
than half a second; a busy one shares its caches, and its processors between two threads each."""

TICK = os.sysconf("SC_CLK_TCK")


def loop_time(pid: int) -> float:
    """CPU seconds of the main thread so far."""
    fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@pytest.fixture(scope="module")
def manager(router, tmp_path_factory) -> Iterator[Manager]:
    """One for all tests in here: none of them changes anything, which each of them looks at."""
    site = Site(tmp_path_factory.mktemp("messages") / "site", router)
    site.write(instance("a"), instance("b"))
    made = Manager(site, ("--stop-timeout", "1")).wait_ready()
    wait_ready(site, "a", "b")
    yield made
    assert made.stop() == 0
    left = processes(site)
    kill_all(site)
    assert not left, f"processes were left running: {left}"


@pytest.fixture
def site(manager) -> Site:
    return manager.site


def unanswered(text: str) -> bool:
    """Whether the router, not the manager, leaves this without an answer.

    What it cannot pass on, and what the manager has cut the connection over.
    """
    return "\\ud800" in text or len(text) > MAX_FRAME_BYTES


@pytest.fixture
def post(site, manager):
    """Call with any arguments; gives the answer's arguments, or the error that the router gives."""

    def call(*args: Any, data: str | None = None, end: str = ".ops", **kwargs: Any) -> Any:
        body = {
            "procedure": f"{site.address_root}.{site.manager_id}{end}",
            "args": list(args),
            "kwargs": kwargs,
        }
        text = data if data is not None else json.dumps(body)
        before = loop_time(manager.pid)
        try:
            reply = requests.post(
                site.router.http,
                data=text.encode(),
                headers={"Content-Type": "application/json"},
                timeout=1 if unanswered(text) else 120,
            )
        except requests.exceptions.ReadTimeout:
            assert unanswered(text), text[:200]
            return {}
        used = loop_time(manager.pid) - before
        call.longest = max(call.longest, used)
        assert used < MOST, f"{used:.2f} s for {text[:200]}"
        try:
            found = reply.json()
        except ValueError:
            return reply.text
        return found["args"][0] if "args" in found else found

    call.longest = 0.0
    return call


def still_well(site, post) -> None:
    """It is the same manager, it answers, and nothing was changed."""
    answer = post("status", "manager", {})
    assert answer[2]["status"] == "running"
    states = {c["instance_id"]: c["target_state"] for c in answer[2]["data"]["child_states"]}
    assert states == {"a": "up", "b": "up"}


def said(answer: Any) -> str:
    return " | ".join(text for _, text in answer[2]["messages"])


def test_a_million_requests_are_refused_in_words(site, post):
    answer = post("start", "update", {"requests": [["a", "down"]] * 1_000_000})
    assert answer[0] == -1
    assert "bytes" in answer[1]
    assert f"at most {MAX_MESSAGE_BYTES:,} are taken" in answer[1]
    still_well(site, post)


def test_more_requests_than_the_bound_are_refused_in_words(site, post):
    post("start", "update", {"requests": [["a", "down"]] * (MAX_REQUESTS + 1)})
    answer = post("wait", "update", {}, 60)
    assert answer[2]["success"] is False
    assert f"the limit is {MAX_REQUESTS:,}" in said(answer)
    still_well(site, post)


def test_as_many_as_the_bound_are_carried_out_and_the_last_word_counts(site, post):
    pairs = [["a", "down"], ["b", "up"]] * (MAX_REQUESTS // 2 - 1)
    post("start", "update", {"requests": [*pairs, ["a", "up"]]})
    answer = post("wait", "update", {}, 60)
    assert answer[2]["success"] is True
    assert "b up. a up." in said(answer)
    still_well(site, post)
    hm = client(site)
    assert [c["restarts"] for c in hm.manager.status().session["data"]["child_states"]] == [0, 0]


def nested(depth: int, inner: Any = 1) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


BIG = MAX_MESSAGE_BYTES - 1000

ODD: dict[str, Any] = {
    "a long string": "x" * BIG,
    "many lists": [[]] * (BIG // 2),
    "many numbers": [1] * (BIG // 2),
    "many pairs": [["a", "up"]] * (BIG // 8),
    "deep": nested(400),
    "wide and deep": [nested(100)] * (BIG // 201),
    "many keys": {f"k{number}": number for number in range(BIG // 15)},
    "a lone surrogate": "\ud800",
    "zero bytes": "\0" * 1000,
    "large numbers": [2**63, -(2**63), 1e308, -0.0],
    "nothing": None,
    "true": True,
}


@pytest.mark.parametrize("name", ODD)
def test_no_argument_holds_up_the_loop(site, post, name):
    value = ODD[name]
    calls: list[tuple[Any, ...]] = [
        (value,),
        ("start", value, {}),
        ("start", "update", value),
        ("start", "update", {"requests": value}),
        ("start", "update", {"requests": [[value, "up"]]}),
        ("start", "update", {"requests": [["a", value]]}),
        ("start", "update", {"reload_config": value}),
        ("start", "manager", {"requests": value}),
        ("start", "history", {"instance_id": value}),
        ("start", "history", {"limit": value, "since": value}),
        ("start", "output", {"instance_id": value, "lines": value}),
        ("start", "nothing", {"x": value}),
        ("status", "manager", value),
        ("wait", "update", value, value),
        ("wait", "update", {}, 0, value),
        ("status", "update", {}, None, value),
        (value, value, value, value, value, value, value),
    ]
    for args in calls:
        if len(args) == 3 and args[1:] == ("update", None):
            continue
        answer = post(*args)
        if isinstance(answer, list):
            assert len(str(answer[1])) <= MAX_TEXT_CHARS
    post(value, end="")
    post(x=value)
    still_well(site, post)


def test_what_is_too_large_is_refused_whatever_it_is(site, post):
    large = "x" * (MAX_MESSAGE_BYTES + 1)
    for args in (("status", "manager", large), ("start", "update", {"requests": large}), (large,)):
        answer = post(*args)
        assert answer[0] == -1, answer
        assert "at most" in answer[1]
    still_well(site, post)


def test_what_is_larger_than_a_frame_costs_the_connection_at_most(site, manager, post):
    post("start", "update", {"requests": "x" * (17 * 1024 * 1024)})
    client(site, timeout=60.0)
    still_well(site, post)
    assert manager.running()


def test_random_calls_change_nothing_and_hold_up_nothing(site, manager, post):
    chance = random.Random(chosen_seed(20))
    actions = ["start", "status", "wait", "abort", "history", "output", "update"]
    actions += ["requests", "x", "", "é", "__class__", "a" * 300]

    def value(depth: int = 0) -> Any:
        kind = chance.randrange(8 if depth < 4 else 5)
        if kind < 2:
            return chance.choice(actions)
        if kind < 5:
            return chance.choice([None, True, 0, -1, 1e300, 2**60, "up", 1.5])
        if kind < 7:
            return [value(depth + 1) for _ in range(chance.randrange(5))]
        return {chance.choice(actions): value(depth + 1) for _ in range(chance.randrange(5))}

    for _ in range(200):
        args = [value() for _ in range(chance.randrange(7))]
        if args[:2] == ["start", "update"] or args[:2] == ["start", "manager"]:
            continue
        post(*args, end=chance.choice(["", ".ops"]))
    still_well(site, post)
    assert "Traceback" not in manager.output()
    print(f"the costliest took the loop {post.longest:.3f} s")


def test_calls_that_wait_for_their_turn_are_bounded(site, post, manager):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(MAX_WAITING_CALLS // 2) as pool:
        calls = [pool.submit(post, "start", "history", {}) for _ in range(MAX_WAITING_CALLS * 2)]
        answers = [call.result() for call in calls]
    assert all(answer[0] in (0, -1) for answer in answers)
    still_well(site, post)
