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
STOPPING       yes        was asked to stop (SIGINT)
TERMINATING    yes        did not stop in time, or left others behind (SIGTERM to the group)
KILLING        yes        did not heed that either (SIGKILL to the group, repeated)
=============  =========  ====================================================================

Two moves carry most of the weight. `settle` is made whenever nothing is alive and picks
the state to be in from what is known; `run_or_end` is made when something is alive.
What was replaced or retired, or is wanted down, has to end; `settle` then swaps in the
replacement, forgets the retired, or rests. Nothing is launched by any other move, so a
second copy cannot be.

`step` is pure: it is told the time and the chance, and returns the next `Life` and the
effects. `TABLE` is total; pairs that should not happen are written down as `odd`, which
changes nothing and is logged. docs/states.md is made from this table.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from hostmanager.core import events as ev
from hostmanager.core.events import EventKind, Moment, StopStep
from hostmanager.core.life import NOTHING_ALIVE, Context, Life, State, absorb
from hostmanager.core.model import Target
from hostmanager.core.policy import Policy

LAUNCH_PATIENCE = 10.0
"""Seconds after which a launch that the driver has not answered is remarked upon."""


Outcome = tuple[Life, tuple[ev.Effect, ...]]
Move = Callable[[Life, Context], Outcome]


def step(life: Life, event: ev.Event, now: Moment, chance: float, policy: Policy) -> Outcome:
    """Tell what follows from `event`.

    Args:
        life: What is known so far.
        event: What happened.
        now: The present.
        chance: A random number from 0 to 1; places the jitter of a delay.
        policy: The rules in numbers.
    """
    context = Context(event, now, chance, policy)
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
    if life.retiring:
        return replace(life, state=State.DOWN), (ev.Forget(),)
    if life.pending is not None:
        life = _swap(life)
    if life.spec.obstacle is not None:
        return _rest(life, State.BLOCKED)
    if life.target is not Target.UP:
        return _rest(life, State.DOWN)
    if life.not_before > context.now.mono:
        waiting = replace(life, state=State.WAITING, deadline=life.not_before)
        return waiting, _once(life, State.WAITING, context)
    return _launch(life, context)


def _rest(life: Life, state: State) -> Outcome:
    notes: tuple[ev.Effect, ...] = ()
    if life.state is not state:
        if state is State.BLOCKED:
            notes = (ev.Note(f"cannot be operated: {life.spec.obstacle}", warning=True),)
        elif life.state not in NOTHING_ALIVE:
            notes = (ev.Note("down"),)
    return replace(life, state=state, trouble=None), notes


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
    )
    return launched, (*_once(life, State.STARTING, context), ev.Launch(life.spec))


def _once(life: Life, then: State, context: Context) -> tuple[ev.Effect, ...]:
    """Remark on a failure, when this very event is one; seldom, if it goes on and on."""
    if context.event.kind not in FAILURES or life.streak == 0:
        return ()
    if not _worth_saying(life.streak):
        return ()
    if isinstance(context.event, ev.LaunchFailed):
        what = f"could not be launched: {context.event.step}: {context.event.reason}"
    elif life.last_exit is not None:
        what = f"{life.last_exit.status} after {seconds(life.last_exit.ran_for)}"
    else:
        what = "ended"
    count = f" ({life.streak} failures in a row)" if life.streak > 1 else ""
    wait = max(0.0, life.not_before - context.now.mono)
    follows = "relaunched at once" if then is State.STARTING else f"next attempt in {wait:.1f} s"
    return (ev.Note(f"{what}{count}; {follows}", warning=True),)


def _worth_saying(streak: int) -> bool:
    """The first failures in a row are, and then those at each power of two."""
    return streak <= 3 or not streak & (streak - 1)


def seconds(length: float) -> str:
    """Write a length of time for people."""
    return f"{length:.1f} s" if length < 100 else f"{length:.0f} s"


def sooner(life: Life, context: Context) -> Outcome:
    """Somebody wants it up that is waiting: launch now, unless that was just tried."""
    restart, now = context.policy.restart, context.now.mono
    latest = life.launched.mono if life.launched else 0.0
    soonest = max(now, latest + restart.impatience)
    return settle(replace(life, not_before=min(life.not_before, soonest)), context)


def run_or_end(life: Life, context: Context) -> Outcome:
    """Something is alive and was not being ended: let it run, or begin to end it."""
    if life.must_end:
        return _begin_stop(life, context)
    notes: tuple[ev.Effect, ...] = ()
    if isinstance(context.event, ev.Launched) and context.event.found is not None:
        notes = (ev.Note(f"runs already (pid {life.pid}); taken over as it is"),)
    elif life.state is State.STARTING and _worth_saying(life.streak):
        notes = (ev.Note(f"up{' again' if life.streak else ''} (pid {life.pid})"),)
    return replace(life, state=State.UP, deadline=None), notes


def _begin_stop(life: Life, context: Context) -> Outcome:
    patience = context.policy.stop.interrupt
    stopping = replace(life, state=State.STOPPING, deadline=context.now.mono + patience)
    return stopping, (ev.Signal(StopStep.INTERRUPT),)


def terminate(life: Life, context: Context) -> Outcome:
    """Asking was not enough: SIGTERM to the whole group."""
    patience = context.policy.stop.terminate
    deadline = context.now.mono + patience
    text = f"did not stop on SIGINT; SIGTERM to its process group, SIGKILL in {patience:g} s"
    ending = replace(life, state=State.TERMINATING, deadline=deadline, trouble=f"It {text}.")
    return ending, (ev.Note(text, warning=True), ev.Signal(StopStep.TERMINATE))


def clear(life: Life, context: Context) -> Outcome:
    """The agent ended and left others of its process group: end them before anything else."""
    deadline = context.now.mono + context.policy.stop.terminate
    how = life.last_exit.status if life.last_exit else "ended"
    who = context.event.who if isinstance(context.event, ev.LeftBehind) else ()
    text = f"{how}, but left processes behind ({', '.join(who)}); they are being ended"
    ending = replace(life, state=State.TERMINATING, deadline=deadline, trouble=f"It {text}.")
    return ending, (ev.Note(text, warning=True), ev.Signal(StopStep.TERMINATE))


def kill(life: Life, context: Context) -> Outcome:
    """Nothing else helped: SIGKILL to the whole group."""
    deadline = context.now.mono + context.policy.stop.kill
    text = "did not end on SIGTERM; SIGKILL to its process group"
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
    text = (
        "does not end although it was killed; it probably sits in an uninterruptible wait in "
        "the kernel (a dead disk, network file system or driver): see `ps -o pid,stat,wchan`"
    )
    notes = () if life.stuck else (ev.Note(text, warning=True),)
    ending = replace(life, deadline=deadline, stuck=True, trouble=f"It {text}.")
    return ending, (*notes, ev.Signal(StopStep.KILL))


def slow_launch(life: Life, context: Context) -> Outcome:
    """The driver has not answered for long: say so and go on waiting."""
    text = f"its launch has not been completed for {LAUNCH_PATIENCE:g} s; is a disk hanging?"
    slow = replace(life, deadline=None, stuck=True, trouble=text)
    return slow, (ev.Note(text, warning=True),)


# --- the table ---------------------------------------------------------------------------

FAILURES = frozenset({EventKind.LAUNCH_FAILED, EventKind.ENDED, EventKind.LEFT_BEHIND})

COLUMNS = tuple(EventKind)

_ROWS: Mapping[State, tuple[Move, ...]] = {
    # in the order of COLUMNS:
    # WANT_UP WANT_DOWN UPDATE REPLACE RETIRE HURRY
    # LAUNCHED LAUNCH_FAILED ENDED LEFT_BEHIND GONE OUTPUT TIMER
    State.DOWN: (
        *(settle, settle, settle, settle, settle, stay),
        *(run_or_end, odd, settle, clear, odd, stay, odd),
    ),
    State.BLOCKED: (
        *(settle, settle, settle, settle, settle, stay),
        *(run_or_end, odd, settle, clear, odd, stay, odd),
    ),
    State.WAITING: (
        *(sooner, settle, settle, settle, settle, stay),
        *(run_or_end, odd, settle, clear, odd, stay, settle),
    ),
    State.STARTING: (
        *(stay, stay, stay, stay, stay, stay),
        *(run_or_end, settle, settle, clear, odd, stay, slow_launch),
    ),
    State.UP: (
        *(stay, run_or_end, stay, run_or_end, run_or_end, stay),
        *(odd, odd, settle, clear, odd, stay, odd),
    ),
    State.STOPPING: (
        *(stay, stay, stay, stay, stay, terminate),
        *(odd, odd, settle, clear, odd, stay, terminate),
    ),
    State.TERMINATING: (
        *(stay, stay, stay, stay, stay, kill),
        *(odd, odd, settle, clear, settle, stay, kill),
    ),
    State.KILLING: (
        *(stay, stay, stay, stay, stay, stay),
        *(odd, odd, settle, kill_rest, settle, stay, kill_again),
    ),
}

TABLE: Mapping[tuple[State, EventKind], Move] = {
    (state, kind): move
    for state, moves in _ROWS.items()
    for kind, move in zip(COLUMNS, moves, strict=True)
}
