"""The life of one instance: what follows from what, in one table.

The design is level-triggered. An event first changes what is *known* (`life.apply_event`: the
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
from hostmanager.core.events import EventKind, StopStage, Timestamp
from hostmanager.core.messages import messages_for, stop_timeout
from hostmanager.core.model import Kind, Target
from hostmanager.core.policy import Policy
from hostmanager.core.record import (
    NO_RUN,
    NOT_RUNNING_STATES,
    InstanceRecord,
    State,
    TransitionInput,
    apply_event,
    reconsider_backoff,
)

LAUNCH_TIMEOUT = 10.0
"""Seconds after which a launch that the driver has not answered is remarked upon."""

QUEUED_FOR_LAUNCH = "It waits for its turn to be launched; others are being launched before it."

OBSERVE_TIMEOUT = 5.0
"""Seconds after which nobody waits any more for what the driver sees."""


NO_RECORDS: Mapping[str, InstanceRecord] = MappingProxyType({})

TransitionResult = tuple[InstanceRecord, tuple[ev.Effect, ...]]
Transition = Callable[[InstanceRecord, TransitionInput], TransitionResult]


def step(
    life: InstanceRecord,
    event: ev.Event,
    now: Timestamp,
    chance: float,
    policy: Policy,
    *,
    failing: Mapping[str, InstanceRecord] = NO_RECORDS,
) -> TransitionResult:
    """Tell what follows from `event`.

    Args:
        life: What is known so far.
        event: What happened.
        now: The present.
        chance: A random number from 0 to 1; places the jitter of a delay.
        policy: The rules in numbers.
        failing: The failing instances of the host, by instance-id: they share a budget.
    """
    context = TransitionInput(event, now, chance, policy, failing)
    move = TABLE[life.state, event.kind]
    if move is unexpected:
        return unexpected(life, context)
    return move(apply_event(life, context), context)


# --- moves: what to do with all that is known --------------------------------------------


def unexpected(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """Change nothing: this event has no business in this state."""
    text = f"{life.spec.instance_id}: unexpected event '{context.event.kind}' in '{life.state}'"
    return life, (ev.LogUnexpected(text),)


def no_change(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """Take note, no more."""
    return life, ()


def reconcile_stopped(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """Pick the state to be in; nothing is alive. The only move that launches."""
    still_true = life.state is State.BACKOFF or isinstance(context.event, ev.LaunchFailed)
    trouble = life.error if still_true else None
    life = replace(life, pid=None, deadline=None, unkillable=False, error=trouble)
    life = replace(life, notice=None, image_outdated=False, engine_restarting=False)
    if life.removing:
        return replace(life, state=State.DOWN), (ev.Remove(),)
    if life.replacement is not None:
        life = _install_replacement(life)
    if life.spec.inoperable_reason is not None:
        return _enter_inoperable(life)
    if life.is_unobserved:
        return _request_observation(life, context)
    life = _finish_stop_of_restart(life)
    if life.target is not Target.UP:
        rested, notes = _enter_resting(life, State.DOWN)
        return rested, (*notes, *_remove_dead_container(life))
    if life.next_start_at > context.now.monotonic:
        waiting = replace(life, state=State.BACKOFF, deadline=life.next_start_at)
        return waiting, _failure_note(life, State.BACKOFF, context)
    return _launch(life, context)


def _finish_stop_of_restart(life: InstanceRecord) -> InstanceRecord:
    """Nothing is alive: of a restart that is under way, only the launch is left to be done."""
    if life.restart_of is None:
        return life
    # What nobody manages ran, and was to run again: that is what was asked for.
    target = Target.UP if life.spec.is_unmanaged else life.target
    return replace(life, restart_of=NO_RUN, prepared=False, target=target)


def _enter_resting(life: InstanceRecord, state: State) -> TransitionResult:
    notes: tuple[ev.Effect, ...] = ()
    if life.state is not state:
        if state is State.INOPERABLE:
            notes = (
                ev.OperatorMessage(
                    f"cannot be operated: {life.spec.inoperable_reason}", warning=True
                ),
            )
        elif life.state not in NOT_RUNNING_STATES and life.state is not State.UNOBSERVED:
            notes = (ev.OperatorMessage("down"),)
    rested = replace(life, state=state, error=None, restart_of=None, prepared=False)
    return _complete_one_shot(rested), notes


def _remove_dead_container(life: InstanceRecord) -> tuple[ev.Effect, ...]:
    """A service that failed and is not to be tried again leaves a dead container: it goes."""
    failed = life.state is State.BACKOFF and life.spec.kind is Kind.DOCKER
    return (ev.Signal(StopStage.INTERRUPT),) if failed else ()


def _enter_inoperable(life: InstanceRecord) -> TransitionResult:
    """Something stands in the way. What runs of a service without a file is not its own."""
    blocked, effects = _enter_resting(life, State.INOPERABLE)
    if not blocked.spec.has_no_service:
        return blocked, effects
    if life.state is not State.INOPERABLE:
        effects = (*effects, ev.Unobserve())
    return replace(blocked, observed=False), effects


def _request_observation(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """Nothing can be decided before its driver has said whether it is alive."""
    deadline = context.now.monotonic + OBSERVE_TIMEOUT
    return replace(life, state=State.UNOBSERVED, deadline=deadline), (ev.Observe(life.spec),)


def _complete_one_shot(life: InstanceRecord) -> InstanceRecord:
    """What nobody manages was told up or down once; that is done now."""
    return replace(life, target=Target.PASSIVE) if life.spec.is_unmanaged else life


def _install_replacement(life: InstanceRecord) -> InstanceRecord:
    """Put the replacement in place; it starts with a clean record."""
    assert life.replacement is not None
    return InstanceRecord(spec=life.replacement, target=life.target, state=life.state)


def _launch(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    again = life.consecutive_failures > 0
    launched = replace(
        life,
        state=State.STARTING,
        started_at=context.now,
        running_fingerprint=life.spec.fingerprint,
        restarts=life.restarts + again,
        deadline=context.now.monotonic + LAUNCH_TIMEOUT,
        launch_cancelled=False,
        launch_begun=life.spec.kind is Kind.DOCKER,
    )
    return launched, (*_failure_note(life, State.STARTING, context), ev.Launch(life.spec))


def _failure_note(
    life: InstanceRecord, then: State, context: TransitionInput
) -> tuple[ev.Effect, ...]:
    """Remark on a failure, when this very event is one; seldom, if it goes on and on."""
    if context.event.kind not in FAILURES or life.consecutive_failures == 0:
        return ()
    if not _should_report_failure(life.consecutive_failures) and life.backoff.rounds != 1:
        return ()
    if isinstance(context.event, ev.LaunchFailed):
        what = f"could not be launched: {context.event.step}: {context.event.reason}"
    elif life.last_exit is not None:
        what = f"{life.last_exit.status} after {format_seconds(life.last_exit.ran_for)}"
    else:
        what = "ended"
    count = (
        f" ({life.consecutive_failures} failures in a row)" if life.consecutive_failures > 1 else ""
    )
    wait = max(0.0, life.next_start_at - context.now.monotonic)
    follows = (
        "relaunched at once"
        if then is State.STARTING
        else f"next attempt in {format_seconds(wait)}"
    )
    why = f". {life.backoff.reason}" if life.backoff.reason else ""
    return (ev.OperatorMessage(f"{what}{count}; {follows}{why}", warning=True),)


def _should_report_failure(streak: int) -> bool:
    """The first failures in a row are, and then those at each power of two."""
    return streak <= 3 or not streak & (streak - 1)


def format_seconds(length: float) -> str:
    """Write a length of time for people."""
    return f"{length:.1f} s" if length < 100 else f"{length:.0f} s"


def retry_now(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """Somebody wants it up, or what it lacked is here: launch now, unless that was just tried."""
    restart, now = context.policy.restart, context.now.monotonic
    latest = life.started_at.monotonic if life.started_at else 0.0
    soonest = max(now, latest + restart.min_request_interval)
    # The reason for a longer pause is none any more.
    backoff = replace(life.backoff, reason="")
    run = replace(life.failed_run, jitter_sample=None) if life.failed_run else None
    life = replace(
        life, next_start_at=min(life.next_start_at, soonest), backoff=backoff, failed_run=run
    )
    return reconcile_stopped(life, context)


def backoff_over(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """Launch it, unless the share of each that fails has become smaller since."""
    return reconcile_stopped(reconsider_backoff(life, context), context)


def reconcile_running(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """Something is alive and was not being ended: let it run, or begin to end it."""
    if life.spec.has_no_service or (life.spec.is_unmanaged and life.replacement is not None):
        return reconcile_stopped(
            life, context
        )  # what nobody manages goes on, whatever takes its row
    if life.must_stop:
        return _begin_stop(life, context)
    prepare = (ev.Prepare(life.spec),) if life.needs_preparation else ()
    notes: tuple[ev.Effect, ...] = ()
    taken_over = isinstance(context.event, ev.Launched) and context.event.adopted is not None
    if taken_over and life.spec.kind is Kind.HOST:
        notes = (ev.OperatorMessage(f"runs already (pid {life.pid}); taken over as it is"),)
    elif life.state in (State.STARTING, State.DOWN) and _should_report_failure(
        life.consecutive_failures
    ):
        # Of what is over already, there is no pid any more.
        pid = f" (pid {life.pid})" if life.pid else ""
        notes = (ev.OperatorMessage(f"up{' again' if life.consecutive_failures else ''}{pid}"),)
    if isinstance(context.event, ev.PrepareFailed) and life.restart_denied:
        notes = (
            ev.OperatorMessage(f"not restarted: {life.restart_denied}; it goes on", warning=True),
        )
    return _complete_one_shot(replace(life, state=State.UP, deadline=None)), (*notes, *prepare)


def update_spec(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """Its entry changed while it runs, or may run: it goes on, unless no file has it any more."""
    return reconcile_stopped(life, context) if life.spec.has_no_service else (life, ())


def cancel_launch(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """Not wanted any more while it is being launched: a pull of an image can take an hour."""
    if not life.must_stop or life.launch_cancelled or life.spec.kind is Kind.HOST:
        return life, ()
    deadline = context.now.monotonic + LAUNCH_TIMEOUT
    called_off = replace(life, launch_cancelled=True, deadline=deadline, unkillable=False)
    return called_off, (ev.Signal(StopStage.INTERRUPT),)


def mark_unknown(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """Its driver cannot see it: whatever it was, it may be something else by now."""
    return replace(life, state=State.UNOBSERVED, deadline=None), ()


def observe_timed_out(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """Its driver has not said anything for long: nobody has to wait for it."""
    text = "It is not known whether it runs: the Docker Engine has not answered yet."
    return replace(life, deadline=None, unkillable=True, error=life.error or text), ()


def _begin_stop(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    deadline = context.now.monotonic + stop_timeout(life.spec, context.policy.stop.interrupt)
    stopping = replace(life, state=State.STOPPING, deadline=deadline)
    return stopping, (ev.Signal(StopStage.INTERRUPT),)


def escalate_to_sigterm(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """Asking was not enough: SIGTERM to the whole group."""
    more = context.policy.stop.terminate
    deadline = context.now.monotonic + more
    text = messages_for(life.spec).stage_timed_out[StopStage.INTERRUPT].format(patience=more)
    ending = replace(life, state=State.TERMINATING, deadline=deadline, error=f"It {text}.")
    return ending, (ev.OperatorMessage(text, warning=True), ev.Signal(StopStage.TERMINATE))


def terminate_remnants(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """The agent ended and left others of its process group: end them before anything else."""
    deadline = context.now.monotonic + context.policy.stop.terminate
    how = life.last_exit.status if life.last_exit else "ended"
    who = context.event.remnants if isinstance(context.event, ev.ExitedWithRemnants) else ()
    text = f"{how}, but left processes behind ({', '.join(who)}); they are being ended"
    ending = replace(life, state=State.TERMINATING, deadline=deadline, unkillable=False)
    ending = replace(ending, error=f"It {text}.")
    return ending, (ev.OperatorMessage(text, warning=True), ev.Signal(StopStage.TERMINATE))


def escalate_to_sigkill(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """Nothing else helped: SIGKILL to the whole group."""
    deadline = context.now.monotonic + context.policy.stop.kill
    text = messages_for(life.spec).stage_timed_out[StopStage.TERMINATE]
    ending = replace(life, state=State.KILLING, deadline=deadline, error=f"It {text}.")
    return ending, (ev.OperatorMessage(text, warning=True), ev.Signal(StopStage.KILL))


def kill_remnants(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """The agent is gone, others are not: the kill of its group did not reach them all."""
    deadline = context.now.monotonic + context.policy.stop.kill
    who = (
        ", ".join(context.event.remnants)
        if isinstance(context.event, ev.ExitedWithRemnants)
        else ""
    )
    text = f"left processes behind ({who}); they are being killed"
    ending = replace(life, deadline=deadline, unkillable=False, error=f"It {text}.")
    return ending, (ev.OperatorMessage(text, warning=True), ev.Signal(StopStage.KILL))


def repeat_sigkill(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """SIGKILL cannot be refused, only delayed by the kernel: say so, and repeat."""
    deadline = context.now.monotonic + context.policy.stop.kill
    text = messages_for(life.spec).unkillable
    notes = () if life.unkillable else (ev.OperatorMessage(text, warning=True),)
    ending = replace(life, deadline=deadline, unkillable=True, error=f"It {text}.")
    return ending, (*notes, ev.Signal(StopStage.KILL))


def begin_launch(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """Its launch has begun only now: what it takes is counted from here."""
    if not isinstance(context.event, ev.StatusChanged) or not context.event.launching:
        return life, ()
    deadline = context.now.monotonic + LAUNCH_TIMEOUT
    begun = replace(life, launch_begun=True, deadline=deadline, unkillable=False, error=None)
    return begun, ()


def launch_timed_out(life: InstanceRecord, context: TransitionInput) -> TransitionResult:
    """The driver has not answered for long: say so and go on waiting."""
    if not life.launch_begun:  # nothing is wrong with it
        return replace(life, deadline=None, unkillable=True, error=QUEUED_FOR_LAUNCH), ()
    text = messages_for(life.spec).slow_launch.format(patience=LAUNCH_TIMEOUT)
    slow = replace(life, deadline=None, unkillable=True, error=text)
    return slow, (ev.OperatorMessage(text, warning=True),)


# --- the table ---------------------------------------------------------------------------

FAILURES = frozenset({EventKind.LAUNCH_FAILED, EventKind.EXITED, EventKind.EXITED_WITH_REMNANTS})

EVENT_KINDS = tuple(EventKind)

_ROWS: Mapping[State, tuple[Transition, ...]] = {
    # in the order of COLUMNS:
    # WANT_UP WANT_DOWN UPDATE REPLACE RETIRE HURRY RESTART_REQUESTED
    # LAUNCHED LAUNCH_FAILED ENDED LEFT_BEHIND GONE OUTPUT CONDITION LOST_SIGHT
    # PREPARED PREPARE_FAILED TIMER
    State.DOWN: (
        *(
            reconcile_stopped,
            reconcile_stopped,
            reconcile_stopped,
            reconcile_stopped,
            reconcile_stopped,
            no_change,
            no_change,
        ),
        *(
            reconcile_running,
            unexpected,
            reconcile_stopped,
            terminate_remnants,
            unexpected,
            no_change,
            unexpected,
            mark_unknown,
            no_change,
            no_change,
            unexpected,
        ),
    ),
    State.INOPERABLE: (
        *(
            reconcile_stopped,
            reconcile_stopped,
            reconcile_stopped,
            reconcile_stopped,
            reconcile_stopped,
            no_change,
            no_change,
        ),
        *(
            reconcile_running,
            unexpected,
            reconcile_stopped,
            terminate_remnants,
            unexpected,
            no_change,
            unexpected,
            unexpected,
            no_change,
            no_change,
            unexpected,
        ),
    ),
    State.BACKOFF: (
        *(
            retry_now,
            reconcile_stopped,
            retry_now,
            reconcile_stopped,
            reconcile_stopped,
            no_change,
            retry_now,
        ),
        *(
            reconcile_running,
            unexpected,
            reconcile_stopped,
            terminate_remnants,
            unexpected,
            no_change,
            unexpected,
            mark_unknown,
            retry_now,
            no_change,
            backoff_over,
        ),
    ),
    State.STARTING: (
        *(
            no_change,
            cancel_launch,
            update_spec,
            cancel_launch,
            cancel_launch,
            no_change,
            no_change,
        ),
        *(
            reconcile_running,
            reconcile_stopped,
            reconcile_stopped,
            terminate_remnants,
            unexpected,
            no_change,
            begin_launch,
            mark_unknown,
        ),
        *(no_change, no_change, launch_timed_out),
    ),
    State.UP: (
        *(
            reconcile_running,
            reconcile_running,
            update_spec,
            reconcile_running,
            reconcile_running,
            no_change,
            reconcile_running,
        ),
        *(
            unexpected,
            unexpected,
            reconcile_stopped,
            terminate_remnants,
            unexpected,
            no_change,
            no_change,
            mark_unknown,
            reconcile_running,
            reconcile_running,
            unexpected,
        ),
    ),
    State.UNOBSERVED: (
        *(no_change, no_change, update_spec, update_spec, update_spec, no_change, no_change),
        *(
            reconcile_running,
            no_change,
            reconcile_stopped,
            terminate_remnants,
            reconcile_stopped,
            no_change,
            unexpected,
            no_change,
            no_change,
            no_change,
            observe_timed_out,
        ),
    ),
    State.STOPPING: (
        *(no_change, no_change, update_spec, no_change, no_change, escalate_to_sigterm, no_change),
        *(
            unexpected,
            unexpected,
            reconcile_stopped,
            terminate_remnants,
            unexpected,
            no_change,
            no_change,
            mark_unknown,
            no_change,
            no_change,
            escalate_to_sigterm,
        ),
    ),
    State.TERMINATING: (
        *(no_change, no_change, update_spec, no_change, no_change, escalate_to_sigkill, no_change),
        *(
            unexpected,
            unexpected,
            reconcile_stopped,
            terminate_remnants,
            reconcile_stopped,
            no_change,
            no_change,
            mark_unknown,
            no_change,
            no_change,
            escalate_to_sigkill,
        ),
    ),
    State.KILLING: (
        *(no_change, no_change, update_spec, no_change, no_change, no_change, no_change),
        *(
            unexpected,
            unexpected,
            reconcile_stopped,
            kill_remnants,
            reconcile_stopped,
            no_change,
            no_change,
            mark_unknown,
            no_change,
            no_change,
            repeat_sigkill,
        ),
    ),
}

TABLE: Mapping[tuple[State, EventKind], Transition] = {
    (state, kind): move
    for state, moves in _ROWS.items()
    for kind, move in zip(EVENT_KINDS, moves, strict=True)
}
