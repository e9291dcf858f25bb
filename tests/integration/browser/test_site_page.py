"""The page of the site in a browser: what is wrong, changes, ages, screens, lines and clocks."""

import os
import re
import signal
from datetime import datetime, timedelta

import pytest
from tests.support.browser import PHONE, accessibility_faults, overflow
from tests.support.processes import processes_of
from tests.support.waiting import BUSY_MACHINE

SOON = 20_000 * BUSY_MACHINE  # milliseconds until something is on the screen, at most

PAGES = ("/", "/?group=class&sort=name", "/host/daq1", "/nowhere", "/login")
"""The others are opened by tests of their own stories."""


def row(page, instance_id):
    """The line of an agent in the tables of the page."""
    return page.get_by_role("row").filter(
        has=page.get_by_role("link", name=instance_id, exact=True)
    )


def stay(page) -> None:
    """Note that the page is not loaded anew."""
    page.evaluate("window.stayed = true")


def stayed(page) -> bool:
    """Whether the page was not loaded anew since."""
    return page.evaluate("window.stayed === true")


def restarts(page, instance_id) -> int:
    cells = row(page, instance_id).get_by_role("cell").all_inner_texts()
    return int(next(text for text in reversed(cells) if text.strip().isdigit()))


def wait_for_restarts(page, instance_id, number: int) -> None:
    """Wait for so many; there may be more by the time that they are shown."""
    page.wait_for_function(
        "([name, number]) => [...document.querySelectorAll('tbody tr')].some(row =>"
        " row.querySelector('th a')?.textContent === name &&"
        " [...row.cells].map(cell => cell.textContent.trim())"
        "   .filter(text => /^\\d+$/.test(text)).at(-1) >= number)",
        arg=[instance_id, number],
        timeout=SOON,
    )


def banner(page):
    """What says that the browser does not reach the page."""
    return page.locator("#connection")


def look_away(page, *, hidden: bool) -> None:
    """Do as a browser does whose window is hidden or shown: playwright cannot."""
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def kill(web_site, host, instance_id) -> None:
    [pid] = processes_of(web_site.hosts[host])[instance_id]
    os.kill(pid, signal.SIGKILL)


def test_what_is_wrong_stands_on_top_with_its_reason(page_of_site, browser_page):
    browser_page.goto(page_of_site.url + "/")
    # It is up for a moment now and then.
    heading = browser_page.get_by_role("heading", level=1, name=re.compile(r"\b1 wrong"))
    heading.wait_for(timeout=SOON)
    problem = browser_page.locator("#problems .problem").first
    reason = problem.get_by_text(re.compile(r"It exited with code 1, \d+ failures in a row"))
    reason.wait_for(timeout=SOON)
    assert problem.get_by_role("link", name="crash", exact=True).count() == 1
    assert heading.bounding_box()["y"] < problem.bounding_box()["y"] < 720
    for healthy in ("acu", "det/1", "pump"):
        assert "up" in row(browser_page, healthy).inner_text()


def test_an_agents_death_is_shown_without_loading_the_page_again(
    page_of_site, web_site, browser_page
):
    browser_page.goto(page_of_site.url + "/")
    before = restarts(browser_page, "pump")
    stay(browser_page)
    row(browser_page, "pump").get_by_role("checkbox").check()
    kill(web_site, "daq2", "pump")
    wait_for_restarts(browser_page, "pump", before + 1)
    assert stayed(browser_page)
    assert row(browser_page, "pump").get_by_role("checkbox").is_checked()


def test_pages_have_no_fault_in_light_and_dark_and_fit_a_phone(page_of_site, pages):
    pages.allow("status of 404")
    page, faults = pages.new_page(), {}
    for path in PAGES:
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1280, "height": 720})
        page.goto(page_of_site.url + path)
        found = accessibility_faults(page)
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size(PHONE)
        found += accessibility_faults(page)
        faults[path] = [*found, *(["it is too wide"] if overflow(page) > 0 else [])]
    assert not any(faults.values()), faults


def test_without_scripts_all_is_there(page_of_site, pages):
    page = pages.new_page(java_script_enabled=False)
    page.goto(page_of_site.url + "/")
    assert "up" in row(page, "acu").inner_text()
    page.get_by_role("searchbox").fill("pump")
    page.get_by_role("button", name="Search").click()
    assert row(page, "pump").is_visible()
    assert row(page, "acu").count() == 0


def test_what_was_searched_for_stays_alone_while_it_changes(page_of_site, browser_page):
    browser_page.goto(page_of_site.url + "/")
    asked = []
    browser_page.on("request", lambda request: asked.append(request.url))
    browser_page.get_by_role("searchbox").press_sequentially("cra")
    row(browser_page, "acu").wait_for(state="detached")
    browser_page.get_by_role("searchbox").press_sequentially("sh")
    before = restarts(browser_page, "crash")
    wait_for_restarts(browser_page, "crash", before + 1)
    assert browser_page.locator("tbody tr").count() == 1
    assert any(url.endswith("?q=crash") for url in asked), asked
    browser_page.get_by_text("Show:").click()
    link = browser_page.get_by_role("link", name="wrong", exact=True)
    assert link.get_attribute("href") == "/?q=crash&show=wrong"


def test_the_keyboard_is_enough(page_of_site, browser_page):
    browser_page.goto(page_of_site.url + "/")
    browser_page.keyboard.press("Tab")
    assert browser_page.locator(":focus").inner_text() == "Skip to the content"
    browser_page.keyboard.press("/")
    browser_page.keyboard.type("det/1")
    row(browser_page, "acu").wait_for(state="detached")
    browser_page.keyboard.press("Escape")
    browser_page.keyboard.press("j")
    assert browser_page.locator(":focus").inner_text() == "det/1"


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_browser_whose_clock_is_wrong_shows_the_right_ages(page_of_site, browser_page, minutes):
    browser_page.clock.install(time=datetime.now() + timedelta(minutes=minutes))
    browser_page.goto(page_of_site.url + "/")
    browser_page.wait_for_function("() => document.querySelector('[data-host] .age')", timeout=SOON)
    browser_page.clock.fast_forward(2000)
    for age in browser_page.locator(".age").all_inner_texts():
        seconds = int(re.search(r"(\d+)(\.\d+)? s ago", age)[1])
        assert seconds < 60, age
    assert banner(browser_page).is_hidden()
    assert browser_page.locator(".old").count() == 0


def test_a_browser_that_slept_for_a_night_says_so_and_comes_back(page_of_site, browser_page, pages):
    pages.allow("ERR_INTERNET_DISCONNECTED")
    browser_page.clock.install()
    browser_page.goto(page_of_site.url + "/")
    stay(browser_page)
    browser_page.context.set_offline(True)
    browser_page.clock.fast_forward("08:00:00")
    banner(browser_page).wait_for()
    assert re.search(r"for (8 h|7 h 59 m)", banner(browser_page).inner_text())
    browser_page.context.set_offline(False)
    banner(browser_page).wait_for(state="hidden", timeout=SOON)
    assert stayed(browser_page)


def test_a_page_that_is_hidden_for_an_hour_asks_for_nothing_and_is_fresh_again(
    page_of_site, browser_page
):
    browser_page.clock.install()
    browser_page.goto(page_of_site.url + "/")
    look_away(browser_page, hidden=True)
    browser_page.clock.fast_forward("00:02:00")
    assert browser_page.title().startswith("(paused)")
    asked = []
    browser_page.on("request", lambda request: asked.append(request.url))
    browser_page.clock.fast_forward("01:00:00")
    assert asked == []
    with browser_page.expect_request("**/events?*", timeout=SOON):
        look_away(browser_page, hidden=False)
    banner(browser_page).wait_for(state="hidden", timeout=SOON)
    assert "paused" not in browser_page.title()


def test_a_slow_line_shows_the_page_and_its_changes(page_of_site, web_site, browser_page):
    line = browser_page.context.new_cdp_session(browser_page)
    line.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 600, "downloadThroughput": 6000, "uploadThroughput": 6000},
    )
    browser_page.goto(page_of_site.url + "/host/daq1", timeout=SOON)
    before = restarts(browser_page, "acu")
    kill(web_site, "daq1", "acu")
    wait_for_restarts(browser_page, "acu", before + 1)
    assert banner(browser_page).is_hidden()
