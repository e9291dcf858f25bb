"""`hostmanager web` without what it needs."""

import sys

import pytest

from hostmanager.cli.main import command_module, command_parser


def test_without_the_extra_it_says_how_to_install_it(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("hostmanager.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    args = command_parser("web").parse_args([])
    args.command = "web"
    assert command_module("web").run(args) == 2
    assert "pip install 'ocs-hostmanager[web]'" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["x", "127.0.0.1:70000", "a b:1"])
def test_an_address_that_is_none_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        command_parser("web").parse_args(["--listen", text])
    assert "is not PORT, HOST:PORT or [IPV6]:PORT" in capsys.readouterr().err
