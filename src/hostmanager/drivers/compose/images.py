"""Which images are on this machine, and what their names mean now."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

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
                    self._ids[full_name(name)] = str(image.get("Id"))
                    self._ids.setdefault(name.removeprefix("localhost/"), str(image.get("Id")))
            # An image can also be named by its id.
            self._ids[str(image.get("Id"))] = str(image.get("Id"))

    def id_of(self, name: str) -> str | None:
        """The image that a name means now; None if there is none on this machine."""
        return self._ids.get(full_name(name))


def full_name(name: str) -> str:
    """Write an image's name as the engine lists it: with a tag, without the default registry."""
    short = _HUB.sub("", name)
    if "@" in short or short.startswith("sha256:"):
        # Of a name with both, the digest counts.
        return re.sub(r":[^:@/]+@", "@", short)
    return short if ":" in short.rsplit("/", 1)[-1] else f"{short}:latest"
