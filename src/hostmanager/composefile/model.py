"""What a compose file amounts to, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Service:
    """One service of a compose file, with everything in it resolved.

    Attributes:
        name: Its name in the file.
        image: What it runs; None if it is built and the image has no name of its own.
        build: Whether it is built here.
        digest: The compose command's own digest of its settings, which it also puts on the
            containers it makes; empty if not known.
        stop_grace: Seconds that it is given to stop; None: the engine's default.
        scale: How many containers it has.
        container_name: Name of its container, if the file gives it one.
        pull_policy: When its image is pulled: ``always``, ``never`` …; empty: when it is missing.
        depends_on: Services that have to run before it.
        digest_comparable: Whether `digest` is also what its containers are marked with.
    """

    name: str
    image: str | None = None
    build: bool = False
    digest: str = ""
    stop_grace: float | None = None
    scale: int = 1
    container_name: str | None = None
    depends_on: tuple[str, ...] = ()
    digest_comparable: bool = False
    pull_policy: str = ""


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A compose file that could be read.

    Attributes:
        path: As it was given to the manager.
        resolved_path: Where it is, with all links resolved.
        project: The compose project that its services belong to.
        services: By name, in the order of the file, those behind a profile included.
        sources: All files that it was made of, itself included.
    """

    path: str
    resolved_path: Path
    project: str
    services: Mapping[str, Service] = field(default_factory=dict)
    sources: frozenset[Path] = frozenset()


class ComposeFileError(Exception):
    """A compose file cannot be used; the text is for people and names the line if it is known."""
