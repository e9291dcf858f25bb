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
from hostmanager.core.events import EVENT_TYPES, EventType, Timestamp
from hostmanager.core.policy import Policy
from hostmanager.core.record import InstanceRecord, State
from hostmanager.core.transitions.record_update import TransitionInput, apply_event
from hostmanager.core.transitions.running import (
    begin_launch,
    cancel_launch,
    launch_timed_out,
    mark_unknown,
    observe_timed_out,
    reconcile_running,
    update_spec,
)
from hostmanager.core.transitions.stopped import (
    Transition,
    TransitionResult,
    finish_backoff,
    no_change,
    reconcile_stopped,
    retry_now,
    start_anew,
    unexpected,
)
from hostmanager.core.transitions.stopping import (
    escalate_to_sigkill,
    escalate_to_sigterm,
    kill_remnants,
    repeat_sigkill,
    terminate_remnants,
)

_DEFAULTS: Mapping[EventType, Transition] = {
    ev.Escalate: no_change,
    ev.RestartRequested: no_change,
    ev.StopReleased: no_change,
    ev.Exited: reconcile_stopped,
    ev.ExitedWithRemnants: terminate_remnants,
    ev.LastOutput: no_change,
    ev.ObservationLost: mark_unknown,
    ev.Prepared: no_change,
    ev.PrepareFailed: no_change,
}
"""Where a state names no transition; all other events are then `unexpected`."""

_RESTING: Mapping[EventType, Transition] = {
    ev.StartRequested: reconcile_stopped,
    ev.StopRequested: reconcile_stopped,
    ev.SpecChanged: reconcile_stopped,
    ev.SpecReplaced: reconcile_stopped,
    ev.Unconfigured: reconcile_stopped,
    ev.Launched: reconcile_running,
}

_BEING_STOPPED: Mapping[EventType, Transition] = {
    ev.StartRequested: no_change,
    ev.StopRequested: no_change,
    ev.SpecChanged: update_spec,
    ev.SpecReplaced: no_change,
    ev.Unconfigured: no_change,
    ev.StatusChanged: no_change,
}

_NOTHING_LEFT: Mapping[EventType, Transition] = {
    ev.RemnantsGone: reconcile_stopped,
    ev.Absent: reconcile_stopped,
}

_ROWS: Mapping[State, Mapping[EventType, Transition]] = {
    State.DOWN: {**_RESTING, ev.RestartRequested: reconcile_stopped},
    State.INOPERABLE: {**_RESTING, ev.ObservationLost: unexpected},
    State.BACKOFF: {
        **_RESTING,
        ev.StartRequested: retry_now,
        ev.SpecChanged: retry_now,
        ev.RestartRequested: retry_now,
        ev.Prepared: retry_now,
        ev.DeadlineReached: finish_backoff,
    },
    State.GIVEN_UP: {
        **_RESTING,
        ev.StartRequested: start_anew,
        ev.SpecChanged: start_anew,
        ev.RestartRequested: start_anew,
    },
    State.STARTING: {
        ev.StartRequested: no_change,
        ev.StopRequested: cancel_launch,
        ev.SpecChanged: update_spec,
        ev.SpecReplaced: cancel_launch,
        ev.Unconfigured: cancel_launch,
        ev.Launched: reconcile_running,
        ev.LaunchFailed: reconcile_stopped,
        ev.StatusChanged: begin_launch,
        ev.DeadlineReached: launch_timed_out,
    },
    State.UP: {
        ev.StartRequested: reconcile_running,
        ev.StopRequested: reconcile_running,
        ev.SpecChanged: update_spec,
        ev.SpecReplaced: reconcile_running,
        ev.Unconfigured: reconcile_running,
        ev.RestartRequested: reconcile_running,
        ev.StopReleased: reconcile_running,
        ev.StatusChanged: no_change,
        ev.Prepared: reconcile_running,
        ev.PrepareFailed: reconcile_running,
    },
    State.UNOBSERVED: {
        ev.StartRequested: no_change,
        ev.StopRequested: no_change,
        ev.SpecChanged: update_spec,
        ev.SpecReplaced: update_spec,
        ev.Unconfigured: update_spec,
        ev.Launched: reconcile_running,
        ev.LaunchFailed: no_change,
        ev.ObservationLost: no_change,
        ev.DeadlineReached: observe_timed_out,
        **_NOTHING_LEFT,
    },
    State.STOPPING: {
        **_BEING_STOPPED,
        ev.Escalate: escalate_to_sigterm,
        ev.DeadlineReached: escalate_to_sigterm,
    },
    State.TERMINATING: {
        **_BEING_STOPPED,
        **_NOTHING_LEFT,
        ev.Escalate: escalate_to_sigkill,
        ev.DeadlineReached: escalate_to_sigkill,
    },
    State.KILLING: {
        **_BEING_STOPPED,
        **_NOTHING_LEFT,
        ev.ExitedWithRemnants: kill_remnants,
        ev.DeadlineReached: repeat_sigkill,
    },
}

TABLE: Mapping[State, Mapping[EventType, Transition]] = {
    state: {each: row.get(each, _DEFAULTS.get(each, unexpected)) for each in EVENT_TYPES}
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
    transition = TABLE[record.state][type(event)]
    if transition is unexpected:
        return unexpected(record, inputs)
    return transition(apply_event(record, inputs), inputs)
