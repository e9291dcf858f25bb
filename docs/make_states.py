"""Make states.md from the table of the lifecycle, so that the picture cannot be wrong.

Run it with ``python docs/make_states.py``. The arrows are found by trying: every state,
every event and every combination of what else can be known goes through `lifecycle.step`.
"""

import itertools
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hostmanager.agent.operations.session_data import NEXT_ACTION
from hostmanager.core import events as ev
from hostmanager.core.events import EventKind, ExitStatus, Timestamp
from hostmanager.core.model import InstanceSpec, Kind, ServiceRef, Target
from hostmanager.core.policy import Policy
from hostmanager.core.record import NOT_RUNNING_STATES, InstanceRecord, State
from hostmanager.core.transitions import TABLE, no_change, step, unexpected

PAGE = Path(__file__).with_name("states.md")
COMMAND = "python docs/make_states.py"
FORGOTTEN = "forgotten"

INTRODUCTION = f"""\
# The life of an instance

*This page is made by `{COMMAND}` from the table in
`src/hostmanager/core/lifecycle.py`; change it there.*

The manager compares what is wanted of an instance (its target, its entry in the site
config) with what is known of it, each time that either changes. It is always in one of
nine states. Clients show a state by the words of OCS, `next_action` in the session data.

An instance is a process of the manager's, or a compose service. The kernel tells of the end of a
process, and who belongs to it is known ([ownership](ownership.md)). One thing can hide: a process
that holds the lock of the instance and cannot be looked at, such as one of another user. Then
the instance is **unseen**: it is neither launched nor called down before the lock is free.

A container has a life beyond the manager: others start and end it, and
the Docker Engine, which knows of it, may not answer. Three things follow:

- Nothing is decided about a service before the engine has said whether it runs, nor while the
  engine is out of sight: then the service is **unseen**. What the engine says when it answers
  again counts as it is; a container that went on is taken over, not recreated.
- A docker entry without a service in any compose file is **blocked**, whatever runs: nothing can
  be its own.
- A service without an entry is *passive*: it is shown as it is, and others start and end it as
  they like. Told up or down, that is its target until it is reached; then it is passive again.

## A restart

A restart is an intention in the record of the instance (`restart_of`: the run that has to end), not
a sequence of requests. Its target stays up all the while. The field `restarting` of a child state
is true until the intention is gone.

| what there is | what a requested restart does |
| --- | --- |
| it runs | a process is ended at once. A service goes on until its image is known to be here, or \
has been pulled (*next run prepared*); if that fails (*next run not to be had*), it goes on, \
`message` says why, and the intention is gone. Then the run is ended, and the new one launched |
| its launch is under way | as above, once it is launched |
| it is being ended | it is launched when that has ended |
| it is waiting | launched at once |
| it is unseen | as above, once the engine has said what runs |
| it is down, wanted down, or blocked | nothing; the answer names it |

The intention is over exactly when a new run exists, in whichever way it came to be. `told down`
and the end of its entry call it off, as does being blocked; `told up` and a second request join it.

A run has an identity that no other ever has: pid and start time, or container and start time. The
identity of the run that has to end is written to the state directory before anything is ended,
and taken out of it afterwards. So whenever the manager is killed, the next one finds one of these:

| on the disk | alive | what the next manager does |
| --- | --- | --- |
| nothing | the old run, or none | what it always does: the request had not been answered |
| the old run | the old run | restarts it |
| the old run | a new run | takes it over; the restart is done |
| the old run | nothing | launches it, since it is wanted up |
"""

MEANINGS = {
    State.DOWN: ("Nothing of it is alive, as wanted.", "somebody who wants it up"),
    State.INOPERABLE: (
        "Nothing of it is alive, and something stands in the way of operating it; "
        "`message` says what. A docker entry without a service is blocked whatever runs.",
        "another entry in the site config (reload), or a service in a compose file",
    ),
    State.BACKOFF: (
        "Wanted up. It failed lately, and is relaunched at `next_attempt_at`.",
        "the time, or somebody who wants it up now",
    ),
    State.STARTING: (
        "Its launch was asked for. It may have to wait for its turn, which is counted apart; once "
        "it has begun, `message` says so after 10 s without an answer. Told down "
        "meanwhile, the launch of a service is called off: it may be pulling its image.",
        "the operating system, or `docker compose up`",
    ),
    State.UP: ("It runs.", "its end, or somebody who wants it down"),
    State.UNOBSERVED: (
        "A service, and nobody can tell whether it runs: the engine was asked and has not "
        "answered yet, or does not answer any more; `message` says so. A stop of the manager "
        "does not wait for it longer than 5 s. Or a process whose lock is held by somebody who "
        "cannot be told; `message` names the file. It is looked at again each second.",
        "the Docker Engine; the end of who holds the lock",
    ),
    State.STOPPING: (
        "It got SIGINT, and has `--stop-timeout` seconds (10) to end; or its container was "
        "asked to stop, and has the time that its compose file gives it (10 s), and 5 s more.",
        "its end, or the time",
    ),
    State.TERMINATING: (
        "It did not end in time, or ended and left other processes behind. Its process "
        "group, and what it left behind, got SIGTERM, and have 5 s; a container is killed.",
        "the end of the last of them, or the time",
    ),
    State.KILLING: (
        "Its process group, and what it left behind, got SIGKILL, and get it again every "
        "5 s. What does not end of that hangs in the kernel; `message` says so. A container is "
        "killed again.",
        "the end of the last of them",
    ),
}

NOW = Timestamp(1000.0, 0.0)
AGENT = InstanceSpec("it", "Any")
SERVICE = InstanceSpec("it", "Any", Kind.DOCKER, service=ServiceRef("file", "project", "it"))
PASSIVE = replace(SERVICE, initial_target=Target.PASSIVE)
EVENTS: dict[EventKind, ev.Event] = {
    event.kind: event
    for event in (
        *(
            ev.StartRequested(),
            ev.StopRequested(),
            ev.Unconfigured(),
            ev.Escalate(),
            ev.Launched(1),
            ev.RemnantsGone(),
        ),
        *(ev.LaunchFailed("program", "no such file"), ev.Exited(ExitStatus(code=1))),
        *(ev.ExitedWithRemnants(ExitStatus(code=1)), ev.LastOutput(()), ev.StatusChanged()),
        *(ev.ObservationLost("No answer."), ev.DeadlineReached(), ev.RestartRequested()),
        *(ev.Prepared(), ev.PrepareFailed("no such image")),
    )
}
MAY_HAVE_A_DELAY = {
    State.BACKOFF,
    State.INOPERABLE,
    State.TERMINATING,
    State.KILLING,
    State.UNOBSERVED,
}
FACTS = (
    *((AGENT, SERVICE, PASSIVE), tuple(Target), (False, True), (False, True), (False, True)),
    *((0.0, 2000.0), (0, 3), ((None, False), ("run", False), ("run", True))),
)


def lives(state: State) -> Iterator[InstanceRecord]:
    """Every combination of the facts that decide, in one state."""
    for facts in itertools.product(*FACTS):
        entry, target, replaced, retiring, blocked, not_before, streak, restart = facts
        life = InstanceRecord(
            replace(entry, inoperable_reason="something" if blocked else None),
            target,
            state,
            AGENT if replaced else None,
            retiring,
            started_at=Timestamp(999.9, 0.0),
            next_start_at=not_before,
            consecutive_failures=streak,
            observed=state is not State.UNOBSERVED and not (state is State.INOPERABLE and blocked),
            restart_of=restart[0],
            prepared=restart[1],
        )
        if not is_impossible(life):
            yield life


def is_impossible(life: InstanceRecord) -> bool:
    """What cannot be is left out, so that the picture shows what can."""
    state, target, spec = life.state, life.target, life.spec
    at_its_goal = state in {State.DOWN, State.INOPERABLE, State.UP}
    return any(
        (
            life.removing and (target is Target.UP or life.replacement is not None),
            state in NOT_RUNNING_STATES and (life.replacement is not None or life.removing),
            state in {State.UP, State.BACKOFF} and life.must_stop,
            state is State.BACKOFF and target is not Target.UP,
            state is State.DOWN and target is Target.UP,
            state in {State.DOWN, State.BACKOFF} and spec.inoperable_reason is not None,
            state is State.INOPERABLE and spec.inoperable_reason is None,
            life.restart_of is not None and (target is Target.DOWN or life.removing),
            life.restart_of is not None and (state in NOT_RUNNING_STATES or blocks_restart(life)),
            spec.kind is Kind.HOST and life.restart_of is not None and not life.prepared,
            spec.has_no_service and state is not State.INOPERABLE,
            target is Target.PASSIVE and not spec.is_unmanaged,
            spec.is_unmanaged and at_its_goal and target is not Target.PASSIVE,
            # It was launched since, or told down, and neither leaves a delay.
            life.next_start_at > NOW.monotonic and state not in MAY_HAVE_A_DELAY,
        )
    )


def blocks_restart(life: InstanceRecord) -> bool:
    """Whether it could not be launched again, so that no restart of it is begun."""
    return life.spec.inoperable_reason is not None and not life.spec.has_no_service


def outcomes(state: State, kind: EventKind) -> list[str]:
    """The states that this event can lead to, in the order of the table."""
    found = set()
    for life in lives(state):
        for event in variants(life, kind):
            after, effects = step(life, event, NOW, 0.5, Policy())
            found.add(FORGOTTEN if ev.Remove() in effects else after.state.value)
    return [name for name in (*State, FORGOTTEN) if name in found]


def variants(life: InstanceRecord, kind: EventKind) -> list[ev.Event]:
    """The events of a kind that could lead elsewhere, of those that can happen to this life."""
    process = life.spec.kind is Kind.HOST
    if kind is EventKind.SPEC_CHANGED and life.removing:
        return []  # there is no entry
    if kind is EventKind.SPEC_CHANGED:
        entry = life.replacement or life.spec
        return [
            ev.SpecChanged(replace(entry, inoperable_reason=why)) for why in (None, "something")
        ]
    if kind is EventKind.SPEC_REPLACED:
        entries = (
            AGENT,
            SERVICE,
            *(replace(e, inoperable_reason="something") for e in (AGENT, SERVICE)),
        )
        return [ev.SpecReplaced(e, target) for e in entries for target in (Target.UP, Target.DOWN)]
    if kind in {EventKind.OBSERVATION_LOST, EventKind.STATUS_CHANGED} and process:
        return []
    if kind is EventKind.EXITED_WITH_REMNANTS and not process:
        return []
    return [EVENTS[kind]]


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
    for (state, kind), move in TABLE.items():
        if move in (unexpected, no_change) or is_surprise(state, kind):
            continue
        for then in outcomes(state, kind):
            if then != state:
                arrows[state.value, then].append(kind.value)
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> down: entry new"
    for (state_name, then), kinds in arrows.items():
        yield f"    {state_name} --> {'[*]' if then == FORGOTTEN else then}: {' / '.join(kinds)}"
    yield "```"


def is_surprise(state: State, kind: EventKind) -> bool:
    """Something turns out to be alive where nothing can be expected: handled, not drawn."""
    blocked = state is State.INOPERABLE and kind is EventKind.LAUNCHED
    return blocked or (state in NOT_RUNNING_STATES and kind is EventKind.EXITED_WITH_REMNANTS)


def table() -> Iterator[str]:
    """Write the whole table."""
    yield "| | " + " | ".join(kind.value for kind in EventKind) + " |"
    yield "| --- |" + " --- |" * len(EventKind)
    for state in State:
        yield f"| **{state}** | " + " | ".join(cell(state, kind) for kind in EventKind) + " |"


def cell(state: State, kind: EventKind) -> str:
    """Write the move, and where it leads."""
    move = TABLE[state, kind]
    if move is unexpected:
        return "·"
    if move is no_change:
        return "stay"
    return f"`{move.__name__}` → {', '.join(outcomes(state, kind))}"


def moves() -> Iterator[str]:
    """Write what each move does, as the code says."""
    for move in dict.fromkeys(TABLE.values()):
        summary = (move.__doc__ or "").splitlines()[0]
        yield f"- `{move.__name__}`: {summary}"


def page() -> str:
    """Write the whole page."""
    parts = [
        INTRODUCTION.splitlines(),
        states(),
        ["## The picture", "", "Read `/` as *or*; where an arrow leads depends on what is wanted."],
        diagram(),
        [
            "## The table",
            "",
            "Rows are states, columns are events. A cell names the move that is made and the",
            "states that it can lead to; `·` marks a pair that should not happen, which changes",
            "nothing and is logged.",
        ],
        table(),
        ["The moves:"],
        moves(),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE} written", file=sys.stderr)
