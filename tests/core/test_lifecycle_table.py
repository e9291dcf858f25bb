"""The whole table: every state, every event, every combination of what else is known.

`MOVES` says which move each cell makes, and `PROMISES` what a move comes to with all that
can be known beside. A changed cell or move shows up here, so that it is changed knowingly.
"""

import itertools
from dataclasses import replace

import pytest

from hostmanager.core import events as ev
from hostmanager.core import life as life_module
from hostmanager.core.events import EventKind, ExitStatus, Moment, StopStep
from hostmanager.core.life import NOTHING_ALIVE, LastExit, Life, State
from hostmanager.core.lifecycle import TABLE, step
from hostmanager.core.model import Target
from hostmanager.core.policy import Policy
from tests.core.fakes import spec

NOW = Moment(1000.0, 1_700_000_000.0)
POLICY = Policy()
SIGTERM, SIGKILL = ev.Signal(StopStep.TERMINATE), ev.Signal(StopStep.KILL)
SIGINT = ev.Signal(StopStep.INTERRUPT)

EVENTS = {
    EventKind.WANT_UP: ev.WantUp(),
    EventKind.WANT_DOWN: ev.WantDown(),
    EventKind.UPDATE: ev.Update(spec(fingerprint="updated")),
    EventKind.REPLACE: ev.Replace(spec(agent_class="Replacement")),
    EventKind.RETIRE: ev.Retire(),
    EventKind.HURRY: ev.Hurry(),
    EventKind.LAUNCHED: ev.Launched(77),
    EventKind.LAUNCH_FAILED: ev.LaunchFailed("program", "no such file"),
    EventKind.ENDED: ev.Ended(ExitStatus(code=1)),
    EventKind.LEFT_BEHIND: ev.LeftBehind(ExitStatus(code=1), ("pid 78: child",)),
    EventKind.GONE: ev.Gone(),
    EventKind.OUTPUT: ev.Output(("a line",)),
    EventKind.TIMER: ev.TimerFired(),
}
COLUMNS = (
    *("WANT_UP", "WANT_DOWN", "UPDATE", "REPLACE", "RETIRE", "HURRY", "LAUNCHED"),
    *("LAUNCH_FAILED", "ENDED", "LEFT_BEHIND", "GONE", "OUTPUT", "TIMER"),
)
MOVES = {
    "DOWN": "settle settle settle settle settle stay run_or_end odd settle clear odd stay odd",
    "BLOCKED": "settle settle settle settle settle stay run_or_end odd settle clear odd stay odd",
    "WAITING": "sooner settle settle settle settle stay run_or_end odd settle clear odd stay settle",  # noqa: E501
    "STARTING": "stay stay stay stay stay stay run_or_end settle settle clear odd stay slow_launch",
    "UP": "stay run_or_end stay run_or_end run_or_end stay odd odd settle clear odd stay odd",
    "STOPPING": "stay stay stay stay stay terminate odd odd settle clear odd stay terminate",
    "TERMINATING": "stay stay stay stay stay kill odd odd settle clear settle stay kill",
    "KILLING": "stay stay stay stay stay stay odd odd settle kill_rest settle stay kill_again",
}
EXPECTED = {
    (State[state], EventKind[column]): move
    for state, moves in MOVES.items()
    for column, move in zip(COLUMNS, moves.split(), strict=True)
}
ALL_CELLS = sorted(itertools.product(State, EventKind))


def lives(state):
    """Every combination of the facts that moves look at, in one state."""
    exited = LastExit(ExitStatus(code=1), NOW, False, 1.0)
    for target, pending, retiring, obstacle, not_before, streak, launched in itertools.product(
        Target,
        (None, spec(agent_class="Pending"), spec(agent_class="Pending", obstacle="no class")),
        (False, True),
        (None, "no such class"),
        (0.0, NOW.mono - 5, NOW.mono + 5),
        (0, 1, 5),
        (None, Moment(NOW.mono - 0.5, 0.0), Moment(NOW.mono - 100, 0.0)),
    ):
        yield Life(
            spec(obstacle=obstacle),
            target,
            state=state,
            pending=pending,
            retiring=retiring,
            pid=None if state in NOTHING_ALIVE or state is State.STARTING else 77,
            launched=launched,
            deadline=None if state in (State.DOWN, State.BLOCKED, State.UP) else NOW.mono,
            not_before=not_before,
            streak=streak,
            exits=(NOW.mono - 200, NOW.mono - 20),
            last_exit=exited if streak else None,
            stuck=state is State.KILLING,
        )


def outcomes(state, kind):
    """Each life in this cell, what the event makes known of it, and what follows."""
    for life in lives(state):
        after, effects = step(life, EVENTS[kind], NOW, 0.5, POLICY)
        context = life_module.Context(EVENTS[kind], NOW, 0.5, POLICY)
        yield life, life_module.absorb(life, context), after, without_words(effects)


def without_words(effects):
    return tuple(e for e in effects if not isinstance(e, ev.Note))


def test_the_table_is_total_and_every_cell_is_as_it_was_meant():
    assert set(TABLE) == set(ALL_CELLS)
    assert {cell: move.__name__ for cell, move in TABLE.items()} == EXPECTED


@pytest.mark.parametrize(("state", "kind"), ALL_CELLS)
def test_every_cell_does_what_its_move_promises(state, kind):
    promise = PROMISES[EXPECTED[state, kind]]
    for life, known, after, effects in outcomes(state, kind):
        promise(life, known, after, effects)
        holds_always(after, effects)


def holds_always(after, effects):
    """What is true after any step."""
    launches = [e for e in effects if isinstance(e, ev.Launch)]
    assert len(launches) <= 1
    if launches:
        assert after.state is State.STARTING
        assert launches[0].spec == after.spec
        assert after.spec.obstacle is None
        assert after.target is Target.UP
        assert not after.retiring
    if after.state in NOTHING_ALIVE:
        assert after.pid is None
    if after.state in (State.WAITING, State.STOPPING, State.TERMINATING, State.KILLING):
        assert after.deadline is not None  # it can be left by time alone
    if ev.Forget() in effects:
        assert after.retiring


# --- what each move promises ---------------------------------------------------------------


def odd(life, known, after, effects):
    assert after is life  # odd changes nothing
    assert len(effects) == 1
    assert isinstance(effects[0], ev.Oddity)


def stay(life, known, after, effects):
    assert after == known
    assert after.state is life.state
    assert effects == ()


def settle(life, known, after, effects):
    due = known.pending or known.spec
    not_before = 0.0 if known.pending else known.not_before
    if known.retiring:
        expected = (State.DOWN, (ev.Forget(),))
    elif due.obstacle is not None:
        expected = (State.BLOCKED, ())
    elif known.target is not Target.UP:
        expected = (State.DOWN, ())
    elif not_before > NOW.mono:
        expected = (State.WAITING, ())
        assert after.deadline == not_before
    else:
        expected = (State.STARTING, (ev.Launch(due),))
        assert after.launched_as == due.fingerprint
        assert after.launched == NOW
    assert (after.state, effects) == expected
    if not known.retiring:
        assert (after.spec, after.pending) == (due, None)
    if known.pending and not known.retiring:
        assert (after.streak, after.exits, after.last_exit) == (0, (), None)
    assert not after.stuck


def sooner(life, known, after, effects):
    soonest = known.launched.mono + POLICY.restart.impatience if known.launched else 0.0
    wait_until = min(known.not_before, max(NOW.mono, soonest))
    settle(life, replace(known, not_before=wait_until), after, effects)


def run_or_end(life, known, after, effects):
    if known.target is Target.UP and known.pending is None and not known.retiring:
        assert (after.state, after.deadline, effects) == (State.UP, None, ())
    else:
        assert (after.state, effects) == (State.STOPPING, (SIGINT,))
        assert after.deadline == NOW.mono + POLICY.stop.interrupt


def terminate(life, known, after, effects):
    assert (after.state, effects) == (State.TERMINATING, (SIGTERM,))
    assert after.deadline == NOW.mono + POLICY.stop.terminate
    assert "SIGTERM to its process group" in after.trouble


def clear(life, known, after, effects):
    assert (after.state, effects) == (State.TERMINATING, (SIGTERM,))
    assert after.deadline == NOW.mono + POLICY.stop.terminate
    assert "left processes behind (pid 78: child)" in after.trouble


def kill(life, known, after, effects):
    assert (after.state, effects) == (State.KILLING, (SIGKILL,))
    assert after.deadline == NOW.mono + POLICY.stop.kill
    assert "SIGKILL" in after.trouble


def kill_rest(life, known, after, effects):
    assert (after.state, effects) == (State.KILLING, (SIGKILL,))
    assert after.deadline == NOW.mono + POLICY.stop.kill
    assert "left processes behind (pid 78: child)" in after.trouble
    assert not after.stuck


def kill_again(life, known, after, effects):
    assert (after.state, effects) == (State.KILLING, (SIGKILL,))
    assert after.deadline == NOW.mono + POLICY.stop.kill
    assert after.stuck
    assert "does not end although it was killed" in after.trouble


def slow_launch(life, known, after, effects):
    assert (after.state, after.deadline, effects) == (State.STARTING, None, ())
    assert after.stuck
    assert "is a disk hanging?" in after.trouble


PROMISES = {
    move.__name__: move
    for move in (
        *(odd, stay, settle, sooner, run_or_end, terminate, clear, kill, kill_rest),
        *(kill_again, slow_launch),
    )
}


# --- what an event makes known -------------------------------------------------------------


def known_after(event, **facts):
    life = Life(spec(), Target.UP, **{"state": State.UP, "launched": Moment(990.0, 0.0), **facts})
    return life_module.absorb(life, life_module.Context(event, NOW, 0.5, POLICY))


def test_an_unexpected_exit_is_counted_and_told():
    known = known_after(ev.Ended(ExitStatus(signal=11)), streak=2, exits=(800.0, 900.0))
    assert (known.streak, known.exits) == (3, (900.0, 1000.0))
    assert known.not_before == 1002.0
    assert known.last_exit == LastExit(ExitStatus(signal=11), NOW, False, 10.0)


@pytest.mark.parametrize(
    "facts",
    [
        {"state": State.STOPPING},
        {"state": State.UP, "target": Target.DOWN},
        {"state": State.UP, "retiring": True},
        {"state": State.UP, "pending": spec()},
    ],
)
def test_an_end_that_was_wanted_is_no_failure(facts):
    life = replace(Life(spec(), Target.UP, launched=Moment(990.0, 0.0)), **facts)
    context = life_module.Context(ev.Ended(ExitStatus(code=0)), NOW, 0.5, POLICY)
    known = life_module.absorb(life, context)
    assert (known.streak, known.exits) == (0, ())
    assert known.last_exit.expected


def test_a_long_run_ends_a_streak():
    known = known_after(ev.Ended(ExitStatus(code=1)), streak=5, launched=Moment(900.0, 0.0))
    assert (known.streak, known.not_before) == (1, 1000.0)


def test_a_deliberate_stop_ends_a_streak():
    known = known_after(ev.WantDown(), streak=5, not_before=1010.0)
    assert (known.streak, known.not_before) == (0, 1000.0)


def test_a_launch_failure_counts_as_an_exit():
    known = known_after(ev.LaunchFailed("program", "no such file"), state=State.STARTING, streak=1)
    assert (known.streak, known.exits) == (2, (1000.0,))
    assert known.trouble == "Launch failed at the program: no such file."


def test_retiring_forgets_a_replacement_and_a_replacement_forgets_retiring():
    assert known_after(ev.Retire(), pending=spec()).pending is None
    assert not known_after(ev.Replace(spec()), retiring=True).retiring
