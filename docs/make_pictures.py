"""Take the pictures of the page in docs/pictures, from the site of the demo.

Run it with ``make pictures``; it needs chromium. It takes half a minute: an agent of the demo has
to fail a few times first.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from hostmanager.demo.environment import DemoEnvironment
from hostmanager.testing.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PICTURES = Path(__file__).parent / "pictures"

DESK = {"width": 960, "height": 720}
PHONE = {"width": 360, "height": 640}

FAILURES = 4
"""So often the agent `flaky` has failed: it then waits for a few seconds before each attempt."""

TIMEOUT = 120.0  # seconds


def main() -> None:
    """Put the demo up, and take all pictures."""
    program = shutil.which("chromium")
    if program is None:
        sys.exit("chromium is not installed (apt-get install chromium)")
    PICTURES.mkdir(exist_ok=True)
    with (
        DemoEnvironment(3, free_port(), lambda: False) as demo,
        sync_playwright() as playwright,
    ):
        demo.start_router(lambda: False)
        demo.start_manager()
        demo.start_page()
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        wait_for(lambda: demo.page is not None and "http" in demo.page.describe())
        command = [sys.executable, "-m", "hostmanager.cli.entry_point", "down", "fake2"]
        options = ["--site-file", str(demo.site.file), "--reason", "cable work until noon"]
        subprocess.run([*command, *options], check=True)
        take_all(browser, f"http://127.0.0.1:{demo.page.port}" if demo.page else "")
        browser.close()


def take_all(browser: "Browser", url: str) -> None:
    """Take all pictures."""
    page = browser.new_page(viewport=DESK)
    page.goto(f"{url}/")
    wait_until_it_fails(page)
    take(page, "site")
    phone = browser.new_page(viewport=PHONE, color_scheme="dark")
    phone.goto(f"{url}/")
    wait_until_it_fails(phone)
    take(phone, "phone")
    page.goto(f"{url}/agent/demo-host/flaky")
    page.locator("pre, .output").first.wait_for()
    take(page, "agent")
    page.goto(f"{url}/timeline?from=-2m")
    take(page, "timeline")
    page.goto(f"{url}/change?action=restart&pattern=fake*")
    take(page, "change", 520)


def wait_until_it_fails(page: "Page") -> None:
    """Return when the page shows that the agent waits for an attempt, and for how long."""

    def fails() -> bool:
        text = page.locator("#problems .problem").first.inner_text(timeout=1000)
        return any(f"{number} failures in a row" in text for number in range(FAILURES, 20))

    wait_for(fails)


def wait_for(happened: Callable[[], bool]) -> None:
    """Ask until it has happened; an exception is a no."""
    until = time.monotonic() + TIMEOUT
    while True:
        try:
            if happened():
                return
            problem: object = "it did not happen"
        except Exception as error:
            problem = error
        if time.monotonic() > until:
            sys.exit(f"No picture after {TIMEOUT:g} s: {problem}")
        time.sleep(0.05)


def take(page: "Page", name: str, height: int | None = None) -> None:
    """Take a picture of what is on the screen, or of the upper pixels of it."""
    path = PICTURES / f"{name}.png"
    width, whole = page.evaluate("[innerWidth, innerHeight]")
    page.screenshot(path=path, clip={"x": 0, "y": 0, "width": width, "height": height or whole})
    print(f"{path}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
