"""The whole table: every state, every event, every combination of what else is known.

`MOVES` says which move each cell makes, and `PROMISES` what a move comes to with all that
can be known beside. A changed cell or move shows up here, so that it is changed knowingly.
`combinations.CANNOT_BE` says what no life comes to, whatever happens to one that is as it can be.
"""

import itertools
from dataclasses import replace

import pytest

from hostmanager.core import events as ev
from hostmanager.core import record as life_module
from hostmanager.core.events import EventKind, StopStage
from hostmanager.core.messages import DEFAULT_STOP_GRACE, ENGINE_KILL_MARGIN
from hostmanager.core.model import Kind, Target
from hostmanager.core.record import NO_RUN, NOT_RUNNING_STATES, State
from hostmanager.core.transitions import (
    LAUNCH_TIMEOUT,
    OBSERVE_TIMEOUT,
    QUEUED_FOR_LAUNCH,
    TABLE,
    step,
)
from tests.unit.core.combinations import NOW, POLICY, events, lives, wrong_with

SIGTERM, SIGKILL = ev.Signal(StopStage.TERMINATE), ev.Signal(StopStage.KILL)
SIGINT = ev.Signal(StopStage.INTERRUPT)
INTENTS = ("WANT_UP", "WANT_DOWN", "UPDATE", "REPLACE", "RETIRE", "HURRY", "RESTART_REQUESTED")
OBSERVATIONS = (
    *("LAUNCHED", "LAUNCH_FAILED", "ENDED", "LEFT_BEHIND", "GONE", "OUTPUT", "CONDITION"),
    *("LOST_SIGHT", "PREPARED", "PREPARE_FAILED", "TIMER"),
)
MOVES = {
    "DOWN": (
        "settle settle settle settle settle stay stay",
        "run_or_end odd settle clear odd stay odd lose stay stay odd",
    ),
    "BLOCKED": (
        "settle settle settle settle settle stay stay",
        "run_or_end odd settle clear odd stay odd odd stay stay odd",
    ),
    "WAITING": (
        "sooner settle sooner settle settle stay sooner",
        "run_or_end odd settle clear odd stay odd lose sooner stay pause_over",
    ),
    "STARTING": (
        "stay call_off revise call_off call_off stay stay",
        "run_or_end settle settle clear odd stay begin_launch lose stay stay slow_launch",
    ),
    "UP": (
        "run_or_end run_or_end revise run_or_end run_or_end stay run_or_end",
        "odd odd settle clear odd stay stay lose run_or_end run_or_end odd",
    ),
    "UNSEEN": (
        "stay stay revise revise revise stay stay",
        "run_or_end stay settle clear settle stay odd stay stay stay look_in_vain",
    ),
    "STOPPING": (
        "stay stay revise stay stay terminate stay",
        "odd odd settle clear odd stay stay lose stay stay terminate",
    ),
    "TERMINATING": (
        "stay stay revise stay stay kill stay",
        "odd odd settle clear settle stay stay lose stay stay kill",
    ),
    "KILLING": (
        "stay stay revise stay stay stay stay",
        "odd odd settle kill_rest settle stay stay lose stay stay kill_again",
    ),
}
EXPECTED = {
    (State[state], EventKind[column]): move
    for state, (intents, observations) in MOVES.items()
    for column, move in zip(
        (*INTENTS, *OBSERVATIONS), (*intents.split(), *observations.split()), strict=True
    )
}
ALL_CELLS = sorted(itertools.product(State, EventKind))


def outcomes(state, kind):
    """Each life in this cell, what the event makes known of it, and what follows."""
    for life in lives(state):
        for event in events(life, kind):
            after, effects = step(life, event, NOW, 0.5, POLICY)
            known = life_module.apply_event(
                life, life_module.TransitionInput(event, NOW, 0.5, POLICY)
            )
            yield life, known, after, without_words(effects)


def without_words(effects):
    return tuple(e for e in effects if not isinstance(e, ev.OperatorMessage))


def test_the_table_is_total_and_every_cell_is_as_it_was_meant():
    assert set(TABLE) == set(ALL_CELLS)
    assert {cell: move.__name__ for cell, move in TABLE.items()} == EXPECTED


@pytest.mark.parametrize(("state", "kind"), ALL_CELLS)
def test_every_cell_does_what_its_move_promises(state, kind):
    promise = PROMISES[EXPECTED[state, kind]]
    for life, known, after, effects in outcomes(state, kind):
        promise(life, known, after, effects)
        holds_always(after, effects)
        if not wrong_with(life) and ev.Remove() not in effects:
            assert not wrong_with(after), (life, after)


def holds_always(after, effects):
    """What is true after any step."""
    launches = [e for e in effects if isinstance(e, ev.Launch)]
    assert len(launches) <= 1
    for prepare in (e for e in effects if isinstance(e, ev.Prepare)):
        assert prepare.spec == after.spec
        assert after.state is State.UP
        assert after.restart_of
    if launches:
        assert after.state is State.STARTING
        assert launches[0].spec == after.spec
        assert after.spec.obstacle is None
        assert after.target is Target.UP
        assert not after.retiring
        assert not after.is_unobserved
    for look in (e for e in effects if isinstance(e, ev.Observe)):
        assert look.spec == after.spec
        assert after.spec.kind is Kind.DOCKER
        assert after.spec.obstacle is None
        assert after.state is State.UNOBSERVED
    if after.state in NOT_RUNNING_STATES:
        assert after.pid is None
    if after.state in (State.BACKOFF, State.STOPPING, State.TERMINATING, State.KILLING):
        assert after.deadline is not None  # it can be left by time alone
    if ev.Remove() in effects:
        assert after.retiring


@pytest.mark.parametrize("state", State)
def test_there_are_lives_that_can_be_in_every_state(state):
    assert any(not wrong_with(life) for life in lives(state))


# --- what each move promises ---------------------------------------------------------------


def odd(life, known, after, effects):
    assert after is life  # odd changes nothing
    assert len(effects) == 1
    assert isinstance(effects[0], ev.LogUnexpected)


def stay(life, known, after, effects):
    assert after == known
    assert after.state is life.state
    assert effects == ()


def settle(life, known, after, effects):
    due = known.pending or known.spec
    not_before = 0.0 if known.pending else known.not_before
    seen = known.seen and known.pending is None
    if known.retiring:
        expected = (State.DOWN, (ev.Remove(),))
    elif due.obstacle is not None:
        let_go = due.foreign and life.state is not State.INOPERABLE
        expected = (State.INOPERABLE, (ev.Unobserve(),) if let_go else ())
    elif due.kind is Kind.DOCKER and not seen:
        expected = (State.UNOBSERVED, (ev.Observe(due),))
        assert after.deadline == NOW.monotonic + OBSERVE_TIMEOUT
    elif known.target is not Target.UP and not restarted_passive(due, known):
        # A service that failed leaves a dead container, which goes with the wish to have it up.
        dead = life.state is State.BACKOFF and due.kind is Kind.DOCKER
        expected = (State.DOWN, (SIGINT,) if dead else ())
    elif not_before > NOW.monotonic:
        expected = (State.BACKOFF, ())
        assert after.deadline == not_before
    else:
        expected = (State.STARTING, (ev.Launch(due),))
        assert after.running_fingerprint == due.fingerprint
        assert after.launched == NOW
        assert not after.called_off
    assert (after.state, effects) == expected
    if not known.retiring:
        assert (after.spec, after.pending) == (due, None)
        goal = due.passive and after.state in (State.DOWN, State.INOPERABLE)
        again = restarted_passive(due, known) and after.state in (State.BACKOFF, State.STARTING)
        wish = Target.UP if again else known.target
        assert after.target is (Target.PASSIVE if goal else wish)
        under_way = known.restart_of is not None and known.pending is None
        if after.state in (State.BACKOFF, State.STARTING):
            assert after.restart_of == (NO_RUN if under_way else None)
        elif after.state in (State.DOWN, State.INOPERABLE):
            assert after.restart_of is None
    if known.pending and not known.retiring:
        assert (after.streak, after.exits, after.last_exit) == (0, (), None)
    assert not after.stuck
    assert (after.remark, after.outdated) == (None, False)


def restarted_passive(due, known):
    """What nobody manages ran, and was to be restarted: it is launched, and then is passive."""
    return due.passive and known.restart_of is not None and known.pending is None


def sooner(life, known, after, effects):
    soonest = known.launched.mono + POLICY.restart.min_request_interval if known.launched else 0.0
    wait_until = min(known.not_before, max(NOW.monotonic, soonest))
    settle(life, replace(known, next_start_at=wait_until), after, effects)


def pause_over(life, known, after, effects):
    assert after.state is not State.BACKOFF or after.not_before >= known.not_before
    settle(
        life, replace(known, next_start_at=max(known.not_before, after.not_before)), after, effects
    )


def run_or_end(life, known, after, effects):
    if known.spec.foreign or (known.spec.passive and known.pending):
        settle(life, known, after, effects)
    elif not known.must_stop:
        waits = bool(known.restart_of) and known.pending is None
        prepare = (ev.Prepare(known.spec),) if waits else ()
        assert (after.state, after.deadline, effects) == (State.UP, None, prepare)
        assert after.target is (Target.PASSIVE if known.spec.passive else known.target)
    else:
        assert (after.state, effects) == (State.STOPPING, (SIGINT,))
        grace = (life.spec.stop_grace or DEFAULT_STOP_GRACE) + ENGINE_KILL_MARGIN
        patience = grace if life.spec.kind is Kind.DOCKER else POLICY.stop.interrupt
        assert after.deadline == NOW.monotonic + patience


def revise(life, known, after, effects):
    if known.spec.foreign:
        settle(life, known, after, effects)
    else:
        stay(life, known, after, effects)


def call_off(life, known, after, effects):
    if known.must_stop and known.spec.kind is Kind.DOCKER and not life.called_off:
        assert (after.state, effects) == (State.STARTING, (SIGINT,))
        assert after.deadline == NOW.monotonic + LAUNCH_TIMEOUT
        assert after.called_off
        assert not after.stuck  # it will not take long now
    else:
        stay(life, known, after, effects)


def lose(life, known, after, effects):
    assert (after.state, after.deadline, effects) == (State.UNOBSERVED, None, ())
    assert after.stuck  # nobody waits for it
    assert after.trouble == "No answer."
    assert not after.seen


def look_in_vain(life, known, after, effects):
    assert (after.state, after.deadline, effects) == (State.UNOBSERVED, None, ())
    assert after.stuck
    assert after.trouble == life.trouble


def terminate(life, known, after, effects):
    assert (after.state, effects) == (State.TERMINATING, (SIGTERM,))
    assert after.deadline == NOW.monotonic + POLICY.stop.terminate
    docker = life.spec.kind is Kind.DOCKER
    assert ("its container is killed" if docker else "SIGTERM to its process group") in (
        after.trouble
    )


def clear(life, known, after, effects):
    assert (after.state, effects) == (State.TERMINATING, (SIGTERM,))
    assert after.deadline == NOW.monotonic + POLICY.stop.terminate
    assert "left processes behind (pid 78: child)" in after.trouble
    assert not after.stuck


def kill(life, known, after, effects):
    assert (after.state, effects) == (State.KILLING, (SIGKILL,))
    assert after.deadline == NOW.monotonic + POLICY.stop.kill
    assert ("killed again" if life.spec.kind is Kind.DOCKER else "SIGKILL") in after.trouble


def kill_rest(life, known, after, effects):
    assert (after.state, effects) == (State.KILLING, (SIGKILL,))
    assert after.deadline == NOW.monotonic + POLICY.stop.kill
    assert "left processes behind (pid 78: child)" in after.trouble
    assert not after.stuck


def kill_again(life, known, after, effects):
    assert (after.state, effects) == (State.KILLING, (SIGKILL,))
    assert after.deadline == NOW.monotonic + POLICY.stop.kill
    assert after.stuck
    assert "does not end although" in after.trouble


def begin_launch(life, known, after, effects):
    assert (after.state, effects) == (State.STARTING, ())
    if after.deadline != life.deadline:
        assert after.deadline == NOW.monotonic + LAUNCH_TIMEOUT
        assert (after.launch_begun, after.stuck, after.trouble) == (True, False, None)


def slow_launch(life, known, after, effects):
    assert (after.state, after.deadline, effects) == (State.STARTING, None, ())
    assert after.stuck
    if not life.launch_begun:
        assert after.trouble == QUEUED_FOR_LAUNCH
        return
    docker = life.spec.kind is Kind.DOCKER
    assert ("pulling or building" if docker else "is a disk hanging?") in after.trouble


PROMISES = {
    move.__name__: move
    for move in (
        *(odd, stay, settle, sooner, pause_over, run_or_end, revise, call_off, lose, look_in_vain),
        *(terminate, clear, kill, kill_rest, kill_again, begin_launch, slow_launch),
    )
}
