"""What operators said is kept over every end, and nothing that happens to the file hurts."""

import errno
import json
from dataclasses import replace
from threading import Event
from unittest.mock import patch

import pytest
from tests.unit.core.fakes import FakeClock

from hostmanager.agent.targets.completions import SavedCompletion
from hostmanager.agent.targets.keeper import keep_in_line
from hostmanager.agent.targets.startup_state import StartupState
from hostmanager.agent.targets.store import SAVE_RETRY_INTERVAL, TargetStore
from hostmanager.core.model import InstanceSettings, InstanceSpec, Target
from hostmanager.core.protocols import guard_of
from hostmanager.core.record import Completion, InstanceRecord, State
from hostmanager.core.request_origin import RequestOrigin
from hostmanager.core.snapshot import Snapshot
from hostmanager.util import procfs
from hostmanager.util.files import replace_file


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


REPLACE = "hostmanager.agent.targets.store.replace_file"


async def flushed(store: TargetStore) -> str:
    with patch("hostmanager.agent.targets.store.HUNG_DISK_TIMEOUT", 30.0):  # for a slow disk
        not_saved = await store.flush()
    assert "takes long" not in not_saved
    return not_saved


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


ANN = RequestOrigin("ann@control", "pump exchange", 1, 1000.0)
BOB = RequestOrigin("bob@lab", "", 2, 2000.0)


async def test_who_set_a_target_and_why_is_loaded_with_it(path, make):
    store = make()
    store.set_targets({"a": Target.DOWN, "b": Target.DOWN}, ANN)
    store.set_targets({"b": Target.UP}, BOB)
    store.set_targets({"c": Target.DOWN})
    await flushed(store)
    loaded = make()
    loaded.load()
    assert [loaded.origin(name) for name in "abc"] == [ANN, BOB, None]


async def test_a_repeated_request_without_a_reason_leaves_the_origin(make):
    store = make()
    store.set_targets({"a": Target.DOWN}, ANN)
    store.set_targets({"a": Target.DOWN}, BOB)
    assert store.origin("a") == ANN
    why = replace(BOB, reason="water on the floor")
    store.set_targets({"a": Target.DOWN}, why)
    assert store.origin("a") == why
    store.set_targets({"a": Target.UP}, BOB)
    assert store.origin("a") == BOB


async def test_an_origin_goes_with_its_target(path, make):
    store = make()
    store.set_targets({"a": Target.DOWN, "b": Target.DOWN}, ANN)
    store.remove("a")
    assert (store.origin("a"), store.origin("b")) == (None, ANN)
    store.reset()
    await flushed(store)
    assert store.origin("b") is None
    assert "origins" not in json.loads(path.read_text())


@pytest.mark.parametrize(
    "origins",
    [
        "text",
        [1, None, {}],
        [{"instances": "a"}],
        [{"instances": ["a"], "reason": 7}],
        [{"instances": ["a"], "reason": "x\n\x1b[2J"}],
        [{"instances": ["a"], "requested_by": "x" * 10_000}],
    ],
)
def test_an_unreadable_origin_costs_no_target(path, make, origins):
    path.parent.mkdir()
    path.write_text(json.dumps({"targets": {"a": "down"}, "origins": origins}))
    store = make()
    assert store.load() == {"a": Target.DOWN}
    assert store.origin("a") is None


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "true", '"now"'])
def test_numbers_of_an_origin_that_are_none_are_left_out(path, make, number):
    path.parent.mkdir()
    entry = f'{{"instances": ["a"], "reason": "why", "at": {number}, "level": {number}}}'
    path.write_text(f'{{"targets": {{"a": "down"}}, "origins": [{entry}]}}')
    store = make()
    store.load()
    assert store.origin("a") == RequestOrigin("", "why", None, None)


async def test_origins_never_make_the_file_too_large_to_be_read(path, make):
    store = make()
    targets = {f"agent{n}": Target.DOWN for n in range(50)}
    with patch("hostmanager.agent.targets.store.MAX_TARGETS_FILE_BYTES", 2_000):
        for name in targets:
            store.set_targets({name: Target.DOWN}, replace(ANN, reason=name * 10))
        await flushed(store)
        loaded = make()
        assert loaded.load() == targets
    assert loaded.origin("agent0") is None


async def test_the_version_before_reads_the_targets(path, make):
    store = make()
    store.set_targets({"a": Target.DOWN}, ANN)
    await flushed(store)
    written = json.loads(path.read_text())
    assert written["targets"] == {"a": "down"}  # all that it looks at, beside `ended`
    assert written["origins"] == [
        {
            "at": 1000.0,
            "requested_by": "ann@control",
            "level": 1,
            "reason": "pump exchange",
            "instances": ["a"],
        }
    ]


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


DONE = SavedCompletion(1_700_000_000.0, "Migration", "abc")


async def test_what_is_done_stays_done_also_when_the_manager_process_is_started_anew(make):
    store = make()
    store.save_completion("a", DONE)
    store.set_targets({"b": Target.UP}, once=["b"])
    store.mark_clean_end()
    await flushed(store)
    later = make()
    assert (later.load(forced=True), later.once, later.completions) == ({}, {"b"}, {"a": DONE})
    later.reset()
    assert (later.once, later.completions) == (set(), {"a": DONE})
    later.remove_completion("a")
    await flushed(later)
    latest = make()
    assert (latest.load(), latest.completions) == ({}, {})


async def test_after_a_boot_nothing_is_done(make):
    store = make()
    store.save_completion("a", DONE)
    store.set_targets({"b": Target.DOWN})
    await flushed(store)
    with patch("hostmanager.util.procfs.boot_id", return_value="another boot"):
        later = make()
        assert (later.load(), later.completions) == ({"b": Target.DOWN}, {})


@pytest.mark.parametrize("done", ['{"boot": %s, "instances": {"a": {}}}', "[1]", '{"boot": %s}'])
async def test_completions_that_make_no_sense_do_no_harm(path, make, done):
    path.parent.mkdir()
    boot = json.dumps(procfs.boot_id())
    path.write_text(f'{{"targets": {{"b": "down"}}, "done": {done.replace("%s", boot)}}}')
    store = make()
    assert store.load() in ({}, {"b": Target.DOWN})
    assert store.completions == {}


def test_a_request_that_counted_once_does_not_count_for_what_is_managed_now():
    saved = StartupState(saved_targets={"a": Target.DOWN}, once=frozenset({"a"}))
    earlier = StartupState(saved_targets={"a": Target.DOWN}, initial_state="up")
    managed = InstanceSpec("a", "A")
    manual = InstanceSpec("a", "A", settings=InstanceSettings(manual=True))
    assert (saved.target(manual), saved.target(managed)) == (Target.DOWN, None)
    assert (earlier.target(manual), earlier.target(managed)) == (None, Target.DOWN)


class KeptSnapshot:
    """Instances with a store behind them, as a host has them."""

    def __init__(self, store: TargetStore) -> None:
        self.running = True
        self.snapshot = Snapshot(guard_of(FakeClock()))
        keep_in_line(store, self.snapshot, lambda: self.running)


async def test_the_store_follows_what_is_done(make):
    store = make()
    host = KeptSnapshot(store)
    spec = InstanceSpec("a", "Migration", settings=InstanceSettings(one_shot=True))
    store.set_targets({"a": Target.UP})
    record = InstanceRecord(spec, Target.UP)
    host.snapshot.put("a", record)
    assert (store.target("a"), store.completion_of(spec)) == (Target.UP, None)
    done = Completion(5.0, "f")
    host.snapshot.put("a", replace(record, target=Target.DOWN, completion=done))
    assert (store.target("a"), store.completion_of(spec)) == (None, done)
    assert store.completion_of(replace(spec, agent_class="Other")) is None
    assert store.completion_of(replace(spec, settings=InstanceSettings())) is None
    host.running = False
    host.snapshot.put("a", None)
    assert store.completion_of(spec) == done
    host.running = True
    host.snapshot.put("a", record)
    assert store.completions == {}
    await flushed(store)


async def test_a_request_for_what_is_manual_is_forgotten_once_it_is_reached(make):
    store = make()
    host = KeptSnapshot(store)
    spec = InstanceSpec("a", "A", settings=InstanceSettings(manual=True))
    store.set_targets({"a": Target.UP}, once=["a"])
    host.snapshot.put("a", InstanceRecord(spec, Target.UP, State.STARTING))
    assert (store.target("a"), store.once) == (Target.UP, {"a"})
    host.snapshot.put("a", InstanceRecord(spec, Target.PASSIVE, State.UP))
    assert (store.target("a"), store.once) == (None, set())
    await flushed(store)
