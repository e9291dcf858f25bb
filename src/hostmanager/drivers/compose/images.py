"""Which images are on this machine, and what their names mean now."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from hostmanager.core.model import ServiceRef

_HUB = re.compile(r"^(?:index\.)?docker\.io/(?:library/)?")


class Images:
    """The names of all images on the machine, each with the id that it means."""

    def __init__(self, listed: Iterable[Mapping[str, Any]] = ()) -> None:
        self._ids: dict[str, str] = {}
        for image in listed:
            names = [*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ())]
            for name in names:
                if name and not name.startswith("<none>"):
                    # Podman lists names in full: docker.io/library/x:1, localhost/x:1.
                    self._ids[canonical_name(name)] = str(image.get("Id"))
                    self._ids.setdefault(name.removeprefix("localhost/"), str(image.get("Id")))
            # An image can also be named by its id.
            self._ids[str(image.get("Id"))] = str(image.get("Id"))

    def id_of(self, name: str) -> str | None:
        """The image that a name means now; None if there is none on this machine."""
        return self._ids.get(canonical_name(name))


def acquire_args(service: ServiceRef, images: Images) -> tuple[str, ...] | None:
    """The compose command that brings what a new container of a service is made of.

    Returns:
        None if it is here, and compose would make a container of it without asking anybody.
    """
    if service.built:
        return None if is_present(service, images) else ("build",)
    asks = service.pull_policy not in ("", "missing", "if_not_present", "never")
    return ("pull",) if asks or not is_present(service, images) else None


def is_present(service: ServiceRef, images: Images) -> bool:
    """Whether the image of a service is on this machine."""
    names = [service.image] if service.image else _built_image_names(service)
    return any(images.id_of(name) is not None for name in names)


def _built_image_names(service: ServiceRef) -> list[str]:
    """What compose, of either generation, calls an image that it builds."""
    return [f"{service.project}{mark}{service.name}" for mark in "-_"]


def canonical_name(name: str) -> str:
    """Write an image's name as the engine lists it: with a tag, without the default registry."""
    short = _HUB.sub("", name)
    if "@" in short or short.startswith("sha256:"):
        # Of a name with both, the digest counts.
        return re.sub(r":[^:@/]+@", "@", short)
    return short if ":" in short.rsplit("/", 1)[-1] else f"{short}:latest"
