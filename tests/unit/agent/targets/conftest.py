"""A store of targets, made again and again as managers do."""

from unittest.mock import patch

import pytest
from tests.unit.core.fakes import FakeClock

from hostmanager.agent.targets.store import TargetStore


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
    with patch("hostmanager.agent.targets.store.HUNG_DISK_TIMEOUT", 30.0):  # for a slow disk
        not_saved = await store.flush()
    assert "takes long" not in not_saved
    return not_saved
