"""Targets in a state directory on a disk that is full, or read-only."""

import pytest
from tests.faults import disks
from tests.unit.agent.test_target_store import kept
from tests.unit.core.fakes import FakeClock

from hostmanager.agent.target_store import SAVE_RETRY_INTERVAL, TargetStore
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
    """A file system of 64 KiB in the place of the state folder."""
    folder = tmp_path / "state"
    if not disks.mount(folder, "64k"):
        pytest.skip("whoever runs the tests may not mount a file system")
    yield folder
    disks.unmount(folder)


async def test_on_a_full_disk_it_is_said_and_tried_again_until_it_is_kept(small_disk, make, clock):
    disks.fill(small_disk / "filler")
    wanted = make()
    wanted.set_targets({"a": Target.DOWN})
    assert "wanted.json: No space left on device" in await kept(wanted)
    clock.advance(SAVE_RETRY_INTERVAL)
    assert "No space left" in await kept(wanted)
    (small_disk / "filler").unlink()
    clock.advance(SAVE_RETRY_INTERVAL)
    assert await kept(wanted) == wanted.not_kept == ""
    assert make().load() == {"a": Target.DOWN}
    clock.advance(SAVE_RETRY_INTERVAL)
    assert clock._timers == []


async def test_on_a_read_only_disk_it_is_said(small_disk, make):
    wanted = make()
    wanted.set_targets({"a": Target.DOWN})
    assert await kept(wanted) == ""
    disks.remount(small_disk, "ro")
    wanted.set_targets({"a": Target.UP})
    assert "Read-only file system" in await kept(wanted)
    assert make().load() == {"a": Target.DOWN}
