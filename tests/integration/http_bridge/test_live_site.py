"""A site that is followed: each manager is asked by one, however many look."""

import asyncio
import math
import os
import threading
from contextlib import asynccontextmanager

import pytest
from tests.support.http_bridge import child, session
from tests.support.waiting import BUSY_MACHINE

from hostmanager.cli.main import command_parser
from hostmanager.client.watch.live_site import PROBE_ID, LiveSite
from hostmanager.client.watch.poller import THREAD_NAME

LIMIT = 30.0 * BUSY_MACHINE


@asynccontextmanager
async def following(site_file, *options):
    args = command_parser("status").parse_args(["--site-file", str(site_file), *options])
    live = LiveSite(args, poll_interval=3600.0)
    await live.start()
    try:
        yield live
    finally:
        await live.close()
        for thread in threading.enumerate():
            if thread.name.startswith(THREAD_NAME):
                await asyncio.to_thread(thread.join, LIMIT)


async def until(live, condition):
    async with asyncio.timeout(LIMIT):
        version = -1
        while not condition():
            version, _ = await live.changes(version)


def states(live):
    return {agent.instance_id: agent.state for each in live.hosts() for agent in each.agents}


def questions(bridge):
    return [manager for manager, *_ in bridge.asked if manager.startswith("hm-")]


@pytest.fixture
def managers(bridge, site_file):
    bridge.write(site_file, daq1=["a"], daq2=["b"])
    bridge.sessions["hm-daq1"] = {"manager": session(child("a"))}
    bridge.sessions["hm-daq2"] = {"manager": session(child("b"))}
    return bridge


async def test_ten_that_look_cost_the_managers_what_one_does(managers, site_file):
    async with following(site_file) as live:
        await until(live, lambda: states(live) == {"a": "up", "b": "up"})
        since, seen = live.version, []
        looking = [asyncio.create_task(live.changes(since)) for _ in range(10)]
        managers.sessions["hm-daq1"] = {"manager": session(child("a", next_action="start_at"))}
        await live.refresh("daq1")
        async with asyncio.timeout(LIMIT):
            seen = await asyncio.gather(*looking)
        assert {hosts for _, changed in seen for hosts in changed} == {"daq1"}
        assert states(live) == {"a": "start_at", "b": "up"}
        assert sorted(questions(managers)) == ["hm-daq1", "hm-daq1", "hm-daq2"]
        assert live.age("daq1") < live.age("daq2") < math.inf


async def test_a_manager_that_hangs_or_is_gone_costs_its_host_only(managers, site_file):
    managers.silent.add("hm-daq1")
    del managers.sessions["hm-daq2"]
    async with following(site_file, "--answer-time", "0.2") as live:
        first, second = "no answer for", "is not at the router"
        await until(
            live,
            lambda: (
                [first in str(live.hosts()[0].error), second in str(live.hosts()[1].error)]
                == [True, True]
                and live.router_error is None  # which may have been late, too
            ),
        )
        assert live.age("daq1") == math.inf
        await live.refresh("daq1")  # does not wait for ever
        managers.released.set()


async def test_without_a_router_the_last_known_is_shown(managers, site_file):
    async with following(site_file) as live:
        await until(live, lambda: states(live) == {"a": "up", "b": "up"})
        managers.stop_listening()
        live.feed_lost()
        for host in ("daq1", "daq2"):
            live.manager_changed(host)
        await until(live, lambda: live.router_error and all(each.error for each in live.hosts()))
        assert "no router answers at" in str(live.router_error)
        assert states(live) == {"a": "up", "b": "up"}


async def test_the_site_config_is_followed(managers, site_file):
    async with following(site_file) as live:
        await until(live, lambda: states(live) == {"a": "up", "b": "up"})
        written = site_file.with_suffix(".new")
        managers.write(written, daq1=["a"], daq3=["c"])
        managers.sessions["hm-daq3"] = {"manager": session(child("c"))}
        os.replace(written, site_file)  # noqa: PTH105
        await until(live, lambda: states(live) == {"a": "up", "c": "up"})
        assert list(live.site.hosts) == ["daq1", "daq3"]


async def test_a_router_that_hangs_does_not_answer_again_because_the_site_config_has_changed(
    managers, site_file
):
    managers.silent.add(PROBE_ID)
    async with following(site_file, "--answer-time", "0.2") as live:
        await until(live, lambda: live.router_error)
        written = site_file.with_suffix(".new")
        managers.write(written, daq1=["a"], daq3=["c"])
        os.replace(written, site_file)  # noqa: PTH105
        await until(live, lambda: list(live.site.hosts) == ["daq1", "daq3"])
        error = live.router_error
        managers.released.set()
        assert error is not None
