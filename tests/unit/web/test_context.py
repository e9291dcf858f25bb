"""Who asks, in the words that managers keep."""

import argparse

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from hostmanager.util.network.listen_address import ListenAddress
from hostmanager.web.context import (
    SHARED,
    Shared,
    args_of,
    cookie_name,
    requester_of,
)
from hostmanager.web.sessions import Sessions
from hostmanager.web.settings import WebSettings

LOCAL = WebSettings(ListenAddress("127.0.0.1", 8090))
PROXIED = WebSettings(ListenAddress("127.0.0.1", 8090), user_header="X-User")


def request_of(settings, remote="127.0.0.1", login=None, **headers):
    app = web.Application()
    app[SHARED] = Shared(settings, None, argparse.Namespace(privs="3"))
    if login is not None:
        headers["Cookie"] = f"{cookie_name(settings)}={app[SHARED].sessions.begin(*login).token}"
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("GET", "/", headers, app=app).clone(remote=remote)


@pytest.mark.parametrize(
    ("request_", "who"),
    [
        (request_of(LOCAL), "somebody at 127.0.0.1 (web)"),
        (request_of(LOCAL, login=("ann", "")), "ann at 127.0.0.1 (web)"),
        (request_of(LOCAL, X_User="eve"), "somebody at 127.0.0.1 (web)"),
        (request_of(PROXIED, X_User="ann"), "ann (web)"),
        (request_of(PROXIED), "somebody (web)"),
        (request_of(PROXIED, login=("eve", ""), X_User="ann"), "ann (web)"),
        (request_of(PROXIED, "10.0.0.7", X_User="eve"), "somebody at 10.0.0.7 (web)"),
        (request_of(PROXIED, X_User="x" * 200), "somebody (web)"),
        (request_of(PROXIED, X_User="a\u202eb"), "somebody (web)"),
    ],
)
def test_who_it_is_by_the_word_of_the_proxy_or_of_the_login(request_, who):
    assert requester_of(request_) == who


def test_nobody_gets_the_password_of_the_server():
    assert args_of(request_of(LOCAL)).password == ""
    given = args_of(request_of(LOCAL, login=("ann", "2")), reason="because")
    assert (given.password, given.reason) == ("2", "because")


def test_what_knows_a_password_is_forgotten_with_its_session():
    known, shared = Sessions(), Shared(LOCAL, None, argparse.Namespace())
    ann, bob, nobody = known.begin("ann", "one"), known.begin("bob", "two"), known.begin()
    shared.readers = {("daq1", each.password): None for each in (ann, bob, nobody)}
    shared.forget_password(nobody)
    shared.forget_password(ann)
    assert list(shared.readers) == [("daq1", "two"), ("daq1", "")]
