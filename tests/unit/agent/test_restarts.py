"""A restart is on the disk before anything is ended, and off it once it is done or called off."""

import asyncio
import json
from dataclasses import asdict, replace

import pytest
from tests.unit.core.fakes import IGNORES_SIGINT, World, spec

from hostmanager.agent.restarts import ROUTER_NOTICE, RestartCoordinator
from hostmanager.agent.targets.store import TargetStore
from hostmanager.core.model import Target
from hostmanager.core.requests import Request


class RestartHarness:
    """A manager's restarts, on a real file, in a world of fakes."""

    def __init__(self, path):
        self.path = path
        self.world = World()
        self.target_store = TargetStore(path, self.world.clock)
        self.running = True
        self.router = None
        self.meanwhile = lambda: None
        self.messages = []
        self.restarts = RestartCoordinator(
            self.world.supervisor,
            self.target_store,
            running=lambda: self.running,
            router=self.find_router,
            emit_message=self.messages.append,
        )

    async def find_router(self):
        self.meanwhile()
        return self.router

    async def warned(self):
        while not self.messages:  # noqa: ASYNC110 - turns of the loop
            await asyncio.sleep(0)

    async def notice_passes(self):
        """The warning that the router goes has been out for long enough."""
        await self.warned()
        self.world.clock.advance(ROUTER_NOTICE)
        while self.restarts.waiting_router_id:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def on_disk(self):
        assert await self.target_store.flush(30.0) == ""
        return json.loads(self.path.read_text()).get("restarts", {})

    def published(self):
        """Something changes that has nothing to do with it."""
        self.world.snapshot.put("a", self.world.record())

    def down(self):
        self.world.supervisor.apply_requests([Request("a", Target.DOWN)])


@pytest.fixture
def harness(tmp_path):
    made = RestartHarness(tmp_path / "state" / "wanted.json")
    made.world.driver.plan["a"] = [IGNORES_SIGINT]
    made.world.supervisor.add(spec())
    made.world.clock.advance(1)
    yield made
    made.target_store.close()


async def test_it_is_on_the_disk_before_the_first_signal(harness):
    saved, signal = [], harness.world.driver.signal

    def signal_and_record(name, step):
        saved.append(json.loads(harness.path.read_text()).get("restarts"))
        signal(name, step)

    harness.world.driver.signal = signal_and_record
    run = harness.world.record().run.run_id
    outcome = await harness.restarts.request(["a"])
    assert (outcome.restarting, outcome.not_kept) == (("a",), "")
    assert outcome.lines == ("Restarting: a.",)
    # What clients get; see docs/operations.md.
    keys = ["restarting", "preparing", "left", "refused", "router", "not_kept"]
    assert list(asdict(outcome)) == keys
    assert saved == [{"a": run}]
    harness.world.clock.advance(30)
    assert harness.world.record().run.run_id not in ("", run)
    assert await harness.on_disk() == {}


async def test_a_down_while_it_is_being_saved_cancels_it(harness, monkeypatch):
    flush = harness.target_store.flush

    async def flush_after_down(max_seconds=None):
        harness.down()
        return await flush(max_seconds)

    monkeypatch.setattr(harness.target_store, "flush", flush_after_down)
    await harness.restarts.request(["a"])
    monkeypatch.undo()
    harness.world.clock.advance(30)
    assert harness.world.record().state.value == "down"
    assert await harness.on_disk() == {}


async def test_a_shutdown_leaves_it_on_the_disk_for_the_next_manager(harness):
    run = harness.world.record().run.run_id
    await harness.restarts.request(["a"])
    harness.running = False
    harness.world.supervisor.stop_all()
    harness.world.clock.advance(30)
    assert await harness.on_disk() == {"a": run}


async def test_a_restart_that_cannot_be_saved_is_made_and_reported(harness):
    harness.path.parent.write_text("in the way of a directory")
    outcome = await harness.restarts.request(["a"])
    assert "not kept" in outcome.not_kept
    assert outcome.lines[-1] == outcome.not_kept
    harness.world.clock.advance(30)
    assert len(harness.world.driver.launches["a"]) == 2


async def test_an_instance_that_is_not_to_run_is_named(harness):
    harness.world.supervisor.add(spec("b", initial_target=Target.DOWN))
    harness.world.supervisor.add(spec("c", inoperable_reason="No plugin."))
    outcome = await harness.restarts.request(["b", "c"])
    assert outcome.left == {"b": "its target is down", "c": "No plugin."}
    assert outcome.lines == (
        "Left as it is: b: its target is down.",
        "Left as it is: c: No plugin.",
    )
    assert not harness.path.exists()


@pytest.fixture
def router_service(harness):
    """`a` runs the router: it is restarted last, once the warning has been out for long enough."""
    harness.router = "a"
    return harness


async def test_a_second_request_leaves_that_of_the_router_on_the_disk(router_service):
    run = router_service.world.record().run.run_id
    await router_service.restarts.request(["a"])
    await router_service.restarts.request(["a"])
    router_service.published()
    assert await router_service.on_disk() == {"a": run}
    await router_service.notice_passes()
    router_service.world.clock.advance(30)
    assert router_service.world.record().run.run_id not in ("", run)
    assert await router_service.on_disk() == {}


async def test_a_router_that_ended_meanwhile_is_not_restarted_again(router_service):
    await router_service.restarts.request(["a"])
    router_service.down()
    router_service.world.clock.advance(30)
    router_service.world.supervisor.apply_requests([Request("a", Target.UP)])
    router_service.world.clock.advance(1)
    run = router_service.world.record().run.run_id
    await router_service.notice_passes()
    router_service.world.clock.advance(30)
    assert router_service.world.record().run.run_id == run != ""
    assert await router_service.on_disk() == {}


async def test_the_denial_of_an_earlier_restart_of_the_router_does_not_count(router_service):
    record = router_service.world.record()
    denied = replace(record, request=replace(record.request, restart_denied="no image"))
    router_service.world.snapshot.put("a", denied)
    outcome = await router_service.restarts.request(["a"])
    assert (outcome.restarting, outcome.refused) == (("a",), {})


async def test_an_instance_that_is_removed_meanwhile_is_named(harness):
    def removed():
        harness.world.supervisor.remove("a")
        harness.world.clock.advance(30)

    harness.meanwhile = removed
    outcome = await harness.restarts.request(["a"])
    assert (outcome.restarting, outcome.left) == ((), {"a": "it is not managed here any more"})
