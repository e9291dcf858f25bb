"""Timeline, history and report in a real browser: for everybody, on any screen, by mouse and keyboard."""

import re

import pytest
import requests
from tests.support.browser import PHONE, accessibility_faults, overflow
from tests.support.waiting import wait_for

PATHS = ("timeline", "timeline?host=daq1&id=crash", "history?from=-1h", "report?host=daq1")


@pytest.fixture(scope="module")
def url(page_of_site):
    def has_crash():
        return (
            "exited unexpectedly" in requests.get(f"{page_of_site.url}/timeline", timeout=10).text
        )

    wait_for(has_crash, 20, "a crash to be in the journal")
    return page_of_site.url


@pytest.mark.parametrize("path", PATHS)
def test_the_past_can_be_read_by_everybody_on_any_screen(url, browser_page, pages, path):
    browser_page.goto(f"{url}/{path}")
    assert accessibility_faults(browser_page) == []
    phone = pages.new_page(viewport=PHONE, color_scheme="dark")
    phone.goto(f"{url}/{path}")
    assert accessibility_faults(phone) == []
    assert overflow(phone) <= 0


def test_one_looks_closer_by_dragging_and_by_keys(url, browser_page):
    browser_page.goto(f"{url}/timeline?from=-1h")
    box = browser_page.locator("svg.lane").last.bounding_box()
    y = box["y"] + box["height"] / 2
    browser_page.mouse.move(box["x"] + box["width"] * 0.25, y)
    browser_page.mouse.down()
    browser_page.mouse.move(box["x"] + box["width"] * 0.75, y, steps=3)
    browser_page.mouse.up()
    browser_page.wait_for_url(re.compile(r"from=20.*&to=20"))
    assert seconds(browser_page) == pytest.approx(1800, abs=30)
    browser_page.keyboard.press("+")
    wait_for(lambda: seconds(browser_page) == pytest.approx(900, abs=30), 10, "the next page")
    browser_page.keyboard.press("[")
    browser_page.wait_for_load_state()
    browser_page.get_by_label("From").press("-")  # typed, not a key of the page
    assert seconds(browser_page) == pytest.approx(900, abs=30)


def seconds(page):
    """Length of the range that is shown."""
    table = page.locator("table.lanes")
    return float(table.get_attribute("data-end")) - float(table.get_attribute("data-start"))
