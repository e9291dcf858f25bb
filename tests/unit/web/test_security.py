"""What is asked of each request. The same with real requests: tests/integration/web."""

import dataclasses

import pytest

from hostmanager.util.network.listen_address import ListenAddress
from hostmanager.web import security
from hostmanager.web.errors import ExpiredFormError, ForbiddenError
from hostmanager.web.sessions import CSRF_FIELD, Sessions
from hostmanager.web.settings import WebSettings

LOCAL = WebSettings(ListenAddress("127.0.0.1", 8090))
PROXIED = dataclasses.replace(LOCAL, allowed_hosts=frozenset({"control.example.org"}))


@pytest.mark.parametrize("host", ["localhost:8090", "127.0.0.1", "[::1]:9000", "LOCALHOST"])
def test_a_browser_of_this_host_may_ask(host):
    assert security.host_problem(host, LOCAL) == ""


@pytest.mark.parametrize(
    "host",
    ["evil.org", "localhost.evil.org", "127.0.0.1.evil.org", "", "localhost@evil.org", "[::1"],
)
def test_a_name_that_was_rebound_to_this_address_is_refused(host):
    assert "--allow-host NAME" in security.host_problem(host, LOCAL)


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        (LOCAL, {"Origin": "http://localhost:8090"}),
        (LOCAL, {"Origin": "http://localhost:8090", "Sec-Fetch-Site": "same-origin"}),
        (LOCAL, {"Referer": "http://localhost:8090/change?action=up"}),
        (PROXIED, {"Origin": "https://control.example.org"}),
    ],
)
def test_a_form_of_a_page_of_ours_is_taken(settings, headers):
    security.check_origin({"Host": "localhost:8090", **headers}, settings)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://localhost:8091"},
        {"Origin": "http://evil.org", "Referer": "http://localhost:8090/"},
        {"Referer": "http://evil.org/http://localhost:8090/"},
        {"Origin": "http://localhost:8090", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://localhost:8090", "Sec-Fetch-Site": "same-site"},
        {"Origin": "file://localhost:8090"},
        {"Origin": "http://[localhost:8090"},
        {"Origin": "https://control.example.org"},
    ],
)
def test_a_form_of_another_page_is_refused(headers):
    with pytest.raises(ForbiddenError, match="Nothing was changed"):
        security.check_origin({"Host": "localhost:8090", **headers}, LOCAL)


def test_a_form_of_another_session_is_not_carried_out():
    sessions = Sessions()
    ours, other = sessions.begin(), sessions.begin()
    security.check_form({CSRF_FIELD: ours.csrf}, ours)
    for form, session in (({CSRF_FIELD: other.csrf}, ours), ({}, ours), ({CSRF_FIELD: ""}, None)):
        with pytest.raises(ExpiredFormError, match="Nothing was sent"):
            security.check_form(form, session)


def test_no_script_style_or_frame_of_others_and_none_inside_of_pages():
    policy = security.CONTENT_SECURITY_POLICY
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
