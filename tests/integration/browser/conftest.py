"""A real browser, and pages in it that are watched.

    def test_the_page_has_a_heading(page_of_site, browser_page):
        browser_page.goto(page_of_site.url + "/")

A test fails on messages in the browser's console, errors of scripts, requests to other hosts and
violations of the Content-Security-Policy, unless it expects them (`pages.allow`). Tests are
plain functions: playwright's synchronous interface has its own event loop.
"""

import shutil
from collections.abc import Iterator

import pytest
from tests.support.browser import Pages, started_browser
from tests.support.sites import instance
from tests.support.web import WebServer, WebSite

OUTCOME = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Keep whether the test itself failed, for `pages`."""
    report = yield
    if report.when == "call":
        item.stash[OUTCOME] = report.failed
    return report


@pytest.fixture(scope="module")
def browser():
    """One chromium for the tests of a module. (Beside it, no test may be a coroutine.)"""
    with started_browser() as running:
        yield running


@pytest.fixture
def pages(browser, request, tmp_path_factory) -> Iterator[Pages]:
    """What opens pages: ``pages.new_page(color_scheme="dark")``."""
    opened = Pages(browser, tmp_path_factory.mktemp("pictures"))
    try:
        yield opened
        failed = request.node.stash.get(OUTCOME, True)
        if failed or opened.unexpected():
            print("pictures of the pages:", *opened.take_pictures())
        else:
            shutil.rmtree(opened.directory)
    finally:
        opened.close()
    opened.check()


@pytest.fixture
def browser_page(pages):
    """A page of playwright, 1280 × 720, light."""
    return pages.new_page()


@pytest.fixture(scope="module")
def web_site(browser, router, tmp_path_factory) -> Iterator[WebSite]:
    """Two hosts: `daq1` has agents that are well and one that fails again and again, `daq2` one that
    is down on purpose."""
    crash = instance("crash", "--behave", "crash")
    entries = {
        "daq1": [instance("acu"), instance("det/1"), crash],
        "daq2": [instance("pump"), instance("spare", manage="host/down")],
    }
    with WebSite(tmp_path_factory.mktemp("web"), router, entries) as site:
        site.start_managers()
        yield site


@pytest.fixture(scope="module")
def page_of_site(web_site) -> Iterator[WebServer]:
    """The page of `web_site`; its address is `url`."""
    with WebServer(web_site.site) as server:
        yield server
