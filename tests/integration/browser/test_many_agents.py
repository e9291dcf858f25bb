"""A site of a thousand simulated agents, and ten who look at it: a browser, and nine that only listen."""

import threading
from collections.abc import Iterator

import pytest
import requests
from bench.scale_site import SimulatedSite
from tests.support.browser import PHONE, overflow
from tests.support.waiting import BUSY_MACHINE, wait_for
from tests.support.web import WebServer

SOON = 20_000 * BUSY_MACHINE  # milliseconds until something is on the screen, at most
AGENT = "h03-agent123"


@pytest.fixture(scope="module")
def many_agents(browser) -> Iterator[tuple[SimulatedSite, WebServer]]:
    with SimulatedSite(4, 250) as site, WebServer(site.grow(4)) as server:
        yield site, server


class Listener:
    """What a browser gets, without a browser."""

    def __init__(self, server: WebServer) -> None:
        self.text = ""
        self._answer = requests.get(server.url + "/events?full=1", stream=True, timeout=120)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        for chunk in self._answer.iter_content(None):
            self.text += chunk.decode()

    def heard(self) -> list[str]:
        """The versions that had this agent in them."""
        events = [event for event in self.text.split("\n\n") if f">{AGENT}<" in event]
        return [line for event in events for line in event.splitlines() if line.startswith("id:")]

    def wait_end(self) -> None:
        """Wait until the server has ended."""
        self._thread.join(60)
        self._answer.close()


def test_ten_look_at_a_thousand_agents_and_see_one_change(many_agents, pages):
    site, server = many_agents
    pages.allow("net::ERR_")  # it ends while it is shown
    page = pages.new_page()
    page.goto(server.url + "/")
    rows = page.locator("tbody tr")
    row = rows.filter(has=page.get_by_role("link", name=AGENT, exact=True))
    row.wait_for(timeout=SOON)
    assert rows.count() == 1000
    listeners = [Listener(server) for _ in range(9)]
    call = {"procedure": f"{site.address('h03')}.ops"}
    call["args"] = ["start", "update", {"requests": [[AGENT, "down"]]}]
    requests.post(site.router.http, json=call, timeout=60).raise_for_status()
    row.get_by_text("down").wait_for(timeout=SOON)

    def last_heard() -> set[str]:
        return {(one.heard() or [""])[-1] for one in listeners}

    wait_for(lambda: len(last_heard()) == 1 and "" not in last_heard(), 20, "all to hear of it")
    assert rows.count() == 1000

    page.set_viewport_size(PHONE)
    assert overflow(page) <= 0
    page.get_by_role("searchbox").fill(AGENT)
    rows.nth(1).wait_for(state="hidden", timeout=SOON)
    assert row.is_visible()
    server.stop()
    for listener in listeners:
        listener.wait_end()
