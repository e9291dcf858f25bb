"""Whatever is done to the journal's file: it is begun anew or left alone, and people are told."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from hostmanager.journal import EntryKind, Journal, JournalError
from tests.support.waiting import wait_for


def aside(path: Path) -> list[Path]:
    names = (p for p in path.parent.iterdir() if ".broken-" in p.name)
    return sorted(p for p in names if not p.name.endswith(("-wal", "-shm")))


def filled(path: Path, count: int = 2000) -> bytes:
    """A journal with entries; its bytes."""
    journal = Journal(path)
    for number in range(count):
        journal.record(EntryKind.OUTPUT, f"old {number}", "a", {"lines": ["x" * 100]})
    assert journal.close(30)
    return path.read_bytes()


def garbage(path):
    path.write_bytes(os.urandom(20_000))


def large(path):
    path.write_bytes(os.urandom(1024 * 1024) * 50)


def text(path):
    path.write_text("hello")


def half(path):
    data = filled(path)
    path.write_bytes(data[: len(data) // 2])


def head_alone(path):
    path.write_bytes(filled(path)[:50])


def garbage_after_the_head(path):
    data = filled(path)
    path.write_bytes(data[:4096] + os.urandom(len(data) - 4096))


def directory(path):
    path.mkdir()
    (path / "file").write_text("x")


def loop(path):
    path.symlink_to(path)


def pipe(path):
    os.mkfifo(path)


def foreign(path):
    base = sqlite3.connect(path)
    base.executescript(
        "CREATE TABLE entries (id INTEGER PRIMARY KEY, x); INSERT INTO entries VALUES (1, 2)"
    )
    base.close()


def newer(path):
    filled(path, 3)
    base = sqlite3.connect(path)
    base.execute("PRAGMA user_version = 2")
    base.close()


def without_its_table(path):
    filled(path, 3)
    base = sqlite3.connect(path)
    base.execute("DROP TABLE entries")
    base.close()


def directories_beside(path):
    for name in ("-wal", "-shm"):
        beside = path.with_name(path.name + name)
        if beside.exists():
            beside.unlink()
        beside.mkdir()
        (beside / "file").touch()
    filled(path.with_name("other"), 3)
    path.write_bytes(path.with_name("other").read_bytes())
    path.with_name("other").unlink()


WAYS = [
    *(garbage, large, text, half, head_alone, garbage_after_the_head, directory, loop, pipe),
    *(foreign, newer, without_its_table, directories_beside),
]


@pytest.mark.parametrize("spoil", WAYS, ids=lambda way: way.__name__)
def test_what_is_no_journal_at_the_start_is_set_aside(path, open_journal, spoil):
    path.parent.mkdir()
    spoil(path)
    journal = open_journal()
    journal.record_texts("new")
    texts = journal.texts()
    assert texts[-1] == "new"
    assert journal.error is None
    (kept,) = aside(path)
    assert kept.name.startswith("journal.sqlite.broken-")
    (message,) = journal.messages
    assert str(path) in message
    assert kept.name in message
    assert texts == [message, "new"]


@pytest.mark.parametrize("spoil", WAYS, ids=lambda way: way.__name__)
def test_what_is_put_in_its_place_while_it_is_used_is_set_aside(path, open_journal, spoil):
    journal = open_journal()
    journal.record_texts("old")
    assert journal.texts() == ["old"]
    path.unlink()
    spoil(path)
    journal.record_texts("new")
    assert journal.texts()[-1] == "new"
    assert journal.error is None
    assert len(aside(path)) == 1
    journal.record_texts("and on")
    assert journal.texts()[-2:] == ["new", "and on"]
    assert len(journal.messages) == 1


@pytest.mark.parametrize("spoil", [garbage, large, text], ids=lambda way: way.__name__)
def test_what_is_written_over_it_while_it_is_used_is_noticed(path, open_journal, spoil):
    journal = open_journal()
    journal.record_texts("old")
    assert journal.texts() == ["old"]
    spoil(path)  # the same file
    journal.record_texts("new")
    assert journal.texts()[-1] == "new"
    assert (journal.error, len(journal.messages), len(aside(path))) == (None, 1, 1)


def test_a_journal_that_is_cut_short_while_it_is_used_is_noticed(path, open_journal):
    filled(path)
    journal = open_journal()
    journal.record_texts("old")
    assert journal.flush(10)
    os.truncate(path, path.stat().st_size // 2)
    journal.record_texts("new")
    assert journal.texts()[-1] == "new"
    assert "truncated" in journal.messages[0]


def everything(path):
    shutil.rmtree(path.parent)


def the_file(path):
    path.unlink()


@pytest.mark.parametrize("remove", [everything, the_file], ids=lambda way: way.__name__)
def test_deleted_under_it_it_is_begun_anew(path, open_journal, remove):
    journal = open_journal()
    journal.record_texts("old")
    assert journal.flush(10)
    remove(path)
    journal.record_texts("new")
    assert journal.texts()[-1] == "new"
    assert (journal.error, len(journal.messages)) == (None, 1)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0 or remove is not everything


def test_deleted_while_nothing_happens_history_still_answers(path, open_journal):
    journal = open_journal()
    journal.record_texts("old")
    assert journal.flush(10)
    path.unlink()
    (entry,) = journal.history()
    assert "deleted" in entry["text"]


def test_at_most_three_are_kept(path, open_journal):
    journal = open_journal()
    for number in range(6):
        journal.record_texts(str(number))
        assert journal.flush(10)
        path.unlink()
        (directory if number % 2 else garbage)(path)
        journal.record_texts("next")
        assert journal.texts()[-1] == "next"
    assert len(aside(path)) == 3
    assert len(list(path.parent.iterdir())) <= 3 * 3 + 3


def test_locked_by_somebody_entries_wait_and_are_written_later(path, open_journal):
    journal = open_journal()
    journal.record_texts("before")
    assert journal.flush(10)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    journal.record_texts("meanwhile")
    assert journal.flush(10)
    assert "locked" in journal.error
    assert journal.texts() == ["before"]  # reading goes on
    journal.record_texts("and more")
    wait_for(lambda: journal.flush(10) and journal.error, 5, "another attempt")
    assert len(journal.messages) == 1
    other.close()
    wait_for(lambda: journal.error is None, 10, "it to be written again")
    assert journal.texts() == ["before", "meanwhile", "and more"]
    assert len(journal.messages) == 2
    assert "again" in journal.messages[1]
    assert aside(path) == []


def test_a_file_where_the_directory_should_be_disables_it_and_says_so_once(tmp_path, open_journal):
    path = tmp_path / "state"
    path.write_text("a file")
    journal = open_journal(at=path / "journal.sqlite")
    for number in range(100):
        journal.record_texts(str(number))
        journal.flush(10)
    assert str(path) in journal.error
    assert len(journal.messages) == 1
    with pytest.raises(JournalError, match="cannot be written"):
        journal.history()
    path.unlink()
    wait_for(lambda: journal.error is None, 10, "it to be written again")
    assert journal.texts() == [str(n) for n in range(100)]


def test_what_waits_while_it_is_disabled_is_bounded_and_counted(tmp_path, open_journal):
    from hostmanager.journal import Limits

    path = tmp_path / "state"
    path.write_text("a file")
    journal = open_journal(Limits(queued=100), path / "journal.sqlite")
    for number in range(1000):
        journal.record_texts(str(number))
    journal.flush(10)
    path.unlink()
    wait_for(lambda: journal.error is None, 10, "it to be written again")
    lost, *texts = journal.texts()
    assert lost.startswith("900 entries were lost")
    assert texts == [str(n) for n in range(900, 1000)]


def test_an_error_in_the_listener_does_not_end_it(path):
    path.parent.mkdir()
    garbage(path)
    journal = Journal(path, on_message=lambda text: 1 / 0)
    journal.record(EntryKind.STATE, "x")
    assert [e["text"] for e in journal.history()][-1] == "x"
    assert journal.close(10)
