"""Make states.md from the table of transitions, so that the picture cannot be wrong.

Run it with ``python docs/make_states.py``. The arrows are found by trying: every state, every
event and every combination of what else can be known goes through `transitions.table.step`.
"""

import functools
import itertools
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hostmanager.agent.operations.child_state import NEXT_ACTION
from hostmanager.core import events as ev
from hostmanager.core.events import EVENT_TYPES, EventType, ExitStatus, Timestamp
from hostmanager.core.model import InstanceSettings, InstanceSpec, Kind, ServiceRef, Target
from hostmanager.core.policy import Policy
from hostmanager.core.record import (
    NOT_RUNNING_STATES,
    RESTING_STATES,
    ChangeRequest,
    Completion,
    CurrentRun,
    FailureHistory,
    InstanceRecord,
    ObservedStatus,
    State,
)
from hostmanager.core.transitions.stopped import no_change, unexpected
from hostmanager.core.transitions.table import TABLE, step

PAGE = Path(__file__).with_name("states.md")
COMMAND = "python docs/make_states.py"
REMOVED = "removed"

INTRODUCTION = f"""\
# Agent states

*This page is made by `{COMMAND}` from the table in
`src/hostmanager/core/transitions/table.py`; change it there.*

The manager compares what is requested of an instance (its target, its entry in the site
config) with what is known of it, each time that either changes. An instance is always in one of
nine states. Clients show a state by the words of OCS, `next_action` in the session data.

An instance is a process of the manager, or a compose service. The kernel reports the end of a
process, and its descendants are known ([ownership](ownership.md)). In one case a process cannot be
observed: it holds the lock of the instance and cannot be inspected, such as a process of another
user. Then the instance is **unseen**: it is neither launched nor shown as down before the lock is
free.

Others start and stop containers as well, and the Docker Engine, which knows about them, may not
reply. Three things follow:

- Nothing is decided about a service before the engine has reported whether it runs, nor while the
  engine does not reply: then the service is **unseen**. What the engine reports when it replies
  again is taken as it is; a container that kept running is adopted, not recreated.
- A docker entry without a service in any compose file is **blocked**, whatever runs: no container
  can be its own.
- A service without an entry is *passive*: it is shown as it is, and others start and stop it. A
  request of up or down is its target until it is reached; then it is passive again.

What is requested down, or to restart, together ends in reverse order of [`after`](settings.md#after). One
that others come after has its new target at once, and stays **up** until they have ended ("stop
released"), or have had their stop timeout. Clients see `wait_dead`, and for whom it waits. Should it
end by itself meanwhile, it stays down. The end of the manager waits for no order.

## Manual instances and one-shots

Both are [settings](settings.md) of an instance.

A **manual** instance is passive, too, a process as well as a service: others may start and stop it,
and the manager shows it as it is. A request counts once.

| what happens to a manual instance | what the manager does |
| --- | --- |
| the manager starts | a run that is alive is taken over as it is; else nothing |
| it ends, in whatever way | nothing |
| somebody else starts its container | it is shown up |
| up, or a restart of what runs, is requested | it is launched, and again until it is up once |
| down is requested | it is stopped |
| the manager process is stopped | a container is left as it is. A process is stopped: it is the manager's |
| its entry goes | the same |
| it is not manual any more (reload) | it gets the target that `manage` names, at once |

A **one-shot** that ends by itself with exit code 0 is *done*. Its state is down, and so is its target:
nothing more is wanted of it. The field `done` of its child state says since when. Any other end is a
failure like that of each instance, and it is started again after a pause.

| what happens to a one-shot that is done | what the manager does |
| --- | --- |
| up or a restart is requested by its name | it runs again |
| `all` is requested up | nothing: it is as it should be |
| down is requested, and later up, also of `all` | it runs again, as if it had never run |
| the manager ends, in whatever way, and starts again | nothing: the state directory has it |
| the machine is booted | it runs again, as a systemd unit of `Type=oneshot` does |
| its entry changes (reload) | nothing; the field `changed_since` of `done` is true |
| its entry names another class, or goes and comes back | it is another program, which runs |
| somebody else starts its container | it is shown up, and done when it has ended with 0 |

## A restart

A restart is part of the record of the instance (`restart_of`: the run that has to end), not
a sequence of requests. The target stays up all the while. The field `restarting` of a child state
is true until the restart is done.

| the instance | what a requested restart does |
| --- | --- |
| is running | a process is stopped at once. A service keeps running until its image is known to be \
here, or has been pulled (*prepared*); if that fails (*prepare failed*), it keeps running, `message` \
says why, and the restart is given up. Then the run is stopped, and the new one launched |
| is being launched | as above, once it is launched |
| is being stopped | it is launched when that run has ended |
| is waiting, or given up | it is launched at once |
| is unseen | as above, once the engine has reported what runs |
| is a one-shot that is done | it is launched |
| is down, requested down, or blocked | nothing; the answer names it |

A restart is over exactly when a new run exists, however it was started. A request of down, the
removal of its entry, and being blocked cancel it; a request of up and a second restart join it.

A run has an id that no other run ever has: pid and start time, or container and start time. The
id of the run that has to end is written to the state directory before anything is stopped,
and removed from it afterwards. So whenever the manager is killed, the next one finds one of these:

| on disk | alive | what the next manager does |
| --- | --- | --- |
| nothing | the old run, or none | what it always does: the request had not been answered |
| the old run | the old run | restarts it |
| the old run | a new run | adopts it; the restart is done |
| the old run | nothing | launches it, since it should be up |
"""

MEANINGS = {
    State.DOWN: (
        "Nothing of it is alive, as requested; or it is a one-shot, and done.",
        "a request of up",
    ),
    State.INOPERABLE: (
        "Nothing of it is alive, and something prevents operating it; "
        "`message` says what. A docker entry without a service is blocked whatever runs.",
        "another entry in the site config (reload), or a service in a compose file",
    ),
    State.BACKOFF: (
        "It should be up. It failed lately, and is restarted at `next_attempt_at`.",
        "the time, or a request of up",
    ),
    State.GIVEN_UP: (
        "It should be up, and failed as often as its settings allow ([`restart.give-up`]"
        "(settings.md)); it is not restarted by itself. `message` says how it failed.",
        "a request of up or restart, or another entry in the site config (reload)",
    ),
    State.STARTING: (
        "It is being launched. The launch may be queued, which is counted separately; once it "
        "has begun, `message` reports it after 10 s without a result. If the instance is "
        "requested down meanwhile, the launch of a service is cancelled: it may be pulling an image.",
        "the operating system, or `docker compose up`",
    ),
    State.UP: ("It is running.", "its end, or a request of down"),
    State.UNOBSERVED: (
        "A service, and it is not known whether it runs: the engine has not replied yet, or does "
        "not reply any more; `message` says so. A stop of the manager does not wait for it longer "
        "than 5 s. Or a process whose lock is held by a process that cannot be inspected; "
        "`message` names the file, which is checked each second.",
        "the Docker Engine; the end of the process that holds the lock",
    ),
    State.STOPPING: (
        "It got SIGINT, and has `--stop-timeout` seconds (10) to end; or its container was "
        "asked to stop, and has the time that its compose file gives it (10 s), and 5 s more. "
        "Its setting [`stop-timeout`](settings.md) overrides both.",
        "its end, or the time",
    ),
    State.TERMINATING: (
        "It did not end in time, or ended and left other processes behind. Its process "
        "group, and the processes left behind, got SIGTERM, and have 5 s; a container is killed.",
        "the end of the last of them, or the time",
    ),
    State.KILLING: (
        "Its process group, and the processes left behind, got SIGKILL, and get it again every "
        "5 s. A process that does not end hangs in the kernel; `message` says so. A container is "
        "killed again.",
        "the end of the last of them",
    ),
}

NOW = Timestamp(1000.0, 0.0)
AGENT = InstanceSpec("it", "Any")
SERVICE = InstanceSpec("it", "Any", Kind.DOCKER, service=ServiceRef("file", "project", "it"))
PASSIVE = replace(SERVICE, initial_target=Target.PASSIVE)
GIVES_UP = replace(AGENT, settings=InstanceSettings(restart_give_up_failures=2))
ONE_SHOT = replace(AGENT, settings=InstanceSettings(one_shot=True))
EVENTS: dict[EventType, ev.Event] = {
    type(event): event
    for event in (
        *(
            ev.StartRequested(),
            ev.StopRequested(),
            ev.Unconfigured(),
            ev.Escalate(),
            ev.Launched(1),
            ev.RemnantsGone(),
            ev.Absent(),
        ),
        *(ev.LaunchFailed("program", "no such file"), ev.Exited(ExitStatus(code=1))),
        *(ev.ExitedWithRemnants(ExitStatus(code=1)), ev.LastOutput(()), ev.StatusChanged()),
        *(ev.ObservationLost("No answer."), ev.DeadlineReached(), ev.RestartRequested()),
        *(ev.Prepared(), ev.PrepareFailed("no such image"), ev.StopReleased()),
    )
}
MAY_HAVE_A_DELAY = {
    State.BACKOFF,
    State.INOPERABLE,
    State.TERMINATING,
    State.KILLING,
    State.UNOBSERVED,
    State.GIVEN_UP,
}
FACTS = (
    *(
        (AGENT, SERVICE, PASSIVE, ONE_SHOT, GIVES_UP),
        tuple(Target),
        (False, True),
        (False, True),
        (False, True),
    ),
    *((0.0, 2000.0), (0, 3), ((None, False), ("run", False), ("run", True))),
)


@functools.cache
def records(state: State) -> list[InstanceRecord]:
    """Every combination of the facts that decide, in one state."""
    found = []
    for facts in itertools.product(*FACTS):
        entry, target, replaced, removing, inoperable, next_start_at, streak, restart = facts
        is_known = state is not State.UNOBSERVED and not (state is State.INOPERABLE and inoperable)
        record = InstanceRecord(
            replace(entry, inoperable_reason="something" if inoperable else None),
            target,
            state,
            request=ChangeRequest(AGENT if replaced else None, removing, *restart),
            run=CurrentRun(started_at=Timestamp(999.9, 0.0)),
            failures=FailureHistory(
                streak,
                next_start_at=next_start_at,
                counted=(990.0,) * ((2 if state is State.GIVEN_UP else 1) if streak else 0),
            ),
            observation=ObservedStatus(known=is_known),
            completion=Completion(0.0) if is_done(entry, target, state) else None,
        )
        if not is_impossible(record):
            found.append(record)
        held = replace(record, request=replace(record.request, is_held=True))
        if state is State.UP and record.must_stop and not is_impossible(held):
            found.append(held)
    return found


def is_done(entry: InstanceSpec, target: Target, state: State) -> bool:
    """Whether it is a one-shot that has ended."""
    return entry is ONE_SHOT and (target, state) == (Target.DOWN, State.DOWN)


def is_impossible(record: InstanceRecord) -> bool:
    """What cannot be is left out, so that the picture shows what can."""
    state, target, spec, request = record.state, record.target, record.spec, record.request
    at_its_goal = state in {*RESTING_STATES, State.UP}
    return any(
        (
            request.removing and (target is Target.UP or request.replacement is not None),
            state in NOT_RUNNING_STATES and (request.replacement is not None or request.removing),
            state in {State.UP, State.BACKOFF} and record.must_stop,
            state is State.BACKOFF and target is not Target.UP,
            state is State.DOWN and target is Target.UP,
            state is State.GIVEN_UP and target is not Target.UP,
            state is State.GIVEN_UP
            and not (spec.settings == GIVES_UP.settings and record.failures.consecutive),
            state in NOT_RUNNING_STATES - {State.INOPERABLE} and spec.inoperable_reason is not None,
            state is State.INOPERABLE and spec.inoperable_reason is None,
            request.restart_of is not None and (target is Target.DOWN or request.removing),
            request.restart_of is not None
            and (state in NOT_RUNNING_STATES or blocks_restart(record)),
            spec.kind is Kind.HOST and request.restart_of is not None and not request.prepared,
            spec.has_no_service and state is not State.INOPERABLE,
            target is Target.PASSIVE and not spec.is_unmanaged,
            spec.is_unmanaged and at_its_goal and target is not Target.PASSIVE,
            # It was launched since, or requested down, and neither leaves a delay.
            record.failures.next_start_at > NOW.monotonic and state not in MAY_HAVE_A_DELAY,
        )
    )


def blocks_restart(record: InstanceRecord) -> bool:
    """Whether it could not be launched again, so that no restart of it is begun."""
    return record.spec.inoperable_reason is not None and not record.spec.has_no_service


@functools.cache
def outcomes(state: State, kind: EventType) -> list[str]:
    """The states that this event can lead to, in the order of the table."""
    found = set()
    for record in records(state):
        for event in variants(record, kind):
            after, effects = step(record, event, NOW, 0.5, Policy())
            found.add(REMOVED if ev.Remove() in effects else after.state.value)
    return [name for name in (*State, REMOVED) if name in found]


def variants(record: InstanceRecord, kind: EventType) -> list[ev.Event]:
    """The events of a kind that could lead elsewhere, of those that can happen to this record."""
    process = record.spec.kind is Kind.HOST
    request = record.request
    if kind is ev.SpecChanged and request.removing:
        return []  # there is no entry
    if kind is ev.SpecChanged:
        entry = request.replacement or record.spec
        manual = replace(entry.settings, manual=True)
        return [
            *(ev.SpecChanged(replace(entry, inoperable_reason=why)) for why in (None, "something")),
            *([] if entry.is_unmanaged else [ev.SpecChanged(replace(entry, settings=manual))]),
        ]
    if kind is ev.SpecReplaced:
        entries = (
            AGENT,
            SERVICE,
            *(replace(e, inoperable_reason="something") for e in (AGENT, SERVICE)),
        )
        return [ev.SpecReplaced(e, target) for e in entries for target in (Target.UP, Target.DOWN)]
    if kind in {ev.ObservationLost, ev.StatusChanged} and process:
        return []
    if kind is ev.ExitedWithRemnants and not process:
        return []
    may_be_done = kind is ev.Exited and record.spec.settings.one_shot
    return [EVENTS[kind], *([ev.Exited(ExitStatus(code=0))] if may_be_done else [])]


def states() -> Iterator[str]:
    """Write what a person sees in each state, and what it means."""
    yield "| state | `next_action` | what it means | what it waits for |"
    yield "| --- | --- | --- | --- |"
    for state in State:
        meaning, waits_for = MEANINGS[state]
        yield f"| **{state}** | `{NEXT_ACTION[state]}` | {meaning} | {waits_for} |"


def diagram() -> Iterator[str]:
    """Write the picture; arrows between the same two states are one."""
    arrows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for state, kind in itertools.product(State, EVENT_TYPES):
        transition = TABLE[state][kind]
        if transition in (unexpected, no_change) or is_surprise(state, kind):
            continue
        for then in outcomes(state, kind):
            if then != state:
                arrows[state.value, then].append(ev.event_name(kind))
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> down: entry new"
    for (state_name, then), kinds in arrows.items():
        yield f"    {state_name} --> {'[*]' if then == REMOVED else then}: {' / '.join(kinds)}"
    yield "```"


def is_surprise(state: State, kind: EventType) -> bool:
    """Something turns out to be alive where nothing can be expected: handled, not drawn."""
    blocked = state is State.INOPERABLE and kind is ev.Launched
    return blocked or (state in NOT_RUNNING_STATES and kind is ev.ExitedWithRemnants)


def table() -> Iterator[str]:
    """Write the whole table."""
    yield "| | " + " | ".join(ev.event_name(kind) for kind in EVENT_TYPES) + " |"
    yield "| --- |" + " --- |" * len(EVENT_TYPES)
    for state in State:
        yield f"| **{state}** | " + " | ".join(cell(state, kind) for kind in EVENT_TYPES) + " |"


def cell(state: State, kind: EventType) -> str:
    """Write the transition, and where it leads."""
    transition = TABLE[state][kind]
    if transition is unexpected:
        return "·"
    if transition is no_change:
        return "no change"
    return f"`{transition.__name__}` → {', '.join(outcomes(state, kind))}"


def transitions() -> Iterator[str]:
    """Write what each transition does, as the code says."""
    for transition in dict.fromkeys(t for row in TABLE.values() for t in row.values()):
        summary = (transition.__doc__ or "").splitlines()[0]
        yield f"- `{transition.__name__}`: {summary}"


def page() -> str:
    """Write the whole page."""
    parts = [
        INTRODUCTION.splitlines(),
        states(),
        [
            "## The picture",
            "",
            "Read `/` as *or*; where an arrow leads depends on what is requested.",
        ],
        diagram(),
        [
            "## The table",
            "",
            "Rows are states, columns are events. A cell names the transition and the",
            "states that it can lead to; `·` marks a pair that should not happen, which changes",
            "nothing and is logged.",
        ],
        table(),
        ["The transitions:"],
        transitions(),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE} written", file=sys.stderr)
