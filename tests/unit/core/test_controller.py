"""One instance and its queue: order, stale news, timers, and drivers that misbehave."""

import math
from dataclasses import replace

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus
from hostmanager.core.policy import Policy, StopPolicy
from hostmanager.core.record import State
from hostmanager.core.transitions.running import QUEUED_FOR_LAUNCH
from tests.unit.core.fakes import (
    CRASHES,
    IGNORES_SIGINT,
    IGNORES_SIGTERM,
    LEAVES_SOME,
    Behaviour,
    World,
    spec,
)


def controller_of(world, instance_id="a"):
    return world.supervisor._controllers[instance_id]


def test_a_driver_may_answer_from_within_the_call(world):
    world.driver.plan["a"] = [Behaviour(answers_after=None)]
    seen = []
    world.snapshot.subscribe(lambda name, record: seen.append(record.state))
    world.supervisor.add(spec())
    assert seen == [State.DOWN, State.STARTING, State.UP]


def test_a_driver_may_fail_from_within_the_call(world):
    sync_failure = Behaviour(fails_at="program", answers_after=None)
    world.driver.plan["a"] = [sync_failure, sync_failure]
    world.supervisor.add(spec())
    assert world.record().state is State.BACKOFF
    assert world.record().failures.consecutive == 2
    assert len(world.driver.launches["a"]) == 2


def test_a_listener_may_make_requests_of_its_own(world):
    def contrary(name, record):
        if record is not None and record.state is State.UP:
            world.supervisor.stop_all()

    world.snapshot.subscribe(contrary)
    world.supervisor.add(spec())
    world.clock.advance(1)
    assert world.record().state is State.DOWN
    assert not world.driver.alive("a")


def test_a_report_of_an_earlier_run_changes_nothing(world, caplog):
    world.supervisor.add(spec())
    world.clock.advance(1)
    world.driver.let_die("a")
    world.clock.advance(1)
    before = world.record()
    first_report = world.driver.reports["a"][0]
    first_report(ev.Exited(ExitStatus(code=3)))
    assert world.record() is before
    assert "stale report" in caplog.text


def test_output_that_was_read_late_is_not_taken_for_that_of_a_later_run(world):
    world.supervisor.add(spec())
    world.clock.advance(1)
    world.driver.let_die("a")
    world.clock.advance(1)
    first = world.driver.reports["a"][0]
    first(ev.LastOutput(("late words of the first",)))
    assert world.record().last_output == ("late words of the first",)  # last_exit is the first's
    world.driver.let_die("a")
    first(ev.LastOutput(("later words of the first",)))
    assert world.record().last_output == ("last words of 101",)


def test_a_late_report_does_not_bring_back_what_was_forgotten(world):
    world.supervisor.add(spec())
    world.clock.advance(1)
    controller = controller_of(world)
    world.supervisor.remove("a")
    world.clock.advance(1)
    assert "a" not in world.snapshot
    controller.submit(ev.StartRequested())
    world.driver.reports["a"][0](ev.Launched(1))
    world.clock.advance(100)
    assert "a" not in world.snapshot
    assert len(world.driver.launches["a"]) == 1


def test_a_timer_follows_the_deadline_of_the_state(world):
    world.driver.plan["a"] = [IGNORES_SIGINT]
    world.supervisor.add(spec())
    world.clock.advance(1)
    world.supervisor.stop_all()
    world.clock.advance(9.9)
    assert world.record().state is State.STOPPING
    world.clock.advance(0.2)
    assert world.record().state is State.DOWN


def test_a_timer_of_an_earlier_state_does_not_count(world):
    world.driver.plan["a"] = [Behaviour(stops_after=1e9, ignores=frozenset({ev.StopStage(2)}))]
    world.supervisor.add(spec())
    world.clock.advance(1)
    world.supervisor.stop_all()
    world.clock.advance(6)
    world.supervisor.escalate()  # TERMINATING until now + 5, with STOPPING's timer at now + 4
    world.clock.advance(4.5)
    assert world.record().state is State.TERMINATING


def test_a_clock_that_rings_early_does_not_leave_an_instance_waiting_for_ever():
    world = World(early=0.0005)
    world.driver.plan["a"] = [CRASHES, CRASHES]
    world.supervisor.add(spec())
    world.clock.advance(0.1)
    assert world.record().state is State.BACKOFF
    world.clock.advance(2)
    assert world.record().state is State.UP


def test_steps_of_no_length_are_gone_through_all_the_same():
    world = World(Policy(stop=StopPolicy(interrupt=0.0, terminate=0.0)))
    world.driver.plan["a"] = [IGNORES_SIGTERM]
    world.supervisor.add(spec())
    world.clock.advance(1)
    world.supervisor.stop_all()
    world.clock.advance(0.1)
    assert world.record().state is State.DOWN
    assert world.driver.signals["a"] == [1, 2, 3]


def test_the_wall_clock_may_jump_without_anything_coming_of_it(world):
    world.driver.plan["a"] = [CRASHES, CRASHES]
    world.supervisor.add(spec())
    world.clock.advance(0.1)
    world.clock.jump(-86400.0)
    world.clock.advance(0.5)
    assert world.record().state is State.BACKOFF
    world.clock.jump(10 * 86400.0)
    assert world.record().state is State.BACKOFF
    world.clock.advance(1.0)
    assert world.record().state is State.UP


def test_a_driver_that_raises_costs_one_launch_of_one_instance(world, caplog):
    launch, faults = world.driver.launch, [OSError("no more threads")]

    def faulty(spec, report):
        if spec.instance_id == "a" and faults:
            raise faults.pop()
        launch(spec, report)

    world.driver.launch = faulty
    world.supervisor.add(spec("a"))
    world.supervisor.add(spec("b"))
    world.clock.advance(1)
    assert world.record("a").state is State.UP  # at the second attempt
    assert world.record("b").state is State.UP
    assert "could not be launched: driver: OSError: no more threads" in world.messages_of("a")[0]


def test_a_driver_that_cannot_signal_is_asked_again_with_stronger_means(world):
    send, asked = world.driver.signal, []

    def faulty(instance_id, step):
        asked.append(step)
        if len(asked) == 1:
            raise OSError("no")
        send(instance_id, step)

    world.driver.signal = faulty
    world.supervisor.add(spec())
    world.clock.advance(1)
    world.supervisor.stop_all()
    world.clock.advance(11)
    assert world.record().state is State.DOWN


def test_events_are_handled_one_after_another_and_none_is_lost(world):
    world.supervisor.add(spec())
    controller = controller_of(world)
    states = []

    def more(name, record):
        states.append(record.state)
        if len(states) == 1:
            for event in (ev.StopRequested(), ev.StartRequested(), ev.StopRequested()):
                controller.submit(event)

    world.snapshot.subscribe(more)
    world.clock.advance(1)
    assert world.record().state is State.DOWN
    assert states[0] is State.UP


def test_remnants_keep_the_next_launch_waiting(world):
    world.driver.plan["a"] = [
        replace(LEAVES_SOME, remnants_ignore=frozenset({ev.StopStage.TERMINATE}))
    ]
    world.supervisor.add(spec())
    world.clock.advance(6)
    assert world.record().state is State.TERMINATING
    assert "left processes behind (pid 1000: child, pid 1001: child)" in world.record().error
    assert len(world.driver.launches["a"]) == 1
    world.clock.advance(5)
    assert world.record().state is State.UP
    assert len(world.driver.launches["a"]) == 2


def test_a_launch_that_is_never_answered_is_reported_as_a_warning_once(world):
    world.driver.plan["a"] = [Behaviour(answers_after=math.inf)]
    world.supervisor.add(spec())
    world.clock.advance(100)
    assert world.record().state is State.STARTING
    assert world.messages_of() == ["its launch has not been completed for 10 s; is a disk hanging?"]
    assert "is a disk hanging?" in world.record().error


def test_a_launch_that_waits_for_its_turn_is_no_reason_for_a_message(world):
    world.driver.plan["a"] = [Behaviour(answers_after=math.inf, gets_its_turn=False)]
    world.supervisor.add(spec())
    world.clock.advance(100)
    assert world.messages_of() == []
    assert world.record().error == QUEUED_FOR_LAUNCH
    assert world.record().unkillable  # nobody who stops the manager has to wait for it
    report = world.driver.reports["a"][-1]
    report(ev.StatusChanged(launching=True))
    assert (world.record().unkillable, world.record().error) == (False, None)
    world.clock.advance(9.9)
    assert world.messages_of() == []
    world.clock.advance(0.2)
    assert world.messages_of() == ["its launch has not been completed for 10 s; is a disk hanging?"]


def test_a_launch_that_is_answered_late_is_believed(world):
    world.driver.plan["a"] = [Behaviour(answers_after=30.0)]
    world.supervisor.add(spec())
    world.clock.advance(31)
    assert world.record().state is State.UP
    assert world.record().error is None
    assert not world.record().unkillable


def test_each_change_is_published_before_anything_is_done(world):
    seen = []
    launch = world.driver.launch

    def looking_launch(spec, report):
        seen.append(world.record().state)
        launch(spec, report)

    world.driver.launch = looking_launch
    world.supervisor.add(spec())
    assert seen == [State.STARTING]


def test_an_odd_event_is_for_the_log_not_for_people(world, caplog):
    world.supervisor.add(spec())
    world.clock.advance(1)
    notes = list(world.notes)
    controller_of(world).submit(ev.RemnantsGone())
    assert "unexpected event 'remnants gone' in 'up'" in caplog.text
    assert world.notes == notes


def test_a_note_that_nobody_can_take_keeps_no_instance_from_its_launch(world, caplog):
    def faulty(instance_id, note):
        raise RuntimeError("no session")

    world.emit_message = faulty
    world.driver.plan["a"] = [CRASHES, Behaviour()]
    world.supervisor.add(spec("a"))
    world.clock.advance(30)
    assert world.record("a").state is State.UP
    assert world.record("a").failures.restarts == 1
    assert "RuntimeError: no session" in caplog.text
    caplog.clear()
