"""Manual instances: shown as they are, started and stopped on request alone, once each time."""

from dataclasses import replace

import pytest

from hostmanager.core.model import InstanceSettings, Target
from hostmanager.core.requests import ALL
from tests.unit.core.fake_engine import service
from tests.unit.core.fakes import CRASHES, Behaviour, spec
from tests.unit.core.steps import ask, shown, start

UP, DOWN = Target.UP, Target.DOWN
MANUAL = InstanceSettings(manual=True)


def manual_service(**more):
    return service(settings=MANUAL, **more)


@pytest.fixture(params=[spec, service], ids=["process", "service"])
def manual(request):
    """Make the entry of a manual instance: a process, or a compose service."""
    return lambda **more: request.param(**{"settings": MANUAL, **more})


def launches(world):
    return len(world.driver.launches["a"]) + len(world.engine.launches["a"])


def signals(world):
    return world.driver.signals.get("a", []) + world.engine.signals.get("a", [])


@pytest.mark.parametrize("configured", [UP, DOWN])
def test_it_is_not_started(world, manual, configured):
    start(world, manual(initial_target=configured))
    world.clock.advance(3600)
    assert (shown(world), launches(world)) == (("down", "passive"), 0)


@pytest.mark.parametrize("name", ["a", ALL])
def test_a_request_counts_once(world, manual, name):
    start(world, manual())
    ask(world, (name, UP))
    world.clock.advance(1)
    assert (shown(world), launches(world)) == (("up", "passive"), 1)
    ask(world, (name, DOWN))
    world.clock.advance(20)
    assert (shown(world), len(signals(world))) == (("down", "passive"), 1)


def test_it_is_not_relaunched_when_it_dies(world, manual):
    start(world, manual())
    dies = Behaviour(ends_after=30.0)
    world.driver.plan["a"], world.engine.plan["a"] = [dies], [dies]
    ask(world, ("a", UP))
    world.clock.advance(3600)
    assert (shown(world), launches(world)) == (("down", "passive"), 1)
    assert not world.record().last_exit.expected
    assert world.record().failures.exit_times == ()


def test_a_restart_of_what_runs_is_made_and_one_of_what_does_not_is_refused(world, manual):
    start(world, manual())
    world.supervisor.restart("a")
    world.clock.advance(20)
    assert launches(world) == 0
    ask(world, ("a", UP))
    world.clock.advance(1)
    world.supervisor.restart("a")
    world.clock.advance(20)
    assert (shown(world), launches(world)) == (("up", "passive"), 2)


@pytest.mark.parametrize("configured", [UP, DOWN])
def test_a_container_that_others_start_is_shown_up_and_not_stopped(world, configured):
    start(world, manual_service(initial_target=configured))
    world.engine.others_start("a")
    world.clock.advance(60)
    assert shown(world) == ("up", "passive")
    world.supervisor.stop_all()
    assert world.snapshot.is_idle
    world.supervisor.remove("a")
    assert world.engine.alive("a")
    assert signals(world) == []


def test_its_container_goes_on_whatever_its_entry_becomes(world):
    world.engine.others_start("a")
    start(world, manual_service())
    world.supervisor.replace(manual_service(agent_class="Other"))
    world.clock.advance(20)
    assert (shown(world), signals(world)) == (("up", "passive"), [])
    world.supervisor.replace(spec(settings=MANUAL))
    world.clock.advance(20)
    assert (shown(world), signals(world)) == (("down", "passive"), [])
    assert world.engine.alive("a")


def test_a_process_of_an_earlier_manager_is_taken_over_and_is_stopped_with_the_manager(world):
    start(world, spec())
    world.supervisor.abandon()
    world.start_manager()
    world.supervisor.add(spec(settings=MANUAL), observed_run=world.driver.discover()["a"])
    world.clock.advance(60)
    assert (shown(world), signals(world)) == (("up", "passive"), [])
    world.supervisor.stop_all()
    world.clock.advance(60)
    assert (shown(world), len(signals(world))) == (("down", "passive"), 1)


def test_from_manual_to_managed_and_back_without_a_restart(world, manual):
    entry = manual()
    start(world, entry)
    managed = replace(entry, settings=InstanceSettings())
    world.supervisor.update(managed)
    world.clock.advance(1)
    assert (shown(world), launches(world)) == (("up", "up"), 1)
    world.supervisor.update(entry)
    assert (shown(world), launches(world), signals(world)) == (("up", "passive"), 1, [])
    world.supervisor.update(replace(managed, initial_target=DOWN))
    world.clock.advance(20)
    assert (shown(world), len(signals(world))) == (("down", "down"), 1)


def test_what_failed_is_left_alone_once_it_is_manual(world, manual):
    world.driver.default_behaviour["a"] = world.engine.default_behaviour["a"] = CRASHES
    entry = manual(settings=InstanceSettings())
    start(world, entry)
    world.clock.advance(10)
    world.supervisor.update(replace(entry, settings=MANUAL))
    before = launches(world)
    world.clock.advance(3600)
    assert (shown(world), launches(world)) == (("down", "passive"), before)


def test_a_manual_one_shot_runs_on_request_alone_and_is_done_then(world, manual):
    entry = manual(settings=InstanceSettings(manual=True, one_shot=True))
    start(world, entry)
    ends_well = Behaviour(ends_after=3.0, code=0)
    world.driver.plan["a"], world.engine.plan["a"] = [ends_well], [ends_well]
    ask(world, ("a", UP))
    world.clock.advance(60)
    assert (shown(world), launches(world)) == (("down", "passive"), 1)
    assert world.record().completion is not None
