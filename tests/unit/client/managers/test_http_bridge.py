"""When a call goes through `requests`: whenever that would do more than to post."""

import pytest

from hostmanager.client.managers.http_bridge import needs_requests


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("url", ["http://daq1:8001/call", "http://[::1]:8001/call"])
def test_plain_http_needs_nothing_more(url):
    assert not needs_requests(url)


@pytest.mark.parametrize(
    "url", ["https://daq1/call", "http://me:word@daq1/call", "http://höst/call", "ftp://a/"]
)
def test_addresses_that_need_it(url):
    assert needs_requests(url)


@pytest.mark.parametrize(
    ("name", "needs"), [("HTTP_PROXY", True), ("all_proxy", True), ("https_proxy", False)]
)
def test_a_proxy_for_plain_http_needs_it(name, needs, monkeypatch):
    monkeypatch.setenv(name, "http://proxy:3128")
    assert needs_requests("http://daq1/call") == needs


@pytest.mark.parametrize("name", [".netrc", "_netrc", "elsewhere"])
def test_a_file_of_passwords_needs_it(name, tmp_path, monkeypatch):
    (tmp_path / name).touch()
    if name == "elsewhere":
        monkeypatch.setenv("NETRC", str(tmp_path / name))
    assert needs_requests("http://daq1/call")
