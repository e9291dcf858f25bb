"""What operators said is kept over every end, and nothing that happens to the file hurts."""

import errno
import json
from threading import Event
from unittest.mock import patch

import pytest
from tests.unit.core.fakes import FakeClock

from hostmanager.agent.target_store import SAVE_RETRY_INTERVAL, TargetStore
from hostmanager.core.model import Target


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "wanted.json"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def make(path, clock):
    """Make what a manager has of it, one after the other."""
    return lambda: TargetStore(path, clock)


async def flushed(store: TargetStore) -> str:
    with patch("hostmanager.agent.target_store.HUNG_DISK_TIMEOUT", 30.0):  # for a slow disk
        not_kept = await store.flush()
    assert store._job is None or store._job.done()
    return not_kept


async def test_targets_are_loaded(path, make):
    store = make()
    store.set_targets({"a": Target.DOWN, "b": Target.UP})
    store.set_targets({"b": Target.DOWN})
    await flushed(store)
    assert make().load() == {"a": Target.DOWN, "b": Target.DOWN}


@pytest.fixture
def clean_end(make):
    """Make a file of a manager that was told `a down` and has ended cleanly."""

    async def write() -> None:
        store = make()
        store.set_targets({"a": Target.DOWN})
        store.mark_clean_end()
        await flushed(store)

    return write


async def test_a_clean_end_changes_no_target(path, make, clean_end):
    await clean_end()
    assert make().load() == {"a": Target.DOWN}


async def test_a_target_for_all_on_the_command_line_counts_more_after_a_clean_end(
    path, make, clean_end
):
    await clean_end()
    assert make().load(forced=True) == {}


async def test_and_less_after_an_unclean_one(path, make, clean_end):
    await clean_end()
    store = make()
    store.load()  # it begins, and is killed
    await flushed(store)
    assert make().load(forced=True) == {"a": Target.DOWN}


async def test_what_it_overrode_does_not_come_back_after_an_unclean_end(path, make, clean_end):
    await clean_end()
    store = make()
    store.load(forced=True)
    await flushed(store)
    assert make().load() == {}


async def test_nothing_is_written_at_the_end_without_a_request(path, make):
    store = make()
    store.load()
    store.mark_clean_end()
    await flushed(store)
    assert not path.exists()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_file_of_version_0_1_is_read_but_a_stop_is_no_target(path, make, stopped):
    path.parent.mkdir()
    path.write_text(json.dumps({"stopped": stopped, "targets": {"a": "down"}}))
    assert make().load(forced=True) == {"a": Target.DOWN}


async def test_a_reset_forgets_earlier_targets(path, make):
    store = make()
    store.set_targets({"a": Target.DOWN})
    store.reset()
    await flushed(store)
    assert make().load() == {}


async def test_loaded_targets_are_saved_again(path, make):
    first = make()
    first.set_targets({"a": Target.DOWN})
    await flushed(first)
    second = make()
    second.load()
    second.set_targets({"b": Target.UP})
    await flushed(second)
    assert make().load() == {"a": Target.DOWN, "b": Target.UP}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\x00",
        b"{",
        b"[]",
        b"null",
        b'{"targets": []}',
        b'{"targets": {"a": "sideways"}}',
        b'{"targets": {"a": ["up"]}}',
        b" " * (5 * 1024 * 1024),
    ],
)
def test_a_broken_file_is_quarantined_with_a_warning(path, make, data, caplog):
    path.parent.mkdir()
    path.write_bytes(data)
    assert make().load() == {}
    assert "set aside" in caplog.text
    [aside] = path.parent.glob("wanted.json.broken-*")
    assert aside.read_bytes() == data
    assert not path.exists()


def test_a_directory_or_a_symlink_loop_in_its_place_is_quarantined(path, make, caplog):
    path.parent.mkdir()
    path.mkdir()
    assert make().load() == {}
    path.symlink_to(path)
    assert make().load() == {}
    assert caplog.text.count("set aside") == 2


def test_a_quarantined_file_is_not_overwritten(path, make, caplog):
    path.parent.mkdir()
    for data in ("first", "second"):  # within a second
        path.write_text(data)
        assert make().load() == {}
    files = sorted(path.parent.glob("wanted.json.broken-*"))
    assert [aside.read_text() for aside in files] == ["first", "second"]


def test_the_warning_names_a_file_that_cannot_be_moved(path, make, caplog, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    path.parent.mkdir()
    path.write_text("garbage")
    monkeypatch.setattr(type(path), "rename", refuse)
    assert make().load() == {}
    assert "it stays there ([Errno 13] Permission denied), and agents get" in caplog.text
    assert path.read_text() == "garbage"


async def test_a_write_error_is_reported_once_and_prevents_nothing(path, make, caplog):
    path.parent.write_text("a file where the directory belongs")
    store = make()
    for _ in range(3):
        store.set_targets({"a": Target.DOWN})
        await flushed(store)
    assert caplog.text.count("cannot be saved") == 1
    assert store.target("a") is Target.DOWN
    path.parent.unlink()  # the obstacle goes away
    store.set_targets({"b": Target.UP})
    await flushed(store)
    assert json.loads(path.read_text())["targets"] == {"a": "down", "b": "up"}


async def test_a_hanging_disk_delays_no_request_for_long(path, make, monkeypatch):
    store = make()
    store._writer.submit(__import__("time").sleep, 2.0)  # what a disk does when it hangs
    store.set_targets({"a": Target.DOWN})
    assert "is its disk hanging?" in await store.flush()
    assert await flushed(store) == store.not_kept == ""


async def test_what_fails_after_a_long_hang_is_tried_again(path, make, clock):
    store = make()
    hangs = Event()
    store._writer.submit(hangs.wait)
    path.parent.write_text("a file where the directory belongs")
    store.set_targets({"a": Target.DOWN})
    clock.advance(SAVE_RETRY_INTERVAL + 1)  # there is nothing to be tried again yet
    hangs.set()
    assert await flushed(store)
    path.parent.unlink()
    clock.advance(SAVE_RETRY_INTERVAL + 1)
    assert await flushed(store) == ""
    assert json.loads(path.read_text())["targets"] == {"a": "down"}


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_on_a_full_disk_the_file_is_overwritten_in_place(path, make, monkeypatch):
    store = make()
    store.set_targets({"a": Target.DOWN, "b": Target.UP})
    await flushed(store)
    monkeypatch.setattr(TargetStore, "_replace", full_disk)
    store.reset()  # shorter than before
    await flushed(store)
    assert make().load() == {}
    store.set_targets({f"agent-{n}": Target.DOWN for n in range(10)})  # and longer
    await flushed(store)
    assert make().load() == {f"agent-{n}": Target.DOWN for n in range(10)}


async def test_on_a_full_disk_without_a_file_the_error_is_reported_once(
    path, make, monkeypatch, caplog
):
    monkeypatch.setattr(TargetStore, "_replace", full_disk)
    store = make()
    for target in Target:
        store.set_targets({"a": target})
        await flushed(store)
    assert make().load() == {}
    assert [r.getMessage() for r in caplog.records if "cannot be saved" in r.getMessage()][1:] == []
    assert "No space left" in caplog.text


async def test_a_file_that_was_extended_but_not_written_is_read(path, make):
    store = make()
    store.set_targets({"a": Target.DOWN})
    await flushed(store)
    path.write_bytes(path.read_bytes() + bytes(100))
    assert make().load() == {"a": Target.DOWN}
