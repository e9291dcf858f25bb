"""A restart is on the disk before anything is ended, and off it once it is done or called off."""

import asyncio
import json
from dataclasses import replace

import pytest
from tests.unit.core.fakes import IGNORES_SIGINT, World, spec

from hostmanager.agent.restarts import RestartCoordinator
from hostmanager.agent.target_store import TargetStore
from hostmanager.core.model import Target
from hostmanager.core.requests import Request


class Desk:
    """A manager's restarts, on a real file, in a world of fakes."""

    def __init__(self, path):
        self.path = path
        self.world = World()
        self.wanted = TargetStore(path, self.world.clock)
        self.running = True
        self.restarts = RestartCoordinator(
            self.world.supervisor,
            self.wanted,
            running=lambda: self.running,
            router=self._router,
            emit_message=lambda _: None,
        )

    async def _router(self):
        return None

    async def on_disk(self):
        assert await self.wanted.flush(30.0) == ""
        return json.loads(self.path.read_text()).get("restarts", {})

    def published(self):
        """Something changes that has nothing to do with it."""
        self.world.supervisor._controllers["a"]._publish()

    def down(self):
        self.world.supervisor.apply_requests([Request("a", Target.DOWN)])


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path / "wanted.json")
    made.world.driver.plan["a"] = [IGNORES_SIGINT]
    made.world.supervisor.add(spec())
    made.world.clock.advance(1)
    yield made
    made.wanted.close()


async def test_it_is_on_the_disk_before_the_first_signal(desk):
    seen, signal = [], desk.world.driver.signal

    def look(name, step):
        seen.append(json.loads(desk.path.read_text()).get("restarts"))
        signal(name, step)

    desk.world.driver.signal = look
    run = desk.world.record().run.run_id
    outcome = await desk.restarts.request(["a"])
    assert (outcome.restarting, outcome.not_kept) == (("a",), "")
    assert outcome.lines == ("Restarting: a.",)
    assert seen == [{"a": run}]
    desk.world.clock.advance(30)
    assert desk.world.record().run.run_id not in ("", run)
    assert await desk.on_disk() == {}


async def test_a_down_while_it_is_being_kept_calls_it_off(desk, monkeypatch):
    kept = desk.wanted.flush

    async def told_down_meanwhile(max_seconds=None):
        desk.down()
        return await kept(max_seconds)

    monkeypatch.setattr(desk.wanted, "flush", told_down_meanwhile)
    await desk.restarts.request(["a"])
    monkeypatch.undo()
    desk.world.clock.advance(30)
    assert desk.world.record().state.value == "down"
    assert await desk.on_disk() == {}


async def test_a_shutdown_leaves_it_on_the_disk_for_the_next_manager(desk):
    run = desk.world.record().run.run_id
    await desk.restarts.request(["a"])
    desk.running = False
    desk.world.supervisor.stop_all()
    desk.world.clock.advance(30)
    assert await desk.on_disk() == {"a": run}


async def test_what_cannot_be_kept_is_done_and_said(desk, monkeypatch):
    monkeypatch.setattr(desk.wanted, "_path", desk.path / "no" / "such")
    desk.path.write_text("in the way of a directory")
    outcome = await desk.restarts.request(["a"])
    assert "not kept" in outcome.not_kept
    assert outcome.lines[-1] == outcome.not_kept
    desk.world.clock.advance(30)
    assert len(desk.world.driver.launches["a"]) == 2


async def test_one_that_is_wanted_down_or_cannot_be_operated_is_named(desk):
    desk.world.supervisor.add(spec("b", initial_target=Target.DOWN))
    desk.world.supervisor.add(spec("c", inoperable_reason="No plugin."))
    outcome = await desk.restarts.request(["b", "c"])
    assert outcome.left == {"b": "it is wanted down", "c": "No plugin."}
    assert outcome.lines == ("Left as it is: b: it is wanted down.", "Left as it is: c: No plugin.")
    assert not desk.path.exists()


@pytest.fixture
def router_service(desk, monkeypatch):
    """`a` runs the router: it is restarted last, once the warning has been out for long enough."""

    async def is_a():
        return "a"

    warned = asyncio.Event()

    async def until_warned(_):
        await warned.wait()

    monkeypatch.setattr(desk.restarts, "_router", is_a)
    monkeypatch.setattr("hostmanager.agent.restarts.asyncio.sleep", until_warned)
    return warned


async def test_a_second_request_leaves_that_of_the_router_on_the_disk(desk, router_service):
    run = desk.world.record().run.run_id
    await desk.restarts.request(["a"])
    await desk.restarts.request(["a"])
    desk.published()
    assert await desk.on_disk() == {"a": run}
    router_service.set()
    await desk.restarts._router_task
    desk.world.clock.advance(30)
    assert desk.world.record().run.run_id not in ("", run)
    assert await desk.on_disk() == {}


async def test_the_router_that_was_ended_meanwhile_is_not_restarted_again(desk, router_service):
    await desk.restarts.request(["a"])
    desk.down()
    desk.world.clock.advance(30)
    desk.world.supervisor.apply_requests([Request("a", Target.UP)])
    desk.world.clock.advance(1)
    run = desk.world.record().run.run_id
    router_service.set()
    await desk.restarts._router_task
    desk.world.clock.advance(30)
    assert desk.world.record().run.run_id == run != ""
    assert await desk.on_disk() == {}


async def test_why_an_earlier_restart_of_the_router_was_not_made_is_no_answer(desk, router_service):
    record = desk.world.record()
    denied = replace(record, request=replace(record.request, restart_denied="no image"))
    desk.world.supervisor._controllers["a"].record = denied
    desk.published()
    outcome = await desk.restarts.request(["a"])
    assert (outcome.restarting, outcome.refused) == (("a",), {})


async def test_one_that_goes_while_the_router_is_looked_for_is_named(desk, monkeypatch):
    async def takes_a_while():
        desk.world.supervisor.remove("a")
        desk.world.clock.advance(30)

    monkeypatch.setattr(desk.restarts, "_router", takes_a_while)
    outcome = await desk.restarts.request(["a"])
    assert (outcome.restarting, outcome.left) == ((), {"a": "it is not managed here any more"})
