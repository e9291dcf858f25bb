"""What follows from an event in a state, as one total table.

The design is level-triggered. An event first changes what is *known* (`record_update`: the
target, the spec, how the process ended). Then the table names the *transition*, a function that
uses all that is known. A lost or repeated event can delay, never mislead.

=============  ==========  ===================================================================
state          alive?      meaning
=============  ==========  ===================================================================
DOWN           no          not running, as requested
INOPERABLE     no          not running; something prevents operating it
BACKOFF        no          should be up; failed lately, is started again at the deadline
GIVEN_UP       no          should be up; failed as often as its settings allow, and is left so
STARTING       possibly    the driver was asked to launch it and has not replied yet
UP             yes         running
UNOBSERVED     possibly    its driver cannot observe it: a container, with no reply from the
                           engine; or a process, of which only the lock shows that it is alive
STOPPING       yes         was asked to stop (SIGINT)
TERMINATING    yes         did not stop in time, or left processes behind (SIGTERM to the group)
KILLING        yes         ignored that as well (SIGKILL to the group, repeated)
=============  ==========  ===================================================================

Two transitions do most of the work. `reconcile_stopped` is made whenever nothing is alive and
picks the state from what is known; `reconcile_running` is made when something is alive. An
instance that was replaced, removed or requested down has to end; `reconcile_stopped` then
installs the replacement, removes the instance, or rests. No other transition launches anything,
so there is never a second copy.

Others start and stop containers as well, and the engine may not reply. So nothing is decided
about a compose service before its driver has reported whether it is alive (`Observe`), and a
service that the driver cannot observe any more is UNOBSERVED until the next report. A docker
entry without a service is INOPERABLE whatever runs: no container can be its own. The target of
what is passive (a service without an entry, a manual instance) is passive again once it is reached.
A one-shot that ended with exit code 0 is done: its target is down from then on, and only a request
for it alone, or whoever else starts it, makes it up again.

`step` is pure: time and random numbers are arguments. Pairs that should not happen are
`unexpected`: that changes nothing and is logged. docs/states.md is made from this table.
"""

from collections.abc import Mapping
from types import MappingProxyType

from hostmanager.core import events as ev
from hostmanager.core.events import EventKind, Timestamp
from hostmanager.core.policy import Policy
from hostmanager.core.record import InstanceRecord, State
from hostmanager.core.record_update import TransitionInput, apply_event
from hostmanager.core.transitions import (
    Transition,
    TransitionResult,
    begin_launch,
    cancel_launch,
    escalate_to_sigkill,
    escalate_to_sigterm,
    finish_backoff,
    kill_remnants,
    launch_timed_out,
    mark_unknown,
    no_change,
    observe_timed_out,
    reconcile_running,
    reconcile_stopped,
    repeat_sigkill,
    retry_now,
    start_anew,
    terminate_remnants,
    unexpected,
    update_spec,
)

_DEFAULTS: Mapping[EventKind, Transition] = {
    EventKind.ESCALATE: no_change,
    EventKind.RESTART_REQUESTED: no_change,
    EventKind.EXITED: reconcile_stopped,
    EventKind.EXITED_WITH_REMNANTS: terminate_remnants,
    EventKind.LAST_OUTPUT: no_change,
    EventKind.OBSERVATION_LOST: mark_unknown,
    EventKind.PREPARED: no_change,
    EventKind.PREPARE_FAILED: no_change,
}
"""Where a state names no transition; all other events are then `unexpected`."""

_RESTING: Mapping[EventKind, Transition] = {
    EventKind.START_REQUESTED: reconcile_stopped,
    EventKind.STOP_REQUESTED: reconcile_stopped,
    EventKind.SPEC_CHANGED: reconcile_stopped,
    EventKind.SPEC_REPLACED: reconcile_stopped,
    EventKind.UNCONFIGURED: reconcile_stopped,
    EventKind.LAUNCHED: reconcile_running,
}

_BEING_STOPPED: Mapping[EventKind, Transition] = {
    EventKind.START_REQUESTED: no_change,
    EventKind.STOP_REQUESTED: no_change,
    EventKind.SPEC_CHANGED: update_spec,
    EventKind.SPEC_REPLACED: no_change,
    EventKind.UNCONFIGURED: no_change,
    EventKind.STATUS_CHANGED: no_change,
}

_NOTHING_LEFT: Mapping[EventKind, Transition] = {
    EventKind.REMNANTS_GONE: reconcile_stopped,
    EventKind.ABSENT: reconcile_stopped,
}

_ROWS: Mapping[State, Mapping[EventKind, Transition]] = {
    State.DOWN: {**_RESTING, EventKind.RESTART_REQUESTED: reconcile_stopped},
    State.INOPERABLE: {**_RESTING, EventKind.OBSERVATION_LOST: unexpected},
    State.BACKOFF: {
        **_RESTING,
        EventKind.START_REQUESTED: retry_now,
        EventKind.SPEC_CHANGED: retry_now,
        EventKind.RESTART_REQUESTED: retry_now,
        EventKind.PREPARED: retry_now,
        EventKind.DEADLINE: finish_backoff,
    },
    State.GIVEN_UP: {
        **_RESTING,
        EventKind.START_REQUESTED: start_anew,
        EventKind.SPEC_CHANGED: start_anew,
        EventKind.RESTART_REQUESTED: start_anew,
    },
    State.STARTING: {
        EventKind.START_REQUESTED: no_change,
        EventKind.STOP_REQUESTED: cancel_launch,
        EventKind.SPEC_CHANGED: update_spec,
        EventKind.SPEC_REPLACED: cancel_launch,
        EventKind.UNCONFIGURED: cancel_launch,
        EventKind.LAUNCHED: reconcile_running,
        EventKind.LAUNCH_FAILED: reconcile_stopped,
        EventKind.STATUS_CHANGED: begin_launch,
        EventKind.DEADLINE: launch_timed_out,
    },
    State.UP: {
        EventKind.START_REQUESTED: reconcile_running,
        EventKind.STOP_REQUESTED: reconcile_running,
        EventKind.SPEC_CHANGED: update_spec,
        EventKind.SPEC_REPLACED: reconcile_running,
        EventKind.UNCONFIGURED: reconcile_running,
        EventKind.RESTART_REQUESTED: reconcile_running,
        EventKind.STATUS_CHANGED: no_change,
        EventKind.PREPARED: reconcile_running,
        EventKind.PREPARE_FAILED: reconcile_running,
    },
    State.UNOBSERVED: {
        EventKind.START_REQUESTED: no_change,
        EventKind.STOP_REQUESTED: no_change,
        EventKind.SPEC_CHANGED: update_spec,
        EventKind.SPEC_REPLACED: update_spec,
        EventKind.UNCONFIGURED: update_spec,
        EventKind.LAUNCHED: reconcile_running,
        EventKind.LAUNCH_FAILED: no_change,
        EventKind.OBSERVATION_LOST: no_change,
        EventKind.DEADLINE: observe_timed_out,
        **_NOTHING_LEFT,
    },
    State.STOPPING: {
        **_BEING_STOPPED,
        EventKind.ESCALATE: escalate_to_sigterm,
        EventKind.DEADLINE: escalate_to_sigterm,
    },
    State.TERMINATING: {
        **_BEING_STOPPED,
        **_NOTHING_LEFT,
        EventKind.ESCALATE: escalate_to_sigkill,
        EventKind.DEADLINE: escalate_to_sigkill,
    },
    State.KILLING: {
        **_BEING_STOPPED,
        **_NOTHING_LEFT,
        EventKind.EXITED_WITH_REMNANTS: kill_remnants,
        EventKind.DEADLINE: repeat_sigkill,
    },
}

TABLE: Mapping[State, Mapping[EventKind, Transition]] = {
    state: {kind: row.get(kind, _DEFAULTS.get(kind, unexpected)) for kind in EventKind}
    for state, row in _ROWS.items()
}

NO_RECORDS: Mapping[str, InstanceRecord] = MappingProxyType({})


def step(
    record: InstanceRecord,
    event: ev.Event,
    now: Timestamp,
    jitter_sample: float,
    policy: Policy,
    *,
    failing: Mapping[str, InstanceRecord] = NO_RECORDS,
) -> TransitionResult:
    """Return the next record and the effects that follow from `event`; see `TransitionInput`."""
    inputs = TransitionInput(event, now, jitter_sample, policy, failing)
    transition = TABLE[record.state][event.kind]
    if transition is unexpected:
        return unexpected(record, inputs)
    return transition(apply_event(record, inputs), inputs)
