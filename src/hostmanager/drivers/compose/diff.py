"""What is to be told of a service: what was told last, compared with what can be seen now.

Pure functions on plain data. A container that its own restart policy starts again has ended,
and is told to have; from then on it is alive in the engine's care, since nobody may start a
second one, and since it has to be stopped if it is not wanted. Its next run is told as a change of
its condition.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hostmanager.core.events import (
    Absent,
    Exited,
    ExitStatus,
    Launched,
    Observation,
    StatusChanged,
)
from hostmanager.core.model import InstanceSpec, ObservedRun, ServiceRef
from hostmanager.drivers.compose.container import Container, same_run
from hostmanager.drivers.compose.images import Images

RunKey = tuple[str, str]

_HALF_STARTED = re.compile(r"task [0-9a-f]{64}: already exists|\bid already in use\b")

NO_STATUS = StatusChanged()


@dataclass(frozen=True, slots=True)
class ReportedState:
    """What was told of an instance.

    Attributes:
        run: The run that was told to be alive; None if none was.
        restarting: Whether that had ended, and the engine was about to start it again.
        status: How it was told to be.
        report_due: Whether an answer is owed even if nothing has changed.
    """

    run: RunKey | None = None
    restarting: bool = False
    status: StatusChanged = NO_STATUS
    report_due: bool = True


@dataclass(frozen=True, slots=True)
class ObservedState:
    """What can be seen of a service.

    Attributes:
        spec: The instance that it is.
        service: The service.
        containers: All containers of its project that are alive or have been.
        images: Which images there are.
        exit_status: How the run ended that was told to be alive, in case it did.
        fingerprint_by_digest: The fingerprint of the spec that a container was made from, by its
            digest.
    """

    spec: InstanceSpec
    service: ServiceRef
    containers: Sequence[Container]
    images: Images
    exit_status: ExitStatus
    fingerprint_by_digest: Mapping[str, str]

    @property
    def alive(self) -> list[Container]:
        """Its containers that are alive, the one that stands for it first."""
        return [c for c in containers_of(self.service, self.containers) if c.alive]


ReportStep = tuple[ReportedState, Observation]


def containers_of(service: ServiceRef, among: Sequence[Container]) -> list[Container]:
    """The containers of a service, those that are alive first."""
    key = (service.project, service.name)
    own = [c for c in among if (c.project, c.service) == key and not c.oneoff]
    return sorted(own, key=lambda c: (not c.alive, c.number))


def diff_observations(told: ReportedState, seen: ObservedState) -> Iterator[ReportStep]:
    """What is to be told, step by step, each with what has been told then."""
    alive = seen.alive
    standing = _current_container(told, alive, seen.service.scale)
    if told.run is not None and standing is None:
        told = ReportedState(report_due=False)
        yield told, Exited(seen.exit_status)
    if told.run is None and alive:
        told = _reported_alive(alive[0])
        yield told, Launched(alive[0].pid, observed_run(seen, alive[0]))
    elif told.run is None and told.report_due:
        told = replace(told, report_due=False)
        yield told, Absent()
    elif standing is not None and told.report_due:
        told = _reported_alive(standing)
        yield told, Launched(standing.pid, observed_run(seen, standing))
    if told.run is not None:
        yield from _diff_status(told, seen, standing or alive[0])


def _current_container(told: ReportedState, alive: list[Container], scale: int) -> Container | None:
    """The container in which the run that was told goes on; None if it ended."""
    if told.run is None:
        return None
    same = next((c for c in alive if c.id == told.run[0]), None)
    if same is None:
        return alive[0] if alive and scale > 1 else None
    if told.restarting:
        return same  # its end was told already
    goes_on = same_run(same.run_key, told.run) and same.status != "restarting"
    return same if goes_on else None


def _reported_alive(container: Container) -> ReportedState:
    return ReportedState(container.run_key, container.status == "restarting", report_due=False)


def _diff_status(
    told: ReportedState, seen: ObservedState, container: Container
) -> Iterator[ReportStep]:
    restarting = container.status == "restarting"
    again = None
    if told.restarting and restarting and container.run_key != told.run:
        # It came up and ended again between two looks.
        again = observed_run(seen, container)
    elif container.run_key != told.run or (told.restarting and not restarting):
        again = observed_run(seen, container)
    outdated = is_outdated(seen, container)
    now = StatusChanged(status_notice(seen, container), outdated, restarting)
    told = replace(told, run=container.run_key, restarting=restarting)
    if now != told.status or again is not None:
        yield replace(told, status=now), replace(now, new_run=again)


def observed_run(seen: ObservedState, container: Container) -> ObservedRun:
    """What runs, and from what it was made, as far as that is known."""
    made_as = container.digest
    if made_as != seen.spec.fingerprint and not seen.service.digest_comparable:
        made_as = seen.fingerprint_by_digest.get(container.digest, "")
    return ObservedRun(
        *(container.pid, container.started_at, made_as, seen.spec.agent_class),
        run_id=container.run_id,
    )


def is_outdated(seen: ObservedState, container: Container) -> bool:
    """Whether the name of its image means another image by now (contract, section 5)."""
    now = seen.images.id_of(seen.service.image or container.image)
    return now is not None and now != container.image_id


def status_notice(seen: ObservedState, container: Container) -> str | None:
    """What people should know of how it is; None if all is well."""
    sentences = []
    if container.from_list_only:
        sentences.append(
            "The Docker Engine does not answer questions about its container; this is what "
            "its list says."
        )
    if container.status == "restarting":
        sentences.append(
            f"It {container.exit_status}; the Docker Engine starts it again by itself, as the "
            "restart policy in its compose file says."
        )
    if container.status == "paused":
        sentences.append(f"It is paused; `docker unpause {container.name}` lets it go on.")
    if container.health == "unhealthy":
        why = f": {container.health_output}" if container.health_output else ""
        sentences.append(f"It is unhealthy, says its health check{why}.")
    alive, scale = len(seen.alive), seen.service.scale
    if alive < scale:
        sentences.append(f"Only {alive} of its {scale} containers run.")
    missing = [name for name in seen.service.depends_on if not _is_running(seen, name)]
    if missing:
        does = "do" if len(missing) > 1 else "does"
        sentences.append(f"It depends on {', '.join(missing)}, which {does} not run.")
    return " ".join(sentences) or None


def is_half_started(reason: str) -> bool:
    """Whether `up` failed because the engine was ended while it started the container."""
    return _HALF_STARTED.search(reason) is not None


def with_hint(reason: str, container: Container) -> str:
    """Say what helps against that, since compose's own words do not."""
    return (
        f"{reason}. The Docker Engine was ended while it started this container, and has lost "
        f"track of that; if no process of it is left, `docker rm -f {container.name}` helps"
    )


def _is_running(seen: ObservedState, name: str) -> bool:
    project = seen.service.project
    return any(c.alive and (c.project, c.service) == (project, name) for c in seen.containers)
