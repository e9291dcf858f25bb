"""A browser that is left open: the pattern of messages of ocs-web, over a websocket.

Such a client asks each agent for its API once, then for the status of every operation once a
second, and gets all messages each time. People click, and click again when nothing seems to
happen. Here the seconds are short, so that minutes of them fit into a test.
"""

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.processes import processes_of
from tests.support.sites import instance
from tests.support.wamp import page

ROUNDS = 60
PAUSE = 0.05  # seconds; a browser waits one
CLICKS = 5  # one after another, without waiting for an answer


def state_of(answers: list[Any], operations: list[str], instance_id: str) -> str:
    """How an agent is shown."""
    _, _, session = dict(zip(operations, answers, strict=True))["manager"]
    [state] = [c for c in session["data"]["child_states"] if c["instance_id"] == instance_id]
    return str(state["next_action"])


def refuse(constant: str) -> None:
    pytest.fail(f"{constant} is no JSON that a browser understands")


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.router
async def test_a_browser_that_is_left_open_and_clicks_again_and_again(site, start_manager):
    site.write(instance("steady"), instance("crash", "--behave", "crash"))
    manager = await asyncio.to_thread(start_manager, site)
    async with page(site) as browser:
        call = partial(browser.call, site.manager_id)
        api = await call("get_api")
        operations = [name for kind in ("tasks", "processes") for name, *_ in api[kind]]
        assert {"manager", "update", "die", "remove_orphans", "docker_pull"} <= set(operations)
        first = resident(manager.pid)
        most = 0
        for number in range(ROUNDS):
            answers = await asyncio.gather(*(call("status", name, []) for name in operations))
            text = json.dumps(answers)
            json.loads(text, parse_constant=refuse)
            most = max(most, len(text))
            if number % 10 == 5:
                target = ("down", "up")[number // 10 % 2]
                clicks = [("start", "update", {"requests": [["steady", target]]})] * CLICKS
                replies = await asyncio.gather(*(call(*click) for click in clicks))
                assert [status for status, *_ in replies] == [0] * CLICKS, replies
            await asyncio.sleep(PAUSE)
        async with asyncio.timeout(20):  # what was clicked last, on a busy machine
            while state_of(answers, operations, "steady") != "up":
                await asyncio.sleep(PAUSE)
                answers = await asyncio.gather(*(call("status", name, []) for name in operations))
        shown = dict(zip(operations, answers, strict=True))["manager"][2]

    assert shown["status"] == "running"
    states = {child["instance_id"]: child for child in shown["data"]["child_states"]}
    assert states["steady"]["next_action"] == "up"
    # What is shown is what is there, and there is one of it.
    assert processes_of(site)["steady"] == [states["steady"]["pid"]]
    # Each click is a line that a person may want to read; no other message was made by
    # being looked at, and the buffer that the browser gets each second stays bearable.
    replies = [text for _, text in shown["messages"] if text.startswith("Request: steady")]
    assert len(replies) == ROUNDS // 10 * CLICKS
    assert most < 200_000
    assert resident(manager.pid) - first < 8_000_000
    assert "Traceback" not in manager.output()
