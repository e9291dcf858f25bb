"""The contents of a compose file, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Service:
    """One service of a compose file, with all references resolved.

    Attributes:
        name: Its name in the file.
        image: Its image; None if it is built and the image has no name of its own.
        build: Whether its image is built on this machine.
        digest: The compose command's own digest of its settings; empty if not known.
        stop_grace: Seconds that it has to stop; None: the engine's default.
        scale: Its number of containers.
        depends_on: Services that have to run before it.
        digest_comparable: Whether its containers are labelled with `digest`, too.
        pull_policy: When its image is pulled: ``always``, ``never`` …; empty: when it is missing.
        instance_id: INSTANCE_ID in its environment, which OCS's agents go by; empty without one.
        networks: The networks that compose makes when it brings it up, by their names on the engine.
        volumes: The same of volumes.
    """

    name: str
    image: str | None = None
    build: bool = False
    digest: str = ""
    stop_grace: float | None = None
    scale: int = 1
    depends_on: tuple[str, ...] = ()
    digest_comparable: bool = False
    pull_policy: str = ""
    instance_id: str = ""
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnsetVariable:
    """A variable that is used and not set, and has no default.

    Attributes:
        name: The variable.
        file: The compose file that uses it.
        line: Where, from 1.
        service: The service that it is for; empty if for none in particular.
    """

    name: str
    file: str
    line: int
    service: str = ""

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: the variable {self.name} is not set"


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A compose file that can be used.

    Attributes:
        path: As it was given to the manager.
        resolved_path: The same without symbolic links.
        project: The compose project of its services.
        services: By name, in the order of the file; those with a profile, too.
        unset: Where it uses variables that are not set.
        new_project: The name that its project would have now; empty if that is its name. It has
            been changed while containers ran, and those belong to the project that they are in.
    """

    path: str
    resolved_path: Path
    project: str
    services: Mapping[str, Service] = field(default_factory=dict)
    unset: tuple[UnsetVariable, ...] = ()
    new_project: str = ""


class ComposeFileError(Exception):
    """A compose file cannot be used; the text names the file and, if known, the line."""


FileStatus = tuple[bool, float, str]
"""Whether a file could be loaded, when (Unix time), and a sentence."""
