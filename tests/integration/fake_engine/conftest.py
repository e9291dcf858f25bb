"""Fixtures: an engine of a few answers, and what is seen of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from hostmanager.drivers.compose import inspector
from hostmanager.drivers.compose.engine import Engine
from hostmanager.drivers.compose.watcher import ContainerWatcher
from tests.integration.fake_engine.server import FakeEngine

LIMIT = 60.0


async def until(what: str, predicate: Callable[[], Any], limit: float = LIMIT) -> None:
    """Wait until that is so."""
    end = time.monotonic() + limit
    while not predicate():
        assert time.monotonic() < end, f"waited {limit:g} s for {what}"
        await asyncio.sleep(0.005)


@pytest.fixture
async def fake(tmp_path) -> AsyncIterator[FakeEngine]:
    """An engine that answers."""
    engine = FakeEngine(tmp_path)
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
async def watcher(fake, monkeypatch) -> AsyncIterator[ContainerWatcher]:
    """Watches its project `p`; not started. It retries soon."""
    monkeypatch.setattr("hostmanager.drivers.compose.engine.INSPECT_TIMEOUT", 1.0)
    monkeypatch.setattr(inspector, "INSPECT_RETRY", 0.5)

    async def open_engine() -> Engine:
        return Engine(f"unix://{fake.socket}")

    made = ContainerWatcher(open_engine)
    await made.follow(frozenset({"p"}))
    yield made
    await made.close()
