"""The model that all packages share: instances, their specs and targets.

Plain frozen data: `siteconfig` makes it, the supervisor compares it, drivers and operations use it.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Target(StrEnum):
    """The requested state of an instance (contract, section 1)."""

    UP = "up"
    DOWN = "down"
    PASSIVE = "passive"  # a docker service that is not managed


class Kind(StrEnum):
    """Whether an instance is a process of this host or a compose service."""

    HOST = "host"
    DOCKER = "docker"


@dataclass(frozen=True, slots=True)
class ServiceRef:
    """The compose service of an instance.

    Attributes:
        file: The compose file, as in the options of the manager.
        project: The compose project that it belongs to.
        name: The service's name in that file.
        image: The image that it runs; None if it is built and has no name of its own.
        scale: Its number of containers.
        depends_on: Services that have to be started before it.
        built: Whether its image is built here, rather than pulled.
        pull_policy: When its image is pulled, in the words of compose; empty: when it is missing.
        networks: The networks that compose makes when it brings it up, by their names on the engine.
        volumes: The same of volumes.
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
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()


DEFAULT_STOP_GRACE = 10.0
"""Seconds that the Docker Engine gives a container to stop by default."""

HEARTBEAT_ACTIONS = ("show", "restart")
"""What can be done with an agent that hangs."""


@dataclass(frozen=True, slots=True)
class InstanceSettings:
    """The settings of an instance, under ``host-manager:`` in its entry; see `siteconfig.settings`.

    Attributes:
        manual: Whether it is started and stopped only when somebody asks for it; each request
            counts once.
        one_shot: Whether it is done once it has ended with exit code 0.
        ready_timeout: Seconds until its first heartbeat; see `core.health`.
        heartbeat_timeout: Seconds of listening without a heartbeat; 0: none are followed.
        heartbeat_action: What is done with one that hangs; of `HEARTBEAT_ACTIONS`.
        after: The instances that are to be ready before it is started; see `core.start_order`.
        stop_timeout: Seconds that it may take to stop before it is ended by force; None: those
            of the manager's option, for a container those of its compose file.
        restart_delay_max: Longest delay before a restart, seconds; None: that of the manager.
        restart_give_up_failures: Failures within `restart_give_up_within` after which it is not
            restarted any more by itself; 0: it always is.
        restart_give_up_within: Seconds.
        environment: Names and values of variables for its process, sorted by name.
        nice: The niceness of its process; None: the usual one.
        open_files: How many files its process may have open; None: as many as its manager at its
            start.
        memory_max: Most memory of all its processes together, bytes; None: any.
        cpu_quota: Most CPU time of all its processes together, per cent of a core; None: any.
        warm: Whether its process may be forked from one that has imported OCS already.
    """

    manual: bool = False
    one_shot: bool = False
    ready_timeout: float = 60.0
    heartbeat_timeout: float = 15.0
    heartbeat_action: str = HEARTBEAT_ACTIONS[0]
    after: tuple[str, ...] = ()
    stop_timeout: float | None = None
    restart_delay_max: float | None = None
    restart_give_up_failures: int = 0
    restart_give_up_within: float = 600.0
    # Its values may be secrets: a traceback must not show them.
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    nice: int | None = None
    open_files: int | None = None
    memory_max: int | None = None
    cpu_quota: float | None = None
    warm: bool = True

    @property
    def may_be_forked(self) -> bool:
        """Whether it may be launched warm: interpreter and libraries read variables as they start."""
        return self.warm and not self.environment


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """The configuration of one instance: from the site config, and the compose file of a service.

    Attributes:
        instance_id: Name, unique in the site; see `util.names`.
        agent_class: The agent class, as in the site config.
        kind: Process or compose service.
        initial_target: The target that ``manage`` asks for (contract, section 3).
        fingerprint: Digest of all that the agent reads from the site config when it is launched:
            when it differs, a restart makes a difference.
        inoperable_reason: Why the instance cannot be operated, as a sentence for operators; None
            when it can.
        service: Its compose service; None for processes, and as long as no compose file has it.
        stop_grace: Seconds that its compose file gives its container to stop; None: the engine's 10 s.
        arguments: Its arguments in the site config; the fingerprint covers them.
        settings: Its settings in the site config.
    """

    instance_id: str
    agent_class: str
    kind: Kind = Kind.HOST
    initial_target: Target = Target.UP
    fingerprint: str = ""
    inoperable_reason: str | None = None
    service: ServiceRef | None = None
    stop_grace: float | None = None
    arguments: tuple[str, ...] = field(default=(), compare=False)
    settings: InstanceSettings = InstanceSettings()

    @property
    def default_target(self) -> Target:
        """The target that it has as long as nobody requests another one."""
        return Target.PASSIVE if self.settings.manual else self.initial_target

    @property
    def container_stop_timeout(self) -> float:
        """Seconds that its container has to stop: by its settings, its compose file, the engine."""
        for timeout in (self.settings.stop_timeout, self.stop_grace):
            if timeout is not None:
                return timeout
        return DEFAULT_STOP_GRACE

    @property
    def is_passive(self) -> bool:
        """Whether it is left alone unless somebody asks: unmanaged, or manual."""
        return self.default_target is Target.PASSIVE

    @property
    def is_unmanaged(self) -> bool:
        """Whether it is only observed: a compose service without an entry in the site config."""
        return self.initial_target is Target.PASSIVE

    @property
    def is_left_running(self) -> bool:
        """Whether what runs goes on when its instance goes: others operate that container, too."""
        return self.is_passive and self.kind is Kind.DOCKER

    @property
    def has_no_service(self) -> bool:
        """Whether no container can be its own: a docker entry without a service in any compose file."""
        return self.kind is Kind.DOCKER and self.inoperable_reason is not None


@dataclass(frozen=True, slots=True)
class RemoteInstance:
    """An instance of another host of the site, as the site config has it.

    Attributes:
        host: Its host.
        after: After whom it is started.
        ready_timeout: Seconds that it is waited for at most.
        is_awaited: Whether its heartbeats tell that it is ready, and it is started by itself.
    """

    host: str
    after: tuple[str, ...] = ()
    ready_timeout: float = 60.0
    is_awaited: bool = True


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """A live run that this manager did not launch, or that was launched again by the engine.

    Attributes:
        pid: The process that was launched; None if only its descendants are left.
        started_at: Unix time of its start.
        fingerprint: Of the entry that it was launched with.
        agent_class: The class that it was launched as.
        other_pids: Further processes of the instance; if there are none and no `pid`, a process
            that cannot be inspected holds the lock.
        launched_by_other: Whether another manager launched it, as its tag says: only the lock
            shows that it is of this instance.
        run_id: The id of this run, which no other run of the instance ever has (pid and
            start time, container and start time); empty if it is not known.
    """

    pid: int | None
    started_at: float
    fingerprint: str
    agent_class: str = "?"
    other_pids: tuple[int, ...] = ()
    launched_by_other: bool = False
    run_id: str = ""
