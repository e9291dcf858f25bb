"""Variables that are not set are named with their file and line."""

from pathlib import Path

import pytest

from hostmanager.composefile.variables import unset_variables


def unset_in(path: Path, **environ: str) -> list[tuple[str, str, int, str]]:
    """What is found: variable, file, line, service."""
    unset = unset_variables(path, environ)
    return [(each.name, Path(each.file).name, each.line, each.service) for each in unset]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "compose.yaml"


def test_an_unset_variable_is_named_with_its_line_and_service(file):
    file.write_text(
        "services:\n  ocs-a:\n    image: x:$TAG\n    volumes:\n"
        '      - "${OCS_CONFIG_DIR}:/config:ro"\nname: ${P}\n'
    )
    assert unset_in(file) == [
        ("TAG", "compose.yaml", 3, "ocs-a"),
        ("OCS_CONFIG_DIR", "compose.yaml", 5, "ocs-a"),
        ("P", "compose.yaml", 6, ""),
    ]


@pytest.mark.parametrize(
    "text",
    ["$$A", "${A:-x}", "${A-x}", "${A:+x}", "${A:?must be}", "${A:-${B:-x}}", "no $ at all", "$1"],
)
def test_what_compose_can_do_without_is_not_named(file, text):
    file.write_text(f"services:\n  a:\n    image: '{text}'\n")
    assert unset_in(file) == []


def test_a_default_that_is_itself_unset_is_named(file):
    file.write_text("services:\n  a:\n    image: '${A:-${B}}$C'\n")
    assert [name for name, *_ in unset_in(file)] == ["B", "C"]
    assert [name for name, *_ in unset_in(file, A="1")] == ["C"]


def test_the_environment_and_the_env_file_beside_it_set_variables(file):
    file.write_text("services:\n  a:\n    command: [$A, $B, $C, $D]\n")
    file.with_name(".env").write_text("# A=0\nexport B=1\nC = 'x'\nD\n")
    assert [name for name, *_ in unset_in(file, A="")] == ["D"]


def test_the_line_of_a_block_of_text_is_that_of_the_variable(file):
    file.write_text("services:\n  a:\n    command: |\n      one\n      $TWO\n")
    assert unset_in(file) == [("TWO", "compose.yaml", 5, "a")]


def test_files_that_are_included_or_extended_are_read_too(file):
    file.write_text("include: [more.yaml]\nservices: {}\n")
    file.with_name("more.yaml").write_text("include: compose.yaml\nservices:\n  b: {image: $X}\n")
    assert unset_in(file) == [("X", "more.yaml", 3, "b")]


@pytest.mark.parametrize("text", ["", "{", "a: *b", "- x", "a: &a [*a, $X]", "a: ${", "a: ${A:-{"])
def test_a_file_that_is_none_raises_nothing(file, text):
    file.write_text(text)
    assert {name for name, *_ in unset_in(file)} <= {"X"}
    assert unset_variables(file.with_name("not-there"), {}) == []
