"""Which images are on this machine, what their names refer to, and how to get a missing one."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from hostmanager.composefile.command import CompletedCommand
from hostmanager.core.model import ServiceRef

_DOCKER_HUB = re.compile(r"^(?:index\.)?docker\.io/(?:library/)?")


class RunCompose(Protocol):
    """Runs a compose command for one service."""

    async def __call__(self, service: ServiceRef, *args: str) -> CompletedCommand:
        """Run it, with the service's name after the arguments; without any, only check the file.

        Raises:
            ComposeError: It cannot be run.
            ComposeFileError: The service's compose file cannot be used at present.
        """


class Images:
    """The names of all images on the machine, each with the id that it refers to."""

    def __init__(self, listed: Iterable[Mapping[str, Any]] = ()) -> None:
        self._ids: dict[str, str] = {}
        for image in listed:
            image_id = str(image.get("Id"))
            names = [*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ())]
            for name in names:
                if name and not name.startswith("<none>"):
                    # Podman lists full names: docker.io/library/x:1, localhost/x:1.
                    self._ids[canonical_name(name)] = image_id
                    self._ids.setdefault(name.removeprefix("localhost/"), image_id)
            self._ids[image_id] = image_id  # an image can also be named by its id

    def id_of(self, name: str) -> str | None:
        """The image that a name refers to now; None if there is none on this machine."""
        return self._ids.get(canonical_name(name))


class ImageSource(Protocol):
    """Knows the images of the machine.

    Attributes:
        images: Those that it knows.
    """

    images: Images

    async def refresh_images(self) -> None:
        """List them anew; raises `EngineError`."""


async def ensure_launchable(
    service: ServiceRef, compose: RunCompose, source: ImageSource
) -> str | None:
    """Make sure that the next container of a service could be created; may take long.

    A restart does this before it stops the old container: its compose file has to be usable,
    and its image here. A missing image is pulled or built; a registry may be down, refuse, or
    not have it, and then the old container keeps running.

    Returns:
        Why it could not; None if it could.

    Raises:
        ComposeError: Compose cannot be run.
        ComposeFileError: The service's compose file cannot be used at present.
        EngineError: The engine does not list its images.
    """
    await compose(service)
    await source.refresh_images()
    args = acquire_args(service, source.images)
    if args is None:
        return None
    result = await compose(service, *args)
    name = service.image or f"of service {service.name}"
    if result.exit_code != 0:
        return f"its image {name} is not available: {result.reason}"
    await source.refresh_images()
    if is_present(service, source.images):
        return None
    return f"its image {name} is not on this machine after `compose {args[0]}`"


def acquire_args(service: ServiceRef, images: Images) -> tuple[str, ...] | None:
    """The compose command that gets the image for a new container of a service.

    Returns:
        None if it is here, and compose would create a container without asking a registry.
    """
    if service.built:
        return None if is_present(service, images) else ("build",)
    asks = service.pull_policy not in ("", "missing", "if_not_present", "never")
    return ("pull",) if asks or not is_present(service, images) else None


def is_present(service: ServiceRef, images: Images) -> bool:
    """Whether the image of a service is on this machine."""
    # An image that compose builds has a name with - (version 2) or _ (version 1).
    built_names = [f"{service.project}{mark}{service.name}" for mark in "-_"]
    names = [service.image] if service.image else built_names
    return any(images.id_of(name) is not None for name in names)


def canonical_name(name: str) -> str:
    """Write an image's name as the engine lists it: with a tag, without the default registry."""
    short = _DOCKER_HUB.sub("", name)
    if "@" in short or short.startswith("sha256:"):
        # If it has both, the digest counts.
        return re.sub(r":[^:@/]+@", "@", short)
    return short if ":" in short.rsplit("/", 1)[-1] else f"{short}:latest"
