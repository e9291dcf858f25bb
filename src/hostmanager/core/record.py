"""What is known of one instance, and how an event adds to it.

`Life` is all there is to know; `absorb` is the only function that takes an event down in it.
What to *do* about it is the business of `lifecycle`, whose docstring tells what the states mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus, Timestamp
from hostmanager.core.model import InstanceSpec, Kind, ObservedRun, Target
from hostmanager.core.policy import Policy, recent_exits
from hostmanager.core.restart_budget import NO_BACKOFF, Backoff, FailedRun, decide_backoff


class State(StrEnum):
    """The rows of the transition table."""

    DOWN = "down"
    INOPERABLE = "blocked"
    BACKOFF = "waiting"
    STARTING = "starting"
    UP = "up"
    UNOBSERVED = "unseen"
    STOPPING = "stopping"
    TERMINATING = "terminating"
    KILLING = "killing"


RESTING_STATES = frozenset({State.DOWN, State.INOPERABLE})
NO_RUN, ANY_RUN = "", "?"
"""In place of the run that a restart has to end: none is left; whichever is reported next."""

NOT_RUNNING_STATES = frozenset({State.DOWN, State.INOPERABLE, State.BACKOFF})
STOPPING_STATES = frozenset({State.STOPPING, State.TERMINATING, State.KILLING})


@dataclass(frozen=True, slots=True)
class LastExit:
    """The end of the latest run.

    Attributes:
        status: Code or signal.
        at: When.
        expected: Whether it was being ended at the time.
        ran_for: Length of the run, seconds.
    """

    status: ExitStatus
    at: Timestamp
    expected: bool
    ran_for: float


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """All that is known of one instance.

    Attributes:
        spec: What the site file says of it.
        target: What is wanted.
        state: See the module.
        replacement: What takes its place once nothing of it is alive.
        removing: Whether it is forgotten once nothing of it is alive.
        pid: Process id while alive, else None.
        started_at: When the latest launch was asked for.
        running_fingerprint: Fingerprint of the spec that it was launched with.
        deadline: When the state wants to be woken (monotonic seconds), or None.
        next_start_at: Earliest next launch (monotonic seconds).
        consecutive_failures: Failures in a row.
        failed_run: The latest of them, as long as the streak may go on; None if it failed before
            anything ran.
        backoff: What was decided after it.
        unexpected_exits: Times of the unexpected exits that still count (monotonic seconds).
        restarts: Launches that answered a failure, since it was tracked.
        last_exit: How the latest run ended.
        last_output: The last lines that the run of `last_exit` wrote.
        unkillable: Whether nothing more can be done about it: it was killed and did not end in
            time, or its launch hangs. Nobody has to wait for it.
        error: What is wrong right now, for people; None when nothing is.
        observed: Whether its driver has told if it is alive. Counts only for kinds that others may
            start and end, too; what is a process of ours is always known.
        notice: What people should know of it while it is alive (paused, unhealthy), or None.
        image_outdated: Whether it runs from something else than a new launch would take.
        engine_restarting: Whether it has ended and somebody else starts it again.
        launch_cancelled: Whether its launch, under way, was told to come to nothing.
        run: The identity of what runs, see `Found`; empty if nothing does or it is not known.
        restart_of: The run that a requested restart has to end; `NO_RUN` once it has ended and
            only the new one is to come; `ANY_RUN` if it is not known yet. None: no restart is
            under way. It is over as soon as the new run exists.
        prepared: Whether what the new run needs is here, so that what runs may be ended for it.
        restart_denied: Why the latest restart that was requested was not made, as a sentence
            without a full stop; None if it was.
        launch_begun: Whether its launch, under way, has begun; it may have to wait for its turn.
    """

    spec: InstanceSpec
    target: Target
    state: State = State.DOWN
    replacement: InstanceSpec | None = None
    removing: bool = False
    pid: int | None = None
    started_at: Timestamp | None = None
    running_fingerprint: str = ""
    deadline: float | None = None
    next_start_at: float = 0.0
    consecutive_failures: int = 0
    failed_run: FailedRun | None = None
    backoff: Backoff = NO_BACKOFF
    unexpected_exits: tuple[float, ...] = ()
    restarts: int = 0
    last_exit: LastExit | None = None
    last_output: tuple[str, ...] = ()
    unkillable: bool = False
    error: str | None = None
    observed: bool = False
    notice: str | None = None
    image_outdated: bool = False
    engine_restarting: bool = False
    launch_cancelled: bool = False
    run: str = ""
    restart_of: str | None = None
    prepared: bool = False
    restart_denied: str | None = None
    launch_begun: bool = False

    @property
    def must_stop(self) -> bool:
        """Whether a live process of this instance has no right to go on."""
        unwanted = self.target is Target.DOWN or self.replacement is not None or self.removing
        return unwanted or (bool(self.restart_of) and self.prepared)

    @property
    def needs_preparation(self) -> bool:
        """Whether it waits for its restart until it is sure that it can be launched again."""
        return bool(self.restart_of) and not self.prepared and not self.must_stop

    @property
    def failing(self) -> bool:
        """Whether it is wanted up, and its latest run failed: it shares the CPU budget of such."""
        return self.consecutive_failures > 0 and self.failed_run is not None and not self.must_stop

    @property
    def is_unobserved(self) -> bool:
        """Whether its driver has to be asked before anything can be decided."""
        return self.spec.kind is Kind.DOCKER and not self.observed

    @property
    def restart_required(self) -> bool:
        """Whether it runs from another entry, or another image, than today's."""
        then, now = self.running_fingerprint, self.spec.fingerprint
        # Of what others made, or of what only its lock tells, it may not be known from what.
        return self.state is State.UP and (
            self.image_outdated or bool(then and now and then != now)
        )


def restart_denial_reason(life: InstanceRecord) -> str | None:
    """Why a restart of an instance would make no sense now, for people; None if it makes some."""
    obstacle = (life.replacement or life.spec).inoperable_reason
    if life.removing:
        return "it is no longer in the site config, and is being stopped"
    if obstacle is not None:
        return obstacle
    if life.target is Target.DOWN:
        return "it is wanted down"
    if life.target is Target.PASSIVE and life.state is not State.UP and life.restart_of is None:
        return "it does not run, and nobody manages it"
    return None


@dataclass(frozen=True, slots=True)
class TransitionInput:
    """What a move may look at beside the life itself.

    Attributes:
        failing: The failing instances of the host, by instance-id.
    """

    event: ev.Event
    now: Timestamp
    chance: float
    policy: Policy
    failing: Mapping[str, InstanceRecord] = field(default_factory=dict)


def apply_event(life: InstanceRecord, context: TransitionInput) -> InstanceRecord:  # noqa: PLR0911, PLR0912 - one for each event
    """Take down what the event tells."""
    match context.event:
        case ev.StartRequested():
            return replace(life, target=Target.UP)
        case ev.StopRequested():
            # A deliberate stop ends a streak: who starts it again means it.
            down = replace(life, target=Target.DOWN, next_start_at=context.now.monotonic)
            down = replace(down, consecutive_failures=0, failed_run=None, backoff=NO_BACKOFF)
            return replace(down, restart_of=None, prepared=False)
        case ev.SpecChanged(spec):
            if life.replacement is not None:
                return replace(life, replacement=spec)
            return replace(life, spec=spec)
        case ev.SpecReplaced(spec, target):
            life = replace(
                life, replacement=spec, target=target or spec.initial_target, removing=False
            )
            # What takes its place is a new run, too.
            return (
                life if life.target is Target.UP else replace(life, restart_of=None, prepared=False)
            )
        case ev.Unconfigured():
            gone = replace(life, target=Target.DOWN, removing=True, replacement=None)
            return replace(gone, restart_of=None, prepared=False)
        case ev.RestartRequested():
            return life if restart_denial_reason(life) else _restart_requested(life, context)
        case ev.Launched(pid, found, run):
            life = replace(life, pid=pid, error=None, unkillable=False, observed=True)
            life = _record_run(life, run or (found.run_id if found else ""))
            return life if found is None else _record_adoption(life, found, context.now)
        case ev.Prepared():
            waits = life.state is State.UP and bool(life.restart_of)
            return replace(life, prepared=True) if waits else life
        case ev.PrepareFailed(reason):
            if life.state is not State.UP or not life.needs_preparation:
                return life
            return replace(life, restart_of=None, restart_denied=reason)
        case ev.LaunchFailed(step, reason, remote):
            if life.is_unobserved:
                return life  # it failed because nothing answers; what is alive is told later
            if life.must_stop or life.launch_cancelled:
                return replace(life, pid=None, error=None)  # no failure that counts
            trouble = f"Launch failed at the {step}: {reason}."
            return replace(
                _record_failure(life, context, 0.0, remote=remote), pid=None, error=trouble
            )
        case ev.Exited(status, cpu) | ev.ExitedWithRemnants(status, cpu=cpu):
            return _record_exit(life, status, cpu, context)
        case ev.RemnantsGone():
            return replace(life, pid=None, run="", observed=True)
        case ev.LastOutput(lines):
            return replace(life, last_output=lines)
        case ev.StatusChanged(remark, outdated, restarting, found):
            life = replace(
                life, notice=remark, image_outdated=outdated, engine_restarting=restarting
            )
            if found is None:
                return life
            return _record_adoption(
                replace(life, pid=found.pid, run=found.run_id), found, context.now
            )
        case ev.ObservationLost(why):
            unknown = replace(
                life, run="", notice=None, image_outdated=False, engine_restarting=False
            )
            return replace(unknown, observed=False, error=why, unkillable=True)
        case ev.Escalate() | ev.DeadlineReached():
            return life


def _restart_requested(life: InstanceRecord, context: TransitionInput) -> InstanceRecord:
    """Take down that what runs is to be ended for a new run; a restart under way is joined."""
    if life.restart_of is not None:
        return life
    if life.state is State.BACKOFF:
        return replace(life, restart_of=NO_RUN, restart_denied=None)
    # A deliberate end ends a streak, as that by a stop does.
    life = replace(life, next_start_at=context.now.monotonic, restart_denied=None)
    life = replace(life, consecutive_failures=0, failed_run=None, backoff=NO_BACKOFF)
    # A process needs nothing that it had not before; and what is being ended goes on with that.
    prepared = life.spec.kind is Kind.HOST or life.state in STOPPING_STATES
    return replace(life, restart_of=life.run or ANY_RUN, prepared=prepared)


def _record_run(life: InstanceRecord, run: str) -> InstanceRecord:
    """Take down which run is alive: that which a restart has to end, or the new one."""
    life = replace(life, run=run, restart_denied=None)
    if life.restart_of is None:
        return life
    if life.restart_of == NO_RUN or (run and life.restart_of not in (run, ANY_RUN)):
        return replace(life, restart_of=None, prepared=False)
    return replace(life, restart_of=run or ANY_RUN)


def _record_exit(
    life: InstanceRecord, status: ExitStatus, cpu: float | None, context: TransitionInput
) -> InstanceRecord:
    began = life.started_at or context.now
    expected = life.must_stop or life.state in STOPPING_STATES
    exited = LastExit(status, context.now, expected, context.now.monotonic - began.monotonic)
    life = replace(life, pid=None, run="", last_exit=exited, last_output=(), observed=True)
    # What nobody manages may end when it likes.
    if expected or life.target is not Target.UP:
        return life
    return _record_failure(life, context, cpu)


def _record_failure(
    life: InstanceRecord, context: TransitionInput, cpu: float | None, *, remote: bool = False
) -> InstanceRecord:
    """Count a failure and set the earliest next launch.

    Args:
        life: Of the instance.
        context: When, and who else fails.
        cpu: Seconds of CPU that it took; None if unknown: as much as the time before, then.
        remote: Whether what is missing has to come from elsewhere.
    """
    restart, now = context.policy.restart, context.now.monotonic
    lasted = now - life.started_at.monotonic if life.started_at else 0.0
    streak = restart.count_failure(life.consecutive_failures, lasted)
    if lasted >= restart.stable_after:
        cpu = 0.0  # it was at work; what that costs is nobody's business
    elif cpu is None:
        cpu = life.failed_run.cpu if life.failed_run else 0.0
    run = FailedRun(cpu, lasted, now, context.chance)
    backoff = _decide(life, run, streak, life.backoff.rounds, context)
    elsewhere = restart.delay(streak, context.chance, remote=True) if remote else 0.0
    delay = max(backoff.delay, elsewhere)
    return replace(
        life,
        consecutive_failures=streak,
        failed_run=run,
        backoff=backoff,
        unexpected_exits=(*recent_exits(life.unexpected_exits, now), now),
        next_start_at=now + delay,
    )


def reconsider_backoff(life: InstanceRecord, context: TransitionInput) -> InstanceRecord:
    """Its pause is over: make it longer if more agents fail by now than when it was decided."""
    run = life.failed_run
    if run is None or run.jitter_sample is None:
        return life
    rounds = life.backoff.rounds - bool(life.backoff.reason)
    backoff = _decide(life, run, life.consecutive_failures, rounds, context)
    not_before = max(life.next_start_at, run.ended_at + backoff.delay)
    return replace(life, backoff=backoff, next_start_at=not_before)


def _decide(
    life: InstanceRecord, run: FailedRun, streak: int, rounds: int, context: TransitionInput
) -> Backoff:
    restart, budget = context.policy.restart, context.policy.budget
    others = _others_failing(life, context)
    return decide_backoff(restart, budget, run, others, streak=streak, rounds=rounds)


def _others_failing(life: InstanceRecord, context: TransitionInput) -> list[FailedRun]:
    """The latest failed runs of the others; who has run for long since then fails no more."""
    settled = context.now.monotonic - context.policy.restart.stable_after
    return [
        other.failed_run
        for instance_id, other in context.failing.items()
        if instance_id != life.spec.instance_id
        and other.failed_run is not None
        and not (
            other.state is State.UP and other.started_at and other.started_at.monotonic <= settled
        )
    ]


def _record_adoption(life: InstanceRecord, found: ObservedRun, now: Timestamp) -> InstanceRecord:
    """An earlier manager launched it: then, and from the entry of then."""
    age = max(0.0, now.wall - found.started_at)
    began = Timestamp(now.monotonic - age, found.started_at)
    return replace(life, started_at=began, running_fingerprint=found.fingerprint)
