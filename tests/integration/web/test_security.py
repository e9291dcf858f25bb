"""The server as a browser, a proxy and a page of somebody else meet it: real requests, no router."""

import re
import subprocess

import pytest
import requests
from tests.support.demos import HOSTMANAGER
from tests.support.web import WebServer

from hostmanager.testing.ports import free_port

SITE = """\
hub:
  wamp_server: ws://127.0.0.1:{port}/ws
  wamp_http: http://127.0.0.1:{port}/call
  wamp_realm: test_realm
  address_root: observatory
hosts:
  daq1:
    agent-instances:
    - agent-class: HostManager
      instance-id: hm-daq1
    - agent-class: FakeDataAgent
      instance-id: det/1
      arguments: []
"""

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    file = tmp_path_factory.mktemp("site") / "site.yaml"
    file.write_text(SITE.format(port=free_port()))
    return file


@pytest.fixture(scope="module")
def server(site):
    """A server below /hm that believes a header."""
    options = ("--user-header", "X-User", "--grafana", "https://grafana.example.org/")
    with WebServer(site, *options, root_path="/hm") as running:
        yield running


@pytest.fixture
def browser(server):
    """A browser that has the login open."""
    session = requests.Session()
    session.headers.update({"Origin": server.url.removesuffix("/hm"), **SAME_ORIGIN})
    answer = session.get(f"{server.url}/login")
    assert answer.status_code == 200
    session.fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', answer.text))
    return session


def log_in(server, browser, **fields):
    form = {**browser.fields, "name": "ann", "password": "secret", **fields}
    return browser.post(f"{server.url}/login", form, allow_redirects=False)


def test_each_answer_has_the_headers(server):
    for path in ("/", "/static/hm.css", "/nothing", "/events?since=x", "/host/x"):
        with requests.get(server.url + path, stream=True) as answer:
            headers = answer.headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'"
        )
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == ("no-cache" if "static" in path else "no-store")
        assert "Server" not in headers


def test_no_page_has_a_script_or_a_style_inside(server):
    for path in ("/", "/host/daq1", "/login", "/nothing"):
        text = requests.get(server.url + path).text
        assert not re.search(r"<script(?! type=\"module\" src=)|<style|\sstyle=|\son\w+=", text)


@pytest.mark.parametrize("host", ["evil.org", "127.0.0.1.evil.org:80", "localhost@evil.org"])
def test_a_name_that_was_rebound_is_refused_and_learns_nothing(server, host):
    answer = requests.get(f"{server.url}/", headers={"Host": host})
    assert answer.status_code == 421
    assert "--allow-host NAME" in answer.text
    assert "daq1" not in answer.text


def test_the_router_that_is_away_is_said_and_nothing_is_shown_as_known(server):
    text = requests.get(f"{server.url}/").text
    assert "The router does not answer:" in text
    assert 'href="/hm/agent/daq1/det%2F1"' in text
    assert "no answer yet" in text
    assert 'href="https://grafana.example.org"' in text


def test_what_does_not_exist_is_a_page_with_what_was_meant(server):
    answer = requests.get(f"{server.url}/host/daq11")
    assert answer.status_code == 404
    assert 'href="/hm/host/daq1"' in answer.text
    assert requests.get(f"{server.url}/nothing").status_code == 404
    answer = requests.get(server.url.removesuffix("/hm") + "/")
    assert answer.status_code == 404
    assert "All addresses begin with /hm/." in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": None},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_form_of_another_page_is_refused(server, browser, headers):
    browser.headers.update(headers)
    answer = log_in(server, browser)
    assert answer.status_code == 403
    assert "Nothing was changed" in answer.text
    assert "Set-Cookie" not in answer.headers


def test_a_form_whose_session_is_over_is_shown_again_without_what_is_secret(server, browser):
    browser.cookies.clear()
    answer = log_in(server, browser, next="/hm/host/daq1")
    assert answer.status_code == 403
    assert "Nothing was sent" in answer.text
    assert 'name="next" value="/hm/host/daq1"' in answer.text
    assert "secret" not in answer.text
    assert browser.fields["csrf"] not in answer.text


def test_a_login_changes_the_cookie_and_leads_to_where_it_was_asked_for(server, browser):
    [before] = browser.cookies
    answer = log_in(server, browser, next="/hm/host/daq1")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/hm/host/daq1")
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/hm"))
    assert "Secure" not in cookie
    assert before.value not in cookie
    assert "Log out" in browser.get(f"{server.url}/").text
    browser.post(f"{server.url}/logout", browser.fields)
    assert "Log out" not in browser.get(f"{server.url}/").text


@pytest.mark.parametrize("path", ["//evil.org/", "http://evil.org/", "/other", "/hm/\r\nX: y", ""])
def test_a_login_never_leads_to_another_server(server, browser, path):
    assert log_in(server, browser, next=path).headers["Location"] == "/hm/"


def test_the_cookie_is_for_encrypted_connections_if_the_proxy_has_one(server, browser):
    browser.headers["X-Forwarded-Proto"] = "https"
    assert "; Secure" in log_in(server, browser).headers["Set-Cookie"]


def test_a_form_that_is_too_large_is_refused(server, browser):
    answer = log_in(server, browser, name="x" * 2**20)
    assert answer.status_code == 413
    assert "Set-Cookie" not in answer.headers


def test_a_header_says_who_it_is(server):
    text = requests.get(f"{server.url}/", headers={"X-User": "<b>ann"}).text
    assert "&lt;b&gt;ann" in text


def test_messages_for_a_browser_begin_with_where_it_stands(server):
    page = requests.get(f"{server.url}/").text
    version = re.search(r'data-version="([^"]+)"', page)[1]
    with requests.get(f"{server.url}/events?since=of-another-server", stream=True) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert next(answer.iter_lines()) == b"event: reload"
    headers = {"Last-Event-ID": version}
    with requests.get(f"{server.url}/events", headers=headers, stream=True) as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith(b"event:")) != b"event: reload"
        assert b'"ages":{"daq1":null}' in next(line for line in lines if line.startswith(b"data:"))


def test_what_only_shows_takes_no_form_and_what_is_taken_is_named(site):
    with WebServer(site, "--read-only", "--allow-host", "control.example.org") as server:
        origin = {"Origin": server.url, **SAME_ORIGIN}
        answer = requests.post(f"{server.url}/change", {"action": "down"}, headers=origin)
        assert answer.status_code == 403
        assert "--read-only" in answer.text
        page = requests.get(f"{server.url}/", headers={"Host": "control.example.org"})
        assert page.status_code == 200
        assert 'type="checkbox"' not in page.text
        command = [HOSTMANAGER, "web", "--site-file", str(site), "--listen", str(server.port)]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 2
        assert ended.stderr == (
            f"hostmanager web: --listen 127.0.0.1:{server.port}: the port is taken by another program; "
            "choose another one.\n"
        )
        assert server.stop() == 0
