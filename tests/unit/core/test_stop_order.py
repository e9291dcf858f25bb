"""The setting `after` from its end: what is told down, or to restart, together."""

import pytest

from hostmanager.core.events import StopStage
from hostmanager.core.model import InstanceSettings, Target
from hostmanager.core.record import State
from hostmanager.core.requests import Request
from tests.unit.core.fake_engine import service
from tests.unit.core.fakes import IGNORES_SIGTERM, Behaviour, spec

SLOW = Behaviour(stops_after=4.0)


def after(*others, **more):
    return InstanceSettings(after=others, **more)


@pytest.fixture
def site(world):
    """Registry, then pump, then gui; all of them are up. Gui and pump take 4 s to stop."""
    for name in ("pump", "gui"):
        world.driver.default_behaviour[name] = SLOW
    start(world, spec("registry"), spec("pump", settings=after("registry")))
    start(world, spec("gui", settings=after("pump")))
    return world


def start(world, *specs):
    for each in specs:
        world.supervisor.add(each, Target.UP)
    world.clock.advance(2)


def down(world, *names):
    world.supervisor.apply_requests(Request(name, Target.DOWN) for name in names)
    world.clock.advance(0)


def states(world):
    return {name: record.state for name, record in world.snapshot.items()}


def waits_for(world, name):
    return world.supervisor.stop_gate.waiting_for(name)


def test_what_is_told_down_together_ends_in_reverse_order(site):
    down(site, "all")
    assert states(site) == {"registry": State.UP, "pump": State.UP, "gui": State.STOPPING}
    assert {record.target for record in site.snapshot.values()} == {Target.DOWN}
    assert (waits_for(site, "registry"), waits_for(site, "pump")) == (["pump"], ["gui"])
    site.clock.advance(5)
    assert states(site) == {"registry": State.UP, "pump": State.STOPPING, "gui": State.DOWN}
    site.clock.advance(5)
    assert set(states(site).values()) == {State.DOWN}


def test_who_is_told_down_alone_does_not_wait_for_those_that_go_on(site):
    down(site, "registry")
    site.clock.advance(1)
    assert states(site) == {"registry": State.DOWN, "pump": State.UP, "gui": State.UP}


def test_a_step_takes_its_stop_timeout_at_most(site):
    site.driver.processes["pump"].behaviour = IGNORES_SIGTERM
    down(site, "registry", "pump")
    site.clock.advance(9)
    assert states(site)["registry"] is State.UP
    site.clock.advance(2)
    assert (states(site)["registry"], states(site)["pump"]) == (State.DOWN, State.TERMINATING)


def test_the_end_of_the_manager_waits_for_no_order(site):
    down(site, "all")
    site.supervisor.stop_all()
    assert site.driver.signals == {
        name: [StopStage.INTERRUPT] for name in ("registry", "pump", "gui")
    }


def test_who_is_told_up_again_while_it_waits_goes_on(site):
    pid = site.record("registry").run.pid
    down(site, "all")
    site.supervisor.apply_requests([Request("all", Target.UP)])
    site.clock.advance(60)
    assert set(states(site).values()) == {State.UP}
    assert site.record("registry").run.pid == pid
    assert len(site.driver.launches["gui"]) == 2


def test_one_that_dies_while_it_waits_stays_down(site):
    down(site, "all")
    site.driver.let_die("registry")
    site.clock.advance(1)
    assert (states(site)["registry"], states(site)["gui"]) == (State.DOWN, State.STOPPING)
    site.clock.advance(60)
    assert set(states(site).values()) == {State.DOWN}
    assert len(site.driver.launches["registry"]) == 1


def test_a_group_is_restarted_in_reverse_and_started_in_order(site):
    before = {name: record.run.pid for name, record in site.snapshot.items()}
    for name in ("registry", "pump", "gui"):
        site.supervisor.restart(name)
    site.clock.advance(3)
    assert states(site) == {"registry": State.UP, "pump": State.UP, "gui": State.STOPPING}
    site.clock.advance(3)
    assert states(site) == {"registry": State.UP, "pump": State.STOPPING, "gui": State.STARTING}
    assert site.record("registry").run.pid == before["registry"]
    site.clock.advance(60)
    assert set(states(site).values()) == {State.UP}
    launches = [site.driver.launches[name][-1] for name in ("registry", "pump", "gui")]
    assert launches == sorted(launches)
    assert not any(record.request.is_held for record in site.snapshot.values())
    assert not any("although" in text for text in site.messages_of())


def test_a_restart_of_one_alone_stops_nobody_else(site):
    site.supervisor.restart("registry")
    site.clock.advance(3)
    assert len(site.driver.launches["registry"]) == 2
    assert len(site.driver.launches["pump"]) == 1


def test_a_restart_that_waits_is_over_when_its_run_dies(site):
    for name in ("registry", "pump"):
        site.supervisor.restart(name)
    site.clock.advance(1)
    site.driver.let_die("registry")
    site.clock.advance(30)
    assert set(states(site).values()) == {State.UP}
    assert site.record("registry").request.restart_of is None
    assert len(site.driver.launches["registry"]) == 2


def test_a_circle_and_an_unknown_id_hold_nobody_back(world):
    start(world, spec("a", settings=after("b", "nobody")), spec("b", settings=after("a")))
    down(world, "all")
    world.clock.advance(1)
    assert set(states(world).values()) == {State.DOWN}


def test_a_service_ends_before_the_process_that_it_comes_after(world):
    start(world, spec("registry"), service("gui", settings=after("registry")))
    down(world, "all")
    world.clock.advance(30)
    assert set(states(world).values()) == {State.DOWN}
    assert not world.supervisor.stop_gate.waiting_for("registry")


@pytest.mark.parametrize("told_first", [True, False])
def test_a_service_that_cannot_be_observed_holds_nobody_back(world, told_first):
    start(world, spec("registry"), service("gui", settings=after("registry")))
    world.engine.freeze()
    if told_first:
        down(world, "all")
    world.engine.disconnect()
    if not told_first:
        down(world, "all")
    world.clock.advance(1)
    assert states(world) == {"registry": State.DOWN, "gui": State.UNOBSERVED}
