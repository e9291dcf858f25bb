"""Doing something by the page in a browser: several agents at once, by keyboard, on a phone."""

from tests.support import clients
from tests.support.browser import PHONE, accessibility_faults, overflow
from tests.support.waiting import BUSY_MACHINE, wait_for

SOON = 30_000 * BUSY_MACHINE  # milliseconds until a change has ended, at most

AGENTS = ("acu", "det/1")


def states(web_site) -> list[str]:
    known = clients.states(clients.client(web_site.hosts["daq1"]))
    return [known[name] for name in AGENTS]


def test_several_agents_are_stopped_and_started_again(page_of_site, web_site, browser_page):
    """Selected on the page of the site; the plan, a yes, the reason; live progress, the result."""
    page = browser_page
    page.goto(page_of_site.url + "/")
    wait_for(lambda: states(web_site) == ["up", "up"], 30 * BUSY_MACHINE, "the agents")
    for name in AGENTS:
        page.get_by_role("checkbox", name=f"Select {name}").check()
    page.get_by_role("group", name="Change the selected agents").get_by_role(
        "button", name="Stop"
    ).click()
    assert page.get_by_role("heading", level=1).inner_text() == "Stop 2 agents on daq1?"
    assert "stop on daq1: acu, det/1" in page.get_by_role("list").all_inner_texts()[0]
    assert accessibility_faults(page) == []
    stop = page.get_by_role("button", name="Stop 2 agents on daq1")
    stop.click()  # the browser asks for the yes first
    assert "/change?" in page.url
    page.get_by_label("Why?").fill("new cables")
    page.get_by_label("Yes, stop 2 agents on daq1").check()
    stop.click()
    page.get_by_role("heading", name=": done").wait_for(timeout=SOON)
    assert page.evaluate("document.activeElement.id") == "result"
    assert "new cables" in page.get_by_text("Confirmed by").inner_text()
    assert page.get_by_role("button", name="Cancel").count() == 0
    assert accessibility_faults(page) == []
    assert states(web_site) == ["down", "down"]
    result = page.url
    page.goto(page_of_site.url + "/change?action=up&host=daq1&pattern=acu+det*")
    start = page.get_by_role("button", name="Start 2 agents on daq1")
    start.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/change/*", timeout=SOON)
    page.get_by_role("heading", name=": done").wait_for(timeout=SOON)
    assert states(web_site) == ["up", "up"]
    page.goto(result)
    assert page.get_by_role("heading", level=1).inner_text() == "Stop 2 agents on daq1: done"


def test_it_fits_a_phone_and_needs_no_scripts(page_of_site, web_site, pages):
    phone = pages.new_page(viewport=PHONE, color_scheme="dark", java_script_enabled=False)
    for path in ("/change", "/change?action=reload", "/change?action=restart&host=daq1"):
        phone.goto(page_of_site.url + path)
        assert phone.get_by_role("heading", level=1).is_visible()
    phone.goto(page_of_site.url + "/change?action=restart&host=daq1&id=det/1")
    phone.get_by_role("button", name="Restart det/1 on daq1").click()
    phone.get_by_role("heading", name="Restart det/1 on daq1: done").wait_for(timeout=SOON)
    scripted = pages.new_page(viewport=PHONE, color_scheme="dark")
    for path in (
        "/change",
        "/change?action=restart&host=daq1",
        phone.url.removeprefix(page_of_site.url),
    ):
        scripted.goto(page_of_site.url + path)
        assert overflow(scripted) <= 0
        assert accessibility_faults(scripted) == []
