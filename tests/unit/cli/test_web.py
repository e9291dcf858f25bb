"""`hostmanager web`: its options."""

import pytest

from hostmanager.cli.main import command_parser


@pytest.mark.parametrize("text", ["x", "127.0.0.1:70000", "a b:1"])
def test_an_address_that_is_none_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        command_parser("web").parse_args(["--listen", text])
    assert "is not PORT, HOST:PORT or [IPV6]:PORT" in capsys.readouterr().err
