"""The transitions of an instance that runs, may run, or is being launched."""

from dataclasses import replace

from hostmanager.core import events as ev
from hostmanager.core.events import StopStage
from hostmanager.core.messages import messages_for, should_report, stop_timeout
from hostmanager.core.model import Kind, Target
from hostmanager.core.record import InstanceRecord, State
from hostmanager.core.transitions.record_update import TransitionInput
from hostmanager.core.transitions.stopped import (
    LAUNCH_TIMEOUT,
    TransitionResult,
    complete_request,
    reconcile_stopped,
)

QUEUED_FOR_LAUNCH = "It waits for its launch; others come before it."

NO_ENGINE_REPLY = "It is not known whether it runs: the Docker Engine has not answered yet."


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
    running = running if record.request.is_held else complete_request(running)
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
    """Not needed any more while it is being launched: that may wait, and pull an image for an hour."""
    run = record.run
    if not record.must_stop or run.launch_cancelled:
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
