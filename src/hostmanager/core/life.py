"""What is known of one instance, and how an event adds to it.

`Life` is all there is to know; `absorb` is the only function that takes an event down in it.
What to *do* about it is the business of `lifecycle`, whose docstring tells what the states mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus, Moment
from hostmanager.core.model import Found, InstanceSpec, Kind, Target
from hostmanager.core.policy import Policy, recent
from hostmanager.core.restart_budget import NO_BACKOFF, Backoff, FailedRun, decide


class State(StrEnum):
    """The rows of the transition table."""

    DOWN = "down"
    BLOCKED = "blocked"
    WAITING = "waiting"
    STARTING = "starting"
    UP = "up"
    UNSEEN = "unseen"
    STOPPING = "stopping"
    TERMINATING = "terminating"
    KILLING = "killing"


AT_REST = frozenset({State.DOWN, State.BLOCKED})
NOTHING_ALIVE = frozenset({State.DOWN, State.BLOCKED, State.WAITING})
ENDING = frozenset({State.STOPPING, State.TERMINATING, State.KILLING})


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
    at: Moment
    expected: bool
    ran_for: float


@dataclass(frozen=True, slots=True)
class Life:
    """All that is known of one instance.

    Attributes:
        spec: What the site file says of it.
        target: What is wanted.
        state: See the module.
        pending: What takes its place once nothing of it is alive.
        retiring: Whether it is forgotten once nothing of it is alive.
        pid: Process id while alive, else None.
        launched: When the latest launch was asked for.
        launched_as: Fingerprint of the spec that it was launched with.
        deadline: When the state wants to be woken (monotonic seconds), or None.
        not_before: Earliest next launch (monotonic seconds).
        streak: Failures in a row.
        failed_run: The latest of them, as long as the streak may go on; None if it failed before
            anything ran.
        backoff: What was decided after it.
        exits: Times of the unexpected exits that still count (monotonic seconds).
        restarts: Launches that answered a failure, since it was tracked.
        last_exit: How the latest run ended.
        last_output: The last lines that the run of `last_exit` wrote.
        stuck: Whether nothing more can be done about it: it was killed and did not end in
            time, or its launch hangs. Nobody has to wait for it.
        trouble: What is wrong right now, for people; None when nothing is.
        seen: Whether its driver has told if it is alive. Counts only for kinds that others may
            start and end, too; what is a process of ours is always known.
        remark: What people should know of it while it is alive (paused, unhealthy), or None.
        outdated: Whether it runs from something else than a new launch would take.
        restarting: Whether it has ended and somebody else starts it again.
        called_off: Whether its launch, under way, was told to come to nothing.
    """

    spec: InstanceSpec
    target: Target
    state: State = State.DOWN
    pending: InstanceSpec | None = None
    retiring: bool = False
    pid: int | None = None
    launched: Moment | None = None
    launched_as: str = ""
    deadline: float | None = None
    not_before: float = 0.0
    streak: int = 0
    failed_run: FailedRun | None = None
    backoff: Backoff = NO_BACKOFF
    exits: tuple[float, ...] = ()
    restarts: int = 0
    last_exit: LastExit | None = None
    last_output: tuple[str, ...] = ()
    stuck: bool = False
    trouble: str | None = None
    seen: bool = False
    remark: str | None = None
    outdated: bool = False
    restarting: bool = False
    called_off: bool = False

    @property
    def must_end(self) -> bool:
        """Whether a live process of this instance has no right to go on."""
        return self.target is Target.DOWN or self.pending is not None or self.retiring

    @property
    def failing(self) -> bool:
        """Whether it is wanted up, and its latest run failed: it shares the CPU budget of such."""
        return self.streak > 0 and self.failed_run is not None and not self.must_end

    @property
    def in_the_dark(self) -> bool:
        """Whether its driver has to be asked before anything can be decided."""
        return self.spec.kind is Kind.DOCKER and not self.seen

    @property
    def restart_required(self) -> bool:
        """Whether it runs from another entry, or another image, than today's."""
        then, now = self.launched_as, self.spec.fingerprint
        # Of what others made, or of what only its lock tells, it may not be known from what.
        return self.state is State.UP and (self.outdated or bool(then and now and then != now))


@dataclass(frozen=True, slots=True)
class Context:
    """What a move may look at beside the life itself.

    Attributes:
        failing: The failing instances of the host, by instance-id.
    """

    event: ev.Event
    now: Moment
    chance: float
    policy: Policy
    failing: Mapping[str, Life] = field(default_factory=dict)


def absorb(life: Life, context: Context) -> Life:  # noqa: PLR0911, PLR0912 - one for each event
    """Take down what the event tells."""
    match context.event:
        case ev.WantUp():
            return replace(life, target=Target.UP)
        case ev.WantDown():
            # A deliberate stop ends a streak: who starts it again means it.
            down = replace(life, target=Target.DOWN, not_before=context.now.mono)
            return replace(down, streak=0, failed_run=None, backoff=NO_BACKOFF)
        case ev.Update(spec):
            if life.pending is not None:
                return replace(life, pending=spec)
            return replace(life, spec=spec)
        case ev.Replace(spec, target):
            target = target or spec.initial_target
            return replace(life, pending=spec, target=target, retiring=False)
        case ev.Retire():
            return replace(life, target=Target.DOWN, retiring=True, pending=None)
        case ev.Launched(pid, found):
            life = replace(life, pid=pid, trouble=None, stuck=False, seen=True)
            return life if found is None else _taken_over(life, found, context.now)
        case ev.LaunchFailed(step, reason):
            if life.in_the_dark:
                return life  # it failed because nothing answers; what is alive is told later
            if life.must_end or life.called_off:
                return replace(life, pid=None, trouble=None)  # no failure that counts
            trouble = f"Launch failed at the {step}: {reason}."
            return replace(_failure(life, context, 0.0), pid=None, trouble=trouble)
        case ev.Ended(status, cpu) | ev.LeftBehind(status, cpu=cpu):
            return _exited(life, status, cpu, context)
        case ev.Gone():
            return replace(life, pid=None, seen=True)
        case ev.Output(lines):
            return replace(life, last_output=lines)
        case ev.Condition(remark, outdated, restarting, found):
            life = replace(life, remark=remark, outdated=outdated, restarting=restarting)
            if found is None:
                return life
            return _taken_over(replace(life, pid=found.pid), found, context.now)
        case ev.LostSight(why):
            unknown = replace(life, remark=None, outdated=False, restarting=False)
            return replace(unknown, seen=False, trouble=why, stuck=True)
        case ev.Hurry() | ev.TimerFired():
            return life


def _exited(life: Life, status: ExitStatus, cpu: float | None, context: Context) -> Life:
    began = life.launched or context.now
    expected = life.must_end or life.state in ENDING
    exited = LastExit(status, context.now, expected, context.now.mono - began.mono)
    life = replace(life, pid=None, last_exit=exited, last_output=(), seen=True)
    # What nobody manages may end when it likes.
    if expected or life.target is not Target.UP:
        return life
    return _failure(life, context, cpu)


def _failure(life: Life, context: Context, cpu: float | None) -> Life:
    """Count a failure and set the earliest next launch.

    Args:
        life: Of the instance.
        context: When, and who else fails.
        cpu: Seconds of CPU that it took; None if unknown: as much as the time before, then.
    """
    restart, now = context.policy.restart, context.now.mono
    lasted = now - life.launched.mono if life.launched else 0.0
    streak = restart.streak_after(life.streak, lasted)
    if lasted >= restart.settled_after:
        cpu = 0.0  # it was at work; what that costs is nobody's business
    elif cpu is None:
        cpu = life.failed_run.cpu if life.failed_run else 0.0
    run = FailedRun(cpu, lasted)
    backoff = decide(
        restart,
        context.policy.budget,
        run,
        _others_failing(life, context),
        streak=streak,
        rounds=life.backoff.rounds,
        chance=context.chance,
    )
    return replace(
        life,
        streak=streak,
        failed_run=run,
        backoff=backoff,
        exits=(*recent(life.exits, now), now),
        not_before=now + backoff.delay,
    )


def _others_failing(life: Life, context: Context) -> list[FailedRun]:
    """The latest failed runs of the others; who has run for long since then fails no more."""
    settled = context.now.mono - context.policy.restart.settled_after
    return [
        other.failed_run
        for instance_id, other in context.failing.items()
        if instance_id != life.spec.instance_id
        and other.failed_run is not None
        and not (other.state is State.UP and other.launched and other.launched.mono <= settled)
    ]


def _taken_over(life: Life, found: Found, now: Moment) -> Life:
    """An earlier manager launched it: then, and from the entry of then."""
    age = max(0.0, now.wall - found.since)
    began = Moment(now.mono - age, found.since)
    return replace(life, launched=began, launched_as=found.fingerprint)
