"""What operators read of starting, failing and stopping, in the terms of each kind of instance."""

from dataclasses import dataclass

from hostmanager.core import events as ev
from hostmanager.core.events import StopStage
from hostmanager.core.model import InstanceSpec, Kind
from hostmanager.core.record import InstanceRecord, State
from hostmanager.util.text import format_duration, pluralize


@dataclass(frozen=True, slots=True)
class KindMessages:
    """The messages for one kind; each completes the sentence "the instance …".

    Attributes:
        stop_requested: How it was asked to stop.
        next_stage: What follows if that has no effect.
        slow_launch: Why its launch may take long.
        stage_timed_out: What it did not do, for each of the stages that can time out.
        started_by_other: Why it is stopped although nobody requested that.
        unkillable: Why a kill may have no effect, and where to look.
    """

    stop_requested: str
    next_stage: str
    slow_launch: str
    stage_timed_out: dict[StopStage, str]
    started_by_other: str
    unkillable: str


PROCESS = KindMessages(
    stop_requested="Asked to stop (SIGINT)",
    next_stage="its process group gets SIGTERM",
    slow_launch="its launch has not been completed for {timeout:g} s; is a disk hanging?",
    stage_timed_out={
        StopStage.INTERRUPT: (
            "did not stop on SIGINT; SIGTERM to its process group, SIGKILL in {timeout:g} s"
        ),
        StopStage.TERMINATE: "did not end on SIGTERM; SIGKILL to its process group",
    },
    started_by_other="was started by somebody else, but its target is down; it is stopped",
    unkillable=(
        "does not end although it was killed; it is probably in an uninterruptible wait in "
        "the kernel (a dead disk, network file system or driver): see `ps -o pid,stat,wchan`"
    ),
)

SERVICE = KindMessages(
    stop_requested="Its container was asked to stop",
    next_stage="it is killed",
    slow_launch=(
        "`docker compose up` has not finished for {timeout:g} s; it may be pulling or building "
        "the image"
    ),
    stage_timed_out={
        StopStage.INTERRUPT: (
            "did not stop within its stop timeout; its container is killed, "
            "and killed again in {timeout:g} s"
        ),
        StopStage.TERMINATE: "did not end although its container was killed; it is killed again",
    },
    started_by_other=(
        "its container was started by somebody else, but its target is down; it is stopped (an "
        "entry with `host-manager: {manual: true}` is left alone)"
    ),
    unkillable=(
        "does not end although its container was killed several times; see `docker inspect`, "
        "and the log of the Docker Engine"
    ),
)

ENGINE_KILL_MARGIN = 5.0
"""Seconds beyond its grace period that a container may take: the engine kills it by itself."""


def messages_for(spec: InstanceSpec) -> KindMessages:
    """The messages for an instance."""
    return SERVICE if spec.kind is Kind.DOCKER else PROCESS


def stop_timeout(spec: InstanceSpec, interrupt: float) -> float:
    """Seconds that an instance has from being asked to stop until it is ended by force.

    Args:
        spec: What the instance is.
        interrupt: What the policy gives a process without a setting of its own.
    """
    if spec.kind is Kind.DOCKER:
        return spec.container_stop_timeout + ENGINE_KILL_MARGIN
    return interrupt if spec.settings.stop_timeout is None else spec.settings.stop_timeout


def failure_text(record: InstanceRecord, event: ev.LaunchFailed | ev.Exited, now: float) -> str:
    """Describe a failure, and what follows.

    Args:
        record: Of the instance, with the state that follows.
        event: The failure.
        now: Monotonic seconds.
    """
    failures = record.failures
    if isinstance(event, ev.LaunchFailed):
        text = f"could not be launched: {event.step}: {event.reason}"
    elif record.last_exit is not None:
        text = f"{event.status} after {format_duration(record.last_exit.ran_for)}"
    else:
        text = str(event.status)
    if failures.consecutive > 1:
        text += f" ({failures.consecutive} failures in a row)"
    delay = max(0.0, failures.next_start_at - now)
    is_immediate = record.state is State.STARTING
    text += "; restarting now" if is_immediate else f"; restarting in {format_duration(delay)}"
    return f"{text}. {failures.backoff.reason}" if failures.backoff.reason else text


def given_up_text(record: InstanceRecord) -> str:
    """Say that an instance is not restarted any more, why, and what to do."""
    settings = record.spec.settings
    count = pluralize(settings.restart_give_up_failures, "failure")
    within = f"{settings.restart_give_up_within:g} s"
    return (
        f"not restarted any more after {count} within {within}. When the cause is fixed, "
        f"`hostmanager up {record.spec.instance_id}` starts it"
    )


def should_report(consecutive: int) -> bool:
    """Whether a failure is reported: the first in a row are, then those at powers of two."""
    return consecutive <= 3 or not consecutive & (consecutive - 1)
