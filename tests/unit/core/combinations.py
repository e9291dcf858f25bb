"""Every record that an instance can have in a state, every event, and what no record comes to."""

import itertools
from dataclasses import replace

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus, Timestamp
from hostmanager.core.model import InstanceSettings, Kind, ObservedRun, Target
from hostmanager.core.policy import Policy
from hostmanager.core.record import (
    ANY_RUN,
    NO_RUN,
    NOT_RUNNING_STATES,
    RESTING_STATES,
    STOPPING_STATES,
    ChangeRequest,
    Completion,
    CurrentRun,
    FailureHistory,
    InstanceRecord,
    LastExit,
    ObservedStatus,
    State,
)
from tests.unit.core.fake_engine import foreign, passive, service
from tests.unit.core.fakes import spec

NOW = Timestamp(1000.0, 1_700_000_000.0)
POLICY = Policy()
FOUND = ObservedRun(77, NOW.wall - 50.0, "then", run_id="r2")

MANUAL = InstanceSettings(manual=True)
ONE_SHOT = InstanceSettings(one_shot=True)
GIVES_UP = InstanceSettings(restart_give_up_failures=2)
MANUAL_ONE_SHOT = InstanceSettings(manual=True, one_shot=True)
DONE = Completion(NOW.wall - 60.0, "then")

LAUNCHING = ev.StatusChanged(launching=True)

EVENTS = {
    ev.StartRequested: [ev.StartRequested()],
    ev.StopRequested: [ev.StopRequested(), ev.StopRequested(in_order=True)],
    ev.SpecReplaced: [
        *(ev.SpecReplaced(new(agent_class="Replacement")) for new in (spec, service, foreign)),
        ev.SpecReplaced(service(agent_class="Replacement"), Target.DOWN),
        ev.SpecReplaced(passive()),
    ],
    ev.Unconfigured: [ev.Unconfigured()],
    ev.Escalate: [ev.Escalate()],
    ev.RestartRequested: [ev.RestartRequested(), ev.RestartRequested(in_order=True)],
    ev.StopReleased: [ev.StopReleased()],
    ev.Launched: [ev.Launched(77, run_id="r1"), ev.Launched(77), ev.Launched(77, FOUND)],
    ev.LaunchFailed: [ev.LaunchFailed("program", "no such file")],
    ev.Exited: [ev.Exited(ExitStatus(code=code)) for code in (1, 0)],
    ev.ExitedWithRemnants: [
        ev.ExitedWithRemnants(ExitStatus(code=code), ("pid 78: child",)) for code in (1, 0)
    ],
    ev.RemnantsGone: [ev.RemnantsGone()],
    ev.Absent: [ev.Absent()],
    ev.LastOutput: [ev.LastOutput(("a line",))],
    ev.StatusChanged: [
        ev.StatusChanged("It is paused.", True),
        ev.StatusChanged(),
        LAUNCHING,
    ],
    ev.ObservationLost: [ev.ObservationLost("No answer.")],
    ev.Prepared: [ev.Prepared()],
    ev.PrepareFailed: [ev.PrepareFailed("no such image")],
    ev.DeadlineReached: [ev.DeadlineReached()],
}

OBSTACLE = "no such class"
UP_OR_DOWN = (Target.UP, Target.DOWN)
WHO = (
    # spec, targets, whether its driver has told if it is alive
    (spec(), UP_OR_DOWN, False),
    (spec(inoperable_reason=OBSTACLE), UP_OR_DOWN, False),
    *((who, UP_OR_DOWN, seen) for who in (service(), foreign()) for seen in (True, False)),
    (service(stop_grace=60.0), UP_OR_DOWN, True),
    (passive(), tuple(Target), True),
    (passive(), tuple(Target), False),
    (passive(inoperable_reason=OBSTACLE), tuple(Target), True),
    (spec(settings=MANUAL), tuple(Target), False),
    (service(settings=MANUAL), tuple(Target), True),
    (service(settings=MANUAL), tuple(Target), False),
    (spec(settings=ONE_SHOT), UP_OR_DOWN, False),
    (spec(settings=ONE_SHOT, inoperable_reason=OBSTACLE), UP_OR_DOWN, False),
    (service(settings=ONE_SHOT), UP_OR_DOWN, True),
    (service(settings=ONE_SHOT), UP_OR_DOWN, False),
    (spec(settings=MANUAL_ONE_SHOT), tuple(Target), False),
    (spec(settings=GIVES_UP), UP_OR_DOWN, False),
    (spec(settings=replace(GIVES_UP, manual=True)), tuple(Target), False),
    (service(settings=GIVES_UP), UP_OR_DOWN, True),
    (service(settings=GIVES_UP), UP_OR_DOWN, False),
)
MAY_BE_DONE = (
    *(State.DOWN, State.INOPERABLE, State.UNOBSERVED),
    *(State.TERMINATING, State.KILLING),  # of what it left behind
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
RECENTLY, LONG_AGO = Timestamp(NOW.monotonic - 0.5, 0.0), Timestamp(NOW.monotonic - 100, 0.0)
RECORDS = (
    # earliest next launch, failures in a row, latest launch
    *(
        (NOW.monotonic - 5, 0, None),
        (NOW.monotonic - 5, 5, LONG_AGO),
        (NOW.monotonic + 5, 0, RECENTLY),
    ),
    *(
        (NOW.monotonic + 5, 5, RECENTLY),
        (NOW.monotonic + 5, 5, LONG_AGO),
        (NOW.monotonic + 5, 5, None),
    ),
)


def _counted(state, streak):
    """The failures that count: one less than leads to giving up, before it is given up."""
    failures = (NOW.monotonic - 20, NOW.monotonic - 10)
    return failures if state is State.GIVEN_UP else failures[: 1 if streak else 0]


def records(state):
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
        may_be_done = (
            state in MAY_BE_DONE and entry.settings.one_shot and restart[0] is None and not streak
        )
        for target, completion in itertools.product(targets, (None, DONE)):
            if completion and (target is Target.UP or not may_be_done):
                continue
            run = CurrentRun(
                pid=None if state in NOT_RUNNING_STATES or state is State.STARTING else 77,
                run_id="r1" if state in (State.UP, *STOPPING_STATES) else "",
                started_at=launched,
                launch_begun=entry.kind is Kind.DOCKER or not streak,
                launch_cancelled=off,
            )
            failures = FailureHistory(
                consecutive=streak,
                exit_times=(NOW.monotonic - 200, NOW.monotonic - 20),
                next_start_at=not_before,
                counted=_counted(state, streak) if entry.settings.restart_give_up_failures else (),
            )
            has_deadline = state not in (*RESTING_STATES, State.UP)
            life = InstanceRecord(
                entry,
                target,
                state=state,
                deadline=NOW.monotonic if has_deadline else None,
                error="Something." if state in (State.UNOBSERVED, State.GIVEN_UP) else None,
                unkillable=state in (State.KILLING, State.UNOBSERVED) or off,
                last_exit=exited if streak else None,
                request=ChangeRequest(pending, retiring, *restart),
                run=run,
                failures=failures,
                observation=ObservedStatus(known=seen),
                completion=completion,
            )
            yield life
            if state is State.UP and record is RECORDS[0]:
                yield replace(life, request=replace(life.request, is_held=True))


def events(record, kind):
    """The events of a kind that make a difference; updates name the class and kind that is."""
    if kind is ev.ExitedWithRemnants and record.spec.kind is Kind.DOCKER:
        return []  # no process outlives its container
    if kind is not ev.SpecChanged:
        return EVENTS[kind]
    entry = replace(record.request.replacement or record.spec, fingerprint="updated")
    others = (entry.settings, InstanceSettings(), MANUAL, ONE_SHOT, GIVES_UP)
    settings = others[:1] if entry.is_unmanaged else dict.fromkeys(others)
    down = replace(entry, initial_target=Target.DOWN, settings=InstanceSettings())
    return [
        *(ev.SpecChanged(replace(entry, inoperable_reason=None, settings=s)) for s in settings),
        *([] if entry.is_unmanaged else [ev.SpecChanged(down)]),
        ev.SpecChanged(replace(entry, inoperable_reason="none")),
    ]


# --- what cannot be ------------------------------------------------------------------------

AT_ITS_GOAL = (*RESTING_STATES, State.UP)
CANNOT_BE = {
    "something else than 'unseen' or 'blocked' is shown of what is unobserved": lambda record: (
        record.is_unobserved and record.state not in (State.UNOBSERVED, State.INOPERABLE)
    ),
    "it is unseen, but its driver sees it": lambda record: (
        record.spec.kind is Kind.DOCKER
        and record.state is State.UNOBSERVED
        and not record.is_unobserved
    ),
    "an entry without a service is anything but blocked": lambda record: (
        record.spec.has_no_service and record.state is not State.INOPERABLE
    ),
    "an entry without a service has a container that is seen": lambda record: (
        record.spec.has_no_service and record.state is State.INOPERABLE and record.observation.known
    ),
    "it is blocked by nothing": lambda record: (
        record.state is State.INOPERABLE and record.spec.inoperable_reason is None
    ),
    "it waits for its launch in spite of an obstacle": lambda record: (
        record.state in NOT_RUNNING_STATES
        and record.state is not State.INOPERABLE
        and record.spec.inoperable_reason is not None
    ),
    "somebody wants a thing of a passive one that has been reached": lambda record: (
        record.spec.is_passive
        and record.state in AT_ITS_GOAL
        and record.target is not Target.PASSIVE
        and not record.request.is_held
    ),
    "a managed one is passive": lambda record: (
        record.target is Target.PASSIVE
        and not (record.request.replacement or record.spec).is_passive
    ),
    "it is being removed, and not wanted down": lambda record: (
        record.request.removing and record.target is Target.PASSIVE
    ),
    "it is being removed, and done": lambda record: (
        record.request.removing and record.completion is not None
    ),
    "it is done, and wanted up": lambda record: (
        record.completion is not None and record.target is Target.UP
    ),
    "it is done, and its program is alive or to be launched": lambda record: (
        record.completion is not None and record.state not in MAY_BE_DONE
    ),
    "it is done, but does not end by itself": lambda record: (
        record.completion is not None
        and not (record.request.replacement or record.spec).settings.one_shot
    ),
    "it is wanted up, and at rest": lambda record: (
        record.state is State.DOWN and record.target is Target.UP
    ),
    "it is given up, and did not fail too often": lambda record: (
        record.state is State.GIVEN_UP and not record.fails_too_often
    ),
    "it is given up, and nobody is told": lambda record: (
        record.state is State.GIVEN_UP and not record.error
    ),
    "it is given up, and wanted down": lambda record: (
        record.state is State.GIVEN_UP and record.target is Target.DOWN
    ),
    "it waits for its launch, and has failed too often": lambda record: (
        record.state is State.BACKOFF and record.fails_too_often
    ),
    "it waits to be launched, but is not wanted up": lambda record: (
        record.state is State.BACKOFF and record.target is not Target.UP
    ),
    "it runs on, but must end": lambda record: record.state is State.UP and record.must_stop,
    "it is to be replaced or forgotten, and nothing stands in the way": lambda record: (
        record.state in NOT_RUNNING_STATES and record.request.replacement is not None
    ),
    "a restart is under way of what is not to run": lambda record: (
        record.request.restart_of is not None
        and (record.target is Target.DOWN or record.request.removing)
    ),
    "a restart is under way of what is at rest": lambda record: (
        record.request.restart_of is not None and record.state in RESTING_STATES
    ),
    "a restart waits for the end of a run, and nothing is alive": lambda record: (
        bool(record.request.restart_of) and record.state is State.BACKOFF
    ),
    "a restart was done, and is still under way": lambda record: (
        record.request.restart_of == NO_RUN and record.state is State.UP
    ),
    "nothing is to be ended for a restart, but something was prepared": lambda record: (
        record.request.prepared and not record.request.restart_of
    ),
    "it is both replaced and forgotten": lambda record: (
        record.request.removing and record.request.replacement is not None
    ),
}


def violations_of(record):
    """The sentences that are true of a record, and must not be."""
    return [sentence for sentence, is_so in CANNOT_BE.items() if is_so(record)]
