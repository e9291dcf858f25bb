"""What the demo says of its page for browsers."""

from types import SimpleNamespace

from hostmanager.demo.page import DemoPage


def test_a_page_that_ended_says_why(tmp_path):
    log = tmp_path / "page.log"
    log.write_text("INFO: begins\nhostmanager web: this needs the extra 'web': pip install …\n")
    page = DemoPage(SimpleNamespace(poll=lambda: 2), 1, log)
    reason = "this needs the extra 'web': pip install …"
    assert page.describe() == f"No page for browsers in this demo: {reason}"
