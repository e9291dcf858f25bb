"""`hostmanager check` says the expected line of each wrong file, and nothing of a right one.

The files of `wrong/` are what people write into YAML files and site configs: mistakes of bug
reports, of forum threads, of OCS's history. Their first lines are comments::

    # why somebody writes this
    # options: --offline --elsewhere      (default: --syntax)
    # expect: 13:36: error: the whole line that is printed, after the file's name
    (or its beginning, up to "…", where it lists what there is)
"""

from pathlib import Path

import pytest
from tests.support.corpus import HERE, RIGHT, WRONG, header

from hostmanager.cli.main import main

PUBLISHED = HERE.parent / "realsize" / "socs.yaml"
"""55 entries as the documentation of socs has them: their mistakes are not in the file itself."""


@pytest.fixture
def check(capsys, monkeypatch):
    """Check a file in its directory: the exit status, and the lines without the file's name."""

    def run(path: Path, *options: str) -> tuple[int, list[str]]:
        monkeypatch.chdir(path.parent)
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["check", *options, path.name])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        lines = printed.out.splitlines()
        return int(end.value.code or 0), [
            line.removeprefix(f"{path.name}:").strip() for line in lines
        ]

    return run


def test_there_are_enough_of_both():
    assert len(WRONG) >= 60
    assert len(RIGHT) >= 10


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_each_mistake_is_named(check, path):
    options = header(path, "options") or ["--syntax"]
    code, lines = check(path, *options[0].split())
    expected = header(path, "expect")
    assert len(lines) == len(expected), lines
    for line, text in zip(lines, expected, strict=True):
        assert line == text or (text.endswith("…") and line.startswith(text[:-1]))
    assert code == any("error: " in line for line in lines)


@pytest.mark.parametrize("name", ["address-scheme-typo", "address-ws-for-http"])
def test_a_router_at_an_address_that_is_none_is_not_asked(check, name):
    path = HERE / "wrong" / f"{name}.yaml"
    code, lines = check(path, "--elsewhere")
    assert (code, lines) == (1, header(path, "expect"))


@pytest.mark.parametrize("options", [["--syntax"], ["--offline", "--elsewhere"]])
@pytest.mark.parametrize("path", RIGHT, ids=lambda path: path.stem)
def test_a_right_file_gets_no_message(check, path, options):
    assert check(path, *options) == (0, [])


def test_published_examples_are_right_as_yaml(check):
    assert check(PUBLISHED, "--syntax") == (0, [])
