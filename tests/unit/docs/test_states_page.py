"""docs/states.md is made from the table; this fails when somebody forgot to make it again."""

import functools
import importlib.util
from pathlib import Path

from hostmanager.core.record import State

DOCS = Path(__file__).parents[3] / "docs"


@functools.cache
def generator():
    spec = importlib.util.spec_from_file_location("make_states", DOCS / "make_states.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_table_makes():
    make = generator()
    current = make.PAGE.read_text(encoding="utf-8")
    assert current == make.page(), f"docs/states.md is not of today; run: {make.COMMAND}"


def test_every_state_is_explained_and_can_be_left_and_reached_in_the_picture():
    make = generator()
    arrows = [line.split(":")[0].split(" --> ") for line in make.diagram() if " --> " in line]
    assert set(make.MEANINGS) == set(State)
    assert {start.strip() for start, _ in arrows} == {*State, "[*]"}
    assert {end for _, end in arrows} == {*State, "[*]"}
