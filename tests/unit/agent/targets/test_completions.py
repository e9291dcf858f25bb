"""What is done stays done, and a request that counts once is forgotten."""

import json
from dataclasses import replace
from unittest.mock import patch

import pytest
from tests.unit.agent.targets.conftest import flushed
from tests.unit.core.fakes import FakeClock

from hostmanager.agent.targets.completions import SavedCompletion
from hostmanager.agent.targets.keeper import keep_in_line
from hostmanager.agent.targets.startup_state import StartupState
from hostmanager.agent.targets.store import TargetStore
from hostmanager.core.model import InstanceSettings, InstanceSpec, Target
from hostmanager.core.protocols import guard_of
from hostmanager.core.record import Completion, InstanceRecord, State
from hostmanager.core.snapshot import Snapshot
from hostmanager.util import procfs

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
