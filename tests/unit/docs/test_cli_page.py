"""docs/cli.md is made from the parsers; this fails when somebody forgot to make it again."""

import importlib.util
from pathlib import Path

from hostmanager.cli.completion import candidates
from hostmanager.cli.completion.table import make_table
from hostmanager.cli.main import COMMANDS

DOCS = Path(__file__).parents[3] / "docs"


def module(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def generator():
    return module("make_cli")


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
    make = module("man_pages")
    pages = make.make_pages(make.SOURCE.read_text(encoding="utf-8"), "1.2.3")
    others = {f"hostmanager-{name}.1" for name in set(COMMANDS) - generator().ELSEWHERE}
    assert set(pages) == {"hostmanager.1", *others}
    for name, text in pages.items():
        assert text.startswith(f'.TH {name.removesuffix(".1").upper()} 1 "" "hostmanager 1.2.3"'), (
            name
        )
        assert "\n.SH EXAMPLES\n" in text or name == "hostmanager.1", name
    assert "\n.TP\n\\fB\\-\\-wrong\\fR\nno table, only" in pages["hostmanager-status.1"]
