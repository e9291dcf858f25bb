"""What a page in the browser of the tests may not do is found; a page that is well has no problems."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.support.browser import PHONE, accessibility_faults, overflow

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src *; connect-src *"
HEAD = "<!doctype html><html lang=en><title>test</title>"
FILES = {
    "/well": HEAD + "<main><h1>Well</h1><p>All is well.</main>",
    "/inline": HEAD + "<main><h1>Inline</h1><p style='color: red'>red</main>",
    "/foreign": HEAD + "<main><img alt='' src='http://192.0.2.1/x.png'></main>",
    "/script": HEAD + "<script src='/fault.js'></script>",
    "/fault.js": "console.warn('be warned'); missing();",
    "/wide": HEAD + "<main><pre>" + "wide " * 100 + "</pre><img src='/well'></main>",
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind = "text/javascript" if self.path.endswith(".js") else "text/html"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(FILES[self.path].encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_page_that_is_well_has_no_problems(url, browser_page, pages):
    browser_page.goto(f"{url}/well")
    assert pages.problems == []
    assert accessibility_faults(browser_page) == []
    assert overflow(browser_page) <= 0


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/inline", "Content-Security-Policy: style-src-attr forbids inline"),
        ("/foreign", "a request to another host: http://192.0.2.1/x.png"),
        ("/script", "console, warning: be warned"),
        ("/script", "missing is not defined"),
    ],
)
def test_a_page_that_does_what_no_page_may_has_problems(url, browser_page, pages, path, problem):
    browser_page.goto(url + path, wait_until="commit")
    browser_page.wait_for_function("() => document.readyState !== 'loading'")
    pages.allow("")
    assert any(problem in text for text in pages.problems), pages.problems
    assert pages.unexpected() == []


def test_faults_for_people_with_a_screen_reader_or_a_phone_are_found(url, pages):
    page = pages.new_page(viewport=PHONE)
    page.goto(f"{url}/wide")
    [fault] = accessibility_faults(page)
    assert fault.startswith("image-alt: img: ")
    assert overflow(page) > 100
