"""How an event changes what is known of an instance.

`apply_event` is the only function that records an event in an `InstanceRecord`. What to *do*
about it is decided by `transitions`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus, Timestamp
from hostmanager.core.model import InstanceSpec, Kind, ObservedRun, Target
from hostmanager.core.policy import Policy, recent_exits
from hostmanager.core.record import (
    ANY_RUN,
    NO_RUN,
    STOPPING_STATES,
    Completion,
    InstanceRecord,
    LastExit,
    ObservedStatus,
    State,
    restart_denial_reason,
)
from hostmanager.core.restart_budget import Backoff, FailedRun, decide_backoff


@dataclass(frozen=True, slots=True)
class TransitionInput:
    """What a transition may use beside the record itself.

    Attributes:
        event: What happened.
        now: The present.
        jitter_sample: A random number from 0 to 1; places the jitter of a delay.
        policy: The rules in numbers.
        failing: The failing instances of the host, by instance-id: they share a CPU budget.
    """

    event: ev.Event
    now: Timestamp
    jitter_sample: float
    policy: Policy
    failing: Mapping[str, InstanceRecord] = field(default_factory=dict)


def apply_event(record: InstanceRecord, inputs: TransitionInput) -> InstanceRecord:  # noqa: PLR0911, PLR0912 - one for each event
    """Record what the event says."""
    request, run, now = record.request, record.run, inputs.now
    match inputs.event:
        case ev.StartRequested():
            held = request.is_held and request.restart_of is not None
            request = replace(request, is_held=held)
            return replace(record, target=Target.UP, completion=None, request=request)
        case ev.StopRequested(in_order):
            return _hold(replace(_request_stop(record, now), completion=None), in_order)
        case ev.StopReleased():
            return replace(record, request=replace(request, is_held=False))
        case ev.SpecChanged(spec):
            return _change_spec(record, spec, now)
        case ev.SpecReplaced(spec, target):
            target = target or spec.default_target
            if target is Target.PASSIVE and not spec.is_passive:
                target = spec.default_target
            # The replacement is a new run, so it completes a restart, too.
            kept = request if target is Target.UP else request.without_restart()
            changed = replace(kept, replacement=spec, removing=False)
            completion = _saved_completion(record, spec, target)
            return replace(record, target=target, request=changed, completion=completion)
        case ev.Unconfigured():
            removal = replace(request.without_restart(), removing=True, replacement=None)
            return replace(record, target=Target.DOWN, request=removal, completion=None)
        case ev.RestartRequested():
            if restart_denial_reason(record):
                return record
            return _hold(_request_restart(record, now), inputs.event.in_order)
        case ev.Launched(pid, adopted, run_id):
            run_id = run_id or (adopted.run_id if adopted else "")
            record = _discard_completion(record)
            record = replace(record, run=replace(run, pid=pid), error=None, unkillable=False)
            record = _record_run(_mark_observed(record), run_id)
            return record if adopted is None else _record_adoption(record, adopted, now)
        case ev.Prepared():
            waits = record.state is State.UP and bool(request.restart_of)
            return replace(record, request=replace(request, prepared=True)) if waits else record
        case ev.PrepareFailed(reason):
            if record.state is not State.UP or not record.needs_preparation:
                return record
            denied = replace(request.without_restart(), restart_denied=reason)
            return replace(record, request=denied)
        case ev.LaunchFailed():
            return _record_launch_failure(record, inputs.event, inputs)
        case ev.Exited(status, cpu) | ev.ExitedWithRemnants(status, cpu=cpu):
            return _record_exit(record, status, cpu, inputs)
        case ev.RemnantsGone() | ev.Absent():
            return _mark_observed(replace(record, run=replace(run, pid=None, run_id="")))
        case ev.LastOutput(lines):
            return replace(record, last_output=lines)
        case ev.StatusChanged(notice, image_outdated, engine_restarting, new_run) as event:
            known, keys = record.observation.known, event.settings_at_restart
            observation = ObservedStatus(known, notice, image_outdated, engine_restarting, keys)
            record = replace(record, observation=observation)
            if new_run is None:
                return record
            changed_run = replace(run, pid=new_run.pid, run_id=new_run.run_id)
            return _record_adoption(replace(record, run=changed_run), new_run, now)
        case ev.ObservationLost(reason):
            record = replace(record, run=replace(run, run_id=""), observation=ObservedStatus())
            return replace(record, error=reason, unkillable=True)
        case ev.Escalate() | ev.DeadlineReached():
            return record


def _mark_observed(record: InstanceRecord) -> InstanceRecord:
    return replace(record, observation=replace(record.observation, known=True))


def _request_stop(record: InstanceRecord, now: Timestamp) -> InstanceRecord:
    failures = record.failures.end_streak(now.monotonic)
    request = record.request.without_restart()
    return replace(record, target=Target.DOWN, failures=failures, request=request)


def _hold(record: InstanceRecord, in_order: bool) -> InstanceRecord:
    """Let it run until it is released, if it is to end in order."""
    held = in_order and record.state is State.UP
    return replace(record, request=replace(record.request, is_held=held))


def _change_spec(record: InstanceRecord, spec: InstanceSpec, now: Timestamp) -> InstanceRecord:
    """Record another spec of the same class and kind; its settings may change what is wanted."""
    before = record.request.replacement or record.spec
    if record.request.replacement is not None:
        record = replace(record, request=replace(record.request, replacement=spec))
    else:
        record = replace(record, spec=spec)
    stays_done = record.completion is not None and spec.settings.one_shot
    is_same_kind = spec.is_passive is before.is_passive and (stays_done or not record.completion)
    if record.request.removing or is_same_kind:
        return record
    target = spec.default_target
    if stays_done:
        target = Target.PASSIVE if spec.is_passive else Target.DOWN
    else:
        record = replace(record, completion=None)
    return _request_stop(record, now) if target is Target.DOWN else replace(record, target=target)


def _saved_completion(
    record: InstanceRecord, spec: InstanceSpec, target: Target
) -> Completion | None:
    """A one-shot that is done is not run again because its container has another name, say."""
    before = record.request.replacement or record.spec
    is_same = (spec.agent_class, spec.kind) == (before.agent_class, before.kind)
    stays_done = is_same and spec.settings.one_shot and target is not Target.UP
    return record.completion if stays_done else None


def _discard_completion(record: InstanceRecord) -> InstanceRecord:
    """A one-shot that was done runs again: whoever started it wants it."""
    if record.completion is None:
        return record
    target = Target.UP if record.target is Target.DOWN else record.target
    return replace(record, completion=None, target=target)


def _request_restart(record: InstanceRecord, now: Timestamp) -> InstanceRecord:
    """Record that the current run is to be replaced by a new one; joins a restart under way."""
    if record.completion is not None:  # there is no run to end
        return replace(record, target=Target.UP, completion=None)
    if record.request.restart_of is not None:
        return record
    request = replace(record.request, restart_denied=None)
    if record.state in (State.BACKOFF, State.GIVEN_UP):
        return replace(record, request=replace(request, restart_of=NO_RUN))
    # A process needs nothing new; an instance that is being stopped ends anyway.
    prepared = record.spec.kind is Kind.HOST or record.state in STOPPING_STATES
    request = replace(request, restart_of=record.run.run_id or ANY_RUN, prepared=prepared)
    return replace(record, request=request, failures=record.failures.end_streak(now.monotonic))


def _record_run(record: InstanceRecord, run_id: str) -> InstanceRecord:
    """Record which run is alive: the one that a restart has to end, or the new one."""
    request = replace(record.request, restart_denied=None)
    record = replace(record, run=replace(record.run, run_id=run_id), request=request)
    if request.restart_of is None:
        return record
    if request.restart_of == NO_RUN or (run_id and request.restart_of not in (run_id, ANY_RUN)):
        return replace(record, request=request.without_restart())
    return replace(record, request=replace(request, restart_of=run_id or ANY_RUN))


def _record_adoption(
    record: InstanceRecord, adopted: ObservedRun, now: Timestamp
) -> InstanceRecord:
    """Record that an earlier manager launched it: at that time, from the entry of that time."""
    age = max(0.0, now.wall - adopted.started_at)
    started_at = Timestamp(now.monotonic - age, adopted.started_at)
    fingerprint = adopted.fingerprint
    run = replace(record.run, started_at=started_at, fingerprint=fingerprint, settings=None)
    return replace(record, run=run)


def _record_launch_failure(
    record: InstanceRecord, event: ev.LaunchFailed, inputs: TransitionInput
) -> InstanceRecord:
    if record.is_unobserved:
        return record  # the engine does not answer; what is alive is reported later
    if record.must_stop or record.run.launch_cancelled:
        return replace(record, run=replace(record.run, pid=None), error=None)  # does not count
    record = _record_failure(record, inputs, 0.0, remote=event.remote)
    error = f"Launch failed at the {event.step}: {event.reason}."
    return replace(record, run=replace(record.run, pid=None), error=error)


def _record_exit(
    record: InstanceRecord, status: ExitStatus, cpu: float | None, inputs: TransitionInput
) -> InstanceRecord:
    now = inputs.now
    started_at = record.run.started_at or now
    stopped = record.must_stop or record.state in STOPPING_STATES
    is_done = not stopped and record.request.restart_of is None and _is_done(record, status)
    expected = stopped or is_done
    last_exit = LastExit(status, now, expected, now.monotonic - started_at.monotonic)
    run = replace(record.run, pid=None, run_id="")
    record = replace(_mark_observed(record), run=run, last_exit=last_exit, last_output=())
    if is_done:
        return _record_completion(record, now)
    # What is left alone may end at any time.
    if expected or record.target is not Target.UP:
        return record
    return _record_failure(record, inputs, cpu)


def _is_done(record: InstanceRecord, status: ExitStatus) -> bool:
    return record.spec.settings.one_shot and status.code == 0 and status.signal is None


def _record_completion(record: InstanceRecord, now: Timestamp) -> InstanceRecord:
    completion = Completion(now.wall, record.run.fingerprint)
    failures = record.failures.end_streak(now.monotonic)
    return replace(record, completion=completion, target=Target.DOWN, failures=failures)


def _record_failure(
    record: InstanceRecord, inputs: TransitionInput, cpu: float | None, *, remote: bool = False
) -> InstanceRecord:
    """Count a failure and set the earliest next launch.

    Args:
        record: Of the instance.
        inputs: When, and which others fail.
        cpu: Seconds of CPU that the run used; None if unknown: as much as the run before.
        remote: Whether what is missing has to be delivered by others.
    """
    max_delay = record.spec.settings.restart_delay_max
    restart = inputs.policy.restart.with_max_delay(max_delay)
    now, failures = inputs.now.monotonic, record.failures
    started_at = record.run.started_at
    duration = now - started_at.monotonic if started_at else 0.0
    streak = restart.count_failure(failures.consecutive, duration)
    if duration >= restart.stable_after:
        cpu = 0.0  # that was regular work, not a failing start
    elif cpu is None:
        cpu = failures.last_run.cpu if failures.last_run else 0.0
    failed_run = FailedRun(cpu, duration, now, inputs.jitter_sample, max_delay)
    backoff = _decide_backoff(record, failed_run, streak, failures.backoff.rounds, inputs)
    remote_delay = restart.delay(streak, inputs.jitter_sample, remote=True) if remote else 0.0
    failures = replace(
        failures,
        consecutive=streak,
        last_run=failed_run,
        backoff=backoff,
        exit_times=(*recent_exits(failures.exit_times, now), now),
        is_followed=False,
        next_start_at=now + max(backoff.delay, remote_delay),
        counted=failures.count(record.spec.settings, now),
    )
    return replace(record, failures=failures)


def reconsider_backoff(record: InstanceRecord, inputs: TransitionInput) -> InstanceRecord:
    """Extend a delay that is over, if more agents fail by now than when it was decided."""
    failures = record.failures
    failed_run = failures.last_run
    if failed_run is None or failed_run.jitter_sample is None:
        return record
    rounds = failures.backoff.rounds - bool(failures.backoff.reason)
    backoff = _decide_backoff(record, failed_run, failures.consecutive, rounds, inputs)
    next_start_at = max(failures.next_start_at, failed_run.ended_at + backoff.delay)
    return replace(record, failures=replace(failures, backoff=backoff, next_start_at=next_start_at))


def _decide_backoff(
    record: InstanceRecord, run: FailedRun, streak: int, rounds: int, inputs: TransitionInput
) -> Backoff:
    restart, budget = inputs.policy.restart, inputs.policy.budget
    others = _other_failed_runs(record, inputs)
    return decide_backoff(restart, budget, run, others, streak=streak, rounds=rounds)


def _other_failed_runs(record: InstanceRecord, inputs: TransitionInput) -> list[FailedRun]:
    """The latest failed runs of the other instances that have not been stable since."""
    stable_since = inputs.now.monotonic - inputs.policy.restart.stable_after

    def is_stable(other: InstanceRecord) -> bool:
        started_at = other.run.started_at
        is_old = started_at is not None and started_at.monotonic <= stable_since
        return other.state is State.UP and is_old

    return [
        other.failures.last_run
        for instance_id, other in inputs.failing.items()
        if instance_id != record.spec.instance_id
        and other.failures.last_run is not None
        and not is_stable(other)
    ]
