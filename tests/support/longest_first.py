"""The order of test files: those that take longest begin first, so that none runs alone at the end.

`tests/durations.json` has the seconds of the long ones, as the last ``make test RECORD=1`` measured
them. Where all workers take whole files in this order (``--no-loadscope-reorder``), the suite ends
soon after the work is used up.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "durations.json"

UNKNOWN_SECONDS = 10.0
"""What a file without a line is taken for, if it uses something real: it may be new."""

UNIT = "tests/unit/"
"""Files below take less than a second, unless they have a line: they fill the end."""

MIN_SECONDS = 3.0
"""Shorter files are not worth a line."""


def sort_longest_first(items: list[pytest.Item], known: dict[str, float]) -> None:
    """Sort tests by what their file takes; within a file they keep their order."""
    files = {item.nodeid.split("::")[0] for item in items}
    unknown = {file: 0.0 if file.startswith(UNIT) else UNKNOWN_SECONDS for file in files}
    rank = {file: known.get(file, unknown[file]) for file in files}
    items.sort(key=lambda item: -rank[item.nodeid.split("::")[0]])


def load() -> dict[str, float]:
    """Seconds by file; empty if there is no such table."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


class Recorder:
    """A plugin of pytest that writes the table anew at the end of a run of all tests."""

    def __init__(self) -> None:
        self._seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid.split("::")[0]] += report.duration

    def pytest_sessionfinish(self) -> None:
        long = {file: round(s, 1) for file, s in self._seconds.items() if s >= MIN_SECONDS}
        ordered = dict(sorted(long.items(), key=lambda item: -item[1]))
        FILE.write_text(json.dumps(ordered, indent=1) + "\n")
