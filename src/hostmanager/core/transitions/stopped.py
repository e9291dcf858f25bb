"""The transitions of an instance of which nothing is alive, and those that change nothing."""

from collections.abc import Callable
from dataclasses import replace

from hostmanager.core import events as ev
from hostmanager.core.events import StopStage
from hostmanager.core.messages import (
    failure_text,
    given_up_text,
    should_report,
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
    return complete_request(replace(record, state=state, error=None, request=request))


def complete_request(record: InstanceRecord) -> InstanceRecord:
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
