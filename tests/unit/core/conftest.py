"""A world for each test, which must not ask its drivers for what nobody may ask for."""

import pytest

from tests.unit.core.fake_engine import MixedWorld


@pytest.fixture
def world():
    world = MixedWorld()
    yield world
    assert world.wrongs == []
