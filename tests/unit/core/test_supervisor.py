"""What an operator, a reload and an ending manager may expect of the supervisor."""

import pytest

from hostmanager.core.model import Target
from hostmanager.core.record import State
from hostmanager.core.requests import Request
from tests.unit.core.fakes import (
    CRASHES,
    IGNORES_SIGINT,
    IGNORES_SIGTERM,
    LEAVES_SOME,
    NO_PROGRAM,
    SLOW_DISK,
    UNKILLABLE,
    Behaviour,
    spec,
)

UP, DOWN = Target.UP, Target.DOWN


def start(world, *specs, behaviour=None):
    for each in specs:
        if behaviour is not None:
            world.driver.plan[each.instance_id].append(behaviour)
        world.supervisor.add(each)
    world.clock.advance(1)


def ask(world, *pairs):
    world.supervisor.apply_requests([Request(name, target) for name, target in pairs])


# --- adding, and targets ------------------------------------------------------------------


def test_a_new_instance_takes_the_target_of_its_entry(world):
    start(world, spec("a"), spec("b", initial_target=DOWN))
    assert (world.record("a").state, world.record("b").state) == (State.UP, State.DOWN)
    assert world.driver.launches["b"] == []


def test_requests_are_handled_in_their_order(world):
    start(world, spec("a"), spec("b", initial_target=DOWN), spec("data1"))
    ask(world, ("all", UP), ("data1", DOWN))
    world.clock.advance(1)
    assert [record.state for record in world.snapshot.values()] == [State.UP, State.UP, State.DOWN]


def test_a_request_for_what_is_not_there_is_harmless(world):
    ask(world, ("nobody", UP))
    assert len(world.snapshot) == 0


def test_down_then_up_during_a_stop_ends_with_a_fresh_process(world):
    start(world, spec(), behaviour=Behaviour(stops_after=3.0))
    ask(world, ("a", DOWN))
    world.clock.advance(1)
    ask(world, ("a", UP))
    assert world.record().state is State.STOPPING
    world.clock.advance(3)
    assert world.record().state is State.UP
    assert len(world.driver.launches["a"]) == 2
    assert world.record().failures.restarts == 0  # that was no failure
    assert world.record().failures.exit_times == ()


def test_up_then_down_during_a_launch_ends_down(world):
    world.driver.plan["a"] = [SLOW_DISK]
    world.supervisor.add(spec())
    world.clock.advance(1)
    ask(world, ("a", DOWN))
    assert world.record().state is State.STARTING  # who knows what comes of it?
    world.clock.advance(5)
    assert world.record().state is State.DOWN
    assert not world.driver.alive("a")


def test_down_then_up_during_a_launch_leaves_the_launch_alone(world):
    world.driver.plan["a"] = [SLOW_DISK]
    world.supervisor.add(spec())
    ask(world, ("a", DOWN), ("a", UP))
    world.clock.advance(5)
    assert world.record().state is State.UP
    assert len(world.driver.launches["a"]) == 1


def test_a_launch_that_fails_when_nobody_wants_it_any_more_is_no_failure(world):
    world.driver.plan["a"] = [Behaviour(fails_at="program", answers_after=3.0)]
    world.supervisor.add(spec())
    ask(world, ("a", DOWN))
    world.clock.advance(5)
    assert world.record().state is State.DOWN
    assert (world.record().failures.exit_times, world.record().failures.consecutive) == ((), 0)


def test_up_on_a_waiting_instance_launches_it_now_and_failing_again_keeps_the_delay(world):
    start(world, spec(), behaviour=CRASHES)
    world.driver.default_behaviour["a"] = CRASHES
    world.driver.let_die("a")
    world.clock.advance(5)
    assert world.record().state is State.BACKOFF
    streak = world.record().failures.consecutive
    launches = len(world.driver.launches["a"])
    world.clock.advance(1.0)
    ask(world, ("a", UP))
    assert len(world.driver.launches["a"]) == launches + 1
    world.clock.advance(0.0)
    assert world.record().failures.consecutive == streak + 1


def test_pressing_up_again_and_again_makes_no_busy_loop(world):
    world.driver.default_behaviour["a"] = NO_PROGRAM
    world.supervisor.add(spec())
    for _ in range(1000):
        world.clock.advance(0.01)
        ask(world, ("a", UP))
    assert len(world.driver.launches["a"]) <= 13


def test_a_launch_failure_says_which_step_and_is_tried_for_ever(world):
    world.driver.default_behaviour["a"] = NO_PROGRAM
    start(world, spec())
    assert world.record().error == "Launch failed at the program: it is not there."
    assert world.messages_of()[0].startswith("could not be launched: program: it is not there")
    world.clock.advance(3600)
    assert 360 <= len(world.driver.launches["a"]) <= 490
    assert len(world.messages_of()) < 16  # but not told for ever
    world.driver.default_behaviour["a"] = Behaviour()
    world.clock.advance(11)
    assert world.record().state is State.UP
    assert world.record().error is None


# --- entries that change -------------------------------------------------------------------


def test_a_replaced_entry_ends_the_old_process_before_the_new_one_starts(world):
    start(world, spec(), behaviour=Behaviour(stops_after=3.0))
    world.supervisor.replace(spec(agent_class="Other"))
    world.clock.advance(2)
    assert len(world.driver.launches["a"]) == 1
    world.clock.advance(2)
    assert world.record().state is State.UP
    assert world.record().spec.agent_class == "Other"


def test_an_entry_replaced_twice_during_a_stop_becomes_the_second(world):
    start(world, spec(), behaviour=Behaviour(stops_after=3.0))
    world.supervisor.replace(spec(agent_class="Second"))
    world.clock.advance(1)
    world.supervisor.replace(spec(agent_class="Third"))
    world.clock.advance(5)
    assert [s.agent_class for s in world.driver.specs["a"]] == ["FakeAgent", "Third"]


def test_an_update_during_a_replacement_is_an_update_of_the_replacement(world):
    start(world, spec(), behaviour=Behaviour(stops_after=3.0))
    world.supervisor.replace(spec(agent_class="Other", fingerprint="1"))
    world.supervisor.update(spec(agent_class="Other", fingerprint="2"))
    assert world.supervisor.specs()["a"].fingerprint == "2"
    world.clock.advance(5)
    assert world.record().run.fingerprint == "2"
    assert not world.record().restart_required


def test_down_during_a_replacement_leaves_the_new_one_down(world):
    start(world, spec(), behaviour=Behaviour(stops_after=3.0))
    world.supervisor.replace(spec(agent_class="Other"))
    ask(world, ("a", DOWN))
    world.clock.advance(5)
    assert (world.record().state, world.record().spec.agent_class) == (State.DOWN, "Other")
    assert len(world.driver.launches["a"]) == 1


def test_a_replacement_starts_with_a_clean_record(world):
    world.driver.plan["a"] = [CRASHES] * 4
    start(world, spec())
    assert world.record().failures.consecutive > 1
    world.driver.plan["a"] = []
    world.supervisor.replace(spec(agent_class="Other"))
    world.clock.advance(0.1)
    record = world.record()
    assert (
        record.state,
        record.failures.consecutive,
        record.failures.exit_times,
        record.failures.restarts,
    ) == (State.UP, 0, (), 0)


def test_an_update_leaves_what_runs_alone_and_says_that_a_restart_is_due(world):
    start(world, spec(fingerprint="1"))
    world.supervisor.update(spec(fingerprint="2"))
    world.clock.advance(1)
    assert world.record().restart_required
    assert len(world.driver.launches["a"]) == 1
    ask(world, ("a", DOWN), ("a", UP))
    world.clock.advance(1)
    assert not world.record().restart_required


def test_an_obstacle_leaves_what_runs_alone_and_keeps_it_down_once_it_ended(world):
    start(world, spec())
    world.supervisor.update(spec(inoperable_reason="no such class"))
    world.clock.advance(100)
    assert world.record().state is State.UP
    world.driver.let_die("a")
    world.clock.advance(100)
    assert world.record().state is State.INOPERABLE
    assert len(world.driver.launches["a"]) == 1
    world.supervisor.update(spec())
    world.clock.advance(1)
    assert world.record().state is State.UP


def test_a_blocked_instance_keeps_the_target_that_was_asked_for(world):
    start(world, spec(initial_target=DOWN, inoperable_reason="no such class"))
    ask(world, ("a", UP))
    assert (world.record().state, world.record().target) == (State.INOPERABLE, UP)
    world.supervisor.update(spec(initial_target=DOWN))
    world.clock.advance(1)
    assert world.record().state is State.UP


# --- entries that go -----------------------------------------------------------------------


def test_a_retired_instance_is_forgotten_once_nothing_of_it_is_alive(world):
    start(world, spec(), behaviour=LEAVES_SOME)
    world.supervisor.remove("a")
    assert world.supervisor.specs() == {}
    assert "being stopped" in world.supervisor.removing()["a"]
    world.clock.advance(30)
    assert "a" not in world.snapshot
    assert not world.driver.alive("a")


@pytest.mark.parametrize("behaviour", [CRASHES, NO_PROGRAM])
def test_a_waiting_or_failing_instance_is_forgotten_at_once(world, behaviour):
    world.driver.default_behaviour["a"] = behaviour
    start(world, spec())
    world.clock.advance(5)
    assert world.record().state is State.BACKOFF
    world.supervisor.remove("a")
    assert "a" not in world.snapshot


def test_up_for_all_does_not_bring_back_what_leaves(world):
    start(world, spec(), behaviour=Behaviour(stops_after=3.0))
    world.supervisor.remove("a")
    ask(world, ("all", UP))
    assert world.record().target is DOWN
    world.clock.advance(4)
    assert "a" not in world.snapshot


def test_an_instance_added_again_during_its_retirement_starts_after_the_old_one_ended(world):
    start(world, spec(), behaviour=Behaviour(stops_after=3.0))
    world.supervisor.remove("a")
    world.clock.advance(1)
    world.supervisor.add(spec(fingerprint="new"))
    assert list(world.supervisor.specs()) == ["a"]
    assert world.supervisor.removing() == {}
    world.clock.advance(4)
    assert (world.record().state, world.record().run.fingerprint) == (State.UP, "new")


def test_gone_added_and_gone_again_during_a_stop_is_gone(world):
    start(world, spec(), behaviour=Behaviour(stops_after=3.0))
    world.supervisor.remove("a")
    world.supervisor.add(spec())
    world.supervisor.remove("a")
    world.clock.advance(4)
    assert "a" not in world.snapshot
    assert len(world.driver.launches["a"]) == 1


# --- stops and the end of the manager ------------------------------------------------------


def test_a_stop_is_requested_repeated_and_enforced_in_turn(world):
    start(world, spec(), behaviour=IGNORES_SIGTERM)
    began = world.clock.mono
    seen = []
    world.snapshot.subscribe(
        lambda _, record: seen.append((world.clock.mono - began, record.state.value))
    )
    world.supervisor.stop_all()
    world.clock.advance(60)
    steps = [(0, "stopping"), (10, "terminating"), (15, "killing"), (15, "down")]
    assert list(dict.fromkeys(seen)) == steps
    assert world.driver.signals["a"] == [1, 2, 3]


def test_down_is_shown_only_when_nothing_is_left(world):
    start(world, spec(), behaviour=UNKILLABLE)
    world.supervisor.stop_all()
    world.clock.advance(3600)
    assert world.record().state is State.KILLING
    assert "uninterruptible wait" in world.record().error
    assert len([text for text in world.messages_of() if "uninterruptible" in text]) == 1
    world.driver.unblock("a")
    world.clock.advance(1)
    assert world.record().state is State.DOWN
    assert world.record().error is None


def test_an_unkillable_one_that_is_wanted_up_again_is_not_doubled(world):
    start(world, spec(), behaviour=UNKILLABLE)
    ask(world, ("a", DOWN))
    world.clock.advance(60)
    ask(world, ("a", UP))
    world.clock.advance(60)
    assert len(world.driver.launches["a"]) == 1
    world.driver.unblock("a")
    world.clock.advance(1)
    assert world.record().state is State.UP


def test_hurry_uses_the_next_stronger_means_on_what_is_being_ended_only(world):
    start(world, spec("a"), spec("b"), behaviour=IGNORES_SIGTERM)
    ask(world, ("a", DOWN))
    world.supervisor.escalate()
    assert world.record("a").state is State.TERMINATING
    world.supervisor.escalate()
    assert world.record("a").state is State.KILLING
    world.clock.advance(0.1)
    assert world.record("a").state is State.DOWN
    assert world.record("b").state is State.UP


def test_who_waits_for_rest_is_called_once_when_the_last_has_ended(world):
    start(world, spec("a"), spec("b"), behaviour=IGNORES_SIGINT)
    called = []
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: called.append(world.clock.mono))
    world.clock.advance(9)
    assert called == []
    world.clock.advance(60)
    assert len(called) == 1
    assert not world.driver.processes


def test_who_waits_for_rest_is_called_at_once_when_there_is_nothing(world):
    called = []
    world.supervisor.when_idle(lambda: called.append(1))
    assert called == [1]


def test_nobody_waits_for_ever_for_an_unkillable_one(world):
    start(world, spec("a"), behaviour=UNKILLABLE)
    start(world, spec("b"), behaviour=IGNORES_SIGINT)
    called = []
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: called.append(world.snapshot.unkillable_ids))
    world.clock.advance(21)
    assert called == [("a",)]


def test_nobody_waits_for_ever_for_a_launch_that_hangs(world):
    start(world, spec("a"), behaviour=Behaviour(answers_after=float("inf")))
    called = []
    world.supervisor.stop_all()
    world.supervisor.when_idle(lambda: called.append(world.snapshot.unkillable_ids))
    assert called == []
    world.clock.advance(10)
    assert called == [("a",)]
    assert world.record().state is State.STARTING  # not "down": it may still come to be


def test_a_waiting_instance_goes_down_at_once(world):
    world.driver.default_behaviour["a"] = CRASHES
    start(world, spec())
    ask(world, ("a", DOWN))
    assert world.record().state is State.DOWN
    world.clock.advance(100)
    assert world.record().state is State.DOWN


def test_remnants_of_a_stopped_agent_get_sigterm_and_time_of_their_own(world):
    slow = Behaviour(ignores=frozenset({1}), leaves=1, remnants_ignore=frozenset({2}))
    start(world, spec(), behaviour=slow)
    world.supervisor.stop_all()
    world.clock.advance(10.1)  # the agent has heeded SIGTERM, what it left has not
    assert world.record().state is State.TERMINATING
    assert "left processes behind" in world.record().error
    world.clock.advance(6)
    assert world.record().state is State.DOWN
    assert world.driver.signals["a"] == [1, 2, 2, 3]


def test_remnants_of_a_killed_agent_are_killed_without_delay(world):
    start(world, spec(), behaviour=Behaviour(ignores=frozenset({1, 2}), leaves=1))
    world.supervisor.stop_all()
    world.clock.advance(15.1)
    assert world.record().state is State.DOWN
