"""The page under a prefix behind a reverse proxy, under a wrong name, and where it may only show."""

import re

import pytest
import requests
from tests.support.browser import accessibility_faults
from tests.support.reverse_proxy import ReverseProxy
from tests.support.waiting import BUSY_MACHINE
from tests.support.web import WebServer

SOON = 20_000 * BUSY_MACHINE  # milliseconds until something is on the screen, at most


@pytest.fixture(scope="module")
def port_of_proxy(web_site):
    """A reverse proxy at hm.test, whose user is alice, in front of a page under /hm."""
    options = ("--allow-host=hm.test", "--user-header=X-Forwarded-User")
    with (
        WebServer(web_site.site, *options, root_path="/hm") as server,
        ReverseProxy(server.port, {"X-Forwarded-User": "alice"}) as proxy,
    ):
        yield proxy.port


def test_behind_a_proxy_everything_stays_under_the_prefix(port_of_proxy, browser_page):
    page = browser_page
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    home = f"http://hm.test:{port_of_proxy}/hm/"
    with page.expect_response("**/events?*", timeout=SOON) as events:
        page.goto(home)
    page.get_by_text("alice").wait_for()
    assert events.value.status == 200
    page.get_by_role("link", name="det/1", exact=True).first.click()
    page.get_by_role("heading", name="det/1").wait_for(timeout=SOON)
    assert page.url == home + "agent/daq1/det%2F1"
    links = page.locator("a[href^='/']").evaluate_all("all => all.map(link => link.pathname)")
    assert [path for path in links if not path.startswith("/hm/")] == []
    page.goto(home + "change?action=restart&host=daq1&id=det/1")
    page.get_by_role("button", name="Restart det/1 on daq1").click()
    page.get_by_role("heading", name="Restart det/1 on daq1: done").wait_for(timeout=SOON)
    page.goto(home + "history?host=daq1&id=det/1")
    page.get_by_text("alice (web)").first.wait_for(timeout=SOON)
    assert [url for url in asked if not url.startswith(home)] == []


def test_a_page_that_is_led_here_by_another_name_sees_nothing(port_of_proxy, browser_page, pages):
    pages.allow("status of 4")
    answer = browser_page.goto(f"http://rebound.test:{port_of_proxy}/hm/")
    assert answer.status in (403, 421)
    text = browser_page.locator("body").inner_text()
    assert "rebound.test" in text and "daq1" not in text


def test_where_it_may_only_show_there_is_nothing_to_press(web_site, browser_page, pages):
    pages.allow("net::ERR_")  # it ends while it is shown
    with WebServer(web_site.site, "--read-only") as server:
        browser_page.goto(server.url + "/")
        browser_page.get_by_role("link", name="pump", exact=True).first.wait_for()
        assert browser_page.get_by_role("checkbox").count() == 0
        assert browser_page.locator("form[method=post]").count() == 0
        assert accessibility_faults(browser_page) == []
        browser_page.get_by_role("link", name="pump", exact=True).first.click()
        browser_page.get_by_role("heading", name="pump").wait_for()
        buttons = browser_page.get_by_role("button").or_(browser_page.locator("a.button"))
        names = [
            name
            for name in buttons.all_inner_texts()
            if re.search("restart|down|up|silence", name, re.I)
        ]
        assert names == []
        origin = {"Origin": server.url}
        assert requests.post(server.url + "/change", headers=origin, timeout=30).status_code == 403
