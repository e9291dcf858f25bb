"""The help of every subcommand, as a person reads it at a terminal."""

import re

import pytest

from hostmanager.cli.main import COMMANDS, command_parser, make_main_parser, unknown_command
from hostmanager.util.help_parser import HelpParser


def parser_of(name):
    return command_parser(name) if name else make_main_parser()


@pytest.mark.parametrize("name", ["", *COMMANDS])
@pytest.mark.parametrize("columns", [80, 40])
def test_it_fits_the_terminal_and_breaks_no_word(name, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", "10000")
    wide = parser_of(name).format_help() + parser_of(name).format_site_help()
    monkeypatch.setenv("COLUMNS", str(columns))
    text = parser_of(name).format_help() + parser_of(name).format_site_help()
    words = set(wide.split())
    assert [word for word in text.split() if word not in words] == []
    # The usage, and single words, may be longer than a narrow terminal.
    too_long = [line for line in text.splitlines()[1:] if len(line) > columns]
    assert [line for line in too_long if columns == 80 or len(line.split()) > 2] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_its_own_options_come_first_and_the_examples_last(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = parser_of(name).format_help()
    assert "--site-http" not in text
    headings = re.findall(r"(?m)^([a-z][a-z ,()]*):$", text)
    assert headings[0] in {"options", "positional arguments"}
    if name != "run":
        assert "examples" in headings[-2:]


def test_a_paragraph_is_filled_and_a_table_is_not(monkeypatch):
    monkeypatch.setenv("COLUMNS", "42")
    parser = HelpParser(
        prog="x",
        description="One two\nthree four five six seven eight nine\n\nnext",
        epilog="a:\n  b  c\n",
    )
    text = parser.format_help()
    assert "One two three four five six seven eight\nnine\n\nnext\n" in text
    assert text.endswith("a:\n  b  c\n")


def test_an_unknown_command_is_named_with_all_that_there_are():
    assert unknown_command("xyzzy").endswith(f"The commands are: {', '.join(COMMANDS)}.")
