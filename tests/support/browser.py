"""A real browser (Debian's chromium, driven by playwright), and what no page of ours may do in it.

Playwright and axe are in the extra `dev`; chromium is not: `apt-get install chromium`. Where one of
them is missing, tests that need a browser are skipped.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.waiting import BUSY_MACHINE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

OPTIONS = (
    "--no-sandbox",  # as root there is none
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-gpu",
    "--disable-sync",
    "--no-pings",
    # Names for this host, so that pages can be asked for by them.
    "--host-resolver-rules=MAP *.test 127.0.0.1",
)

OPEN_TIME = 10.0 * BUSY_MACHINE
"""Seconds that one step in the browser may take."""

LOOPBACK = ("127.0.0.1", "localhost")

WCAG_AA = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")

PHONE = {"width": 360, "height": 740}
"""Width and height in pixels of the smallest screen that pages are made for."""

_REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", event => console.error(
    `Content-Security-Policy: ${event.violatedDirective} forbids ${event.blockedURI}`));
"""


@contextmanager
def started_browser() -> "Iterator[Browser]":
    """A chromium without windows; skips the test where there is none, or no playwright.

    While it runs, no test in the same thread can run an event loop of its own: playwright's does.
    """
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if path is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Pages:
    """The pages that one test opens, and all that goes wrong in them.

    Attributes:
        browser: The browser.
        directory: Where pictures of the pages of a test that failed are put.
        problems: What went wrong: messages in the console, errors of scripts, requests to other hosts,
            violations of the Content-Security-Policy.
    """

    browser: "Browser"
    directory: Path
    problems: list[str] = field(default_factory=list)
    _allowed: list[str] = field(default_factory=list)
    _contexts: "list[BrowserContext]" = field(default_factory=list)

    def new_page(self, **options: Any) -> "Page":
        """Open an empty page in a session of its own; options are those of playwright's contexts.

        Such as ``viewport=PHONE``, ``color_scheme="dark"``, ``java_script_enabled=False``.
        """
        context = self.browser.new_context(**{"reduced_motion": "reduce", **options})
        self._contexts.append(context)
        context.set_default_timeout(OPEN_TIME * 1000)
        context.add_init_script(_REPORT_VIOLATIONS)
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.problems.append(f"script: {error.error}"))
        context.on("request", self._requested)
        return context.new_page()

    def allow(self, pattern: str) -> None:
        """Expect problems whose text this expression matches somewhere, in this test."""
        self._allowed.append(pattern)

    def unexpected(self) -> list[str]:
        """The problems that nobody expected, each once."""
        found = dict.fromkeys(self.problems)
        return [text for text in found if not any(re.search(one, text) for one in self._allowed)]

    def check(self) -> None:
        """Fail with all problems that nobody expected."""
        assert not self.unexpected(), "\n".join(["the browser reported:", *self.unexpected()])

    def take_pictures(self) -> list[Path]:
        """Take a picture of each page that is open: the files."""
        pages = [page for context in self._contexts for page in context.pages]
        paths = [self.directory / f"page{number}.png" for number in range(len(pages))]
        for page, path in zip(pages, paths, strict=True):
            page.screenshot(path=path)
        return paths

    def close(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            context.close()

    def _heard(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning", "assert"):
            place = message.location.get("url", "")
            self.problems.append(f"console, {message.type}: {message.text} ({place})")

    def _requested(self, request: "Request") -> None:
        target = urlsplit(request.url)
        page = urlsplit(request.frame.url) if not request.is_navigation_request() else target
        own = (target.scheme, target.netloc) == (page.scheme, page.netloc)
        if target.scheme not in ("data", "blob") and not (own and _is_this_host(target.hostname)):
            self.problems.append(f"a request to another host: {request.url}")


def _is_this_host(name: str | None) -> bool:
    return name in LOOPBACK or (name or "").endswith(".test")


def accessibility_faults(page: "Page", tags: tuple[str, ...] = WCAG_AA) -> list[str]:
    """What axe-core finds wrong with a page by the rules of WCAG 2, levels A and AA: one line each."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    only = {"resultTypes": ["violations"], "runOnly": list(tags)}
    violations = axe.Axe().run(page, options=only).response["violations"]
    return [
        f"{violation['id']}: {' '.join(map(str, node['target']))}: {_summary(node)}"
        for violation in violations
        for node in violation["nodes"]
    ]


def _summary(node: dict[str, Any]) -> str:
    parts = [*node.get("all", []), *node.get("any", []), *node.get("none", [])]
    return "; ".join(part["message"] for part in parts)


def overflow(page: "Page") -> int:
    """By how many pixels the page is wider than its window: what has to be scrolled sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))
