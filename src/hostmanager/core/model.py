"""The words that every room shares: what an instance is and what is wanted of it.

Plain frozen data. The site reader makes these, the supervisor compares them,
drivers act on them, and the OCS face shows them.
"""

from dataclasses import dataclass
from enum import StrEnum


class Target(StrEnum):
    """What the operators want of an instance (contract, section 1)."""

    UP = "up"
    DOWN = "down"
    PASSIVE = "passive"  # a docker service that nobody manages


class Kind(StrEnum):
    """How an instance is run: as a process of this host or as a compose service."""

    HOST = "host"
    DOCKER = "docker"


@dataclass(frozen=True, slots=True)
class ServiceRef:
    """Which compose service an instance is.

    Attributes:
        file: The compose file, as it was given to the manager.
        project: The compose project that it belongs to.
        name: The service's name in that file.
        image: The image that it runs; None if it is built and has no name of its own.
        scale: How many containers it has.
        depends_on: Services that have to run before it.
        built: Whether its image is built here, rather than pulled.
        pull_policy: When its image is pulled, in the words of compose; empty: when it is missing.
        digest_comparable: Whether the digest that a container of it carries can be compared with the
            fingerprint of its spec.
    """

    file: str
    project: str
    name: str
    image: str | None = None
    scale: int = 1
    depends_on: tuple[str, ...] = ()
    digest_comparable: bool = True
    built: bool = False
    pull_policy: str = ""


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """What the site file, and the compose file if it is a service, say of one instance.

    Attributes:
        instance_id: Name, unique in the site; see `util.names`.
        agent_class: The agent class, as the site file has it.
        kind: Process or compose service.
        initial_target: The target that ``manage`` asks for (contract, section 3).
        fingerprint: Digest of everything that the agent reads from the site file when
            it is launched. It differs when a restart would make a difference.
        inoperable_reason: Why the instance cannot be operated, as a sentence for people; None
            when nothing stands in the way.
        service: The compose service that it is; None for processes, and as long as no
            compose file has one for it.
        stop_grace: How long its container is given to stop, seconds; None: the engine's 10 s.
    """

    instance_id: str
    agent_class: str
    kind: Kind = Kind.HOST
    initial_target: Target = Target.UP
    fingerprint: str = ""
    inoperable_reason: str | None = None
    service: ServiceRef | None = None
    stop_grace: float | None = None

    @property
    def is_unmanaged(self) -> bool:
        """Whether it is only watched: a compose service without an entry in the site file."""
        return self.initial_target is Target.PASSIVE

    @property
    def has_no_service(self) -> bool:
        """Whether no container can be its own: a docker entry without a service in any file."""
        return self.kind is Kind.DOCKER and self.inoperable_reason is not None


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """What a driver found alive of an instance that an earlier manager launched.

    Attributes:
        pid: The process that was launched; None if only what it started is left.
        started_at: Unix time of its start.
        fingerprint: Of the entry that it was launched with.
        agent_class: The class that it was launched as.
        other_pids: Further processes of the instance; if there are none and no `pid`, somebody who
            cannot be told holds its lock.
        launched_by_other: Whether another manager launched it, as its mark says: it is known by its lock.
        run_id: The identity of this run, which no other run of the instance ever has (pid and
            start time, container and start time); empty if it cannot be told.
    """

    pid: int | None
    started_at: float
    fingerprint: str
    agent_class: str = "?"
    other_pids: tuple[int, ...] = ()
    launched_by_other: bool = False
    run_id: str = ""
