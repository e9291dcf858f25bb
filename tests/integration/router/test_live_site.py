"""A site that is followed with real parts: changes are pushed, and what is old is never shown as fresh."""

import asyncio
import math
import os
import signal
import threading
import time
from contextlib import suppress

import pytest

from hostmanager.cli.main import command_parser
from hostmanager.client.status.model import StatusSeverity
from hostmanager.client.watch import feed_listener
from hostmanager.client.watch.host_board import HeardAgent
from hostmanager.client.watch.live_site import LiveSite
from hostmanager.client.watch.poller import THREAD_NAME
from tests.integration.conftest import SHORT
from tests.support.sites import instance
from tests.support.waiting import BUSY_MACHINE
from tests.support.wamp import page

LIMIT = 30.0 * BUSY_MACHINE
LOOK_INTERVAL = 0.5
HOST = "testhost"


class Watcher:
    """Who looks at a site; `broken` says since when what is known can only be old."""

    def __init__(self, live: LiveSite) -> None:
        self.live = live

    @property
    def status(self):
        (status,) = self.live.hosts()
        return status

    def agent(self, name):
        return {agent.instance_id: agent for agent in self.status.agents}.get(name)

    async def until(self, condition):
        async with asyncio.timeout(LIMIT):
            version = -1
            while not condition():
                with suppress(TimeoutError):  # an age grows without a new version
                    async with asyncio.timeout(LOOK_INTERVAL):
                        version, _ = await self.live.changes(version)

    async def until_fresh(self, since):
        """Wait for an answer that was asked for after this moment, and is good."""
        await self.until(
            lambda: (
                self.agent("a")
                and self.agent("a").severity <= StatusSeverity.INFO
                # One that was asked for before may have come late.
                and time.monotonic() - self.live.age(HOST) > since
                and self.live.router_error is None
            )
        )

    async def until_old(self, since, error=""):
        """Wait until it is said that nobody knows; what was known last is as old as that."""
        await self.until(lambda: self.status.error and error in str(self.status.error))
        assert self.agent("a").severity is StatusSeverity.UNKNOWN
        assert self.agent("a").state == "up"
        least = time.monotonic() - since
        assert self.live.age(HOST) >= least


@pytest.fixture
async def watcher(make_site, own_router, start_manager, monkeypatch):
    monkeypatch.setattr(feed_listener, "HEARTBEAT_PAUSE", 0.5)
    site = make_site(own_router)
    site.write(instance("a"))
    watcher = Watcher(None)
    watcher.site, watcher.router, watcher.start_manager = site, own_router, start_manager
    watcher.manager = start_manager(site, *SHORT)

    def follow(poll_interval):
        args = command_parser("status").parse_args(["--site-file", str(site.file)])
        args.answer_time = 2.0
        watcher.live = LiveSite(args, poll_interval=poll_interval)

    watcher.follow = follow
    yield watcher
    for thread in threading.enumerate():
        if thread.name.startswith(THREAD_NAME):
            await asyncio.to_thread(thread.join, LIMIT)


async def test_changes_are_pushed_and_what_is_old_is_never_shown_as_fresh(watcher):
    watcher.follow(poll_interval=3600.0)
    await watcher.live.start()
    try:
        await a_death_is_seen_without_polling(watcher)
        await agents_of_nobody_are_named(watcher)
    finally:
        await watcher.live.close()
    watcher.follow(poll_interval=5.0)
    await watcher.live.start()
    try:
        await watcher.until_fresh(-math.inf)
        await a_manager_hangs(watcher)
        await a_manager_dies_and_is_started_again(watcher)
        await the_router_goes_and_comes_back(watcher)
        await the_site_config_is_edited(watcher)
    finally:
        await watcher.live.close()


async def a_death_is_seen_without_polling(watcher):
    await watcher.until(lambda: watcher.agent("a").state == "up")
    pid = watcher.agent("a").get("pid")
    os.kill(pid, signal.SIGKILL)
    await watcher.until(lambda: watcher.agent("a").get("last_exit"))
    await watcher.until(lambda: watcher.agent("a").get("pid") not in (None, pid))


async def agents_of_nobody_are_named(watcher):
    async with page(watcher.site) as somebody:
        topic = f"{watcher.site.address_root}.lonely.feeds.heartbeat"

        async def beat():
            while True:
                somebody.session.publish(topic, [{}, {"agent_class": "LonelyAgent"}])
                await asyncio.sleep(0.2)

        beating = asyncio.create_task(beat())
        await watcher.until(watcher.live.unmanaged)
        beating.cancel()
    assert watcher.live.unmanaged() == [HeardAgent("lonely", "LonelyAgent")]
    await watcher.until(lambda: not watcher.live.unmanaged())


async def a_manager_hangs(watcher):
    os.kill(watcher.manager.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        await watcher.until_old(stopped, "no answer for")
    finally:
        os.kill(watcher.manager.pid, signal.SIGCONT)
    await watcher.until_fresh(stopped)


async def a_manager_dies_and_is_started_again(watcher):
    watcher.manager.kill()
    killed = time.monotonic()
    await watcher.until_old(killed, "is not at the router")
    watcher.manager = await asyncio.to_thread(watcher.start_manager, watcher.site, *SHORT)
    await watcher.until_fresh(killed)


async def the_router_goes_and_comes_back(watcher):
    await asyncio.to_thread(watcher.router.stop)
    gone = time.monotonic()
    await watcher.until(lambda: "no router answers at" in str(watcher.live.router_error))
    await watcher.until_old(gone)
    await asyncio.to_thread(watcher.router.start)
    await watcher.until_fresh(gone)


async def the_site_config_is_edited(watcher):
    watcher.site.write(instance("a"), instance("b"))
    await watcher.until(
        lambda: (
            watcher.agent("b")
            and any("new in the site config" in r for r in watcher.agent("b").reasons)
        )
    )
    await watcher.until_fresh(-math.inf)
    await asyncio.to_thread(watcher.site.file.unlink)
    await watcher.live.refresh(HOST)
    assert watcher.agent("b") is not None
