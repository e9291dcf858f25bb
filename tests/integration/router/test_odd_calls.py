"""Odd calls, to OCS's own framework and to our manager beside it: what it accepts, ours accepts.

Two agents at one router: the manager, and `plain_agent`, which is the framework with operations
of the same names and parameters. Each call is made to both, in the same state of both.
"""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ocs
import pytest
from autobahn.wamp.exception import ApplicationError

from tests.support.sites import instance
from tests.support.waiting import BUSY_MACHINE
from tests.support.wamp import Page, page

PLAIN = "plain"
PROGRAM = Path(__file__).parent / "plain_agent.py"
OPERATIONS = ("manager", "update", "remove_orphans", "no_such")
NOTHING: tuple[Any, ...] = ()  # no parameters at all
PARAMS: tuple[tuple[Any, ...], ...] = (
    NOTHING,
    (None,),
    ([],),
    ([1, "x"],),
    ({},),
    ({"strange": 1},),
    ({"requests": []},),
    ({"requests": None},),
    ("text",),
    ("",),
    (0,),
    (7.5,),
    (True,),
)
TIMEOUTS: tuple[Any, ...] = (None, -1, 0.01, "soon", [], {}, True)

pytestmark = pytest.mark.router


class Call(NamedTuple):
    """A call as a client makes it."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __str__(self) -> str:
        return f"{list(self.args)} {self.kwargs}"


def calls() -> Iterator[Call]:
    """Every odd call."""
    for operation in OPERATIONS:
        for params in PARAMS:
            for action in ("status", "stop", "abort", "start", "restart", 7, None, ["status"]):
                yield Call((action, operation, *params), {})
            # The process runs: nobody waits for its end here.
            yield Call(("wait", operation, *params), {"timeout": 0.01})
            if operation != "manager":
                yield Call(("wait", operation, *params), {})
        for timeout in TIMEOUTS:
            if operation != "manager" or timeout is not None:
                yield Call(("wait", operation, [], timeout), {})
            yield Call(("status", operation, [], timeout), {})
            yield Call(("start", operation, {}, timeout), {})
        for password in (None, "", "secret", 7, ["x"], {}):
            for action in ("status", "stop", "abort", "start"):
                yield Call((action, operation), {"password": password})
        yield Call(("status", operation, [], None, None, "more"), {})
        yield Call(("status", operation), {"more": 1})
        yield Call(("status", operation), {"op_name": operation})
        yield Call((), {"action": "status", "op_name": operation, "params": [1]})
    for strange in (None, 7, [], ["update"], {}, ""):
        for action in ("status", "wait", "stop", "abort", "start"):
            yield Call((action, strange), {})
    yield Call((), {"action": "status"})


async def outcome(browser: Page, instance_id: str, call: Call) -> str:
    """How it went: accepted, refused (an answer in OCS's form that says so), or failed."""
    address = f"{browser.root}.{instance_id}.ops"
    try:
        answer = await browser.procedure(address, *call.args, **call.kwargs)
    except ApplicationError as error:
        return f"failed: {error.error}"
    status, text, session = answer
    assert isinstance(text, str), answer
    assert isinstance(session, dict), answer
    return "accepted" if status in (ocs.OK, ocs.TIMEOUT) else "refused"


async def run_process(browser: Page, instance_id: str) -> None:
    """Have its process run, as before the first call."""
    async with asyncio.timeout(20 * BUSY_MACHINE):
        while True:
            _, _, session = await browser.call(instance_id, "status", "manager")
            if session.get("status") == "running":
                return
            if session.get("status") == "done":
                await browser.call(instance_id, "start", "manager")
            await asyncio.sleep(0.01)


async def end_task(browser: Page, instance_id: str, call: Call) -> None:
    """Let a task end that the call has started."""
    if call.args[:1] == ("start",) and call.args[1] in ("update", "remove_orphans"):
        await browser.call(instance_id, "wait", call.args[1])


async def registered(browser: Page, instance_id: str) -> None:
    """Return when the agent is there."""
    async with asyncio.timeout(20 * BUSY_MACHINE):
        while True:
            try:
                await browser.call(instance_id, "get_api")
            except ApplicationError as error:
                assert error.error == "wamp.error.no_such_procedure"
                await asyncio.sleep(0.05)
            else:
                return


async def test_what_the_framework_of_ocs_accepts_from_a_client_ours_accepts(
    site, start_manager, start_program
):
    site.write(instance(PLAIN, agent_class="PlainAgent", manage="ignore"))
    argv = [sys.executable, str(PROGRAM), "--instance-id", PLAIN, *site.args]
    await asyncio.to_thread(start_program, site, argv)
    await asyncio.to_thread(start_manager, site)
    accepted, worse, silent = [], [], []
    async with page(site) as browser:
        both = (PLAIN, site.manager_id)
        for instance_id in both:
            await registered(browser, instance_id)
        for call in calls():
            for instance_id in both:
                await run_process(browser, instance_id)
            theirs, ours = [await outcome(browser, instance_id, call) for instance_id in both]
            for instance_id in both:
                await end_task(browser, instance_id, call)
            accepted += [call] if theirs == "accepted" else []
            worse += [str(call)] if theirs == "accepted" != ours else []
            silent += [str(call)] if ours.startswith("failed") else []
    assert worse == []
    assert silent == [], "answered by a traceback, not in words"
    # The plain agent really was one that accepts what is odd.
    assert {call.args[0] for call in accepted if call.args and [1, "x"] in call.args} >= {
        "status",
        "wait",
        "stop",
    }
