"""Levels, records with their tracebacks, and what a filter shows of them."""

import re
from itertools import chain

import pytest

from hostmanager.client.logs.log_filter import (
    LEVELS,
    FollowedFilter,
    LogFilter,
    LogLine,
    level_of,
    split_records,
)

LOG = """\
2026-11-28T05:28:31+0000 starting
2026-11-28 05:28:32,120 INFO daq: connected
plain text of a print
2026-11-28 05:28:33,120 ERROR daq: no answer
Traceback (most recent call last):
  File "daq.py", line 7, in read
    return port.read()
TimeoutError: no answer

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "daq.py", line 9, in retry
    raise GaveUp
daq.GaveUp
another print
2026-11-28T05:28:34+0000 Unhandled error in Deferred:
2026-11-28T05:28:34+0000 Traceback (most recent call last):
  File "task.py", line 1, in run
--- <exception caught here> ---
  File "task.py", line 2, in step
builtins.ValueError: 7
2026-11-28T05:28:35+0000 going on
"""

OPERATION_THAT_FAILED = """\
2026-11-28T05:28:35+0000 acq:0 Status is now "running".
2026-11-28T05:28:36+0000 acq:0 CRASH: [Failure instance: Traceback: <class 'ValueError'>: -273
/lib/twisted/python/threadpool.py:269:inContext
/lib/agents/daq.py:9:read
]
plain text of a print
2026-11-28T05:28:36+0000 acq:0 CRASH: [Failure instance: Traceback (no frames): <class 'E'>: 7]
plain text of a print
"""


def lines_of(text):
    return [LogLine(None, "h", "a", line) for line in text.splitlines()]


def flat(parts):
    return list(chain.from_iterable(parts))


def shown(selection):
    records = [r for r in split_records(lines_of(LOG)) if selection.matches(r)]
    return [[line.text for line in record.lines] for record in records]


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("WARNING:root:low on disk", "warning"),
        ("2026-11-28 05:28:32,120 - daq.port - ERROR - no answer", "error"),
        ("2026-11-28 05:28:32,120 INFO daq: connected", "info"),
        ("[2026-11-28 05:28:32] CRITICAL in app: gone", "critical"),
        ("2026-11-28T05:28:32.120Z [DEBUG] a.b: x", "debug"),
        ("2026-11-28T05:28:31+0000 [twisted.internet#error] x", "error"),
        ("2026-11-28T05:28:31+0000 [stdout#info] ERROR x", "info"),
        ("error: no such file", "error"),
        ("[warn] hot", "warning"),
        ("DEBUG: x", "debug"),
        ("FATAL x", "critical"),
        ("2026-11-28T05:28:31+0000 connected to the router", None),
        ("2026-11-28T05:28:31+0000 [Router      12345] session joined", None),
        ("an error of 5 V, info on page 3", None),
        ("no errors", None),
        ("", None),
    ],
)
def test_the_level_of_a_line_is_found_in_the_forms_that_are_in_use(line, level):
    assert level_of(line) == (None if level is None else LEVELS[level])


def test_a_traceback_belongs_to_its_line_and_is_an_error():
    groups = shown(LogFilter(level=LEVELS["error"]))
    assert [(lines[0].split(" ", 1)[1], lines[-1]) for lines in groups] == [
        ("05:28:33,120 ERROR daq: no answer", "daq.GaveUp"),
        ("Traceback (most recent call last):", "builtins.ValueError: 7"),
    ]
    assert [len(lines) for lines in groups] == [12, 5]


def test_an_operation_that_raised_an_exception_is_an_error():
    records = split_records(lines_of(OPERATION_THAT_FAILED))
    assert [len(record.lines) for record in records] == [1, 4, 1, 1, 1]
    assert [record.level >= LEVELS["error"] for record in records] == [
        False,
        True,
        False,
        True,
        False,
    ]


def test_what_names_no_level_counts_as_info():
    assert flat(shown(LogFilter(level=LEVELS["info"]))) == LOG.splitlines()
    assert ["plain text of a print"] not in shown(LogFilter(level=LEVELS["warning"]))


def test_a_pattern_that_is_found_in_a_traceback_shows_the_whole_record():
    (groups,) = shown(LogFilter(re.compile("GaveUp$")))
    assert groups[0].endswith("ERROR daq: no answer")
    assert groups[-1] == "daq.GaveUp"
    assert shown(LogFilter(re.compile("print"))) == [["plain text of a print"], ["another print"]]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("level", ["warning", "error", "critical"])
def test_what_comes_piece_by_piece_is_selected_as_what_comes_at_once(size, level):
    selection = LogFilter(level=LEVELS[level])
    followed = FollowedFilter(selection)
    lines = lines_of(LOG)
    pieces = [followed.select(lines[at : at + size]) for at in range(0, len(lines), size)]
    assert [line.text for line in flat(pieces)] == flat(shown(selection))
