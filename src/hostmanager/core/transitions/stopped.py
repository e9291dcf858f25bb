"""The transitions: what to do in a state, with all that is known of an instance.

Each is a pure function of the record, in which the event is recorded already, and of what else
the step may use; `table` says which event leads to which of them, and why.
"""

from collections.abc import Callable
from dataclasses import replace

from hostmanager.core import events as ev
from hostmanager.core.events import StopStage
from hostmanager.core.messages import (
    failure_text,
    given_up_text,
    messages_for,
    should_report,
    stop_timeout,
)
from hostmanager.core.model import InstanceSpec, Kind, Target
from hostmanager.core.record import (
    NO_RUN,
    NOT_RUNNING_STATES,
    CurrentRun,
    InstanceRecord,
    ObservedStatus,
    State,
)
from hostmanager.core.transitions.record_update import TransitionInput, reconsider_backoff
from hostmanager.util.text import format_duration

LAUNCH_TIMEOUT = 10.0
"""Seconds after which an operator hears of a launch to which the driver has not replied."""

OBSERVE_TIMEOUT = 5.0
"""Seconds after which nobody waits any more for what the driver observes."""

QUEUED_FOR_LAUNCH = "It waits for its launch; others come before it."

NO_ENGINE_REPLY = "It is not known whether it runs: the Docker Engine has not answered yet."

_FAILED_STATES = frozenset({State.BACKOFF, State.GIVEN_UP})

TransitionResult = tuple[InstanceRecord, tuple[ev.Effect, ...]]
Transition = Callable[[InstanceRecord, TransitionInput], TransitionResult]


def unexpected(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """Change nothing: this event should not happen in this state."""
    name = ev.event_name(type(inputs.event))
    text = f"{record.spec.instance_id}: unexpected event '{name}' in '{record.state}'"
    return record, (ev.LogUnexpected(text),)


def no_change(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """Record the event, no more."""
    return record, ()


# --- nothing is alive ----------------------------------------------------------------------


def reconcile_stopped(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """Pick the state to be in; nothing is alive. The only transition that launches."""
    keeps_error = record.state is State.BACKOFF or isinstance(inputs.event, ev.LaunchFailed)
    record = replace(
        record,
        deadline=None,
        unkillable=False,
        error=record.error if keeps_error else None,
        run=replace(record.run, pid=None),
        observation=ObservedStatus(known=record.observation.known),
    )
    if record.request.removing:
        return replace(record, state=State.DOWN), (ev.Remove(),)
    if record.request.replacement is not None:
        record = _install_replacement(record, record.request.replacement)
    if record.spec.inoperable_reason is not None:
        return _enter_inoperable(record)
    if record.is_unobserved:
        return _request_observation(record, inputs)
    record = _finish_stop_of_restart(record)
    if record.target is not Target.UP:
        return _enter_down(record)
    return _launch_when_due(record, inputs)


def _launch_when_due(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    if record.fails_too_often:
        return _give_up(record, inputs)
    if record.failures.next_start_at > inputs.now.monotonic:
        waiting = replace(record, state=State.BACKOFF, deadline=record.failures.next_start_at)
        return waiting, _failure_message(waiting, inputs)
    return _launch(record, inputs)


def _give_up(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """Stop restarting: it has failed as often as its settings allow."""
    cause = record.error or (f"It {record.last_exit.status}." if record.last_exit else "")
    text = given_up_text(record)
    effects: tuple[ev.Effect, ...] = ()
    if record.state not in (State.GIVEN_UP, State.UNOBSERVED):
        effects = (ev.OperatorMessage(f"{text}. {cause}".rstrip(), warning=True),)
    error = f"{cause} It is {text}.".lstrip()
    return replace(_enter_resting(record, State.GIVEN_UP), error=error), effects


def start_anew(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """Forget the failures, and start: somebody asks for the instance, or has changed its entry."""
    failures = record.failures.end_streak(inputs.now.monotonic)
    return reconcile_stopped(replace(record, failures=failures), inputs)


def _install_replacement(record: InstanceRecord, spec: InstanceSpec) -> InstanceRecord:
    """Begin a clean record with the new spec; a one-shot that is done stays done."""
    return InstanceRecord(spec, record.target, record.state, completion=record.completion)


def retry_now(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """Launch now, unless that was just tried: it was requested up, or what it lacked is here."""
    failures, started_at = record.failures, record.run.started_at
    latest = started_at.monotonic if started_at else 0.0
    earliest = max(inputs.now.monotonic, latest + inputs.policy.restart.min_request_interval)
    last_run = failures.last_run
    failures = replace(
        failures,
        next_start_at=min(failures.next_start_at, earliest),
        # There is no reason for a longer delay any more.
        backoff=replace(failures.backoff, reason=""),
        last_run=replace(last_run, jitter_sample=None) if last_run else None,
    )
    return reconcile_stopped(replace(record, failures=failures), inputs)


def finish_backoff(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """Launch it, unless the CPU share of each failing instance has become smaller since."""
    return reconcile_stopped(reconsider_backoff(record, inputs), inputs)


def _finish_stop_of_restart(record: InstanceRecord) -> InstanceRecord:
    """The old run has ended: only the launch of the restart is left."""
    if record.request.restart_of is None:
        return record
    # What is left alone was running, and should run again.
    target = Target.UP if record.spec.is_passive else record.target
    request = replace(record.request.without_restart(), restart_of=NO_RUN)
    return replace(record, request=request, target=target)


def _enter_resting(record: InstanceRecord, state: State) -> InstanceRecord:
    request = record.request.without_restart()
    return _complete_request(replace(record, state=state, error=None, request=request))


def _complete_request(record: InstanceRecord) -> InstanceRecord:
    """End the single request for a passive instance: its target is reached."""
    return replace(record, target=Target.PASSIVE) if record.spec.is_passive else record


def _enter_down(record: InstanceRecord) -> TransitionResult:
    effects: tuple[ev.Effect, ...] = ()
    if record.state not in NOT_RUNNING_STATES and record.state is not State.UNOBSERVED:
        effects = (ev.OperatorMessage(_down_message(record)),)
    elif record.state in _FAILED_STATES and record.spec.kind is Kind.DOCKER:
        # A service that failed and is not tried again leaves a dead container: remove it.
        effects = (ev.Signal(StopStage.INTERRUPT),)
    return _enter_resting(record, State.DOWN), effects


def _down_message(record: InstanceRecord) -> str:
    if record.completion is None or record.last_exit is None:
        return "down"
    return f"done: {record.last_exit.status} after {format_duration(record.last_exit.ran_for)}"


def _enter_inoperable(record: InstanceRecord) -> TransitionResult:
    """Something prevents operating it. Without a service, what runs is not its own."""
    effects: tuple[ev.Effect, ...] = ()
    if record.state is not State.INOPERABLE:
        text = f"cannot be operated: {record.spec.inoperable_reason}"
        effects = (ev.OperatorMessage(text, warning=True),)
    resting = _enter_resting(record, State.INOPERABLE)
    if not record.spec.has_no_service:
        return resting, effects
    if record.state is not State.INOPERABLE:
        effects = (*effects, ev.Unobserve())
    return replace(resting, observation=ObservedStatus()), effects


def _request_observation(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """Nothing can be decided before its driver has reported whether it is alive."""
    deadline = inputs.now.monotonic + OBSERVE_TIMEOUT
    return replace(record, state=State.UNOBSERVED, deadline=deadline), (ev.Observe(record.spec),)


def _launch(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    spec, failures = record.spec, record.failures
    if failures.consecutive and not failures.is_followed:
        failures = replace(failures, restarts=failures.restarts + 1, is_followed=True)
    run = CurrentRun(
        started_at=inputs.now,
        fingerprint=spec.fingerprint,
        settings=spec.settings,
        launch_begun=spec.kind is Kind.DOCKER and not spec.settings.after,
    )
    starting = replace(
        record,
        state=State.STARTING,
        deadline=inputs.now.monotonic + LAUNCH_TIMEOUT,
        run=run,
        failures=failures,
    )
    return starting, (*_failure_message(starting, inputs), ev.Launch(spec))


def _failure_message(record: InstanceRecord, inputs: TransitionInput) -> tuple[ev.Effect, ...]:
    """Report a failure, if this event is one; rarely, if there are many in a row."""
    failures, event = record.failures, inputs.event
    if not isinstance(event, ev.LaunchFailed | ev.Exited) or not failures.consecutive:
        return ()
    if not should_report(failures.consecutive) and failures.backoff.rounds != 1:
        return ()
    text = failure_text(record, event, inputs.now.monotonic)
    return (ev.OperatorMessage(text, warning=True),)


# --- something is alive --------------------------------------------------------------------


def reconcile_running(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """Something is alive and not being stopped: keep it running, or begin to stop it."""
    spec = record.spec
    if spec.has_no_service or (spec.is_left_running and record.request.replacement is not None):
        # What runs goes on, whatever takes its place in the table of instances.
        return reconcile_stopped(record, inputs)
    if record.must_stop:
        deadline = inputs.now.monotonic + stop_timeout(spec, inputs.policy.stop.interrupt)
        stopping = replace(record, state=State.STOPPING, deadline=deadline)
        return stopping, (*_refusal_message(record, inputs.event), ev.Signal(StopStage.INTERRUPT))
    prepare = (ev.Prepare(spec),) if record.needs_preparation else ()
    running = replace(record, state=State.UP, deadline=None)
    running = running if record.request.is_held else _complete_request(running)
    return running, (*_running_message(record, inputs.event), *prepare)


def _refusal_message(record: InstanceRecord, event: ev.Event) -> tuple[ev.Effect, ...]:
    """Say why a run ends that somebody else has started."""
    is_foreign = isinstance(event, ev.Launched) and event.adopted is not None
    if not is_foreign or record.state is not State.DOWN or record.target is not Target.DOWN:
        return ()
    return (ev.OperatorMessage(messages_for(record.spec).started_by_other, warning=True),)


def _running_message(record: InstanceRecord, event: ev.Event) -> tuple[ev.Effect, ...]:
    denied, pid, failed = record.request.restart_denied, record.run.pid, record.failures.consecutive
    if isinstance(event, ev.PrepareFailed) and denied:
        return (ev.OperatorMessage(f"not restarted: {denied}; it keeps running", warning=True),)
    is_adopted = isinstance(event, ev.Launched) and event.adopted is not None
    if is_adopted and record.spec.kind is Kind.HOST:
        return (ev.OperatorMessage(f"already running (pid {pid}); taken over as it is"),)
    if record.state in (State.STARTING, State.DOWN) and should_report(failed):
        # A run that is over already has no pid any more.
        of_process = f" (pid {pid})" if pid else ""
        return (ev.OperatorMessage(f"up{' again' if failed else ''}{of_process}"),)
    return ()


def update_spec(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """Its entry changed while it runs, or may run: it keeps running, if its settings allow that."""
    if record.spec.has_no_service:
        return reconcile_stopped(record, inputs)
    if record.state is State.UP and record.must_stop:
        return reconcile_running(record, inputs)
    return record, ()


def mark_unknown(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """Its driver cannot observe it: whatever it was, it may be something else by now."""
    return replace(record, state=State.UNOBSERVED, deadline=None), ()


def observe_timed_out(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """Its driver has not reported for long: nobody has to wait for it."""
    error = record.error or NO_ENGINE_REPLY
    return replace(record, deadline=None, unkillable=True, error=error), ()


# --- a launch is under way -----------------------------------------------------------------


def begin_launch(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """Its launch has begun only now: its timeout counts from here."""
    if not isinstance(inputs.event, ev.StatusChanged) or not inputs.event.launching:
        return record, ()
    deadline = inputs.now.monotonic + LAUNCH_TIMEOUT
    run = replace(record.run, launch_begun=True, started_at=inputs.now)
    return replace(record, run=run, deadline=deadline, unkillable=False, error=None), ()


def cancel_launch(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """Not needed any more while it is being launched: pulling an image can take an hour."""
    run = record.run
    if not record.must_stop or run.launch_cancelled or record.spec.kind is Kind.HOST:
        return record, ()
    deadline = inputs.now.monotonic + LAUNCH_TIMEOUT
    run = replace(run, launch_cancelled=True)
    cancelled = replace(record, run=run, deadline=deadline, unkillable=False)
    return cancelled, (ev.Signal(StopStage.INTERRUPT),)


def launch_timed_out(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """The driver has not replied for long: report it and go on waiting."""
    slow = replace(record, deadline=None, unkillable=True)
    if not record.run.launch_begun:  # nothing is wrong with it
        return replace(slow, error=QUEUED_FOR_LAUNCH), ()
    text = messages_for(record.spec).slow_launch.format(timeout=LAUNCH_TIMEOUT)
    return replace(slow, error=text), (ev.OperatorMessage(text, warning=True),)


# --- it is being stopped -------------------------------------------------------------------


def escalate_to_sigterm(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """SIGINT was not enough: SIGTERM to the whole group."""
    timeout = inputs.policy.stop.terminate
    text = messages_for(record.spec).stage_timed_out[StopStage.INTERRUPT].format(timeout=timeout)
    return _enter_stage(record, inputs, State.TERMINATING, text)


def terminate_remnants(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """The agent ended and left others of its process group behind: end them first."""
    status = record.last_exit.status if record.last_exit else "ended"
    text = f"{status}, but left processes behind ({_remnants(inputs.event)}); stopping them"
    record = replace(record, unkillable=False)
    return _enter_stage(record, inputs, State.TERMINATING, text)


def escalate_to_sigkill(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """SIGTERM was not enough: SIGKILL to the whole group."""
    text = messages_for(record.spec).stage_timed_out[StopStage.TERMINATE]
    return _enter_stage(record, inputs, State.KILLING, text)


def kill_remnants(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """The agent is gone, others are not: the kill of its group did not reach them all."""
    text = f"left processes behind ({_remnants(inputs.event)}); killing them"
    return _enter_stage(replace(record, unkillable=False), inputs, State.KILLING, text)


def repeat_sigkill(record: InstanceRecord, inputs: TransitionInput) -> TransitionResult:
    """SIGKILL cannot be refused, only delayed by the kernel: report that, and repeat."""
    text = messages_for(record.spec).unkillable
    killed, (message, kill) = _enter_stage(record, inputs, State.KILLING, text)
    effects = (kill,) if record.unkillable else (message, kill)
    return replace(killed, unkillable=True), effects


def _enter_stage(
    record: InstanceRecord, inputs: TransitionInput, state: State, text: str
) -> TransitionResult:
    """Use the means of a state until its deadline, and say why."""
    policy, is_kill = inputs.policy.stop, state is State.KILLING
    deadline = inputs.now.monotonic + (policy.kill if is_kill else policy.terminate)
    stage = StopStage.KILL if is_kill else StopStage.TERMINATE
    stopping = replace(record, state=state, deadline=deadline, error=f"It {text}.")
    return stopping, (ev.OperatorMessage(text, warning=True), ev.Signal(stage))


def _remnants(event: ev.Event) -> str:
    return ", ".join(event.remnants) if isinstance(event, ev.ExitedWithRemnants) else ""
