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


async def kept(wanted: TargetStore) -> str:
    with patch("hostmanager.agent.target_store.HUNG_DISK_TIMEOUT", 30.0):  # for a slow disk
        not_kept = await wanted.flush()
    assert wanted._job is None or wanted._job.done()
    return not_kept


async def test_what_was_said_is_recalled(path, make):
    wanted = make()
    wanted.set_targets({"a": Target.DOWN, "b": Target.UP})
    wanted.set_targets({"b": Target.DOWN})
    await kept(wanted)
    assert make().load() == {"a": Target.DOWN, "b": Target.DOWN}


@pytest.fixture
def ended(make):
    """Make a file of a manager that was told `a down` and has ended cleanly."""

    async def end() -> None:
        wanted = make()
        wanted.set_targets({"a": Target.DOWN})
        wanted.mark_clean_end()
        await kept(wanted)

    return end


async def test_a_clean_end_changes_no_target(path, make, ended):
    await ended()
    assert make().load() == {"a": Target.DOWN}


async def test_a_target_for_all_on_the_command_line_counts_more_after_a_clean_end(
    path, make, ended
):
    await ended()
    assert make().load(forced=True) == {}


async def test_and_less_after_an_unclean_one(path, make, ended):
    await ended()
    wanted = make()
    wanted.load()  # it begins, and is killed
    await kept(wanted)
    assert make().load(forced=True) == {"a": Target.DOWN}


async def test_what_it_overrode_does_not_come_back_after_an_unclean_end(path, make, ended):
    await ended()
    wanted = make()
    wanted.load(forced=True)
    await kept(wanted)
    assert make().load() == {}


async def test_nothing_is_written_for_an_end_when_nothing_was_said(path, make):
    wanted = make()
    wanted.load()
    wanted.mark_clean_end()
    await kept(wanted)
    assert not path.exists()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_file_of_the_version_before_is_read_but_a_stop_is_no_target(path, make, stopped):
    path.parent.mkdir()
    path.write_text(json.dumps({"stopped": stopped, "targets": {"a": "down"}}))
    assert make().load(forced=True) == {"a": Target.DOWN}


async def test_a_begin_forgets_what_was_said_before(path, make):
    wanted = make()
    wanted.set_targets({"a": Target.DOWN})
    wanted.reset()
    await kept(wanted)
    assert make().load() == {}


async def test_what_was_recalled_is_kept_on(path, make):
    first = make()
    first.set_targets({"a": Target.DOWN})
    await kept(first)
    second = make()
    second.load()
    second.set_targets({"b": Target.UP})
    await kept(second)
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
def test_garbage_is_set_aside_and_said(path, make, data, caplog):
    path.parent.mkdir()
    path.write_bytes(data)
    assert make().load() == {}
    assert "set aside" in caplog.text
    [aside] = path.parent.glob("wanted.json.broken-*")
    assert aside.read_bytes() == data
    assert not path.exists()


def test_a_folder_or_a_symlink_loop_in_its_place_is_set_aside(path, make, caplog):
    path.parent.mkdir()
    path.mkdir()
    assert make().load() == {}
    path.symlink_to(path)
    assert make().load() == {}
    assert caplog.text.count("set aside") == 2


def test_nothing_that_was_set_aside_is_overwritten(path, make, caplog):
    path.parent.mkdir()
    for data in ("first", "second"):  # within a second
        path.write_text(data)
        assert make().load() == {}
    found = sorted(path.parent.glob("wanted.json.broken-*"))
    assert [aside.read_text() for aside in found] == ["first", "second"]


def test_what_cannot_be_set_aside_is_said_to_stay(path, make, caplog, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    path.parent.mkdir()
    path.write_text("garbage")
    monkeypatch.setattr(type(path), "rename", refuse)
    assert make().load() == {}
    assert "it stays there ([Errno 13] Permission denied), and agents get" in caplog.text
    assert path.read_text() == "garbage"


async def test_a_file_that_cannot_be_written_is_said_once_and_disturbs_nothing(path, make, caplog):
    path.parent.write_text("a file where the folder belongs")
    wanted = make()
    for _ in range(3):
        wanted.set_targets({"a": Target.DOWN})
        await kept(wanted)
    assert caplog.text.count("cannot be saved") == 1
    assert wanted.target("a") is Target.DOWN
    path.parent.unlink()  # the obstacle goes away
    wanted.set_targets({"b": Target.UP})
    await kept(wanted)
    assert json.loads(path.read_text())["targets"] == {"a": "down", "b": "up"}


async def test_a_hanging_disk_delays_no_request_for_long(path, make, monkeypatch):
    wanted = make()
    wanted._writer.submit(__import__("time").sleep, 2.0)  # what a disk does when it hangs
    wanted.set_targets({"a": Target.DOWN})
    assert "is its disk hanging?" in await wanted.flush()
    assert await kept(wanted) == wanted.not_kept == ""


async def test_what_fails_after_a_long_hang_is_tried_again(path, make, clock):
    wanted = make()
    hangs = Event()
    wanted._writer.submit(hangs.wait)
    path.parent.write_text("a file where the folder belongs")
    wanted.set_targets({"a": Target.DOWN})
    clock.advance(SAVE_RETRY_INTERVAL + 1)  # there is nothing to be tried again yet
    hangs.set()
    assert await kept(wanted)
    path.parent.unlink()
    clock.advance(SAVE_RETRY_INTERVAL + 1)
    assert await kept(wanted) == ""
    assert json.loads(path.read_text())["targets"] == {"a": "down"}


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_on_a_full_disk_it_is_written_over_what_was_there(path, make, monkeypatch):
    wanted = make()
    wanted.set_targets({"a": Target.DOWN, "b": Target.UP})
    await kept(wanted)
    monkeypatch.setattr(TargetStore, "_replace", full_disk)
    wanted.reset()  # shorter than before
    await kept(wanted)
    assert make().load() == {}
    wanted.set_targets({f"agent-{n}": Target.DOWN for n in range(10)})  # and longer
    await kept(wanted)
    assert make().load() == {f"agent-{n}": Target.DOWN for n in range(10)}


async def test_on_a_full_disk_with_nothing_to_write_over_it_is_said_once(
    path, make, monkeypatch, caplog
):
    monkeypatch.setattr(TargetStore, "_replace", full_disk)
    wanted = make()
    for target in Target:
        wanted.set_targets({"a": target})
        await kept(wanted)
    assert make().load() == {}
    assert [r.getMessage() for r in caplog.records if "cannot be saved" in r.getMessage()][1:] == []
    assert "No space left" in caplog.text


async def test_killed_after_making_room_it_is_read_all_the_same(path, make):
    wanted = make()
    wanted.set_targets({"a": Target.DOWN})
    await kept(wanted)
    path.write_bytes(path.read_bytes() + bytes(100))
    assert make().load() == {"a": Target.DOWN}
