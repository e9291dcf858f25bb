"""Commands of one service at the same time, and what is left of old intentions."""

import asyncio

import pytest

from hostmanager.composefile.command import CompletedCommand
from hostmanager.core import events as ev
from hostmanager.core.events import StopStage
from hostmanager.core.model import InstanceSpec, Kind, ServiceRef
from hostmanager.drivers.compose.driver import ComposeDriver
from tests.integration.fake_engine.conftest import until
from tests.integration.fake_engine.server import inspected

A, B = "a" * 64, "b" * 64


def spec(instance_id="a", service="one", project="p"):
    ref = ServiceRef("compose.yaml", project, service)
    return InstanceSpec(instance_id, "Fake", kind=Kind.DOCKER, service=ref)


class Up:
    """A compose that goes on until it is let go."""

    def __init__(self):
        self.under_way = self.most = self.calls = 0
        self.go = asyncio.Event()
        self.slow_to_end = asyncio.Event()
        self.slow_to_end.set()

    async def __call__(self, service, *args):
        self.calls += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.go.wait()
        finally:
            await self.slow_to_end.wait()
            self.under_way -= 1
        return CompletedCommand(0, "", "")


@pytest.fixture
def up():
    return Up()


@pytest.fixture
async def driver(watcher, up):
    made = ComposeDriver(watcher, up, lambda *_: None)
    yield made
    made.close()
    up.go.set()
    up.slow_to_end.set()
    await made.closed()


async def test_what_is_forgotten_and_begun_anew_waits_for_the_command_before(
    fake, watcher, driver, up
):
    """Also when the row of a service that was only watched becomes that of an entry."""
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    up.slow_to_end.clear()
    driver.launch(spec("one"), lambda _: None)
    await until("the first", lambda: up.calls == 1)
    driver.release("one")
    driver.launch(spec("a"), lambda _: None)
    await asyncio.sleep(0.05)  # nothing happens: only time shows it
    assert up.most == 1
    up.slow_to_end.set()
    await until("the second", lambda: up.calls == 2)
    assert up.most == 1


async def test_what_others_start_later_is_not_removed_for_an_old_stop(fake, watcher, driver):
    """A stop that came to nothing is over once something else runs, or nothing is left."""
    received = []
    fake.put(inspected(A, "one"))
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    driver.observe(spec(), received.append)
    fake.answers["/stop"] = b""  # it says that it did
    fake.known[A] = inspected(A, "one")
    driver._tracked["a"].cleanup_pending = True  # as after a stop that the engine did not answer
    fake.emit_event("destroy", A)
    del fake.known[A]
    await until("its end", lambda: A not in watcher.containers)
    fake.put(inspected(B, "one", status="created"))
    fake.emit_event("create", B)
    await until("one made by others", lambda: B in watcher.containers)
    await asyncio.sleep(0.05)  # nothing happens: only time shows it
    assert fake.request_counts[f"/containers/{B}"] == 0
    driver._tracked["a"].cleanup_pending = True
    fake.put(inspected(B, "one"))
    fake.emit_event("start", B)
    await until("its start", lambda: watcher.containers[B].alive)
    fake.put(inspected(B, "one", status="exited"))
    fake.emit_event("die", B, exitCode="0")
    await until("its end", lambda: not watcher.containers[B].alive)
    await asyncio.sleep(0.05)  # nothing happens: only time shows it
    assert fake.request_counts[f"/containers/{B}"] == 0


async def test_nothing_is_reported_of_a_project_that_was_not_listed_yet(fake, watcher, driver, up):
    """Its file was read just while the engine did not answer: what runs in it is not gone."""
    received = []
    fake.put(inspected(A, "one", project="q"))
    watcher.start()
    await until("a list of containers", lambda: watcher.synced)
    fake.answers["/containers/json"] = b"{nonsense"
    await watcher.follow(frozenset({"p", "q"}))
    assert watcher.synced
    driver.observe(spec(project="q"), received.append)
    driver.launch(spec("b", project="q"), received.append)
    await asyncio.sleep(0.05)  # nothing happens: only time shows it
    assert up.calls == 0
    assert not any(isinstance(message, ev.Absent) for message in received)
    del fake.answers["/containers/json"]
    await until(
        "it to be seen", lambda: any(isinstance(message, ev.Launched) for message in received)
    )
    assert up.calls == 0
    assert not any(isinstance(message, ev.Absent | ev.LaunchFailed) for message in received)
    driver.signal("a", StopStage.INTERRUPT)
