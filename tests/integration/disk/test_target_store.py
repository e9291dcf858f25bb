"""Targets in a state directory on a disk that is full, or read-only."""

import pytest
from tests.faults import disks
from tests.unit.agent.targets.conftest import flushed
from tests.unit.core.fakes import FakeClock

from hostmanager.agent.targets.store import SAVE_RETRY_INTERVAL, TargetStore
from hostmanager.core.model import Target


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def make(small_disk, clock):
    """Make what a manager has of it, one after the other."""
    return lambda: TargetStore(small_disk / "wanted.json", clock)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB in the place of the state directory."""
    directory = tmp_path / "state"
    if not disks.mount(directory, "64k"):
        pytest.skip("whoever runs the tests may not mount a file system")
    yield directory
    disks.unmount(directory)


async def test_on_a_full_disk_the_error_is_reported_and_saving_retried(small_disk, make, clock):
    disks.fill(small_disk / "filler")
    store = make()
    store.set_targets({"a": Target.DOWN})
    assert "wanted.json: No space left on device" in await flushed(store)
    clock.advance(SAVE_RETRY_INTERVAL)
    assert "No space left" in await flushed(store)
    (small_disk / "filler").unlink()
    clock.advance(SAVE_RETRY_INTERVAL)
    assert await flushed(store) == store.not_saved == ""
    assert make().load() == {"a": Target.DOWN}
    clock.advance(SAVE_RETRY_INTERVAL)
    assert not clock.has_timers


async def test_on_a_read_only_disk_the_error_is_reported(small_disk, make):
    store = make()
    store.set_targets({"a": Target.DOWN})
    assert await flushed(store) == ""
    disks.remount(small_disk, "ro")
    store.set_targets({"a": Target.UP})
    assert "Read-only file system" in await flushed(store)
    assert make().load() == {"a": Target.DOWN}
