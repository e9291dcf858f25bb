"""The pages of an agent, its output and the site config in a browser: live, counting down, for everybody."""

import os
import re
import signal
from functools import partial

import pytest
from tests.support.browser import OPEN_TIME, PHONE, accessibility_faults, overflow
from tests.support.waiting import wait_for
from tests.support.web import WebServer

expect = pytest.importorskip("playwright.sync_api").expect

MILLISECONDS = 1000 * OPEN_TIME
DARK_PHONE = {"viewport": PHONE, "color_scheme": "dark"}


def last_pid(web_site, instance_id):
    return web_site.hosts["daq1"].launches(instance_id)[-1].pid


def test_new_output_and_a_new_state_come_without_a_click(page_of_site, web_site, browser_page):
    page = browser_page
    page.goto(f"{page_of_site.url}/agent/daq1/acu")
    expect(page.locator("#output-state")).to_have_text("Live.", timeout=MILLISECONDS)
    lines = page.locator(".log .line", has_text="Renaming this process")
    expect(lines).to_have_count(1, timeout=MILLISECONDS)
    pid = last_pid(web_site, "acu")
    expect(page.locator("#state")).to_contain_text(f"pid {pid}", timeout=MILLISECONDS)

    os.kill(pid, signal.SIGKILL)

    expect(lines).to_have_count(2, timeout=MILLISECONDS)
    expect(page.locator("#state")).to_contain_text("SIGKILL", timeout=MILLISECONDS)
    expect(page.locator("#history")).to_contain_text("SIGKILL", timeout=MILLISECONDS)
    log = page.locator(".log")
    assert log.evaluate("log => log.scrollHeight - log.scrollTop - log.clientHeight < 30")


def test_the_next_attempt_is_counted_down_by_the_browser(page_of_site, browser_page):
    browser_page.goto(f"{page_of_site.url}/agent/daq1/crash")

    browser_page.wait_for_function(
        """() => [...document.querySelectorAll("#state [data-until]")].some(
            (element) => Number(element.dataset.until) - parseInt(element.textContent) > 1.6)""",
        timeout=MILLISECONDS,
    )


def test_lines_that_come_are_searched_as_well_and_who_has_scrolled_up_is_left_there(
    page_of_site, pages
):
    page = pages.new_page()
    page.goto(f"{page_of_site.url}/agent/daq1/crash")
    page.get_by_label("Search", exact=True).fill("RENAMING this")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("search=RENAMING"))
    log, lines = page.locator(".log"), page.locator(".log .line")
    expect(lines.first).to_be_visible(timeout=MILLISECONDS)
    log.evaluate(
        "log => { log.style.minHeight = log.style.maxHeight = '10px'; log.scrollTop = 0; }"
    )
    known = lines.count()

    page.wait_for_function(
        "known => document.querySelectorAll('.log .line').length > known",
        arg=known,
        timeout=MILLISECONDS,
    )

    assert all("Renaming this process" in text for text in lines.all_inner_texts())
    assert log.evaluate("log => log.scrollTop") == 0


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/agent/daq1/crash", {}),
        ("/agent/daq1/crash", DARK_PHONE),
        ("/output/daq1/acu", DARK_PHONE),
        ("/config/daq2", DARK_PHONE),
    ],
)
def test_everybody_can_read_it(page_of_site, pages, path, options):
    page = pages.new_page(**options)
    page.goto(page_of_site.url + path)
    assert accessibility_faults(page) == []
    assert overflow(page) <= 0


def test_without_scripts_all_is_there_but_what_comes(page_of_site, pages):
    page = pages.new_page(java_script_enabled=False)

    def count(parts):
        page.goto(f"{page_of_site.url}/agent/daq1/crash")
        return page.locator(parts).count()

    # It does not wait for a manager that is busy.
    for parts in (".log .line", "#history tbody tr"):
        wait_for(partial(count, parts), 20, parts)
    expect(page.locator("noscript")).to_be_visible()


def test_a_manager_that_comes_back_brings_its_output_without_a_click(
    page_of_site, web_site, browser_page
):
    page = browser_page
    web_site.managers["daq2"].stop()
    page.goto(f"{page_of_site.url}/agent/daq2/pump")
    expect(page.locator("#state.old")).to_be_visible(timeout=MILLISECONDS)
    page.reload()
    expect(page.locator("#output-state")).to_contain_text("does not answer", timeout=MILLISECONDS)

    web_site.start_managers("daq2")

    expect(page.locator("#output-state")).to_contain_text("Live.", timeout=MILLISECONDS)
    expect(page.locator(".log .line", has_text="Args:").last).to_be_visible(timeout=MILLISECONDS)
    expect(page.locator("#history tbody tr").first).to_be_visible(timeout=MILLISECONDS)
    expect(page.locator("#output-notes p")).to_have_count(0)


def test_a_server_that_ends_and_returns_is_noticed_and_nothing_is_shown_as_fresh(web_site, pages):
    pages.allow("ERR_")
    page = pages.new_page()
    with WebServer(web_site.site) as server:
        page.goto(f"{server.url}/output/daq1/acu")
        expect(page.locator("#output-state")).to_have_text("Live.", timeout=MILLISECONDS)
    expect(page.locator("#output-state")).to_contain_text("tried again", timeout=MILLISECONDS)
    expect(page.locator(".log.old")).to_have_count(1)

    with WebServer(web_site.site, port=server.port):
        expect(page.locator("#output-state")).to_contain_text("Live.", timeout=MILLISECONDS)
        expect(page.locator(".log.old")).to_have_count(0)
        expect(page.locator(".log .line", has_text="Args:").last).to_be_visible()
