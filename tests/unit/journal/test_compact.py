"""The short form of the journal: the same events, read back, page by page."""

import sqlite3

import pytest

from hostmanager.client.history.journal_event import decode_compact, event_of_entry
from hostmanager.journal import EntryKind, Query
from hostmanager.journal import compact as compact_module

EXIT = {"from": "up", "to": "waiting", "target": "up", "pid": 7, "expected": False, "ran_for": 3.2}


def fill(journal, cycles=3):
    journal.record(EntryKind.MANAGER, "started", None, {"event": "started"}, at=1000.0)
    for number in range(cycles):
        when = 1010.25 + number + number**3 * 7919 % 991 / 1024
        journal.record(EntryKind.EXIT, "killed after 3.2 s; it was", "a", EXIT, at=when)
        journal.record(EntryKind.OUTPUT, "last", "a", {"lines": ["last"]}, at=when)
        journal.record(EntryKind.LAUNCH, f"launched (pid {number})", "b/c", {"to": "up"}, at=when)


def read(journal, **query):
    page = journal.compact_page(Query(**{"limit": 1000, **query}))
    events = decode_compact(page.text)
    assert len(events) == page.count
    return events, page.older


def test_the_short_form_says_the_same_without_output_and_numbers_in_texts(journal):
    fill(journal)
    events, older = read(journal)
    long_form = [event_of_entry(e) for e in journal.history(limit=100) if e["kind"] != "output"]
    assert [(e.id, e.instance_id, e.fact) for e in events] == [
        (e.id, e.instance_id, e.fact) for e in long_form
    ]
    assert [e.time for e in events] == pytest.approx([e.time for e in long_form], abs=0.001)
    assert {e.text for e in events} == {"started", "killed", ""}
    assert older is None


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"instance_id": "a"}, 3),
        ({"since": 1011.0}, 4),
        ({"until": 1011.0}, 3),
        ({"kinds": ("exit", "output")}, 3),
        ({"after": 2}, 5),
        ({"before": 3}, 2),
    ],
)
def test_a_part_of_it_can_be_had(journal, query, count):
    fill(journal)
    assert len(read(journal, **query)[0]) == count


def test_it_comes_in_pages_where_it_is_too_large(journal, monkeypatch):
    fill(journal, 200)
    pages, before = [], None
    while not pages or before is not None:
        events, before = read(journal, before=before, max_chars=600)
        pages.insert(0, events)
    assert len(pages) > 2
    assert [e for page in pages for e in page] == read(journal)[0]
    monkeypatch.setattr(compact_module, "MAX_UNPACKED_CHARS", 500)
    events, older = read(journal)
    assert events and older == events[0].id


def test_an_empty_journal_and_data_that_somebody_broke_are_no_obstacle(journal):
    assert read(journal) == ([], None)
    fill(journal, 1)
    journal.flush()
    with sqlite3.connect(journal.path) as database:
        database.execute("UPDATE entries SET data = '{broken' WHERE id = 2")
        database.execute("UPDATE entries SET data = '[1]' WHERE id = 4")
    assert len(read(journal)[0]) == 3


@pytest.mark.parametrize("text", ["", "x", "eJwrBgAAcwBz", "ü"])
def test_an_answer_that_is_no_short_form_is_refused(text):
    with pytest.raises(ValueError, match="cannot be read"):
        decode_compact(text)
