"""What is known of one instance, as frozen plain data.

An `InstanceRecord` has the spec, the target and the state of an instance, and four groups: the
change that was requested, the current run, the failures so far, and what the driver observes.
`transitions.record_update` tells how an event changes it; `transitions.table` what the states mean
and what to do.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from hostmanager.core.events import ExitStatus, Timestamp
from hostmanager.core.model import InstanceSettings, InstanceSpec, Kind, Target
from hostmanager.core.restart_budget import NO_BACKOFF, Backoff, FailedRun


class State(StrEnum):
    """The rows of the transition table. The values are in journals on disk: they stay."""

    DOWN = "down"
    INOPERABLE = "blocked"
    BACKOFF = "waiting"
    GIVEN_UP = "given_up"
    STARTING = "starting"
    UP = "up"
    UNOBSERVED = "unseen"
    STOPPING = "stopping"
    TERMINATING = "terminating"
    KILLING = "killing"


RESTING_STATES = frozenset({State.DOWN, State.INOPERABLE, State.GIVEN_UP})
NOT_RUNNING_STATES = frozenset({*RESTING_STATES, State.BACKOFF})
STOPPING_STATES = frozenset({State.STOPPING, State.TERMINATING, State.KILLING})

NO_RUN, ANY_RUN = "", "?"
"""In place of the run that a restart has to end: it has ended; whichever is reported next."""


@dataclass(frozen=True, slots=True)
class LastExit:
    """The end of the latest run.

    Attributes:
        status: Exit code or signal.
        at: When.
        expected: Whether it was being stopped at the time, or is a one-shot that is done.
        ran_for: Length of the run, seconds.
    """

    status: ExitStatus
    at: Timestamp
    expected: bool
    ran_for: float


@dataclass(frozen=True, slots=True)
class Completion:
    """A one-shot that is done: it ended with exit code 0, and nobody has asked for it since.

    Attributes:
        at: When (Unix time).
        fingerprint: Fingerprint of the spec that it ran with; empty if not known.
    """

    at: float
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """What was requested of an instance beside its target, and is not done yet.

    Attributes:
        replacement: The spec that takes its place once nothing of it is alive.
        removing: Whether it is removed once nothing of it is alive.
        restart_of: The id of the run that a requested restart has to end; `NO_RUN` once it has
            ended and only the new run is missing; `ANY_RUN` if it is not known yet. None: no
            restart is under way. A restart is over as soon as the new run exists.
        prepared: Whether all that the new run needs is here, so that the old one may be ended.
        restart_denied: Why the latest requested restart was not made, as a sentence without a
            full stop; None if it was.
        is_held: Whether the requested stop or restart waits for those that come after it.
    """

    replacement: InstanceSpec | None = None
    removing: bool = False
    restart_of: str | None = None
    prepared: bool = False
    restart_denied: str | None = None
    is_held: bool = False

    def without_restart(self) -> "ChangeRequest":
        """The request without its restart."""
        return replace(self, restart_of=None, prepared=False, is_held=False)


@dataclass(frozen=True, slots=True)
class CurrentRun:
    """The run that is alive or being launched; else what is left of the latest one.

    Attributes:
        pid: Process id while alive, else None.
        run_id: See `ObservedRun`; empty if nothing runs or it is not known.
        started_at: When its launch was requested.
        fingerprint: Fingerprint of the spec that it was launched with.
        settings: The settings that it was launched with; None if not known.
        launch_begun: Whether its launch has begun; launches may have to queue.
        launch_cancelled: Whether its launch, under way, was cancelled.
    """

    pid: int | None = None
    run_id: str = ""
    started_at: Timestamp | None = None
    fingerprint: str = ""
    settings: InstanceSettings | None = None
    launch_begun: bool = False
    launch_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class FailureHistory:
    """The failures of an instance, and when it may be launched again.

    Attributes:
        consecutive: Failures in a row.
        last_run: The latest failed run, as long as the streak may go on; None if it failed
            before anything ran.
        backoff: The decision after the latest failure.
        exit_times: Times of the unexpected exits that still count (monotonic seconds).
        restarts: Failures that were followed by a launch, since the instance was tracked.
        is_followed: Whether the latest failure has been; its launch may have to be repeated.
        next_start_at: Earliest next launch (monotonic seconds).
        counted: Times of the failures that count towards giving up (monotonic seconds).
    """

    consecutive: int = 0
    last_run: FailedRun | None = None
    backoff: Backoff = NO_BACKOFF
    exit_times: tuple[float, ...] = ()
    restarts: int = 0
    is_followed: bool = False
    next_start_at: float = 0.0
    counted: tuple[float, ...] = ()

    def end_streak(self, now: float) -> "FailureHistory":
        """The failures after a deliberate stop: a later start is deliberate, too."""
        return replace(
            self, consecutive=0, last_run=None, backoff=NO_BACKOFF, next_start_at=now, counted=()
        )

    def count(self, settings: InstanceSettings, now: float) -> tuple[float, ...]:
        """The failures that count, with one that happens now; no more than have to be known."""
        limit, within = settings.restart_give_up_failures, settings.restart_give_up_within
        recent = (at for at in self.counted if now - at <= within)
        return (*recent, now)[-limit:] if limit else ()


@dataclass(frozen=True, slots=True)
class ObservedStatus:
    """What the driver reports beside starts and ends.

    Attributes:
        known: Whether the driver has reported if it is alive. Counts only for kinds that others
            may start and stop as well; the state of our own processes is always known.
        notice: What operators should know while it is alive (paused, unhealthy), or None.
        image_outdated: Whether it runs from another image than a new launch would use.
        engine_restarting: Whether it has ended and the engine starts it again.
        settings_at_restart: Keys of changed settings that only a new run can have.
    """

    known: bool = False
    notice: str | None = None
    image_outdated: bool = False
    engine_restarting: bool = False
    settings_at_restart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """All that is known of one instance.

    Attributes:
        spec: Its entry in the site config and compose file.
        target: The state that is requested.
        state: See `transitions`.
        deadline: When the state times out (monotonic seconds), or None.
        error: What is wrong right now, for operators; None when nothing is.
        unkillable: Whether nothing more can be done about it: it was killed and did not end in
            time, or its launch hangs. Nobody has to wait for it.
        last_exit: How the latest run ended.
        last_output: The last lines that the run of `last_exit` wrote.
        request: The change that was requested.
        run: The current run.
        failures: The failures so far.
        observation: What the driver reports.
        completion: That it is done, if it is a one-shot; then its target is not up.
    """

    spec: InstanceSpec
    target: Target
    state: State = State.DOWN
    deadline: float | None = None
    error: str | None = None
    unkillable: bool = False
    last_exit: LastExit | None = None
    last_output: tuple[str, ...] = ()
    request: ChangeRequest = ChangeRequest()
    run: CurrentRun = CurrentRun()
    failures: FailureHistory = FailureHistory()
    observation: ObservedStatus = ObservedStatus()
    completion: Completion | None = None

    @property
    def must_stop(self) -> bool:
        """Whether a live process of this instance has to be ended."""
        request = self.request
        asked = self.target is Target.DOWN or self.is_restarting
        replaced = request.replacement is not None or request.removing
        return replaced or (asked and not request.is_held)

    @property
    def is_restarting(self) -> bool:
        """Whether the run of today is to be replaced by a new one, for which all is here."""
        return bool(self.request.restart_of) and self.request.prepared

    @property
    def needs_preparation(self) -> bool:
        """Whether its restart waits until it is sure that it can be launched again."""
        return bool(self.request.restart_of) and not self.request.prepared and not self.must_stop

    @property
    def failing(self) -> bool:
        """Whether it should be up and its latest run failed: it shares the CPU budget."""
        failures = self.failures
        return (
            failures.consecutive > 0
            and failures.last_run is not None
            and not self.must_stop
            and self.state is not State.GIVEN_UP
        )

    @property
    def fails_too_often(self) -> bool:
        """Whether it has failed as often as its settings allow: it is not restarted by itself."""
        limit = self.spec.settings.restart_give_up_failures
        return 0 < limit <= len(self.failures.counted)

    @property
    def is_unobserved(self) -> bool:
        """Whether its driver has to be asked before anything can be decided."""
        return self.spec.kind is Kind.DOCKER and not self.observation.known

    @property
    def restart_required(self) -> bool:
        """Whether it runs from another entry, or another image, than today's."""
        launched_with, current = self.run.fingerprint, self.spec.fingerprint
        # Of a run that others started, or that only its lock tells of, it may not be known.
        changed = bool(launched_with and current and launched_with != current)
        observed = self.observation
        outdated = changed or observed.image_outdated or bool(observed.settings_at_restart)
        return self.state is State.UP and outdated


def restart_denial_reason(record: InstanceRecord) -> str | None:
    """Why an instance cannot be restarted now, for operators; None if it can."""
    request = record.request
    obstacle = (request.replacement or record.spec).inoperable_reason
    if request.removing:
        return "it is no longer in the site config, and is being stopped"
    if obstacle is not None:
        return obstacle
    if record.completion is not None:
        return None
    if record.target is Target.DOWN:
        return "its target is down"
    is_idle = record.state is not State.UP and request.restart_of is None
    if record.target is Target.PASSIVE and is_idle:
        unasked = "it is manual" if record.spec.settings.manual else "no manager starts it"
        return f"it is not running, and {unasked}"
    return None
