"""ocs-web at our manager: every call that it was recorded to make, answered in the same shape.

The recording was made with the host manager of OCS; see `recording`.
"""

import asyncio
from typing import Any

import pytest
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import SubscribeOptions
from tests.integration.browser.recording import (
    MANAGER,
    ROOT,
    RecordedCall,
    heartbeat_shape,
    misfits,
    recorded_calls,
)
from tests.support.sites import Site, instance
from tests.support.waiting import BUSY_MACHINE
from tests.support.wamp import ANSWER_TIME, Page, page

ARRIVAL = 20.0 * BUSY_MACHINE
"""Seconds until an agent of OCS that was started has registered."""

pytestmark = pytest.mark.router


def here(site: Site, procedure: str) -> str:
    """The address of the recorded site, as it is in this one."""
    root, instance_id, *rest = procedure.split(".")
    assert root == ROOT
    name = site.manager_id if instance_id == MANAGER else instance_id
    return ".".join([site.address_root, name, *rest])


async def answer_of_agent(browser: Page, site: Site, call: RecordedCall) -> Any:
    """What an agent answers, once it is there and has begun: nothing of that is the manager's."""
    async with asyncio.timeout(ARRIVAL):
        while True:
            try:
                answer = await browser.procedure(here(site, call.procedure), *call.args)
            except ApplicationError as error:
                assert error.error == "wamp.error.no_such_procedure"
                answer = None
            if not misfits(answer, call.shape):
                return answer
            await asyncio.sleep(0.1)


async def shown_up(browser: Page, site: Site, instance_id: str) -> None:
    """Return when the panel shows the agent up."""
    async with asyncio.timeout(ARRIVAL):
        while True:
            _, _, session = await browser.call(site.manager_id, "status", "manager", [])
            children = session.get("data", {}).get("child_states", [])
            shown = {child["instance_id"]: child["next_action"] for child in children}
            if shown.get(instance_id) == "up":
                return
            await asyncio.sleep(0.1)


async def test_each_recorded_call_of_ocs_web_gets_an_answer_of_the_recorded_shape(
    site, start_manager
):
    site.write(
        instance("registry", agent_class="RegistryAgent"),
        instance("fake1", "--mode", "acq", agent_class="FakeDataAgent"),
        instance("fake2", agent_class="FakeDataAgent", manage="host/down"),
    )
    await asyncio.to_thread(start_manager, site)
    wrong: list[str] = []
    async with page(site) as browser:
        for call in recorded_calls():
            if call.procedure.split(".")[1] != MANAGER:
                await answer_of_agent(browser, site, call)
                continue
            answer = await browser.procedure(here(site, call.procedure), *call.args)
            wrong += [f"{call}: {text}" for text in misfits(answer, call.shape)]
            if call.args[0] == "wait":
                assert answer[2]["success"] is True, answer
    assert wrong == []


async def test_ocs_web_stops_the_manager_process_and_starts_it_again(site, start_manager):
    site.write(instance("a"))
    await asyncio.to_thread(start_manager, site)
    async with page(site) as browser:
        await shown_up(browser, site, "a")
        status, _, _ = await browser.call(site.manager_id, "stop", "manager", [])
        assert status == 0
        status, _, session = await browser.call(site.manager_id, "wait", "manager", [])
        assert (status, session["status"], session["success"]) == (0, "done", True)
        status, _, _ = await browser.call(site.manager_id, "start", "manager", {})
        assert status == 0
        await shown_up(browser, site, "a")


async def test_a_heartbeat_has_the_recorded_shape_and_names_each_operation(site, start_manager):
    site.write()
    await asyncio.to_thread(start_manager, site)
    beats: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
    async with page(site) as browser:
        # The subscription of ocs-web: to all agents of the site at once.
        await browser.session.subscribe(
            lambda *args: beats.put_nowait(args),
            f"{site.address_root}..feeds.heartbeat",
            SubscribeOptions(match="wildcard"),
        )
        [beat] = await asyncio.wait_for(beats.get(), ANSWER_TIME)
    assert misfits(beat, heartbeat_shape()) == []
    assert beat[1]["agent_address"] == f"{site.address_root}.{site.manager_id}"


@pytest.mark.parametrize(
    ("answer", "shape"),
    [
        ({"a": 1}, {"a": "int", "b": "str"}),
        ({"a": True}, {"a": "int"}),
        ({"a": 1.5}, {"a": "int"}),
        ({"a": None}, {"a": "str"}),
        ([], [{"a": "int"}]),
        ([{"a": 1}, {}], [{"a": "int"}, {"a": "int"}, "..."]),
        ([1], ["int", "str"]),
        ([[1.0, 2]], [["number", "str"], ["number", "str"]]),
    ],
)
def test_what_is_missing_or_of_another_type_is_found(answer, shape):
    assert misfits(answer, shape) != []


def test_more_than_was_recorded_is_fine():
    answer = {"data": {"x": 1, "new": None}, "messages": [[1.0, "a"]] * 9, "more": []}
    shape = {"data": {"x": "number"}, "messages": [["number", "str"], ["number", "str"], "..."]}
    assert misfits(answer, shape) == []
