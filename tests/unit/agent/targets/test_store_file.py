"""Nothing that happens to the file of targets hurts: a broken one, a disk that is full or hangs."""

import errno
import json
from threading import Event

import pytest
from tests.unit.agent.targets.conftest import flushed

from hostmanager.agent.targets.store import SAVE_RETRY_INTERVAL
from hostmanager.core.model import Target
from hostmanager.util.files import replace_file

REPLACE = "hostmanager.agent.targets.store.replace_file"


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
    hangs = Event()
    monkeypatch.setattr(REPLACE, lambda *file: (hangs.wait(60), replace_file(*file)))
    store.set_targets({"a": Target.DOWN})
    assert "is its disk hanging?" in await store.flush()
    hangs.set()
    assert await flushed(store) == store.not_saved == ""


async def test_what_fails_after_a_long_hang_is_tried_again(path, make, clock, monkeypatch):
    store = make()
    hangs = Event()

    def fail(*_):
        hangs.wait(60)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(REPLACE, fail)
    store.set_targets({"a": Target.DOWN})
    clock.advance(SAVE_RETRY_INTERVAL + 1)  # there is nothing to be tried again yet
    hangs.set()
    assert "Input/output error" in await flushed(store)
    monkeypatch.setattr(REPLACE, replace_file)
    clock.advance(SAVE_RETRY_INTERVAL + 1)
    assert await flushed(store) == ""
    assert json.loads(path.read_text())["targets"] == {"a": "down"}


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_on_a_full_disk_the_file_is_overwritten_in_place(path, make, monkeypatch):
    store = make()
    store.set_targets({"a": Target.DOWN, "b": Target.UP})
    await flushed(store)
    monkeypatch.setattr("hostmanager.agent.targets.store.replace_file", full_disk)
    store.reset()  # shorter than before
    await flushed(store)
    assert make().load() == {}
    store.set_targets({f"agent-{n}": Target.DOWN for n in range(10)})  # and longer
    await flushed(store)
    assert make().load() == {f"agent-{n}": Target.DOWN for n in range(10)}


async def test_on_a_full_disk_without_a_file_the_error_is_reported_once(
    path, make, monkeypatch, caplog
):
    monkeypatch.setattr("hostmanager.agent.targets.store.replace_file", full_disk)
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
