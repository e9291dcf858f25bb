"""The page in a browser while a manager, the router and the page itself die and return."""

import re

import pytest
from tests.support.sites import instance
from tests.support.waiting import BUSY_MACHINE
from tests.support.web import WebServer, WebSite

SOON = 30_000 * BUSY_MACHINE  # milliseconds until something is on the screen, at most


@pytest.fixture
def site_of_its_own(browser, own_router, tmp_path):
    entries = {"daq1": [instance("acu")], "daq2": [instance("pump")]}
    with WebSite(tmp_path, own_router, entries) as site:
        site.start_managers()
        yield site


def test_what_dies_is_shown_and_comes_back_by_itself(site_of_its_own, browser_page, pages):
    site = site_of_its_own
    pages.allow("net::ERR_")  # nobody is there now and then
    router_is_away = browser_page.get_by_text("The router does not answer")
    unreachable = browser_page.locator("#connection")
    old = browser_page.locator(".group.old")
    pump = browser_page.locator(".group[data-host=daq2]")
    with WebServer(site.site) as server:
        browser_page.goto(server.url + "/")
        browser_page.evaluate("window.stayed = true")
        old.first.wait_for(state="detached", timeout=SOON)

        site.managers["daq2"].kill()
        pump.get_by_text("no answer").wait_for(timeout=SOON)
        assert pump.get_by_role("link", name="pump").is_visible()  # as it was last known
        browser_page.locator(".group.old[data-host=daq2]").wait_for(timeout=SOON)
        age = re.compile(r"as of \d+ s ago")
        pump.get_by_text(age).wait_for()
        assert browser_page.locator(".group.old[data-host=daq1]").count() == 0
        site.start_managers("daq2")
        pump.get_by_text("no answer").wait_for(state="detached", timeout=SOON)
        old.first.wait_for(state="detached", timeout=SOON)

        site.router.kill()
        router_is_away.wait_for(timeout=SOON)
        browser_page.wait_for_function(
            "() => document.querySelectorAll('.group.old').length === 2", timeout=SOON
        )
        site.router.start()
        router_is_away.wait_for(state="hidden", timeout=SOON)
        old.first.wait_for(state="detached", timeout=SOON)
        assert browser_page.evaluate("window.stayed === true")
        browser_page.clock.install()
    browser_page.clock.fast_forward(13_000)
    unreachable.wait_for(timeout=SOON)
    with WebServer(site.site, port=server.port):
        unreachable.wait_for(state="hidden", timeout=SOON)
        old.first.wait_for(state="detached", timeout=SOON)
        assert pump.get_by_role("link", name="pump").is_visible()
