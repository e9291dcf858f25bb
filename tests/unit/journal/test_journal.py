"""What is recorded is found again, soon, whole and by whoever asks; nobody waits for it."""

import asyncio
import json
import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from hostmanager.journal import Entry, EntryKind, JournalError, Limits, Query
from hostmanager.journal import writer as writer_module
from tests.support.waiting import wait_for


def test_what_was_recorded_is_read_back_the_newest_last(journal):
    journal.record(EntryKind.REQUEST, "a down", "a", {"level": 1}, at=1000.5)
    journal.record(EntryKind.STATE, "stopping", "a")
    journal.append(Entry(1002.0, EntryKind.MANAGER, "ended"))
    first, second, third = journal.history()
    assert first == {
        "id": 1,
        "time": 1000.5,
        "kind": "request",
        "instance_id": "a",
        "text": "a down",
        "data": {"level": 1},
    }
    assert abs(second["time"] - time.time()) < 60
    assert (third["instance_id"], third["data"]) == (None, {})


def test_history_can_be_asked_for_one_instance_a_number_and_a_time(journal):
    for number in range(10):
        journal.record(EntryKind.STATE, str(number), "ab"[number % 2], at=float(number))
    assert [e["text"] for e in journal.history("a")] == ["0", "2", "4", "6", "8"]
    assert [e["text"] for e in journal.history("a", limit=2)] == ["6", "8"]
    assert [e["text"] for e in journal.history(limit=3)] == ["7", "8", "9"]
    assert [e["text"] for e in journal.history(since=7.5)] == ["8", "9"]
    assert [e["text"] for e in journal.history("b", limit=1, since=7)] == ["9"]
    assert journal.history("gone") == []
    assert journal.history(since=1e12) == []


def test_everything_can_be_had_page_by_page(journal):
    for number in range(50):
        journal.record(EntryKind.STATE, f"{number} {'x' * 400}", "a", at=float(number))
        journal.record(EntryKind.STATE, "of another", "b", at=float(number))
    results: list[int] = []
    before, pages = None, 0
    while True:
        entries, more = journal.page(Query("a", 10_000, 5.0, before, max_chars=2000))
        assert sum(len(entry["text"]) for entry in entries) <= 2000
        results = [int(entry["text"].split()[0]) for entry in entries] + results
        pages += 1
        if not more:
            break
        before = entries[0]["id"]
    assert results == list(range(5, 50))
    assert pages > 10


def test_one_entry_that_is_larger_than_a_page_is_a_page(journal):
    journal.record_texts("x" * 5000, "y" * 5000)
    (entry,), more = journal.page(Query(limit=5, max_chars=10))
    assert (entry["text"][0], more) == ("y", True)
    (entry,), more = journal.page(Query(limit=5, before=entry["id"], max_chars=10))
    assert (entry["text"][0], more) == ("x", False)


def test_a_page_says_whether_there_are_older_entries_than_were_asked_for(journal):
    journal.record_texts("one", "two", "three")
    assert journal.page(Query(limit=2))[1] is True
    assert journal.page(Query(limit=3))[1] is False


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_limit_out_of_range_is_refused(journal, limit):
    with pytest.raises(ValueError, match="from 1 to 10000"):
        journal.history(limit=limit)


def test_a_second_run_goes_on_where_the_first_one_ended(open_journal):
    first = open_journal()
    first.record_texts("one", "two")
    assert first.close()
    first.record_texts("too late")
    second = open_journal()
    second.record_texts("three")
    assert second.texts() == ["one", "two", "three"]
    assert [e["id"] for e in second.history()] == [1, 2, 3]


def test_the_file_is_for_its_owner_alone_whatever_the_umask(path, open_journal):
    before = os.umask(0)
    try:
        journal = open_journal()
        journal.record_texts("x")
        journal.flush()
        modes = {p.name: p.stat().st_mode & 0o777 for p in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes.keys() == {"journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"}
    assert set(modes.values()) == {0o600}


def test_after_a_clean_end_nobody_is_missed(open_journal):
    first = open_journal()
    first.record(EntryKind.MANAGER, "started", data={"event": "started", "pid": 77})
    first.record(EntryKind.MANAGER, "ended", data={"event": "ended", "pid": 77})
    first.close()
    second = open_journal()
    second.record_texts("x")
    assert second.texts() == ["started", "ended", "x"]


# --- anything can be recorded --------------------------------------------------------------


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no")


LOOP: list = []
LOOP.append(LOOP)
DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "data",
    [
        {"nan": float("nan")},
        {"inf": float("inf")},
        {1: 2, "x": None},
        {("a",): 1},
        {"bytes": b"\xff"},
        {"object": object()},
        {"odd": Odd()},
        {"loop": LOOP},
        {"deep": DEEP},
        {"surrogate": "\udc80"},
        {"\ud800": "\0"},
        {"huge": 10**400},
        {"long": "x" * 100_000},
        {"lines": ["é" * 500] * 1000},
    ],
    ids=lambda data: str(next(iter(data)))[:8].encode("ascii", "replace").decode(),
)
def test_data_of_any_kind_is_kept_as_strict_json_or_given_up(journal, data):
    journal.record(EntryKind.REQUEST, "before", data={"n": 1})
    journal.record(EntryKind.REQUEST, "odd \udc80\0", "in\udcffstance", data)
    journal.record(EntryKind.REQUEST, "after")
    before, odd, after = journal.history()
    assert (before["data"], after["text"]) == ({"n": 1}, "after")
    assert odd["text"] == "odd ?\0"
    json.dumps(odd, allow_nan=False).encode()
    json.dumps(odd, allow_nan=False, ensure_ascii=False).encode()
    assert len(json.dumps(odd, ensure_ascii=False)) < 20_000
    assert journal.error is None


def test_wrong_arguments_do_not_raise_and_do_not_stop_the_writer(journal):
    journal.record(None, 5, 7, "no mapping", at="yesterday")  # type: ignore[arg-type]
    journal.record_texts("next")
    assert journal.texts()[-1] == "next"


def test_a_very_long_text_is_cut(journal):
    journal.record_texts("x" * 1_000_000)
    assert 1000 < len(journal.texts()[0]) <= 2000


# --- nobody waits ---------------------------------------------------------------------------


async def test_recording_on_a_loop_blocks_nothing(open_journal):
    journal = open_journal()
    watch = BlockBuster(scanned_modules="hostmanager")
    watch.activate()
    try:
        for number in range(2000):
            journal.record_texts(str(number))
            if number % 100 == 0:
                await asyncio.sleep(0)
    finally:
        watch.deactivate()
    texts = await asyncio.to_thread(journal.texts)
    assert texts == [str(n) for n in range(2000)]


def test_a_burst_within_the_bound_of_the_queue_loses_nothing(journal):
    for number in range(10_000):
        journal.record_texts(str(number))
    assert journal.flush(60)
    assert journal.texts() == [str(n) for n in range(10_000)]


def test_a_burst_beyond_the_bound_says_how_many_were_lost(open_journal, path):
    journal = open_journal(Limits(queued=1000))
    for number in range(100_000):
        journal.record_texts(str(number))
    journal.record_texts("end")
    assert journal.flush(60)
    base = sqlite3.connect(path)
    numbers = [
        int(t) for (t,) in base.execute("SELECT text FROM entries WHERE data = '{}'") if t.isdigit()
    ]
    lost = base.execute("SELECT sum(json_extract(data, '$.lost')) FROM entries").fetchone()[0] or 0
    base.close()
    assert len(numbers) + lost == 100_000
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 99_999
    assert journal.texts(1) == ["end"]


def test_while_the_writer_is_stuck_the_oldest_make_room(open_journal, path, monkeypatch):
    from hostmanager.journal.store import Store

    go_on, stuck = threading.Event(), threading.Event()
    append = Store.append

    def slow(store, rows):
        stuck.set()
        assert go_on.wait(60)
        append(store, rows)

    monkeypatch.setattr(Store, "append", slow)
    journal = open_journal(Limits(queued=100))
    journal.record_texts("first")
    assert stuck.wait(60)
    for number in range(1000):
        journal.record_texts(str(number))
    assert journal.flush(0.05) is False
    assert journal.close(0.05) is False  # it does not hold up the end of the manager
    go_on.set()
    wait_for(lambda: not writers(), 10, "the writer to end")
    again = open_journal()
    texts = again.texts()
    assert texts[0] == "first"
    assert texts[-1] == "999"
    assert f"{1001 - (len(texts) - 1)} entries were lost" in texts[1]


def test_threads_may_record_at_the_same_time(journal):
    def work(name: str) -> None:
        for number in range(500):
            journal.record(EntryKind.STATE, str(number), name)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    readers = [journal.history(limit=10_000) for _ in range(5)]
    for thread in threads:
        thread.join()
    assert [len(r) for r in readers] == sorted(len(r) for r in readers)
    for name in "abcdefgh":
        assert [e["text"] for e in journal.history(name, 1000)] == [str(n) for n in range(500)]
    extra = [e for e in journal.history(limit=10_000) if e["kind"] != "state"]
    assert extra == []  # nothing is said to be lost
    assert len(journal.history(limit=10_000)) == 4000


def test_an_idle_journal_gives_signs_of_life_by_which_an_end_is_known(
    open_journal, path, monkeypatch
):
    monkeypatch.setattr(writer_module, "SIGN_INTERVAL", 0.02)
    journal = open_journal()
    journal.record(EntryKind.MANAGER, "started", None, {"event": "started", "pid": 7})
    assert journal.flush(10)
    os.utime(path, (1000.0, 1000.0))
    wait_for(lambda: path.stat().st_mtime > 1000.0, 10, "a sign of life")
    monkeypatch.setattr(writer_module, "SIGN_INTERVAL", 60.0)
    alive = path.stat().st_mtime
    newer = open_journal()  # as after a kill: the first one is not closed
    (vanished,) = (e for e in newer.history() if e["data"].get("event") == "vanished")
    assert alive <= vanished["data"]["alive_until"] <= vanished["time"]


def writers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "journal"]


def test_an_idle_journal_sleeps(journal):
    journal.record_texts("x")
    assert journal.flush(10)
    [writer] = writers()
    status = Path(f"/proc/self/task/{writer.native_id}/status")

    def switches() -> list[str]:
        return [line for line in status.read_text().splitlines() if "ctxt" in line]

    time.sleep(0.1)  # the flush is over
    wait_for(lambda: "S (sleeping)" in status.read_text(), 10, "the writer to sleep")
    before = switches()
    time.sleep(1.0)  # the length is the point
    assert switches() == before


def test_without_a_thread_entries_wait_until_one_can_be_had(open_journal, monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        journal = open_journal()
        journal.record_texts("x")
        assert "thread could not be started" in journal.error
        with pytest.raises(JournalError, match="thread could not be started"):
            journal.history()
    assert journal.texts() == ["x"]
    assert journal.error is None


# --- it stays small -------------------------------------------------------------------------


def size(path) -> int:
    return sum(p.stat().st_size for p in path.parent.iterdir() if not p.name.endswith("-shm"))


def test_the_oldest_entries_go_when_there_are_too_many(open_journal):
    journal = open_journal(Limits(entries=500))
    largest = 0
    for number in range(3000):
        journal.record_texts(str(number))
        if number % 250 == 0:
            largest = max(largest, len(journal.history(limit=10_000)))
    texts = journal.texts()
    assert 490 <= len(texts) <= 500
    assert largest <= 500
    assert texts == [str(n) for n in range(3000 - len(texts), 3000)]


def test_the_files_do_not_grow_beyond_their_bound(open_journal, path):
    limit = 1024 * 1024
    journal = open_journal(Limits(bytes=limit))
    sizes = []
    for number in range(10_000):
        journal.record(EntryKind.OUTPUT, str(number), f"i{number % 50}", {"lines": ["x" * 500]})
        if number % 200 == 0:
            assert journal.flush(30)
            sizes.append(size(path))
    texts = journal.texts()
    assert max(sizes) <= limit
    assert 500 < len(texts) < 2000
    assert texts == [str(n) for n in range(10_000 - len(texts), 10_000)]


def test_a_file_that_is_larger_than_a_new_bound_shrinks(open_journal, path):
    first = open_journal()
    for number in range(5000):
        first.record(EntryKind.OUTPUT, str(number), "a", {"lines": ["x" * 500]})
    assert first.flush(30)
    first.close()
    assert size(path) > 2_500_000
    second = open_journal(Limits(bytes=1024 * 1024))
    second.record_texts("x")
    assert second.flush(30)
    second.record_texts("y")
    assert second.flush(30)
    second.close()
    assert size(path) <= 1024 * 1024
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
