"""The transitions of an instance that is being stopped."""

from dataclasses import replace

from hostmanager.core import events as ev
from hostmanager.core.events import StopStage
from hostmanager.core.messages import messages_for
from hostmanager.core.record import InstanceRecord, State
from hostmanager.core.transitions.record_update import TransitionInput
from hostmanager.core.transitions.stopped import TransitionResult


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
