"""What carries an environment or a password does not show it."""

import ast
import traceback
from functools import partial
from pathlib import Path

import pytest

import hostmanager
from hostmanager.util.secret import Environment, Secret

SOURCES = sorted(Path(hostmanager.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize(
    "shown",
    [
        repr(Environment({"X": "canary"})),
        str(Environment({"X": "canary"})),
        f"{Environment({'X': 'canary'})}",
        repr(partial(print, env=Environment({"X": "canary"}))),
        repr({"policy": Secret("canary")}),
        "".join(traceback.format_exception_only(ValueError(Environment({"X": "canary"})))),
    ],
)
def test_nothing_is_shown(shown):
    assert "canary" not in shown


def test_they_are_what_they_were_otherwise():
    assert Environment({"X": "1"}) == {"X": "1"}
    assert {**Environment({"X": "1"})} == {"X": "1"}
    assert Secret("override:x") == "override:x"
    assert f"{Secret('override:x')}".split(":") == ["override", "x"]


def test_no_program_is_started_with_an_environment_that_can_be_shown():
    results = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            given = [k.value for k in node.keywords if k.arg in ("env", "environ")]
            results.extend((path.name, ast.unparse(value)) for value in given)
    assert results
    # A mere `env` is a parameter, of that type.
    bad = [
        (name, v)
        for name, v in results
        if not v.startswith(("Environment(", "inherited_environ(")) and v != "env"
    ]
    # uvloop takes nothing but a dictionary; nothing of it stays in a callback or a message.
    bad.remove(("command.py", "dict(environ)"))
    # The commands that people type run once, and log nothing.
    assert not [entry for entry in bad if not in_cli(entry[0])]


def in_cli(name: str) -> bool:
    return any(
        path.name == name and {"cli", "demo", "testing"} & set(path.parts) for path in SOURCES
    )
