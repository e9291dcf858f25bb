"""A router behind TLS: what is said of certificates that do not verify, by clients and manager."""

import asyncio
import datetime
import http.server
import subprocess
import threading
from unittest.mock import Mock

import pytest

from hostmanager.cli.main import command_parser
from hostmanager.client.site_model import read_site
from hostmanager.client.watch.feed_listener import FeedListener
from tests.integration.systemd.fake_host import HOSTMANAGER
from tests.support.managers import Manager
from tests.support.sites import instance
from tests.support.tls import HOST, Authority, TlsFront
from tests.support.waiting import BUSY_MACHINE, wait_for

TRUST = "Name the file with the certificate of its authority: in SSL_CERT_FILE"
PAST = {"not_before": datetime.datetime(2020, 1, 1), "not_after": datetime.datetime(2021, 1, 1)}


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def front(router, authority):
    with TlsFront(router, authority.certificate()) as front:
        yield front


@pytest.fixture
def site(make_site, front):
    made = make_site(front)
    made.write(instance("a1"))
    return made


@pytest.fixture
def hostmanager(site, monkeypatch):
    """Run a command; it knows the authority unless told."""

    def run(*arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        command = [HOSTMANAGER, *arguments, "--answer-time", "30", *site.args]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    return run


COMMANDS = [["status"], ["up", "a1"], ["reload"], ["logs", "a1"], ["history"], ["diff"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda expected: expected[0])
def test_an_unknown_authority_is_named_by_each_command(hostmanager, front, command):
    result = hostmanager(*command)
    assert result.returncode == 3, result.stderr
    assert (
        f"no encrypted connection to {front.http} can be made: certificate verify" in result.stderr
    )
    assert "certificate verify failed: unable to get local issuer certificate. " in result.stderr
    assert TRUST in result.stderr
    assert "Is the router running?" not in result.stderr


WRONG = [
    ((HOST,), PAST, "certificate has expired. Renew the certificate"),
    (("else.example",), {}, f"certificate is not valid for '{HOST}'. Write the router's address"),
]


@pytest.mark.parametrize(("names", "dates", "expected"), WRONG, ids=["date", "name"])
def test_what_is_wrong_with_a_certificate_is_reported(
    hostmanager, front, authority, *, names, dates, expected
):
    front.close()
    front.open(authority.certificate(*names, **dates))
    result = hostmanager("status", **authority.surroundings)
    assert (result.returncode, result.stdout) == (3, "")
    assert expected in result.stderr
    result = hostmanager("check", "--elsewhere", **authority.surroundings)
    lines = [line for line in result.stdout.splitlines() if "no encrypted connection" in line]
    assert [front.url in lines[0], front.http in lines[1], len(lines)] == [True, True, 2]
    assert all(expected in line for line in lines)


@pytest.fixture
def page():
    """The address of something that speaks HTTP, without TLS."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_port_without_tls_is_distinguished_from_a_certificate(hostmanager, page):
    result = hostmanager("status", "--site-http", f"https://{page}/call")
    assert result.returncode == 3
    assert f"no encrypted connection to https://{page}/call can be made: " in result.stderr
    assert (
        "Does the router have TLS at this port? If not, write ws:// and http://." in result.stderr
    )


def test_where_nobody_listens_it_is_the_router_that_is_asked_about(hostmanager, front):
    front.close()
    result = hostmanager("status")
    assert result.returncode == 3
    assert f"no router answers at {front.http}. Is the router running?" in result.stderr


def _saying(manager: Manager, expected: str) -> list[str]:
    return [line for line in manager.output().splitlines() if expected in line]


def test_the_manager_says_the_tls_error_and_comes_back_when_it_is_fixed(site, front, authority):
    front.close()
    front.open(authority.certificate(HOST, **PAST))
    manager = Manager(site, surroundings=authority.surroundings)
    try:
        message = "certificate verify failed: certificate has expired. Renew the certificate"
        wait_for(lambda: _saying(manager, message), 20, "the date to be named", manager.output)
        front.close()
        front.open(authority.certificate("else.example"))
        message = f"certificate is not valid for '{HOST}'. Write the router's address"
        wait_for(lambda: _saying(manager, message), 20, "the name to be named", manager.output)
        front.close()
        front.open(authority.certificate())
        wait_for(lambda: _saying(manager, "registered with the router"), 20, "it", manager.output)
        assert len(_saying(manager, "no encrypted connection to the router")) == 2
        assert not _saying(manager, "no router at")
    finally:
        manager.stop()


def test_an_authority_that_the_manager_does_not_know_is_named_once(site, front):
    manager = Manager(site)
    try:
        wait_for(lambda: _saying(manager, TRUST), 20, "it to be named", manager.output)
        (line,) = _saying(manager, "no encrypted connection to the router")
        assert f"at {front.url} can be made: certificate verify failed: unable to get" in line
    finally:
        manager.stop()
    assert len(_saying(manager, "no encrypted connection to the router")) == 1


async def test_who_follows_the_site_trusts_whom_agents_trust(site, authority, monkeypatch, caplog):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    args = command_parser("status").parse_args(["--site-file", str(site.file)])
    joined = asyncio.Event()
    events = Mock(feed_joined=joined.set)
    listening = asyncio.create_task(FeedListener(read_site(args), events).run())
    try:
        async with asyncio.timeout(20 * BUSY_MACHINE):
            while TRUST not in caplog.text:  # noqa: ASYNC110 - the log has no event
                await asyncio.sleep(0.05)
            assert not joined.is_set()
            monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
            await joined.wait()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
