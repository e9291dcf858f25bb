"""Every life that an instance can have in a state, every event, and what no life comes to."""

import itertools
from dataclasses import replace

from hostmanager.core import events as ev
from hostmanager.core.events import EventKind, ExitStatus, Moment
from hostmanager.core.model import Found, Kind, Target
from hostmanager.core.policy import Policy
from hostmanager.core.record import ANY_RUN, ENDING, NO_RUN, NOTHING_ALIVE, LastExit, Life, State
from tests.core.fake_engine import foreign, passive, service
from tests.core.fakes import spec

NOW = Moment(1000.0, 1_700_000_000.0)
POLICY = Policy()
FOUND = Found(77, NOW.wall - 50.0, "then", run="r2")

LAUNCHING = ev.Condition(launching=True)

EVENTS = {
    EventKind.WANT_UP: [ev.WantUp()],
    EventKind.WANT_DOWN: [ev.WantDown()],
    EventKind.REPLACE: [
        *(ev.Replace(new(agent_class="Replacement")) for new in (spec, service, foreign)),
        ev.Replace(service(agent_class="Replacement"), Target.DOWN),
        ev.Replace(passive()),
    ],
    EventKind.RETIRE: [ev.Retire()],
    EventKind.HURRY: [ev.Hurry()],
    EventKind.RESTART_REQUESTED: [ev.RestartRequested()],
    EventKind.LAUNCHED: [ev.Launched(77, run="r1"), ev.Launched(77), ev.Launched(77, FOUND)],
    EventKind.LAUNCH_FAILED: [ev.LaunchFailed("program", "no such file")],
    EventKind.ENDED: [ev.Ended(ExitStatus(code=1))],
    EventKind.LEFT_BEHIND: [ev.LeftBehind(ExitStatus(code=1), ("pid 78: child",))],
    EventKind.GONE: [ev.Gone()],
    EventKind.OUTPUT: [ev.Output(("a line",))],
    EventKind.CONDITION: [ev.Condition("It is paused.", True), ev.Condition(), LAUNCHING],
    EventKind.LOST_SIGHT: [ev.LostSight("No answer.")],
    EventKind.PREPARED: [ev.Prepared()],
    EventKind.PREPARE_FAILED: [ev.PrepareFailed("no such image")],
    EventKind.TIMER: [ev.TimerFired()],
}

OBSTACLE = "no such class"
UP_OR_DOWN = (Target.UP, Target.DOWN)
WHO = (
    # spec, targets, whether its driver has told if it is alive
    (spec(), UP_OR_DOWN, False),
    (spec(obstacle=OBSTACLE), UP_OR_DOWN, False),
    *((who, UP_OR_DOWN, seen) for who in (service(), foreign()) for seen in (True, False)),
    (service(stop_grace=60.0), UP_OR_DOWN, True),
    (passive(), tuple(Target), True),
    (passive(), tuple(Target), False),
    (passive(obstacle=OBSTACLE), tuple(Target), True),
)
PENDING = (
    *((None, False), (None, True), (spec(agent_class="Pending"), False)),
    *((service(agent_class="Pending"), False), (foreign(agent_class="Pending"), False)),
    (passive(), False),
)
RESTARTS = (
    # the run that a restart has to end, and whether a new one could be launched
    *((None, False), (NO_RUN, False), (ANY_RUN, False), (ANY_RUN, True), ("r1", False)),
    ("r1", True),
)
RECENTLY, LONG_AGO = Moment(NOW.mono - 0.5, 0.0), Moment(NOW.mono - 100, 0.0)
RECORDS = (
    # earliest next launch, failures in a row, latest launch
    *((NOW.mono - 5, 0, None), (NOW.mono - 5, 5, LONG_AGO), (NOW.mono + 5, 0, RECENTLY)),
    *((NOW.mono + 5, 5, RECENTLY), (NOW.mono + 5, 5, LONG_AGO), (NOW.mono + 5, 5, None)),
)


def lives(state):
    """Every combination of the facts that moves look at, in one state."""
    exited = LastExit(ExitStatus(code=1), NOW, False, 1.0)
    called_off = (False, True) if state is State.STARTING else (False,)
    for who, (pending, retiring), record, off, restart in itertools.product(
        WHO, PENDING, RECORDS, called_off, RESTARTS
    ):
        entry, targets, seen = who
        if restart[0] is not None and (record not in RECORDS[:3:2] or pending in PENDING[3:]):
            continue  # neither has to do with the other
        not_before, streak, launched = record
        for target in targets:
            yield Life(
                entry,
                target,
                state=state,
                pending=pending,
                retiring=retiring,
                pid=None if state in NOTHING_ALIVE or state is State.STARTING else 77,
                launched=launched,
                deadline=None if state in (State.DOWN, State.BLOCKED, State.UP) else NOW.mono,
                not_before=not_before,
                streak=streak,
                exits=(NOW.mono - 200, NOW.mono - 20),
                last_exit=exited if streak else None,
                stuck=state in (State.KILLING, State.UNSEEN) or off,
                trouble="Something." if state is State.UNSEEN else None,
                seen=seen,
                called_off=off,
                run="r1" if state in (State.UP, *ENDING) else "",
                restart_of=restart[0],
                prepared=restart[1],
                launch_begun=entry.kind is Kind.DOCKER or not streak,
            )


def events(life, kind):
    """The events of a kind that make a difference; updates name the class and kind that is."""
    if kind is EventKind.LEFT_BEHIND and life.spec.kind is Kind.DOCKER:
        return []  # no process outlives its container
    if kind is not EventKind.UPDATE:
        return EVENTS[kind]
    entry = replace(life.pending or life.spec, fingerprint="updated")
    return [ev.Update(replace(entry, obstacle=None)), ev.Update(replace(entry, obstacle="none"))]


# --- what cannot be ------------------------------------------------------------------------

AT_ITS_GOAL = (State.DOWN, State.BLOCKED, State.UP)
CANNOT_BE = {
    "something else than 'unseen' or 'blocked' is shown of what is out of sight": lambda life: (
        life.in_the_dark and life.state not in (State.UNSEEN, State.BLOCKED)
    ),
    "it is unseen, but its driver sees it": lambda life: (
        life.spec.kind is Kind.DOCKER and life.state is State.UNSEEN and not life.in_the_dark
    ),
    "an entry without a service is anything but blocked": lambda life: (
        life.spec.foreign and life.state is not State.BLOCKED
    ),
    "an entry without a service has a container that is seen": lambda life: (
        life.spec.foreign and life.state is State.BLOCKED and life.seen
    ),
    "it is blocked by nothing": lambda life: (
        life.state is State.BLOCKED and life.spec.obstacle is None
    ),
    "it waits for its launch in spite of an obstacle": lambda life: (
        life.state in (State.DOWN, State.WAITING) and life.spec.obstacle is not None
    ),
    "somebody wants a thing of a passive one that has been reached": lambda life: (
        life.spec.passive and life.state in AT_ITS_GOAL and life.target is not Target.PASSIVE
    ),
    "a managed one is passive": lambda life: (
        life.target is Target.PASSIVE and not (life.pending or life.spec).passive
    ),
    "it is wanted up, and at rest": lambda life: (
        life.state is State.DOWN and life.target is Target.UP
    ),
    "it waits to be launched, but is not wanted up": lambda life: (
        life.state is State.WAITING and life.target is not Target.UP
    ),
    "it runs on, but must end": lambda life: life.state is State.UP and life.must_end,
    "it is to be replaced or forgotten, and nothing stands in the way": lambda life: (
        life.state in NOTHING_ALIVE and life.pending is not None
    ),
    "a restart is under way of what is not to run": lambda life: (
        life.restart_of is not None and (life.target is Target.DOWN or life.retiring)
    ),
    "a restart is under way of what is at rest": lambda life: (
        life.restart_of is not None and life.state in (State.DOWN, State.BLOCKED)
    ),
    "a restart waits for the end of a run, and nothing is alive": lambda life: (
        bool(life.restart_of) and life.state is State.WAITING
    ),
    "a restart was done, and is still under way": lambda life: (
        life.restart_of == NO_RUN and life.state is State.UP
    ),
    "nothing is to be ended for a restart, but something was prepared": lambda life: (
        life.prepared and not life.restart_of
    ),
    "it is both replaced and forgotten": lambda life: life.retiring and life.pending is not None,
}


def wrong_with(life):
    """The sentences that are true of a life, and must not be."""
    return [sentence for sentence, is_so in CANNOT_BE.items() if is_so(life)]
