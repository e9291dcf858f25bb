"""docs/cli.md is made from the parsers; this fails when somebody forgot to make it again."""

import importlib.util
from pathlib import Path

import pytest

from hostmanager.cli.completion import candidates
from hostmanager.cli.completion.table import make_table
from hostmanager.cli.main import COMMANDS

DOCS = Path(__file__).parents[3] / "docs"


def generator():
    spec = importlib.util.spec_from_file_location("make_cli", DOCS / "make_cli.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_parsers_make():
    make = generator()
    current = make.PAGE.read_text(encoding="utf-8")
    assert current == make.page(), f"docs/cli.md is not of today; run: {make.COMMAND}"


def test_the_table_of_completion_is_what_the_parsers_make():
    current = Path(candidates.TABLE_FILE).read_text(encoding="utf-8")
    assert current == make_table(), f"table.json is not of today; run: {generator().COMMAND}"


def test_every_command_has_a_section_with_its_exit_status_and_examples():
    make = generator()
    by_name = {text.split("\n")[0].removeprefix("### "): text for text in make.sections()}
    assert set(by_name) == set(COMMANDS) - make.ELSEWHERE
    for name, text in by_name.items():
        assert "exit status:" in text, name
        assert f"hostmanager {name}" in text, name
        assert "examples:" in text, name


def test_there_is_a_manual_page_of_every_command():
    pytest.importorskip("argparse_manpage", reason="comes with the extra docs")
    spec = importlib.util.spec_from_file_location("make_man", DOCS / "make_man.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages = dict(module.pages())
    assert set(pages) == {"hostmanager.1", *(f"hostmanager-{name}.1" for name in COMMANDS)}
    for name, text in pages.items():
        assert text.startswith(f".TH {name.removesuffix('.1').upper()} 1 "), name
        assert "\n.SH EXAMPLES\n" in text or name == "hostmanager-run.1", name
