"""Compose services that the site file lists: taken over, launched, ended, called off."""

import math

import pytest

from hostmanager.core.events import ExitStatus, StopStage
from hostmanager.core.model import Target
from hostmanager.core.record import State
from tests.unit.core.fake_engine import foreign, service
from tests.unit.core.fakes import CRASHES, NO_PROGRAM, UNKILLABLE, Behaviour, spec
from tests.unit.core.steps import ask, shown, start

UP, DOWN = Target.UP, Target.DOWN
SLOW_PULL = Behaviour(answers_after=600.0)
NEVER_PULLED = Behaviour(answers_after=math.inf)
STOPS_SLOWLY = Behaviour(stops_after=3.0)


# --- at the start -------------------------------------------------------------------------


def test_nothing_is_decided_before_the_engine_was_asked(world):
    world.supervisor.add(service())
    assert world.record().state is State.UNOBSERVED
    assert world.engine.launches["a"] == []
    world.clock.advance(0.1)
    assert world.record().state is State.UP
    assert len(world.engine.looks["a"]) == 1


def test_a_driver_may_answer_a_look_from_within_the_call(world):
    world.engine.look_takes = None
    start(world, service())
    assert world.record().state is State.UP


def test_a_container_that_runs_already_is_taken_over_as_it_is(world):
    world.engine.others_start("a")
    pid = world.engine.containers["a"].pid
    world.clock.advance(50)
    start(world, service())
    assert shown(world) == ("up", "up")
    assert (world.record().run.pid, world.engine.launches["a"]) == (pid, [])
    assert world.clock.now().monotonic - world.record().run.started_at.monotonic == pytest.approx(
        51.0
    )


def test_a_container_that_runs_already_but_is_wanted_down_is_ended(world):
    world.engine.others_start("a")
    start(world, service(initial_target=DOWN))
    assert shown(world) == ("down", "down")
    assert not world.engine.alive("a")
    assert world.engine.launches["a"] == []


def test_a_driver_that_cannot_look_leaves_it_open_whether_it_runs(world, caplog):
    def faulty(spec, report):
        raise OSError("no more threads")

    world.engine.observe = faulty
    start(world, service("a", initial_target=DOWN), spec("b"))
    assert world.record("a").state is State.UNOBSERVED
    assert "OSError: no more threads" in world.record("a").error
    assert world.record("b").state is State.UP
    assert "a: its observation" in caplog.text


# --- up and down ----------------------------------------------------------------------------


def test_down_is_shown_when_the_container_has_ended(world):
    start(world, service(), behaviour=STOPS_SLOWLY)
    ask(world, ("a", DOWN))
    world.clock.advance(2)
    assert shown(world) == ("stopping", "down")
    world.clock.advance(2)
    assert shown(world) == ("down", "down")
    assert world.engine.signals["a"] == [1]


def test_a_container_has_its_grace_period_before_it_is_killed(world):
    start(world, service(stop_grace=60.0), behaviour=Behaviour(ignores=frozenset({1})))
    ask(world, ("a", DOWN))
    world.clock.advance(64)
    assert world.record().state is State.STOPPING
    world.clock.advance(2)
    assert world.record().state is State.DOWN
    assert world.engine.signals["a"] == [1, 2]


def test_a_container_that_cannot_be_ended_is_not_shown_as_down(world):
    start(world, service(), behaviour=UNKILLABLE)
    ask(world, ("a", DOWN))
    world.clock.advance(60)
    assert world.record().state is State.KILLING
    assert "docker inspect" in world.record().error
    ask(world, ("a", UP))
    world.engine.others_end("a")
    world.clock.advance(1)
    assert shown(world) == ("up", "up")
    assert len(world.engine.launches["a"]) == 2


def test_a_managed_service_that_dies_is_launched_again_at_once(world):
    start(world, service())
    world.engine.others_end("a", ExitStatus(code=3))
    world.clock.advance(0.1)
    assert shown(world) == ("up", "up")
    assert world.record().last_exit.status == ExitStatus(code=3)
    assert (world.record().failures.restarts, len(world.record().failures.exit_times)) == (1, 1)


def test_a_managed_service_that_somebody_starts_is_ended_if_it_is_wanted_down(world):
    start(world, service(initial_target=DOWN))
    world.engine.others_start("a")
    world.clock.advance(0.1)
    assert shown(world) == ("down", "down")
    assert not world.engine.alive("a")


def test_a_service_that_fails_again_and_again_is_launched_ever_more_seldom(world):
    world.engine.default_behaviour["a"] = CRASHES
    start(world, service())
    world.clock.advance(3600)
    assert 360 <= len(world.engine.launches["a"]) <= 490


def test_a_container_that_the_engine_restarts_is_not_launched_beside_that(world):
    world.engine.restarting.add("a")
    world.engine.plan["a"] = [CRASHES, CRASHES]
    world.supervisor.add(service())
    world.clock.advance(0.05)
    assert world.record().state is State.BACKOFF
    ups = len(world.engine.launches["a"])
    world.clock.advance(0.1)
    assert shown(world) == ("up", "up")
    world.clock.advance(60)
    assert shown(world) == ("up", "up")
    assert len(world.engine.launches["a"]) == ups


def test_a_launch_that_others_got_ahead_of_is_a_launch_all_the_same(world):
    start(world, service(), behaviour=Behaviour(answers_after=20.0))
    world.engine.others_start("a")
    pid = world.engine.containers["a"].pid
    world.clock.advance(30)
    assert shown(world) == ("up", "up")
    assert world.record().run.pid == pid


def test_a_failed_launch_says_why(world):
    world.engine.default_behaviour["a"] = NO_PROGRAM
    start(world, service())
    assert world.record().error == "Launch failed at the program: it is not there."
    assert world.record().state is State.BACKOFF


def test_what_is_to_be_known_of_a_container_is_known_while_it_runs(world):
    start(world, service())
    world.engine.remark("a", "It is paused.", outdated=True)
    assert world.record().observation.notice == "It is paused."
    assert world.record().restart_required
    ask(world, ("a", DOWN), ("a", UP))
    world.clock.advance(1)
    assert world.record().observation.notice is None
    assert not world.record().restart_required


# --- a launch that takes its time -----------------------------------------------------------


def test_a_pull_that_takes_long_is_reported_as_a_warning_and_believed_in_the_end(world):
    start(world, service(), behaviour=SLOW_PULL)
    world.clock.advance(15)
    assert "pulling or building" in world.record().error
    world.clock.advance(600)
    assert shown(world) == ("up", "up")
    assert world.record().error is None


@pytest.mark.parametrize("after", [1.0, 60.0])
def test_told_down_during_a_pull_calls_it_off(world, after):
    start(world, service(), behaviour=NEVER_PULLED)
    world.clock.advance(after)
    ask(world, ("a", DOWN))
    world.clock.advance(0.1)
    assert shown(world) == ("down", "down")
    assert world.engine.in_flight == {}
    assert (world.record().failures.exit_times, world.record().error) == ((), None)
    assert not world.engine.alive("a")


def test_a_pull_is_called_off_once(world):
    start(world, service(), behaviour=NEVER_PULLED)
    ask(world, ("a", DOWN), ("a", DOWN), ("a", UP), ("a", DOWN))
    assert world.engine.signals["a"] == [1]


def test_told_down_and_up_during_a_pull_pulls_anew_and_is_no_failure(world):
    start(world, service(), behaviour=NEVER_PULLED)
    ask(world, ("a", DOWN), ("a", UP))
    world.clock.advance(1)
    assert shown(world) == ("up", "up")
    assert (world.record().failures.exit_times, world.record().failures.restarts) == ((), 0)
    assert len(world.engine.launches["a"]) == 2


def test_told_up_during_a_pull_leaves_it_alone(world):
    start(world, service(), behaviour=Behaviour(answers_after=60.0))
    ask(world, ("a", UP))
    world.clock.advance(60)
    assert len(world.engine.launches["a"]) == 1
    assert world.engine.signals["a"] == []


def test_a_stop_waits_until_a_long_pull_has_been_called_off(world):
    start(world, service(), behaviour=NEVER_PULLED)
    world.clock.advance(60)
    called = []
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: called.append(world.snapshot.unkillable_ids))
    assert called == []
    world.clock.advance(0.1)
    assert called == [()]


def test_the_launch_of_an_agent_is_called_off_too(world):
    world.driver.plan["a"] = [Behaviour(answers_after=3.0)]
    world.supervisor.add(spec())
    ask(world, ("a", DOWN))
    assert world.driver.signals["a"] == [StopStage.INTERRUPT]  # it may wait for its turn


# --- an entry without a service -------------------------------------------------------------


def test_an_entry_without_a_service_is_blocked_and_nobody_looks(world):
    world.engine.others_start("a")
    start(world, foreign())
    ask(world, ("a", UP), ("a", DOWN), ("a", UP))
    world.clock.advance(60)
    assert shown(world) == ("blocked", "up")
    assert world.engine.looks["a"] == []
    assert world.engine.alive("a")


@pytest.mark.parametrize("behaviour", [Behaviour(), SLOW_PULL, CRASHES, STOPS_SLOWLY])
def test_a_service_that_vanishes_blocks_its_entry_and_comes_back(world, behaviour):
    start(world, service(), behaviour=behaviour)
    world.supervisor.update(foreign())
    world.clock.advance(0.1)
    assert shown(world) == ("blocked", "up")
    assert world.engine.signals["a"] == []  # what runs is not its own any more
    world.clock.advance(700)
    assert world.record().run.pid is None
    alive, ups = world.engine.alive("a"), len(world.engine.launches["a"])
    world.supervisor.update(service())
    world.clock.advance(1)
    assert shown(world) == ("up", "up")
    assert len(world.engine.launches["a"]) == (ups if alive else ups + 1)


def test_what_runs_of_a_service_that_vanished_may_end_or_start_as_it_likes(world):
    start(world, service())
    world.supervisor.update(foreign())
    for _ in range(3):
        world.engine.others_end("a")
        world.clock.advance(20)
        world.engine.others_start("a")
        world.clock.advance(20)
    assert shown(world) == ("blocked", "up")
    assert world.record().failures.exit_times == ()
    assert len(world.engine.launches["a"]) == 1


@pytest.mark.parametrize("behaviour", [STOPS_SLOWLY, UNKILLABLE])
def test_a_service_that_vanishes_during_its_stop_is_let_go_at_once(world, behaviour):
    start(world, service(), behaviour=behaviour)
    ask(world, ("a", DOWN))
    world.clock.advance(2)
    world.supervisor.update(foreign())
    assert shown(world) == ("blocked", "down")
    world.clock.advance(60)
    assert shown(world) == ("blocked", "down")
    assert world.engine.signals["a"] == [1]


def test_a_retired_entry_whose_service_vanished_is_forgotten_and_what_runs_goes_on(world):
    start(world, service())
    world.supervisor.update(foreign())
    world.supervisor.remove("a")
    assert "a" not in world.snapshot
    assert world.engine.alive("a")
