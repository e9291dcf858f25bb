"""One-shots: a program that ends with exit code 0 is done, and is not run again unasked."""

from dataclasses import replace

import pytest

from hostmanager.core.model import InstanceSettings, Target
from hostmanager.core.record import Completion
from hostmanager.core.requests import ALL
from tests.unit.core.fake_engine import service
from tests.unit.core.fakes import Behaviour, spec
from tests.unit.core.steps import ask, shown, start

UP, DOWN = Target.UP, Target.DOWN
ONE_SHOT = InstanceSettings(one_shot=True)
ENDS_WELL = Behaviour(ends_after=3.0, code=0)
FAILS = Behaviour(ends_after=3.0, code=1)


@pytest.fixture(params=[spec, service], ids=["process", "service"])
def one_shot(request):
    """Make the entry of a one-shot: a process, or a compose service."""
    return lambda **more: request.param(**{"settings": ONE_SHOT, **more})


def launches(world):
    return len(world.driver.launches["a"]) + len(world.engine.launches["a"])


def plan(world, *behaviours):
    world.driver.plan["a"] += behaviours
    world.engine.plan["a"] += behaviours


def start_and_end(world, entry, *behaviours):
    plan(world, *(behaviours or (ENDS_WELL,)))
    start(world, entry)
    world.clock.advance(60)


def test_it_runs_and_is_done(world, one_shot):
    plan(world, ENDS_WELL)
    start(world, one_shot(fingerprint="then"))
    assert shown(world) == ("up", "up")
    world.clock.advance(3)
    done_at = world.clock.wall
    world.clock.advance(86_400)
    assert shown(world) == ("down", "down")
    record = world.record()
    assert (record.completion.fingerprint, record.last_exit.expected) == ("then", True)
    assert record.completion.at == pytest.approx(done_at, abs=2)
    assert (record.failures.consecutive, record.failures.exit_times) == (0, ())
    assert launches(world) == 1
    assert world.engine.signals.get("a") is None  # its container stays, as compose leaves it
    assert any("done: exited with code 0" in text for text in world.messages_of())


def test_a_failure_is_retried_with_backoff_until_it_ends_well(world, one_shot):
    start_and_end(world, one_shot(), *[FAILS] * 4, ENDS_WELL)
    assert shown(world) == ("down", "down")
    assert (launches(world), world.record().completion is not None) == (5, True)


@pytest.mark.parametrize("restart", [True, False])
def test_by_name_it_is_run_again_and_is_done_again(world, one_shot, restart):
    start_and_end(world, one_shot())
    first = world.record().completion
    plan(world, ENDS_WELL)
    if restart:
        world.supervisor.restart("a")
    else:
        ask(world, ("a", UP))
    world.clock.advance(1)
    assert shown(world) == ("up", "up")
    assert world.record().completion is None
    world.clock.advance(60)
    assert shown(world) == ("down", "down")
    assert launches(world) == 2
    assert world.record().completion.at > first.at


def test_all_up_runs_nothing_again_that_is_done(world, one_shot):
    start_and_end(world, one_shot())
    ask(world, (ALL, UP))
    world.clock.advance(60)
    assert (launches(world), shown(world)) == (1, ("down", "down"))


def test_requested_down_it_is_not_done_any_more(world, one_shot):
    start_and_end(world, one_shot())
    ask(world, (ALL, DOWN))
    assert world.record().completion is None
    ask(world, (ALL, UP))
    world.clock.advance(1)
    assert launches(world) == 2


def test_ended_on_request_it_is_not_done_even_with_code_0(world, one_shot):
    start(world, one_shot())
    ask(world, ("a", DOWN))
    world.clock.advance(20)
    assert (shown(world), world.record().completion) == (("down", "down"), None)


def test_a_stop_of_the_manager_leaves_it_done(world, one_shot):
    start_and_end(world, one_shot())
    idle = []
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: idle.append(True))
    assert idle == [True]
    assert world.record().completion is not None


@pytest.mark.parametrize("target", [None, UP])
def test_a_later_manager_runs_what_is_done_only_if_that_was_requested(world, one_shot, target):
    world.supervisor.add(one_shot(), target, completion=Completion(1.0, ""))
    world.clock.advance(60)
    assert shown(world) == (("up", "up") if target else ("down", "down"))
    assert launches(world) == (1 if target else 0)
    assert (world.record().completion is None) is bool(target)


def test_a_changed_entry_does_not_run_it_again(world, one_shot):
    start_and_end(world, one_shot())
    world.supervisor.update(one_shot(fingerprint="other"))
    world.clock.advance(60)
    assert (launches(world), world.record().completion is not None) == (1, True)


def test_another_class_is_another_program(world, one_shot):
    start_and_end(world, one_shot())
    world.supervisor.replace(one_shot(agent_class="Other"))
    world.clock.advance(1)
    assert (launches(world), shown(world)) == (2, ("up", "up"))


def test_no_one_shot_any_more_it_is_started_like_any_other(world, one_shot):
    start_and_end(world, one_shot())
    world.supervisor.update(replace(world.record().spec, settings=InstanceSettings()))
    world.clock.advance(1)
    assert shown(world) == ("up", "up")


def test_what_it_leaves_behind_is_ended_before_it_is_shown_done(world):
    start_and_end(world, spec(settings=ONE_SHOT), replace(ENDS_WELL, leaves=2))
    assert (shown(world), world.record().completion is not None) == (("down", "down"), True)
    assert not world.driver.alive("a")


def test_others_may_run_the_container_of_what_is_done(world):
    start_and_end(world, service(settings=ONE_SHOT))
    world.engine.others_start("a", ENDS_WELL)
    assert (shown(world), world.record().completion) == (("up", "up"), None)
    world.clock.advance(60)
    assert (shown(world), world.record().completion is not None) == (("down", "down"), True)
    assert world.engine.signals.get("a") is None


def test_unobserved_and_back_it_is_done_as_before(world):
    start_and_end(world, service(settings=ONE_SHOT))
    world.engine.disconnect()
    assert shown(world)[0] == "unseen"
    world.engine.come_back()
    world.clock.advance(60)
    assert (launches(world), shown(world)) == (1, ("down", "down"))
    assert world.record().completion is not None
