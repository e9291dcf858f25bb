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
NO_RUN, ANY_RUN = "", "?"
"""In place of the run that a restart has to end: none is left; whichever is reported next."""

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
        run: The identity of what runs, see `Found`; empty if nothing does or it is not known.
        restart_of: The run that a requested restart has to end; `NO_RUN` once it has ended and
            only the new one is to come; `ANY_RUN` if it is not known yet. None: no restart is
            under way. It is over as soon as the new run exists.
        prepared: Whether what the new run needs is here, so that what runs may be ended for it.
        not_restarted: Why the latest restart that was requested was not made, as a sentence
            without a full stop; None if it was.
        launch_begun: Whether its launch, under way, has begun; it may have to wait for its turn.
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
    run: str = ""
    restart_of: str | None = None
    prepared: bool = False
    not_restarted: str | None = None
    launch_begun: bool = False

    @property
    def must_end(self) -> bool:
        """Whether a live process of this instance has no right to go on."""
        unwanted = self.target is Target.DOWN or self.pending is not None or self.retiring
        return unwanted or (bool(self.restart_of) and self.prepared)

    @property
    def must_be_prepared(self) -> bool:
        """Whether it waits for its restart until it is sure that it can be launched again."""
        return bool(self.restart_of) and not self.prepared and not self.must_end

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


def why_not_restarted(life: Life) -> str | None:
    """Why a restart of an instance would make no sense now, for people; None if it makes some."""
    obstacle = (life.pending or life.spec).obstacle
    if life.retiring:
        return "it is no longer in the site config, and is being stopped"
    if obstacle is not None:
        return obstacle
    if life.target is Target.DOWN:
        return "it is wanted down"
    if life.target is Target.PASSIVE and life.state is not State.UP and life.restart_of is None:
        return "it does not run, and nobody manages it"
    return None


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
            down = replace(down, streak=0, failed_run=None, backoff=NO_BACKOFF)
            return replace(down, restart_of=None, prepared=False)
        case ev.Update(spec):
            if life.pending is not None:
                return replace(life, pending=spec)
            return replace(life, spec=spec)
        case ev.Replace(spec, target):
            life = replace(life, pending=spec, target=target or spec.initial_target, retiring=False)
            # What takes its place is a new run, too.
            return (
                life if life.target is Target.UP else replace(life, restart_of=None, prepared=False)
            )
        case ev.Retire():
            gone = replace(life, target=Target.DOWN, retiring=True, pending=None)
            return replace(gone, restart_of=None, prepared=False)
        case ev.RestartRequested():
            return life if why_not_restarted(life) else _restart_requested(life, context)
        case ev.Launched(pid, found, run):
            life = replace(life, pid=pid, trouble=None, stuck=False, seen=True)
            life = _identified(life, run or (found.run if found else ""))
            return life if found is None else _taken_over(life, found, context.now)
        case ev.Prepared():
            waits = life.state is State.UP and bool(life.restart_of)
            return replace(life, prepared=True) if waits else life
        case ev.PrepareFailed(reason):
            if life.state is not State.UP or not life.must_be_prepared:
                return life
            return replace(life, restart_of=None, not_restarted=reason)
        case ev.LaunchFailed(step, reason, remote):
            if life.in_the_dark:
                return life  # it failed because nothing answers; what is alive is told later
            if life.must_end or life.called_off:
                return replace(life, pid=None, trouble=None)  # no failure that counts
            trouble = f"Launch failed at the {step}: {reason}."
            return replace(_failure(life, context, 0.0, remote=remote), pid=None, trouble=trouble)
        case ev.Ended(status, cpu) | ev.LeftBehind(status, cpu=cpu):
            return _exited(life, status, cpu, context)
        case ev.Gone():
            return replace(life, pid=None, run="", seen=True)
        case ev.Output(lines):
            return replace(life, last_output=lines)
        case ev.Condition(remark, outdated, restarting, found):
            life = replace(life, remark=remark, outdated=outdated, restarting=restarting)
            if found is None:
                return life
            return _taken_over(replace(life, pid=found.pid, run=found.run), found, context.now)
        case ev.LostSight(why):
            unknown = replace(life, run="", remark=None, outdated=False, restarting=False)
            return replace(unknown, seen=False, trouble=why, stuck=True)
        case ev.Hurry() | ev.TimerFired():
            return life


def _restart_requested(life: Life, context: Context) -> Life:
    """Take down that what runs is to be ended for a new run; a restart under way is joined."""
    if life.restart_of is not None:
        return life
    if life.state is State.WAITING:
        return replace(life, restart_of=NO_RUN, not_restarted=None)
    # A deliberate end ends a streak, as that by a stop does.
    life = replace(life, not_before=context.now.mono, not_restarted=None)
    life = replace(life, streak=0, failed_run=None, backoff=NO_BACKOFF)
    # A process needs nothing that it had not before; and what is being ended goes on with that.
    prepared = life.spec.kind is Kind.HOST or life.state in ENDING
    return replace(life, restart_of=life.run or ANY_RUN, prepared=prepared)


def _identified(life: Life, run: str) -> Life:
    """Take down which run is alive: that which a restart has to end, or the new one."""
    life = replace(life, run=run, not_restarted=None)
    if life.restart_of is None:
        return life
    if life.restart_of == NO_RUN or (run and life.restart_of not in (run, ANY_RUN)):
        return replace(life, restart_of=None, prepared=False)
    return replace(life, restart_of=run or ANY_RUN)


def _exited(life: Life, status: ExitStatus, cpu: float | None, context: Context) -> Life:
    began = life.launched or context.now
    expected = life.must_end or life.state in ENDING
    exited = LastExit(status, context.now, expected, context.now.mono - began.mono)
    life = replace(life, pid=None, run="", last_exit=exited, last_output=(), seen=True)
    # What nobody manages may end when it likes.
    if expected or life.target is not Target.UP:
        return life
    return _failure(life, context, cpu)


def _failure(life: Life, context: Context, cpu: float | None, *, remote: bool = False) -> Life:
    """Count a failure and set the earliest next launch.

    Args:
        life: Of the instance.
        context: When, and who else fails.
        cpu: Seconds of CPU that it took; None if unknown: as much as the time before, then.
        remote: Whether what is missing has to come from elsewhere.
    """
    restart, now = context.policy.restart, context.now.mono
    lasted = now - life.launched.mono if life.launched else 0.0
    streak = restart.streak_after(life.streak, lasted)
    if lasted >= restart.settled_after:
        cpu = 0.0  # it was at work; what that costs is nobody's business
    elif cpu is None:
        cpu = life.failed_run.cpu if life.failed_run else 0.0
    run = FailedRun(cpu, lasted, now, context.chance)
    backoff = _decide(life, run, streak, life.backoff.rounds, context)
    elsewhere = restart.delay(streak, context.chance, remote=True) if remote else 0.0
    delay = max(backoff.delay, elsewhere)
    return replace(
        life,
        streak=streak,
        failed_run=run,
        backoff=backoff,
        exits=(*recent(life.exits, now), now),
        not_before=now + delay,
    )


def decide_again(life: Life, context: Context) -> Life:
    """Its pause is over: make it longer if more agents fail by now than when it was decided."""
    run = life.failed_run
    if run is None or run.chance is None:
        return life
    rounds = life.backoff.rounds - bool(life.backoff.reason)
    backoff = _decide(life, run, life.streak, rounds, context)
    not_before = max(life.not_before, run.ended_at + backoff.delay)
    return replace(life, backoff=backoff, not_before=not_before)


def _decide(life: Life, run: FailedRun, streak: int, rounds: int, context: Context) -> Backoff:
    restart, budget = context.policy.restart, context.policy.budget
    others = _others_failing(life, context)
    return decide(restart, budget, run, others, streak=streak, rounds=rounds)


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
