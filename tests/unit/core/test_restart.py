"""What a restart does in each state, and what the next manager makes of one."""

import pytest

from hostmanager.core.model import ObservedRun, Target
from hostmanager.core.record import ANY_RUN, State
from hostmanager.core.requests import Request
from tests.unit.core.fake_engine import MixedWorld, passive, service
from tests.unit.core.fakes import CRASHES, IGNORES_SIGINT, LEAVES_SOME, SLOW_DISK, Behaviour, spec
from tests.unit.core.steps import shown, start


@pytest.fixture
def mixed():
    return MixedWorld()


def agent(world, behaviour: Behaviour) -> None:
    """Track an agent whose first launch comes to that, and let a second pass."""
    world.driver.plan["a"].append(behaviour)
    start(world, spec())


def launches(world) -> int:
    return len(world.driver.launches["a"]) + len(world.engine.launches["a"])


@pytest.mark.parametrize("make", [spec, service])
def test_what_runs_is_ended_and_launched_anew_and_is_wanted_up_all_the_while(mixed, make):
    targets = []
    start(mixed, make())
    mixed.snapshot.subscribe(lambda _, record: targets.append(record.target))
    run = mixed.record().run.run_id
    mixed.supervisor.restart("a")
    mixed.clock.advance(1)
    assert shown(mixed) == ("up", "up")
    assert set(targets) == {Target.UP}
    assert mixed.record().run.run_id not in ("", run)
    assert mixed.record().request.restart_of is None
    assert (
        launches(mixed),
        mixed.record().failures.restarts,
        mixed.record().failures.exit_times,
    ) == (
        2,
        0,
        (),
    )


def test_one_that_leaves_others_behind_is_launched_when_those_are_gone(mixed):
    agent(mixed, Behaviour(leaves=1, remnants_ignore=frozenset({2})))
    mixed.supervisor.restart("a")
    mixed.clock.advance(1)
    assert (mixed.record().state, launches(mixed)) == (State.TERMINATING, 1)
    mixed.clock.advance(10)
    assert (shown(mixed), launches(mixed)) == (("up", "up"), 2)


def test_a_second_request_and_an_up_join_the_first(mixed):
    agent(mixed, IGNORES_SIGINT)
    for _ in range(3):
        mixed.supervisor.restart("a")
        mixed.supervisor.apply_requests([Request("a", Target.UP)])
    mixed.clock.advance(30)
    assert (shown(mixed), launches(mixed)) == (("up", "up"), 2)


def test_a_down_calls_it_off(mixed):
    agent(mixed, IGNORES_SIGINT)
    mixed.supervisor.restart("a")
    mixed.supervisor.apply_requests([Request("a", Target.DOWN)])
    mixed.clock.advance(30)
    assert (shown(mixed), launches(mixed)) == (("down", "down"), 1)
    mixed.supervisor.restart("a")
    mixed.clock.advance(30)
    assert (shown(mixed), launches(mixed)) == (("down", "down"), 1)


def test_one_that_is_being_launched_is_restarted_once_it_is(mixed):
    agent(mixed, SLOW_DISK)
    assert mixed.record().state is State.STARTING
    mixed.supervisor.restart("a")
    mixed.clock.advance(1)
    assert (launches(mixed), mixed.record().request.restart_of) == (1, ANY_RUN)
    mixed.clock.advance(10)
    assert (shown(mixed), launches(mixed)) == (("up", "up"), 2)


def test_one_that_waits_is_launched_at_once(mixed):
    mixed.driver.plan["a"] = [CRASHES] * 8
    start(mixed, spec())
    mixed.clock.advance(30)
    assert mixed.record().state is State.BACKOFF
    before = launches(mixed)
    mixed.supervisor.restart("a")
    assert launches(mixed) == before + 1


def test_a_service_whose_image_cannot_be_had_goes_on(mixed):
    start(mixed, service())
    run = mixed.record().run.run_id
    mixed.engine.unavailable.add("a")
    mixed.supervisor.restart("a")
    mixed.clock.advance(1)
    record = mixed.record()
    assert (shown(mixed), record.run.run_id, record.request.restart_of) == (("up", "up"), run, None)
    assert record.request.restart_denied == "its image cannot be had"
    assert mixed.engine.signals["a"] == []
    assert mixed.messages_of()[1:] == ["not restarted: its image cannot be had; it keeps running"]
    mixed.engine.unavailable.clear()
    mixed.supervisor.restart("a")
    mixed.clock.advance(1)
    assert mixed.record().run.run_id != run
    assert mixed.record().request.restart_denied is None


def test_nothing_is_ended_before_it_is_known_that_the_image_can_be_had(mixed):
    start(mixed, service())
    mixed.engine.prepare_takes = 600.0
    mixed.supervisor.restart("a")
    mixed.clock.advance(599)
    assert shown(mixed) == ("up", "up")
    assert mixed.record().needs_preparation
    mixed.clock.advance(2)
    assert launches(mixed) == 2


def test_what_nobody_manages_is_passive_again_when_it_runs_again(mixed):
    mixed.engine.others_start("a")
    start(mixed, passive())
    run = mixed.record().run.run_id
    mixed.supervisor.restart("a")
    mixed.clock.advance(1)
    assert shown(mixed) == ("up", "passive")
    assert mixed.record().run.run_id != run


# --- the next manager -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "restarted"),
    [("r1", True), (ANY_RUN, True), ("r0", False), (None, False)],
)
def test_the_next_manager_restarts_the_run_that_was_to_be_restarted_and_no_other(
    mixed, kept, restarted
):
    agent(mixed, LEAVES_SOME)
    process = mixed.driver.processes["a"]
    mixed.supervisor.abandon()
    mixed.driver.forget_everything()
    mixed.start_manager()
    observed = ObservedRun(process.pid, process.since, "", run_id="r1")
    # The host drops what cannot be: see `Before.restart_of`.
    of = kept if kept in ("r1", ANY_RUN) else None
    mixed.supervisor.add(spec(), None, observed, of)
    mixed.clock.advance(0.5)
    assert (launches(mixed) == 2) is restarted
    assert mixed.record().request.restart_of is None
    assert shown(mixed) == ("up", "up")


@pytest.mark.parametrize("make", [service, passive])
@pytest.mark.parametrize("alive", ["the old run", "a new run", "nothing"])
def test_of_a_service_the_engine_tells_the_next_manager_what_is_left_to_be_done(mixed, make, alive):
    if alive != "nothing":
        mixed.engine.others_start("a")
    run = mixed.engine.containers["a"].run if alive == "the old run" else "an old one"
    mixed.supervisor.add(make(), restart_of=run)
    mixed.clock.advance(1)
    assert shown(mixed) == ("up", "passive" if make is passive else "up")
    assert mixed.record().request.restart_of is None
    assert launches(mixed) == (0 if alive == "a new run" else 1)
