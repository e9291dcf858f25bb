"""Journals of managers, kept: what is asked for again, and what is not. The journal is a real file."""

import gc
import time
import weakref

import pytest
from tests.support.waiting import wait_for

from hostmanager.agent.operations.history import read_page
from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.history import site_history as module
from hostmanager.client.history.site_history import SiteHistory
from hostmanager.client.managers.manager_client import OperationResult
from hostmanager.journal import EntryKind, Journal

DEFAULTS = {"instance_id": None, "limit": 100, "since": None, "before": None}
FURTHER = {"until": None, "after": None, "kinds": None, "compact": False}
ANSWER_TIME = 5.0


class Manager:
    """Answers `history` as a manager does, from its journal."""

    host = instance_id = "h"

    def __init__(self, path, *, is_old=False):
        self.path, self.is_old, self.is_silent = path, is_old, False
        self.journal = Journal(path)
        self.asked = []

    def run(self, operation, limit, /, **params):
        assert operation == "history"
        if self.is_silent:
            raise ManagerError(FailureKind.TIMEOUT, "no answer within 5 s")
        if self.is_old and params.keys() & FURTHER.keys():
            raise ManagerError(FailureKind.REFUSED, "Unexpected parameters")
        self.asked.append(params)
        data, _ = read_page(self.journal, {**DEFAULTS, **FURTHER, **params})
        return OperationResult(True, "", {**data, "now": time.time()})

    def record(self, *times):
        for when in times:
            self.journal.record(EntryKind.STATE, f"at {when:g}", "a", {"to": "up"}, at=when)
        self.journal.flush()


@pytest.fixture
def begin(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FRESH_TIME", 0.0)
    monkeypatch.setattr(module, "CLOCK_MARGIN", 0.0)
    begun = []

    def go(name="journal.sqlite", **options):
        begun.append(Manager(tmp_path / name, **options))
        return begun[-1]

    yield go
    for manager in begun:
        manager.journal.close()


def read(history, manager, since=0.0):
    found = history.read({"h": manager}, since, ANSWER_TIME)["h"]
    assert [event.id for event in found.events] == sorted({event.id for event in found.events})
    return found


def texts(found):
    return [event.text for event in found.events]


def test_a_second_look_asks_only_for_what_is_new(begin):
    manager, history = begin(), SiteHistory()
    manager.record(10, 20)
    assert texts(read(history, manager)) == ["at 10", "at 20"]
    manager.asked.clear()
    manager.record(30)
    found = read(history, manager)
    assert texts(found) == ["at 10", "at 20", "at 30"]
    assert found.begins
    assert [(asked["after"], asked["compact"]) for asked in manager.asked] == [(1, True)]


def test_an_earlier_range_asks_only_for_what_is_older(begin):
    manager, history = begin(), SiteHistory()
    manager.record(10, 20, 30, 40)
    found = read(history, manager, since=35)
    assert (texts(found), found.begins) == (["at 40"], False)
    found = read(history, manager, since=15)
    assert (texts(found), found.begins) == (["at 20", "at 30", "at 40"], False)
    found = read(history, manager, since=5)
    assert (texts(found), found.begins) == (["at 10", "at 20", "at 30", "at 40"], True)


def test_a_range_without_entries_is_known_to_have_none(begin):
    manager, history = begin(), SiteHistory()
    manager.record(10)
    found = read(history, manager, since=15)
    assert (found.events, found.begins, found.since) == ([], False, 15)
    manager.record(20)
    assert texts(read(history, manager, since=15)) == ["at 20"]
    empty = begin("empty.sqlite")
    assert read(SiteHistory(), empty).begins


def test_another_journal_replaces_the_one_that_was_known(begin):
    manager, history = begin(), SiteHistory()
    manager.record(10, 20)
    read(history, manager)
    other = begin("other.sqlite")
    other.record(11, 21, 31)
    assert texts(read(history, other)) == ["at 11", "at 21", "at 31"]


def test_a_manager_that_falls_silent_leaves_what_is_known_of_it(begin):
    manager, history = begin(), SiteHistory()
    manager.record(10)
    read(history, manager)
    manager.is_silent = True
    found = read(history, manager)
    assert (texts(found), str(found.error)) == (["at 10"], "no answer within 5 s")
    manager.is_silent = False
    assert read(history, manager).error is None


def test_a_manager_that_is_known_to_be_silent_is_not_asked(begin):
    manager, history = begin(), SiteHistory()
    error = ManagerError(FailureKind.NOT_REGISTERED, "it is not at the router")
    found = history.read({"h": manager}, 0.0, ANSWER_TIME, {"h": error})["h"]
    assert (found.error, found.read_at, manager.asked) == (error, None, [])


def test_a_manager_without_a_short_form_is_read_in_the_long_one(begin):
    manager, history = begin(is_old=True), SiteHistory()
    manager.record(10, 20)
    assert texts(read(history, manager)) == ["at 10", "at 20"]
    manager.record(30)
    assert texts(read(history, manager, since=15)) == ["at 20", "at 30"]


def test_ten_looks_at_a_time_ask_once(begin, monkeypatch):
    monkeypatch.setattr(module, "FRESH_TIME", 60.0)
    manager, history = begin(), SiteHistory()
    manager.record(10)
    read(history, manager)
    manager.asked.clear()
    for _ in range(10):
        read(history, manager)
    assert manager.asked == []


class Stranger:
    """A client without the password that this manager wants."""

    host = instance_id = "h"

    def run(self, operation, limit, /, **params):
        raise ManagerError(FailureKind.REFUSED, "'history' needs credential level 1")


def test_what_one_client_may_read_is_not_shown_to_another_and_goes_with_it(begin):
    manager, stranger, history = begin(), Stranger(), SiteHistory()
    manager.record(10)
    assert texts(read(history, manager)) == ["at 10"]
    found = history.read({"h": stranger}, 0.0, ANSWER_TIME)["h"]
    assert (found.events, str(found.error)) == ([], "'history' needs credential level 1")
    gone = weakref.ref(stranger)
    del stranger
    wait_for(lambda: gc.collect() >= 0 and gone() is None, 5, "the client to be forgotten")
    assert texts(read(history, manager)) == ["at 10"]


def test_what_nobody_looks_at_is_forgotten_where_there_is_too_much(begin, monkeypatch):
    monkeypatch.setattr(module, "MAX_KEPT_EVENTS", 3)
    first, second, history = begin(), begin("second.sqlite"), SiteHistory()
    first.record(10, 20)
    second.record(10, 20)
    history.read({"first": first}, 0.0, ANSWER_TIME)
    history.read({"second": second}, 0.0, ANSWER_TIME)
    first.asked.clear()
    history.read({"first": first}, 0.0, ANSWER_TIME)
    assert "after" not in first.asked[0]
