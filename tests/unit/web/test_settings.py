"""The options of the server: what makes no sense is refused with a sentence that says what does."""

import argparse
import re

import pytest

from hostmanager.client.errors import ClientError
from hostmanager.util.network.listen_address import parse_listen_address
from hostmanager.web.settings import WebSettings, host_of, settings_of_options
from hostmanager.web.urls import make_url

USUAL = {
    "listen": "127.0.0.1:8090",
    "allow_host": [],
    "root_path": "",
    "read_only": False,
    "user_header": "",
    "trusted_proxy": [],
    "ocs_web": "",
    "grafana": "",
}


def settings(**options) -> WebSettings:
    return settings_of_options(argparse.Namespace(**{**USUAL, **options}))


def test_by_default_only_this_host_reaches_it():
    assert settings().listen == ("127.0.0.1", 8090)
    assert settings().names == {"localhost", "127.0.0.1", "::1"}


@pytest.mark.parametrize("listen", ["0.0.0.0:80", ":8090", "daq1:8090", "[::]:8090", "10.0.0.1:1"])
def test_beyond_this_host_the_name_has_to_be_said(listen):
    with pytest.raises(ClientError, match="--allow-host NAME"):
        settings(listen=listen)
    assert "daq1.example.org" in settings(listen=listen, allow_host=["DAQ1.example.org"]).names


@pytest.mark.parametrize("listen", ["localhost:1", "127.0.0.2:1", "[::1]:8090"])
def test_addresses_of_this_host_alone_need_no_name(listen):
    assert settings(listen=listen).listen == parse_listen_address(listen)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"allow_host": ["http://daq1/"]}, "--allow-host http://daq1/: write the name alone"),
        ({"allow_host": ["daq1:80"]}, "--allow-host daq1:80: write the name alone"),
        ({"root_path": "hm"}, "--root-path hm: write a path that begins with a slash"),
        ({"root_path": "/a//b"}, "--root-path /a//b: write a path"),
        ({"user_header": "X User"}, "--user-header X User: this is no name of a header"),
        ({"trusted_proxy": ["10.0.0.5"]}, "--trusted-proxy is for the header that --user-header"),
        (
            {"trusted_proxy": ["proxy"], "user_header": "X-User"},
            "--trusted-proxy proxy: 'proxy' does not appear to be",
        ),
        ({"grafana": "javascript:alert(1)"}, "--grafana javascript:alert(1): write an address"),
    ],
)
def test_what_makes_no_sense_is_named(options, text):
    with pytest.raises(ClientError, match=re.escape(text)):
        settings(**options)


def test_headers_are_believed_from_this_host_and_from_named_proxies():
    some = settings(user_header="X-User", trusted_proxy=["10.0.0.0/24", "fd00::5"])
    trusted = ["127.0.0.1", "::1", "10.0.0.77", "fd00::5"]
    assert [address for address in trusted if not some.trusts(address)] == []
    others = ["10.0.1.1", "192.0.2.1", "fd00::6", "", None, "daq1"]
    assert [address for address in others if some.trusts(address)] == []


@pytest.mark.parametrize(
    ("netloc", "name"),
    [
        ("localhost:8090", "localhost"),
        ("DAQ1.Example.org", "daq1.example.org"),
        ("[::1]:8090", "::1"),
        ("[::1", ""),
        ("", ""),
        ("user@evil.org", "evil.org"),
    ],
)
def test_the_name_in_a_host_header(netloc, name):
    assert host_of(netloc) == name


def test_addresses_are_below_the_root_path_and_ids_are_encoded():
    assert make_url("", "") == "/"
    assert (
        make_url("/hm", "agent", "daq 1", "det/ä?#&") == "/hm/agent/daq%201/det%2F%C3%A4%3F%23%26"
    )
    given = make_url("/hm", "change", action="up", id=["a/b", "c"], q="", none=None)
    assert given == "/hm/change?action=up&id=a%2Fb&id=c"
