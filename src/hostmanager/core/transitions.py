"""The life of one instance: what follows from what, in one table.

The design is level-triggered. An event first changes what is *known* (`life.absorb`: the
target, the spec, how the process ended), and then the table names the *move* to make,
which looks at all that is known. A lost or doubled event can delay, never mislead.

States, and what is true in each:

=============  =========  ====================================================================
state          alive?     meaning
=============  =========  ====================================================================
DOWN           nothing    at rest, as wanted
BLOCKED        nothing    at rest; something stands in the way of operating it
WAITING        nothing    wanted up; failed lately, and is relaunched at the deadline
STARTING       perhaps    the driver was asked to launch it and has not answered yet
UP             yes        runs
UNSEEN         perhaps    its driver cannot see it: a container, with no answer from the engine;
                          or a process, of which only the lock tells that it is alive
STOPPING       yes        was asked to stop (SIGINT)
TERMINATING    yes        did not stop in time, or left others behind (SIGTERM to the group)
KILLING        yes        did not heed that either (SIGKILL to the group, repeated)
=============  =========  ====================================================================

Two moves carry most of the weight. `settle` is made whenever nothing is alive and picks
the state to be in from what is known; `run_or_end` is made when something is alive.
What was replaced or retired, or is wanted down, has to end; `settle` then swaps in the
replacement, forgets the retired, or rests. Nothing is launched by any other move, so a
second copy cannot be.

Containers have a life beyond ours: others start and end them, and the engine that knows of
them may not answer. So of a compose service, nothing is decided before its driver has said
whether it is alive (`Look`), and what its driver loses sight of is UNSEEN until it is told
again. A docker entry without a service is BLOCKED whatever runs: nothing can be its own.
Of a passive service, which has no entry, the target is passive again once it is reached.

`step` is pure: it is told the time and the chance, and returns the next `Life` and the
effects. `TABLE` is total; pairs that should not happen are written down as `odd`, which
changes nothing and is logged. docs/states.md is made from this table.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from hostmanager.core import events as ev
from hostmanager.core.events import EventKind, Moment, StopStep
from hostmanager.core.messages import patience, words
from hostmanager.core.model import Kind, Target
from hostmanager.core.policy import Policy
from hostmanager.core.record import (
    NO_RUN,
    NOTHING_ALIVE,
    Context,
    Life,
    State,
    absorb,
    decide_again,
)

LAUNCH_PATIENCE = 10.0
"""Seconds after which a launch that the driver has not answered is remarked upon."""

WAITS_FOR_ITS_TURN = "It waits for its turn to be launched; others are being launched before it."

LOOK_PATIENCE = 5.0
"""Seconds after which nobody waits any more for what the driver sees."""


NOBODY: Mapping[str, Life] = MappingProxyType({})

Outcome = tuple[Life, tuple[ev.Effect, ...]]
Move = Callable[[Life, Context], Outcome]


def step(
    life: Life,
    event: ev.Event,
    now: Moment,
    chance: float,
    policy: Policy,
    *,
    failing: Mapping[str, Life] = NOBODY,
) -> Outcome:
    """Tell what follows from `event`.

    Args:
        life: What is known so far.
        event: What happened.
        now: The present.
        chance: A random number from 0 to 1; places the jitter of a delay.
        policy: The rules in numbers.
        failing: The failing instances of the host, by instance-id: they share a budget.
    """
    context = Context(event, now, chance, policy, failing)
    move = TABLE[life.state, event.kind]
    if move is odd:
        return odd(life, context)
    return move(absorb(life, context), context)


# --- moves: what to do with all that is known --------------------------------------------


def odd(life: Life, context: Context) -> Outcome:
    """Change nothing: this event has no business in this state."""
    text = f"{life.spec.instance_id}: unexpected event '{context.event.kind}' in '{life.state}'"
    return life, (ev.Oddity(text),)


def stay(life: Life, context: Context) -> Outcome:
    """Take note, no more."""
    return life, ()


def settle(life: Life, context: Context) -> Outcome:
    """Pick the state to be in; nothing is alive. The only move that launches."""
    still_true = life.state is State.WAITING or isinstance(context.event, ev.LaunchFailed)
    trouble = life.trouble if still_true else None
    life = replace(life, pid=None, deadline=None, stuck=False, trouble=trouble)
    life = replace(life, remark=None, outdated=False, restarting=False)
    if life.retiring:
        return replace(life, state=State.DOWN), (ev.Forget(),)
    if life.pending is not None:
        life = _swap(life)
    if life.spec.obstacle is not None:
        return _block(life)
    if life.in_the_dark:
        return _look(life, context)
    life = _only_to_launch(life)
    if life.target is not Target.UP:
        rested, notes = _rest(life, State.DOWN)
        return rested, (*notes, *_clean_up(life))
    if life.not_before > context.now.mono:
        waiting = replace(life, state=State.WAITING, deadline=life.not_before)
        return waiting, _once(life, State.WAITING, context)
    return _launch(life, context)


def _only_to_launch(life: Life) -> Life:
    """Nothing is alive: of a restart that is under way, only the launch is left to be done."""
    if life.restart_of is None:
        return life
    # What nobody manages ran, and was to run again: that is what was asked for.
    target = Target.UP if life.spec.passive else life.target
    return replace(life, restart_of=NO_RUN, prepared=False, target=target)


def _rest(life: Life, state: State) -> Outcome:
    notes: tuple[ev.Effect, ...] = ()
    if life.state is not state:
        if state is State.BLOCKED:
            notes = (ev.Note(f"cannot be operated: {life.spec.obstacle}", warning=True),)
        elif life.state not in NOTHING_ALIVE and life.state is not State.UNSEEN:
            notes = (ev.Note("down"),)
    rested = replace(life, state=state, trouble=None, restart_of=None, prepared=False)
    return _reached(rested), notes


def _clean_up(life: Life) -> tuple[ev.Effect, ...]:
    """A service that failed and is not to be tried again leaves a dead container: it goes."""
    failed = life.state is State.WAITING and life.spec.kind is Kind.DOCKER
    return (ev.Signal(StopStep.INTERRUPT),) if failed else ()


def _block(life: Life) -> Outcome:
    """Something stands in the way. What runs of a service without a file is not its own."""
    blocked, effects = _rest(life, State.BLOCKED)
    if not blocked.spec.foreign:
        return blocked, effects
    if life.state is not State.BLOCKED:
        effects = (*effects, ev.LetGo())
    return replace(blocked, seen=False), effects


def _look(life: Life, context: Context) -> Outcome:
    """Nothing can be decided before its driver has said whether it is alive."""
    deadline = context.now.mono + LOOK_PATIENCE
    return replace(life, state=State.UNSEEN, deadline=deadline), (ev.Look(life.spec),)


def _reached(life: Life) -> Life:
    """What nobody manages was told up or down once; that is done now."""
    return replace(life, target=Target.PASSIVE) if life.spec.passive else life


def _swap(life: Life) -> Life:
    """Put the replacement in place; it starts with a clean record."""
    assert life.pending is not None
    return Life(spec=life.pending, target=life.target, state=life.state)


def _launch(life: Life, context: Context) -> Outcome:
    again = life.streak > 0
    launched = replace(
        life,
        state=State.STARTING,
        launched=context.now,
        launched_as=life.spec.fingerprint,
        restarts=life.restarts + again,
        deadline=context.now.mono + LAUNCH_PATIENCE,
        called_off=False,
        launch_begun=life.spec.kind is Kind.DOCKER,
    )
    return launched, (*_once(life, State.STARTING, context), ev.Launch(life.spec))


def _once(life: Life, then: State, context: Context) -> tuple[ev.Effect, ...]:
    """Remark on a failure, when this very event is one; seldom, if it goes on and on."""
    if context.event.kind not in FAILURES or life.streak == 0:
        return ()
    if not _worth_saying(life.streak) and life.backoff.rounds != 1:
        return ()
    if isinstance(context.event, ev.LaunchFailed):
        what = f"could not be launched: {context.event.step}: {context.event.reason}"
    elif life.last_exit is not None:
        what = f"{life.last_exit.status} after {seconds(life.last_exit.ran_for)}"
    else:
        what = "ended"
    count = f" ({life.streak} failures in a row)" if life.streak > 1 else ""
    wait = max(0.0, life.not_before - context.now.mono)
    follows = "relaunched at once" if then is State.STARTING else f"next attempt in {seconds(wait)}"
    why = f". {life.backoff.reason}" if life.backoff.reason else ""
    return (ev.Note(f"{what}{count}; {follows}{why}", warning=True),)


def _worth_saying(streak: int) -> bool:
    """The first failures in a row are, and then those at each power of two."""
    return streak <= 3 or not streak & (streak - 1)


def seconds(length: float) -> str:
    """Write a length of time for people."""
    return f"{length:.1f} s" if length < 100 else f"{length:.0f} s"


def sooner(life: Life, context: Context) -> Outcome:
    """Somebody wants it up, or what it lacked is here: launch now, unless that was just tried."""
    restart, now = context.policy.restart, context.now.mono
    latest = life.launched.mono if life.launched else 0.0
    soonest = max(now, latest + restart.impatience)
    # The reason for a longer pause is none any more.
    backoff = replace(life.backoff, reason="")
    run = replace(life.failed_run, chance=None) if life.failed_run else None
    life = replace(life, not_before=min(life.not_before, soonest), backoff=backoff, failed_run=run)
    return settle(life, context)


def pause_over(life: Life, context: Context) -> Outcome:
    """Launch it, unless the share of each that fails has become smaller since."""
    return settle(decide_again(life, context), context)


def run_or_end(life: Life, context: Context) -> Outcome:
    """Something is alive and was not being ended: let it run, or begin to end it."""
    if life.spec.foreign or (life.spec.passive and life.pending is not None):
        return settle(life, context)  # what nobody manages goes on, whatever takes its row
    if life.must_end:
        return _begin_stop(life, context)
    prepare = (ev.Prepare(life.spec),) if life.must_be_prepared else ()
    notes: tuple[ev.Effect, ...] = ()
    taken_over = isinstance(context.event, ev.Launched) and context.event.found is not None
    if taken_over and life.spec.kind is Kind.HOST:
        notes = (ev.Note(f"runs already (pid {life.pid}); taken over as it is"),)
    elif life.state in (State.STARTING, State.DOWN) and _worth_saying(life.streak):
        # Of what is over already, there is no pid any more.
        pid = f" (pid {life.pid})" if life.pid else ""
        notes = (ev.Note(f"up{' again' if life.streak else ''}{pid}"),)
    if isinstance(context.event, ev.PrepareFailed) and life.not_restarted:
        notes = (ev.Note(f"not restarted: {life.not_restarted}; it goes on", warning=True),)
    return _reached(replace(life, state=State.UP, deadline=None)), (*notes, *prepare)


def revise(life: Life, context: Context) -> Outcome:
    """Its entry changed while it runs, or may run: it goes on, unless no file has it any more."""
    return settle(life, context) if life.spec.foreign else (life, ())


def call_off(life: Life, context: Context) -> Outcome:
    """Not wanted any more while it is being launched: a pull of an image can take an hour."""
    if not life.must_end or life.called_off or life.spec.kind is Kind.HOST:
        return life, ()
    deadline = context.now.mono + LAUNCH_PATIENCE
    called_off = replace(life, called_off=True, deadline=deadline, stuck=False)
    return called_off, (ev.Signal(StopStep.INTERRUPT),)


def lose(life: Life, context: Context) -> Outcome:
    """Its driver cannot see it: whatever it was, it may be something else by now."""
    return replace(life, state=State.UNSEEN, deadline=None), ()


def look_in_vain(life: Life, context: Context) -> Outcome:
    """Its driver has not said anything for long: nobody has to wait for it."""
    text = "It is not known whether it runs: the Docker Engine has not answered yet."
    return replace(life, deadline=None, stuck=True, trouble=life.trouble or text), ()


def _begin_stop(life: Life, context: Context) -> Outcome:
    deadline = context.now.mono + patience(life.spec, context.policy.stop.interrupt)
    stopping = replace(life, state=State.STOPPING, deadline=deadline)
    return stopping, (ev.Signal(StopStep.INTERRUPT),)


def terminate(life: Life, context: Context) -> Outcome:
    """Asking was not enough: SIGTERM to the whole group."""
    more = context.policy.stop.terminate
    deadline = context.now.mono + more
    text = words(life.spec).not_heeded[StopStep.INTERRUPT].format(patience=more)
    ending = replace(life, state=State.TERMINATING, deadline=deadline, trouble=f"It {text}.")
    return ending, (ev.Note(text, warning=True), ev.Signal(StopStep.TERMINATE))


def clear(life: Life, context: Context) -> Outcome:
    """The agent ended and left others of its process group: end them before anything else."""
    deadline = context.now.mono + context.policy.stop.terminate
    how = life.last_exit.status if life.last_exit else "ended"
    who = context.event.who if isinstance(context.event, ev.LeftBehind) else ()
    text = f"{how}, but left processes behind ({', '.join(who)}); they are being ended"
    ending = replace(life, state=State.TERMINATING, deadline=deadline, stuck=False)
    ending = replace(ending, trouble=f"It {text}.")
    return ending, (ev.Note(text, warning=True), ev.Signal(StopStep.TERMINATE))


def kill(life: Life, context: Context) -> Outcome:
    """Nothing else helped: SIGKILL to the whole group."""
    deadline = context.now.mono + context.policy.stop.kill
    text = words(life.spec).not_heeded[StopStep.TERMINATE]
    ending = replace(life, state=State.KILLING, deadline=deadline, trouble=f"It {text}.")
    return ending, (ev.Note(text, warning=True), ev.Signal(StopStep.KILL))


def kill_rest(life: Life, context: Context) -> Outcome:
    """The agent is gone, others are not: the kill of its group did not reach them all."""
    deadline = context.now.mono + context.policy.stop.kill
    who = ", ".join(context.event.who) if isinstance(context.event, ev.LeftBehind) else ""
    text = f"left processes behind ({who}); they are being killed"
    ending = replace(life, deadline=deadline, stuck=False, trouble=f"It {text}.")
    return ending, (ev.Note(text, warning=True), ev.Signal(StopStep.KILL))


def kill_again(life: Life, context: Context) -> Outcome:
    """SIGKILL cannot be refused, only delayed by the kernel: say so, and repeat."""
    deadline = context.now.mono + context.policy.stop.kill
    text = words(life.spec).unkillable
    notes = () if life.stuck else (ev.Note(text, warning=True),)
    ending = replace(life, deadline=deadline, stuck=True, trouble=f"It {text}.")
    return ending, (*notes, ev.Signal(StopStep.KILL))


def begin_launch(life: Life, context: Context) -> Outcome:
    """Its launch has begun only now: what it takes is counted from here."""
    if not isinstance(context.event, ev.Condition) or not context.event.launching:
        return life, ()
    deadline = context.now.mono + LAUNCH_PATIENCE
    begun = replace(life, launch_begun=True, deadline=deadline, stuck=False, trouble=None)
    return begun, ()


def slow_launch(life: Life, context: Context) -> Outcome:
    """The driver has not answered for long: say so and go on waiting."""
    if not life.launch_begun:  # nothing is wrong with it
        return replace(life, deadline=None, stuck=True, trouble=WAITS_FOR_ITS_TURN), ()
    text = words(life.spec).slow_launch.format(patience=LAUNCH_PATIENCE)
    slow = replace(life, deadline=None, stuck=True, trouble=text)
    return slow, (ev.Note(text, warning=True),)


# --- the table ---------------------------------------------------------------------------

FAILURES = frozenset({EventKind.LAUNCH_FAILED, EventKind.ENDED, EventKind.LEFT_BEHIND})

COLUMNS = tuple(EventKind)

_ROWS: Mapping[State, tuple[Move, ...]] = {
    # in the order of COLUMNS:
    # WANT_UP WANT_DOWN UPDATE REPLACE RETIRE HURRY RESTART_REQUESTED
    # LAUNCHED LAUNCH_FAILED ENDED LEFT_BEHIND GONE OUTPUT CONDITION LOST_SIGHT
    # PREPARED PREPARE_FAILED TIMER
    State.DOWN: (
        *(settle, settle, settle, settle, settle, stay, stay),
        *(run_or_end, odd, settle, clear, odd, stay, odd, lose, stay, stay, odd),
    ),
    State.BLOCKED: (
        *(settle, settle, settle, settle, settle, stay, stay),
        *(run_or_end, odd, settle, clear, odd, stay, odd, odd, stay, stay, odd),
    ),
    State.WAITING: (
        *(sooner, settle, sooner, settle, settle, stay, sooner),
        *(run_or_end, odd, settle, clear, odd, stay, odd, lose, sooner, stay, pause_over),
    ),
    State.STARTING: (
        *(stay, call_off, revise, call_off, call_off, stay, stay),
        *(run_or_end, settle, settle, clear, odd, stay, begin_launch, lose),
        *(stay, stay, slow_launch),
    ),
    State.UP: (
        *(run_or_end, run_or_end, revise, run_or_end, run_or_end, stay, run_or_end),
        *(odd, odd, settle, clear, odd, stay, stay, lose, run_or_end, run_or_end, odd),
    ),
    State.UNSEEN: (
        *(stay, stay, revise, revise, revise, stay, stay),
        *(run_or_end, stay, settle, clear, settle, stay, odd, stay, stay, stay, look_in_vain),
    ),
    State.STOPPING: (
        *(stay, stay, revise, stay, stay, terminate, stay),
        *(odd, odd, settle, clear, odd, stay, stay, lose, stay, stay, terminate),
    ),
    State.TERMINATING: (
        *(stay, stay, revise, stay, stay, kill, stay),
        *(odd, odd, settle, clear, settle, stay, stay, lose, stay, stay, kill),
    ),
    State.KILLING: (
        *(stay, stay, revise, stay, stay, stay, stay),
        *(odd, odd, settle, kill_rest, settle, stay, stay, lose, stay, stay, kill_again),
    ),
}

TABLE: Mapping[tuple[State, EventKind], Move] = {
    (state, kind): move
    for state, moves in _ROWS.items()
    for kind, move in zip(COLUMNS, moves, strict=True)
}
