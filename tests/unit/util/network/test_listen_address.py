"""Where the metrics are served."""

import pytest

from hostmanager.util.network.listen_address import parse_listen_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("9464", "127.0.0.1", 9464),
        ("0.0.0.0:9464", "0.0.0.0", 9464),
        ("daq1.example.org:80", "daq1.example.org", 80),
        ("[::1]:9464", "::1", 9464),
        (":9464", "", 9464),
    ],
)
def test_an_address_without_a_host_is_loopback(text, host, port):
    address = parse_listen_address(text)
    assert (address.host, address.port) == (host, port)
    assert parse_listen_address(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "65536", "::1:9464", "host:", "a b:1", "[::1]9", "٣"]
)
def test_what_is_no_address_is_refused_with_the_right_form(text):
    with pytest.raises(ValueError, match=r"is not PORT, HOST:PORT or \[IPV6\]:PORT"):
        parse_listen_address(text)
