"""What to report of a service: what is observed now, compared with what was reported last.

Pure functions on plain data. When the engine restarts a container by its own restart policy,
its exit is reported; from then on it counts as alive, since nobody may start a second one, and
since it has to be stopped if it is not wanted. Its next run is reported as a change of its status.
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
    """What was reported of an instance.

    Attributes:
        run: The run that was reported to be alive; None if there is none.
        restarting: Whether it had exited, and the engine was about to restart it.
        status: Its status as reported.
        report_due: Whether to report even if nothing has changed.
    """

    run: RunKey | None = None
    restarting: bool = False
    status: StatusChanged = NO_STATUS
    report_due: bool = True


@dataclass(frozen=True, slots=True)
class ObservedState:
    """What is observed of a service.

    Attributes:
        spec: Its instance.
        service: The service.
        containers: All containers of its project, alive or not.
        images: The images on the machine.
        exit_status: How the run ended that was reported to be alive, if it did.
        fingerprint_by_digest: The fingerprint of the spec that a container was created from, by
            its digest.
    """

    spec: InstanceSpec
    service: ServiceRef
    containers: Sequence[Container]
    images: Images
    exit_status: ExitStatus
    fingerprint_by_digest: Mapping[str, str]

    @property
    def alive(self) -> list[Container]:
        """Its containers that are alive, the one that represents it first."""
        return [c for c in containers_of(self.service, self.containers) if c.alive]


ReportStep = tuple[ReportedState, Observation]


def containers_of(service: ServiceRef, candidates: Sequence[Container]) -> list[Container]:
    """The containers of a service, those that are alive first."""
    key = (service.project, service.name)
    own = [c for c in candidates if (c.project, c.service) == key and not c.oneoff]
    return sorted(own, key=lambda c: (not c.alive, c.number))


def diff_observations(reported: ReportedState, observed: ObservedState) -> Iterator[ReportStep]:
    """What to report, step by step, each with the state that is reported then."""
    alive = observed.alive
    current = _current_container(reported, alive, observed.service.scale)
    if reported.run is not None and current is None:
        reported = ReportedState(report_due=False)
        yield reported, Exited(observed.exit_status)
    if reported.run is None and alive:
        reported = _reported_alive(alive[0])
        yield reported, Launched(alive[0].pid, observed_run(observed, alive[0]))
    elif reported.run is None and reported.report_due:
        reported = replace(reported, report_due=False)
        yield reported, Absent()
    elif current is not None and reported.report_due:
        reported = _reported_alive(current)
        yield reported, Launched(current.pid, observed_run(observed, current))
    if reported.run is not None:
        yield from _diff_status(reported, observed, current or alive[0])


def _current_container(
    reported: ReportedState, alive: list[Container], scale: int
) -> Container | None:
    """The container in which the reported run goes on; None if it ended."""
    if reported.run is None:
        return None
    same = next((c for c in alive if c.id == reported.run[0]), None)
    if same is None:
        return alive[0] if alive and scale > 1 else None
    if reported.restarting:
        return same  # its exit was reported already
    goes_on = same_run(same.run_key, reported.run) and same.status != "restarting"
    return same if goes_on else None


def _reported_alive(container: Container) -> ReportedState:
    return ReportedState(container.run_key, container.status == "restarting", report_due=False)


def _diff_status(
    reported: ReportedState, observed: ObservedState, container: Container
) -> Iterator[ReportStep]:
    restarting = container.status == "restarting"
    # Also if it came up and exited again between two observations.
    is_new_run = container.run_key != reported.run or (reported.restarting and not restarting)
    status = StatusChanged(
        status_notice(observed, container), is_outdated(observed, container), restarting
    )
    if is_new_run or status != reported.status:
        reported = replace(reported, run=container.run_key, restarting=restarting, status=status)
        new_run = observed_run(observed, container) if is_new_run else None
        yield reported, replace(status, new_run=new_run)


def observed_run(observed: ObservedState, container: Container) -> ObservedRun:
    """What runs, and what it was created from, as far as known."""
    fingerprint = container.digest
    if fingerprint != observed.spec.fingerprint and not observed.service.digest_comparable:
        fingerprint = observed.fingerprint_by_digest.get(container.digest, "")
    return ObservedRun(
        *(container.pid, container.started_at, fingerprint, observed.spec.agent_class),
        run_id=container.run_id,
    )


def is_outdated(observed: ObservedState, container: Container) -> bool:
    """Whether the name of its image refers to another image now (contract, section 5)."""
    image_id = observed.images.id_of(observed.service.image or container.image)
    return image_id is not None and image_id != container.image_id


def status_notice(observed: ObservedState, container: Container) -> str | None:
    """What operators should know of its status; None if all is well."""
    sentences = []
    if container.from_list_only:
        sentences.append(
            "The Docker Engine does not answer when asked about its container; this comes from "
            "its list of containers."
        )
    if container.status == "restarting":
        sentences.append(
            f"It {container.exit_status}; the Docker Engine restarts it, as the restart policy "
            "in its compose file says."
        )
    if container.status == "paused":
        sentences.append(f"It is paused; `docker unpause {container.name}` resumes it.")
    if container.health == "unhealthy":
        output = f": {container.health_output}" if container.health_output else ""
        sentences.append(f"Its health check reports that it is unhealthy{output}.")
    alive, scale = len(observed.alive), observed.service.scale
    if alive < scale:
        sentences.append(f"Only {alive} of its {scale} containers run.")
    missing = [name for name in observed.service.depends_on if not _is_running(observed, name)]
    if missing:
        does = "do" if len(missing) > 1 else "does"
        sentences.append(f"It depends on {', '.join(missing)}, which {does} not run.")
    return " ".join(sentences) or None


def is_half_started(reason: str) -> bool:
    """Whether `up` failed because the engine was killed while it started the container."""
    return _HALF_STARTED.search(reason) is not None


def with_hint(reason: str, container: Container) -> str:
    """Add what helps, since compose's message does not say it."""
    return (
        f"{reason}. The Docker Engine was killed while it started this container, and has lost "
        f"track of it; if no process of it is left, `docker rm -f {container.name}` helps"
    )


def _is_running(observed: ObservedState, name: str) -> bool:
    project = observed.service.project
    return any(c.alive and (c.project, c.service) == (project, name) for c in observed.containers)
