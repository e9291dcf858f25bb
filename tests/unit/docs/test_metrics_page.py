"""docs/metrics.md has the metrics and fields of the code; this fails when somebody forgot one."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"


def test_the_tables_are_what_the_code_makes():
    spec = importlib.util.spec_from_file_location("make_metrics", DOCS / "make_metrics.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    current = make.PAGE.read_text(encoding="utf-8")
    assert current == make.page(current), f"docs/metrics.md is not of today; run: {make.COMMAND}"
