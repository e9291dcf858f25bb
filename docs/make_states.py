"""Make states.md from the table of the lifecycle, so that the picture cannot be wrong.

Run it with ``python docs/make_states.py``. The arrows are found by trying: every state,
every event and every combination of what else can be known goes through `lifecycle.step`.
"""

import itertools
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from hostmanager.agent.views import NEXT_ACTION
from hostmanager.core import events as ev
from hostmanager.core.events import EventKind, ExitStatus, Moment
from hostmanager.core.life import NOTHING_ALIVE, Life, State
from hostmanager.core.lifecycle import TABLE, odd, stay, step
from hostmanager.core.model import InstanceSpec, Target
from hostmanager.core.policy import Policy

PAGE = Path(__file__).with_name("states.md")
COMMAND = "python docs/make_states.py"
FORGOTTEN = "forgotten"

INTRODUCTION = f"""\
# The life of an instance

*This page is made by `{COMMAND}` from the table in
`src/hostmanager/core/lifecycle.py`; change it there.*

The manager compares what is wanted of an instance (its target, its entry in the site
config) with what is known of it, each time that either changes. It is always in one of
eight states. Clients show a state by the words of OCS, `next_action` in the session data.
"""

MEANINGS = {
    State.DOWN: ("Nothing of it is alive, as wanted.", "somebody who wants it up"),
    State.BLOCKED: (
        "Nothing of it is alive, and something stands in the way of operating it; "
        "`message` says what.",
        "another entry in the site config (reload)",
    ),
    State.WAITING: (
        "Wanted up. It failed lately, and is relaunched at `next_attempt_at`.",
        "the time, or somebody who wants it up now",
    ),
    State.STARTING: (
        "Its launch is under way. After 10 s without an answer, `message` says so.",
        "the operating system",
    ),
    State.UP: ("It runs.", "its end, or somebody who wants it down"),
    State.STOPPING: (
        "It got SIGINT, and has `--stop-timeout` seconds (10) to end.",
        "its end, or the time",
    ),
    State.TERMINATING: (
        "It did not end in time, or ended and left other processes behind. Its process "
        "group, and what it left behind, got SIGTERM, and have 5 s.",
        "the end of the last of them, or the time",
    ),
    State.KILLING: (
        "Its process group, and what it left behind, got SIGKILL, and get it again every "
        "5 s. What does not end of that hangs in the kernel; `message` says so.",
        "the end of the last of them",
    ),
}

NOW = Moment(1000.0, 0.0)
ENTRY = InstanceSpec("it", "Any")
EVENTS: dict[EventKind, ev.Event] = {
    event.kind: event
    for event in (
        *(ev.WantUp(), ev.WantDown(), ev.Retire(), ev.Hurry(), ev.Launched(1), ev.Gone()),
        *(ev.Update(ENTRY), ev.Replace(ENTRY), ev.LaunchFailed("program", "no such file")),
        *(ev.Ended(ExitStatus(code=1)), ev.LeftBehind(ExitStatus(code=1)), ev.Output(())),
        ev.TimerFired(),
    )
}
MAY_HAVE_A_DELAY = {State.WAITING, State.BLOCKED, State.TERMINATING, State.KILLING}


def lives(state: State) -> Iterator[Life]:
    """Every combination of the facts that decide, in one state."""
    for target, pending, retiring, blocked, not_before, streak in itertools.product(
        (Target.UP, Target.DOWN), (None, ENTRY), (False, True), (False, True), (0.0, 2000.0), (0, 3)
    ):
        # What cannot be is left out, so that the picture shows what can.
        must_end = target is Target.DOWN or pending is not None or retiring
        impossible = (
            retiring and (target is Target.UP or pending is not None),
            state in NOTHING_ALIVE and (pending is not None or retiring),
            state in {State.UP, State.WAITING} and must_end,
            state is State.DOWN and target is Target.UP,
            state in {State.DOWN, State.WAITING} and blocked,
            state is State.BLOCKED and not blocked,
            # It was launched since, or told down, and neither leaves a delay.
            not_before > NOW.mono and state not in MAY_HAVE_A_DELAY,
        )
        if any(impossible):
            continue
        spec = InstanceSpec("it", "Any", obstacle="something" if blocked else None)
        yield Life(
            *(spec, target, state, pending, retiring),
            launched=Moment(999.9, 0.0),
            not_before=not_before,
            streak=streak,
        )


def outcomes(state: State, kind: EventKind) -> list[str]:
    """The states that this event can lead to, in the order of the table."""
    found = set()
    for life in lives(state):
        for event in variants(kind):
            after, effects = step(life, event, NOW, 0.5, Policy())
            found.add(FORGOTTEN if ev.Forget() in effects else after.state.value)
    return [name for name in (*State, FORGOTTEN) if name in found]


def variants(kind: EventKind) -> list[ev.Event]:
    """An event, and those of its kind that could lead elsewhere."""
    event = EVENTS[kind]
    blocked = InstanceSpec("it", "Any", obstacle="something")
    down = InstanceSpec("it", "Any", initial_target=Target.DOWN)
    if isinstance(event, ev.Update):
        return [event, ev.Update(blocked)]
    if isinstance(event, ev.Replace):
        return [event, ev.Replace(blocked), ev.Replace(down)]
    return [event]


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
        if move in (odd, stay) or is_surprise(state, kind):
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
    """Something turns out to be alive where nothing was known to be: handled, not drawn."""
    return state in NOTHING_ALIVE and kind in {EventKind.LAUNCHED, EventKind.LEFT_BEHIND}


def table() -> Iterator[str]:
    """Write the whole table."""
    yield "| | " + " | ".join(kind.value for kind in EventKind) + " |"
    yield "| --- |" + " --- |" * len(EventKind)
    for state in State:
        yield f"| **{state}** | " + " | ".join(cell(state, kind) for kind in EventKind) + " |"


def cell(state: State, kind: EventKind) -> str:
    """Write the move, and where it leads."""
    move = TABLE[state, kind]
    if move is odd:
        return "·"
    if move is stay:
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
