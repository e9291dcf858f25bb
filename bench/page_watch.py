"""What is seen of a site by who follows it: in this process, and on the page in a real browser."""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostmanager.cli.main import command_parser
from hostmanager.client.watch.live_site import LiveSite

if TYPE_CHECKING:
    from playwright.sync_api import Page

WAIT_TIMEOUT = 60.0

_WATCH = """([id, pattern]) => { window.shown = new Promise((resolve) => {
    const look = () => {
        if (!new RegExp(pattern).test(document.getElementById(id)?.textContent ?? "")) return;
        observer.disconnect();  // it is on the screen with the frame after the next
        requestAnimationFrame(() => requestAnimationFrame(() => resolve(Date.now())));
    };
    const observer = new MutationObserver(look);
    observer.observe(document.body,
        {subtree: true, childList: true, characterData: true, attributes: true});
}); }"""
"""Notes when a row has come to say something, and the frame of that is painted."""

DEATH = "SIGKILL|starting|restarting|stopping"
"""What a row says of an agent that was killed, whichever of its states comes first."""


def options(site_file: Path) -> argparse.Namespace:
    """The options of a command about this site."""
    return command_parser("status").parse_args(["--site-file", str(site_file)])


async def followed(
    site_file: Path, measure: Callable[[LiveSite], Awaitable[list[float]]]
) -> list[float]:
    """Follow a site as `hostmanager web` does while this measures."""
    live = LiveSite(options(site_file))
    await live.start()
    try:
        await until(live, lambda: all(agent.state == "up" for agent in agents_of(live)))
        await asyncio.sleep(5.0)  # the heartbeats of all agents are listened to at first
        return await measure(live)
    finally:
        await live.close()


def agents_of(live: LiveSite) -> list[Any]:
    """All agents."""
    return [agent for host in live.hosts() for agent in host.agents]


async def until(live: LiveSite, condition: Callable[[], bool]) -> float:
    """Wait for changes until something is so: the moment."""
    version = -1
    async with asyncio.timeout(WAIT_TIMEOUT):
        while not condition():
            version, _ = await live.changes(version)
    return time.monotonic()


async def death_known(live: LiveSite, name: str, kill: Callable[[], None]) -> float:
    """Kill an agent: seconds until it is known."""

    def exits() -> Any:
        return next(a.get("last_exit") for a in agents_of(live) if a.instance_id == name)

    before = exits()
    started = time.monotonic()
    kill()
    return await until(live, lambda: exits() != before) - started


def death_on_page(page: "Page", host: str, name: str, kill: Callable[[], None]) -> float:
    """Kill an agent: seconds until a browser has painted it."""
    page.evaluate(_WATCH, [f"row-{host}/{name}", DEATH])
    started = time.time()
    kill()
    return float(page.evaluate("() => window.shown")) / 1000 - started
