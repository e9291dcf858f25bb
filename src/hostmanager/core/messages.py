"""How the means of ending and launching are called, for each kind of instance.

The lifecycle is the same for processes and compose services; what people read of it is not.
"""

from dataclasses import dataclass

from hostmanager.core.events import StopStage
from hostmanager.core.model import InstanceSpec, Kind


@dataclass(frozen=True, slots=True)
class KindMessages:
    """What to say of one kind; each completes the sentence "the instance …".

    Attributes:
        stop_requested: How it was asked to stop.
        next_stage: What follows if that does not help.
        slow_launch: Why its launch may take long.
        stage_timed_out: What it did not do, for each of the steps that can fail.
        unkillable: Why a kill may not work, and where to look.
    """

    stop_requested: str
    next_stage: str
    slow_launch: str
    stage_timed_out: dict[StopStage, str]
    unkillable: str


PROCESS = KindMessages(
    stop_requested="Asked to stop (SIGINT)",
    next_stage="its process group gets SIGTERM",
    slow_launch="its launch has not been completed for {patience:g} s; is a disk hanging?",
    stage_timed_out={
        StopStage.INTERRUPT: (
            "did not stop on SIGINT; SIGTERM to its process group, SIGKILL in {patience:g} s"
        ),
        StopStage.TERMINATE: "did not end on SIGTERM; SIGKILL to its process group",
    },
    unkillable=(
        "does not end although it was killed; it probably sits in an uninterruptible wait in "
        "the kernel (a dead disk, network file system or driver): see `ps -o pid,stat,wchan`"
    ),
)

SERVICE = KindMessages(
    stop_requested="Its container was asked to stop",
    next_stage="it is killed",
    slow_launch=(
        "`docker compose up` has not come to its end for {patience:g} s; it may be pulling or "
        "building the image"
    ),
    stage_timed_out={
        StopStage.INTERRUPT: (
            "did not stop within the time that its compose file gives it; its container is killed, "
            "and killed again in {patience:g} s"
        ),
        StopStage.TERMINATE: "did not end although its container was killed; it is killed again",
    },
    unkillable=(
        "does not end although its container was killed several times; see `docker inspect`, "
        "and the log of the Docker Engine"
    ),
)

ENGINE_KILL_MARGIN = 5.0
"""Seconds beyond its grace period that a container may take: the engine kills it by itself."""

DEFAULT_STOP_GRACE = 10.0
"""Seconds that the Docker Engine gives a container to stop if nothing else is said."""


def messages_for(spec: InstanceSpec) -> KindMessages:
    """The words for an instance."""
    return SERVICE if spec.kind is Kind.DOCKER else PROCESS


def stop_timeout(spec: InstanceSpec, interrupt: float) -> float:
    """Seconds that an instance has from being asked to stop until it is ended by force.

    Args:
        spec: What the instance is.
        interrupt: What the policy gives a process.
    """
    if spec.kind is Kind.HOST:
        return interrupt
    return (DEFAULT_STOP_GRACE if spec.stop_grace is None else spec.stop_grace) + ENGINE_KILL_MARGIN
