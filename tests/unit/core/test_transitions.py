"""The whole table: every state, every event, every combination of what else is known.

`MOVES` says which move each cell makes, and `PROMISES` what a move comes to with all that
can be known beside. A changed cell or move shows up here, so that it is changed knowingly.
`combinations.CANNOT_BE` says what no record comes to, whatever happens to one that is as it can be.
"""

import functools
import itertools
from dataclasses import replace

import pytest

from hostmanager.core import events as ev
from hostmanager.core.events import EVENT_TYPES, StopStage, event_name
from hostmanager.core.messages import ENGINE_KILL_MARGIN
from hostmanager.core.model import DEFAULT_STOP_GRACE, Kind, Target
from hostmanager.core.record import NO_RUN, NOT_RUNNING_STATES, RESTING_STATES, State
from hostmanager.core.transitions.record_update import TransitionInput, apply_event
from hostmanager.core.transitions.running import QUEUED_FOR_LAUNCH
from hostmanager.core.transitions.stopped import LAUNCH_TIMEOUT, OBSERVE_TIMEOUT
from hostmanager.core.transitions.table import TABLE, step
from tests.support.seeds import TIMES
from tests.unit.core.combinations import NOW, POLICY, events, records, violations_of

pytestmark = pytest.mark.exhaustive

SIGTERM, SIGKILL = ev.Signal(StopStage.TERMINATE), ev.Signal(StopStage.KILL)
SIGINT = ev.Signal(StopStage.INTERRUPT)
EXPECTED = {
    State.DOWN: {
        "reconcile_stopped": (
            "START_REQUESTED STOP_REQUESTED SPEC_CHANGED SPEC_REPLACED UNCONFIGURED EXITED "
            "RESTART_REQUESTED"
        ),
        "no_change": "ESCALATE STOP_RELEASED LAST_OUTPUT PREPARED PREPARE_FAILED",
        "reconcile_running": "LAUNCHED",
        "unexpected": "LAUNCH_FAILED REMNANTS_GONE ABSENT STATUS_CHANGED DEADLINE_REACHED",
        "terminate_remnants": "EXITED_WITH_REMNANTS",
        "mark_unknown": "OBSERVATION_LOST",
    },
    State.INOPERABLE: {
        "reconcile_stopped": (
            "START_REQUESTED STOP_REQUESTED SPEC_CHANGED SPEC_REPLACED UNCONFIGURED EXITED"
        ),
        "no_change": "ESCALATE RESTART_REQUESTED STOP_RELEASED LAST_OUTPUT PREPARED PREPARE_FAILED",
        "reconcile_running": "LAUNCHED",
        "unexpected": "LAUNCH_FAILED REMNANTS_GONE ABSENT STATUS_CHANGED OBSERVATION_LOST DEADLINE_REACHED",
        "terminate_remnants": "EXITED_WITH_REMNANTS",
    },
    State.BACKOFF: {
        "retry_now": "START_REQUESTED SPEC_CHANGED RESTART_REQUESTED PREPARED",
        "reconcile_stopped": "STOP_REQUESTED SPEC_REPLACED UNCONFIGURED EXITED",
        "no_change": "ESCALATE STOP_RELEASED LAST_OUTPUT PREPARE_FAILED",
        "reconcile_running": "LAUNCHED",
        "unexpected": "LAUNCH_FAILED REMNANTS_GONE ABSENT STATUS_CHANGED",
        "terminate_remnants": "EXITED_WITH_REMNANTS",
        "mark_unknown": "OBSERVATION_LOST",
        "finish_backoff": "DEADLINE_REACHED",
    },
    State.GIVEN_UP: {
        "start_anew": "START_REQUESTED SPEC_CHANGED RESTART_REQUESTED",
        "reconcile_stopped": "STOP_REQUESTED SPEC_REPLACED UNCONFIGURED EXITED",
        "no_change": "ESCALATE STOP_RELEASED LAST_OUTPUT PREPARED PREPARE_FAILED",
        "reconcile_running": "LAUNCHED",
        "unexpected": "LAUNCH_FAILED REMNANTS_GONE ABSENT STATUS_CHANGED DEADLINE_REACHED",
        "terminate_remnants": "EXITED_WITH_REMNANTS",
        "mark_unknown": "OBSERVATION_LOST",
    },
    State.STARTING: {
        "no_change": (
            "START_REQUESTED ESCALATE RESTART_REQUESTED STOP_RELEASED LAST_OUTPUT PREPARED PREPARE_FAILED"
        ),
        "cancel_launch": "STOP_REQUESTED SPEC_REPLACED UNCONFIGURED",
        "update_spec": "SPEC_CHANGED",
        "reconcile_running": "LAUNCHED",
        "reconcile_stopped": "LAUNCH_FAILED EXITED",
        "terminate_remnants": "EXITED_WITH_REMNANTS",
        "unexpected": "REMNANTS_GONE ABSENT",
        "begin_launch": "STATUS_CHANGED",
        "mark_unknown": "OBSERVATION_LOST",
        "launch_timed_out": "DEADLINE_REACHED",
    },
    State.UP: {
        "reconcile_running": (
            "START_REQUESTED STOP_REQUESTED SPEC_REPLACED UNCONFIGURED RESTART_REQUESTED "
            "STOP_RELEASED PREPARED PREPARE_FAILED"
        ),
        "update_spec": "SPEC_CHANGED",
        "no_change": "ESCALATE LAST_OUTPUT STATUS_CHANGED",
        "unexpected": "LAUNCHED LAUNCH_FAILED REMNANTS_GONE ABSENT DEADLINE_REACHED",
        "reconcile_stopped": "EXITED",
        "terminate_remnants": "EXITED_WITH_REMNANTS",
        "mark_unknown": "OBSERVATION_LOST",
    },
    State.UNOBSERVED: {
        "no_change": (
            "START_REQUESTED STOP_REQUESTED ESCALATE RESTART_REQUESTED LAUNCH_FAILED "
            "STOP_RELEASED LAST_OUTPUT OBSERVATION_LOST PREPARED PREPARE_FAILED"
        ),
        "update_spec": "SPEC_CHANGED SPEC_REPLACED UNCONFIGURED",
        "reconcile_running": "LAUNCHED",
        "reconcile_stopped": "EXITED REMNANTS_GONE ABSENT",
        "terminate_remnants": "EXITED_WITH_REMNANTS",
        "unexpected": "STATUS_CHANGED",
        "observe_timed_out": "DEADLINE_REACHED",
    },
    State.STOPPING: {
        "no_change": (
            "START_REQUESTED STOP_REQUESTED SPEC_REPLACED UNCONFIGURED RESTART_REQUESTED "
            "LAST_OUTPUT STOP_RELEASED STATUS_CHANGED PREPARED PREPARE_FAILED"
        ),
        "update_spec": "SPEC_CHANGED",
        "escalate_to_sigterm": "ESCALATE DEADLINE_REACHED",
        "unexpected": "LAUNCHED LAUNCH_FAILED REMNANTS_GONE ABSENT",
        "reconcile_stopped": "EXITED",
        "terminate_remnants": "EXITED_WITH_REMNANTS",
        "mark_unknown": "OBSERVATION_LOST",
    },
    State.TERMINATING: {
        "no_change": (
            "START_REQUESTED STOP_REQUESTED SPEC_REPLACED UNCONFIGURED RESTART_REQUESTED "
            "LAST_OUTPUT STOP_RELEASED STATUS_CHANGED PREPARED PREPARE_FAILED"
        ),
        "update_spec": "SPEC_CHANGED",
        "escalate_to_sigkill": "ESCALATE DEADLINE_REACHED",
        "unexpected": "LAUNCHED LAUNCH_FAILED",
        "reconcile_stopped": "EXITED REMNANTS_GONE ABSENT",
        "terminate_remnants": "EXITED_WITH_REMNANTS",
        "mark_unknown": "OBSERVATION_LOST",
    },
    State.KILLING: {
        "no_change": (
            "START_REQUESTED STOP_REQUESTED SPEC_REPLACED UNCONFIGURED ESCALATE "
            "RESTART_REQUESTED LAST_OUTPUT STOP_RELEASED STATUS_CHANGED PREPARED PREPARE_FAILED"
        ),
        "update_spec": "SPEC_CHANGED",
        "unexpected": "LAUNCHED LAUNCH_FAILED",
        "reconcile_stopped": "EXITED REMNANTS_GONE ABSENT",
        "kill_remnants": "EXITED_WITH_REMNANTS",
        "mark_unknown": "OBSERVATION_LOST",
        "repeat_sigkill": "DEADLINE_REACHED",
    },
}
NAMES = {event_name(each).upper().replace(" ", "_"): each for each in EVENT_TYPES}
EXPECTED_CELLS = {
    (state, NAMES[name]): transition
    for state, row in EXPECTED.items()
    for transition, names in row.items()
    for name in names.split()
}
ALL_CELLS = list(itertools.product(State, EVENT_TYPES))


IMPOSSIBLE_STRIDE = max(1, 140 // TIMES)
"""Of records that cannot be, one of so many is looked at: no event makes one of them (below)."""


@functools.cache
def examined(state):
    """The records of a state that are looked at, and whether each of them can be."""
    all_of = [(record, not violations_of(record)) for record in records(state)]
    impossible = [pair for pair in all_of if not pair[1]]
    return [pair for pair in all_of if pair[1]] + impossible[::IMPOSSIBLE_STRIDE]


def outcomes(state, kind):
    """Each record in this cell and whether it can be, what the event makes known, what follows."""
    for record, can_be in examined(state):
        for event in events(record, kind):
            after, effects = step(record, event, NOW, 0.5, POLICY)
            known = apply_event(record, TransitionInput(event, NOW, 0.5, POLICY))
            yield record, can_be, known, after, without_words(effects)


def without_words(effects):
    return tuple(e for e in effects if not isinstance(e, ev.OperatorMessage))


def test_the_table_is_total_and_every_cell_is_as_it_was_meant():
    cells = {(s, k): transition for s, row in TABLE.items() for k, transition in row.items()}
    assert set(cells) == set(ALL_CELLS)
    assert {cell: transition.__name__ for cell, transition in cells.items()} == EXPECTED_CELLS


@pytest.mark.parametrize(("state", "kind"), ALL_CELLS)
def test_every_cell_does_what_its_move_promises(state, kind):
    promise = PROMISES[EXPECTED_CELLS[state, kind]]
    for record, can_be, known, after, effects in outcomes(state, kind):
        promise(record, known, after, effects)
        holds_always(after, effects)
        if can_be and ev.Remove() not in effects:
            assert not violations_of(after), (record, after)


def holds_always(after, effects):
    """What is true after any step."""
    launches = [e for e in effects if isinstance(e, ev.Launch)]
    assert len(launches) <= 1
    for prepare in (e for e in effects if isinstance(e, ev.Prepare)):
        assert prepare.spec == after.spec
        assert after.state is State.UP
        assert after.request.restart_of
    if launches:
        assert after.state is State.STARTING
        assert launches[0].spec == after.spec
        assert after.spec.inoperable_reason is None
        assert after.target is Target.UP
        assert not after.request.removing
        assert not after.is_unobserved
    for read in (e for e in effects if isinstance(e, ev.Observe)):
        assert read.spec == after.spec
        assert after.spec.kind is Kind.DOCKER
        assert after.spec.inoperable_reason is None
        assert after.state is State.UNOBSERVED
    if after.state in NOT_RUNNING_STATES:
        assert after.run.pid is None
    if after.state in (State.BACKOFF, State.STOPPING, State.TERMINATING, State.KILLING):
        assert after.deadline is not None  # it can be left by time alone
    if ev.Remove() in effects:
        assert after.request.removing


@pytest.mark.parametrize("state", State)
def test_there_are_lives_that_can_be_in_every_state(state):
    assert any(not violations_of(record) for record in records(state))


# --- what each move promises ---------------------------------------------------------------


def unexpected(record, known, after, effects):
    assert after is record  # odd changes nothing
    assert len(effects) == 1
    assert isinstance(effects[0], ev.LogUnexpected)


def no_change(record, known, after, effects):
    assert after == known
    assert after.state is record.state
    assert effects == ()


def reconcile_stopped(record, known, after, effects):
    due = known.request.replacement or known.spec
    not_before = 0.0 if known.request.replacement else known.failures.next_start_at
    seen = known.observation.known and known.request.replacement is None
    if known.request.removing:
        expected = (State.DOWN, (ev.Remove(),))
    elif due.inoperable_reason is not None:
        let_go = due.has_no_service and record.state is not State.INOPERABLE
        expected = (State.INOPERABLE, (ev.Unobserve(),) if let_go else ())
    elif due.kind is Kind.DOCKER and not seen:
        expected = (State.UNOBSERVED, (ev.Observe(due),))
        assert after.deadline == NOW.monotonic + OBSERVE_TIMEOUT
    elif known.target is not Target.UP and not restarted_passive(due, known):
        # A service that failed leaves a dead container, which goes with the wish to have it up.
        dead = record.state in (State.BACKOFF, State.GIVEN_UP) and due.kind is Kind.DOCKER
        expected = (State.DOWN, (SIGINT,) if dead else ())
    elif known.fails_too_often and known.request.replacement is None:
        expected = (State.GIVEN_UP, ())
        assert "`hostmanager up " in after.error
    elif not_before > NOW.monotonic:
        expected = (State.BACKOFF, ())
        assert after.deadline == not_before
    else:
        expected = (State.STARTING, (ev.Launch(due),))
        assert after.run.fingerprint == due.fingerprint
        assert after.run.started_at == NOW
        assert not after.run.launch_cancelled
    assert (after.state, effects) == expected
    if not known.request.removing:
        assert (after.spec, after.request.replacement) == (due, None)
        goal = due.is_passive and after.state in RESTING_STATES
        again = restarted_passive(due, known) and after.state in (State.BACKOFF, State.STARTING)
        requested = Target.UP if again else known.target
        assert after.target is (Target.PASSIVE if goal else requested)
        under_way = known.request.restart_of is not None and known.request.replacement is None
        if after.state in (State.BACKOFF, State.STARTING):
            assert after.request.restart_of == (NO_RUN if under_way else None)
        elif after.state in RESTING_STATES:
            assert after.request.restart_of is None
    if known.request.replacement and not known.request.removing:
        assert (after.failures.consecutive, after.failures.exit_times, after.last_exit) == (
            0,
            (),
            None,
        )
    assert not after.unkillable
    assert (after.observation.notice, after.observation.image_outdated) == (None, False)


def with_next_start(known, next_start_at):
    return replace(known, failures=replace(known.failures, next_start_at=next_start_at))


def restarted_passive(due, known):
    """What is left alone ran, and was to be restarted: it is launched, and then is passive."""
    return (
        due.is_passive
        and known.request.restart_of is not None
        and known.request.replacement is None
    )


def start_anew(record, known, after, effects):
    failures = known.failures.end_streak(NOW.monotonic)
    reconcile_stopped(record, replace(known, failures=failures), after, effects)


def retry_now(record, known, after, effects):
    soonest = (
        known.run.started_at.monotonic + POLICY.restart.min_request_interval
        if known.run.started_at
        else 0.0
    )
    wait_until = min(known.failures.next_start_at, max(NOW.monotonic, soonest))
    reconcile_stopped(record, with_next_start(known, wait_until), after, effects)


def finish_backoff(record, known, after, effects):
    assert (
        after.state is not State.BACKOFF
        or after.failures.next_start_at >= known.failures.next_start_at
    )
    reconcile_stopped(
        record,
        with_next_start(known, max(known.failures.next_start_at, after.failures.next_start_at)),
        after,
        effects,
    )


def reconcile_running(record, known, after, effects):
    if known.spec.has_no_service or (known.spec.is_left_running and known.request.replacement):
        reconcile_stopped(record, known, after, effects)
    elif not known.must_stop:
        waits = bool(known.request.restart_of) and not known.request.prepared
        prepare = (ev.Prepare(known.spec),) if waits else ()
        assert (after.state, after.deadline, effects) == (State.UP, None, prepare)
        reached = known.spec.is_passive and not known.request.is_held
        assert after.target is (Target.PASSIVE if reached else known.target)
    else:
        assert (after.state, effects) == (State.STOPPING, (SIGINT,))
        own, spec = record.spec.settings.stop_timeout, record.spec
        grace = (own or spec.stop_grace or DEFAULT_STOP_GRACE) + ENGINE_KILL_MARGIN
        patience = grace if spec.kind is Kind.DOCKER else own or POLICY.stop.interrupt
        assert after.deadline == NOW.monotonic + patience


def update_spec(record, known, after, effects):
    if known.spec.has_no_service:
        reconcile_stopped(record, known, after, effects)
    elif record.state is State.UP and known.must_stop:
        reconcile_running(record, known, after, effects)
    else:
        no_change(record, known, after, effects)


def cancel_launch(record, known, after, effects):
    if known.must_stop and not record.run.launch_cancelled:
        assert (after.state, effects) == (State.STARTING, (SIGINT,))
        assert after.deadline == NOW.monotonic + LAUNCH_TIMEOUT
        assert after.run.launch_cancelled
        assert not after.unkillable  # it will not take long now
    else:
        no_change(record, known, after, effects)


def mark_unknown(record, known, after, effects):
    assert (after.state, after.deadline, effects) == (State.UNOBSERVED, None, ())
    assert after.unkillable  # nobody waits for it
    assert after.error == "No answer."
    assert not after.observation.known


def observe_timed_out(record, known, after, effects):
    assert (after.state, after.deadline, effects) == (State.UNOBSERVED, None, ())
    assert after.unkillable
    assert after.error == record.error


def escalate_to_sigterm(record, known, after, effects):
    assert (after.state, effects) == (State.TERMINATING, (SIGTERM,))
    assert after.deadline == NOW.monotonic + POLICY.stop.terminate
    docker = record.spec.kind is Kind.DOCKER
    assert ("its container is killed" if docker else "SIGTERM to its process group") in (
        after.error
    )


def terminate_remnants(record, known, after, effects):
    assert (after.state, effects) == (State.TERMINATING, (SIGTERM,))
    assert after.deadline == NOW.monotonic + POLICY.stop.terminate
    assert "left processes behind (pid 78: child)" in after.error
    assert not after.unkillable


def escalate_to_sigkill(record, known, after, effects):
    assert (after.state, effects) == (State.KILLING, (SIGKILL,))
    assert after.deadline == NOW.monotonic + POLICY.stop.kill
    assert ("killed again" if record.spec.kind is Kind.DOCKER else "SIGKILL") in after.error


def kill_remnants(record, known, after, effects):
    assert (after.state, effects) == (State.KILLING, (SIGKILL,))
    assert after.deadline == NOW.monotonic + POLICY.stop.kill
    assert "left processes behind (pid 78: child)" in after.error
    assert not after.unkillable


def repeat_sigkill(record, known, after, effects):
    assert (after.state, effects) == (State.KILLING, (SIGKILL,))
    assert after.deadline == NOW.monotonic + POLICY.stop.kill
    assert after.unkillable
    assert "does not end although" in after.error


def begin_launch(record, known, after, effects):
    assert (after.state, effects) == (State.STARTING, ())
    if after.deadline != record.deadline:
        assert after.deadline == NOW.monotonic + LAUNCH_TIMEOUT
        assert (after.run.launch_begun, after.unkillable, after.error) == (True, False, None)


def launch_timed_out(record, known, after, effects):
    assert (after.state, after.deadline, effects) == (State.STARTING, None, ())
    assert after.unkillable
    if not record.run.launch_begun:
        assert after.error == QUEUED_FOR_LAUNCH
        return
    docker = record.spec.kind is Kind.DOCKER
    assert ("pulling or building" if docker else "is a disk hanging?") in after.error


PROMISES = {
    promise.__name__: promise
    for promise in (
        *(
            unexpected,
            no_change,
            reconcile_stopped,
            retry_now,
            start_anew,
            finish_backoff,
            reconcile_running,
        ),
        *(update_spec, cancel_launch, mark_unknown, observe_timed_out, escalate_to_sigterm),
        *(terminate_remnants, escalate_to_sigkill, kill_remnants, repeat_sigkill, begin_launch),
        launch_timed_out,
    )
}
