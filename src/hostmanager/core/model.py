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
class InstanceSpec:
    """What the site file says of one instance.

    Attributes:
        instance_id: Name, unique in the site; letters, digits, ``.``, ``_``, ``-``.
        agent_class: The agent class, as the site file has it.
        kind: Process or compose service.
        initial_target: The target that ``manage`` asks for (contract, section 3).
        fingerprint: Digest of everything that the agent reads from the site file when
            it is launched. It differs when a restart would make a difference.
        obstacle: Why the instance cannot be operated, as a sentence for people; None
            when nothing stands in the way.
    """

    instance_id: str
    agent_class: str
    kind: Kind = Kind.HOST
    initial_target: Target = Target.UP
    fingerprint: str = ""
    obstacle: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a driver found alive of an instance that an earlier manager launched.

    Attributes:
        pid: The process that was launched; None if only what it started is left.
        since: Unix time of its start.
        fingerprint: Of the entry that it was launched with.
        agent_class: The class that it was launched as.
        others: Further processes of the instance.
    """

    pid: int | None
    since: float
    fingerprint: str
    agent_class: str = "?"
    others: tuple[int, ...] = ()
