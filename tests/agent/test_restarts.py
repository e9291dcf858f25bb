"""A restart is on the disk before anything is ended, and off it once it is done or called off."""

import json

import pytest
from tests.core.fakes import IGNORES_SIGINT, World, spec

from hostmanager.agent.restarts import Restarts
from hostmanager.agent.wanted import Wanted
from hostmanager.core.model import Target
from hostmanager.core.requests import Request


class Desk:
    """A manager's restarts, on a real file, in a world of fakes."""

    def __init__(self, path):
        self.path = path
        self.world = World()
        self.wanted = Wanted(path, self.world.clock)
        self.running = True
        self.restarts = Restarts(
            self.world.supervisor,
            self.wanted,
            running=lambda: self.running,
            router=self._router,
            say=lambda _: None,
        )

    async def _router(self):
        return None

    async def on_disk(self):
        assert await self.wanted.kept(30.0) == ""
        return json.loads(self.path.read_text()).get("restarts", {})

    def down(self):
        self.world.supervisor.carry_out([Request("a", Target.DOWN)])


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
    run = desk.world.life().run
    outcome = await desk.restarts.request(["a"])
    assert (outcome.restarting, outcome.not_kept) == (("a",), "")
    assert outcome.lines == ("Restarting: a.",)
    assert seen == [{"a": run}]
    desk.world.clock.advance(30)
    assert desk.world.life().run not in ("", run)
    assert await desk.on_disk() == {}


async def test_a_down_while_it_is_being_kept_calls_it_off(desk, monkeypatch):
    kept = desk.wanted.kept

    async def told_down_meanwhile(limit=None):
        desk.down()
        return await kept(limit)

    monkeypatch.setattr(desk.wanted, "kept", told_down_meanwhile)
    await desk.restarts.request(["a"])
    monkeypatch.undo()
    desk.world.clock.advance(30)
    assert desk.world.life().state.value == "down"
    assert await desk.on_disk() == {}


async def test_a_shutdown_leaves_it_on_the_disk_for_the_next_manager(desk):
    run = desk.world.life().run
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
    desk.world.supervisor.add(spec("c", obstacle="No plugin."))
    outcome = await desk.restarts.request(["b", "c"])
    assert outcome.left == {"b": "it is wanted down", "c": "No plugin."}
    assert outcome.lines == ("Left as it is: b: it is wanted down.", "Left as it is: c: No plugin.")
    assert not desk.path.exists()
