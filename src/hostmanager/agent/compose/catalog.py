"""Which service belongs to which instance, and which containers are orphans: pure functions.

A service belongs to the instance whose id follows the prefix in its name (contract, section
6). Every other service is an unmanaged instance with the service's name. A container whose
service is in no file any more is an orphan.
"""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hostmanager.composefile.model import ComposeFile, Service
from hostmanager.core.model import InstanceSpec, Kind, ServiceRef, Target
from hostmanager.core.requests import ALL
from hostmanager.drivers.compose.container import Container

UNMANAGED_CLASS = "[docker]"
"""Class of a service without an entry in the site config (contract, section 5)."""

NO_FILES_REASON = (
    "This entry is managed through docker compose, but the manager was given no compose file "
    "(--docker-compose)."
)


@dataclass(frozen=True, slots=True)
class ServiceCatalog:
    """All services of the compose files that can be used.

    Attributes:
        prefix: Comes before the instance-id in a service's name.
        paths: The compose files, as they were given.
        is_loaded: Whether all of them were loaded, or tried to.
        by_name: The services, each as the core needs it and as its file has it.
        projects: Their compose projects.
        warnings: Conflicts of a file with other files, by its path.
        broken: The files that cannot be used at present.
    """

    prefix: str = "ocs-"
    paths: tuple[str, ...] = ()
    is_loaded: bool = True
    by_name: Mapping[str, tuple[ServiceRef, Service]] = field(default_factory=dict)
    projects: frozenset[str] = frozenset()
    warnings: Mapping[str, str] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()

    def with_service(self, entry: InstanceSpec) -> InstanceSpec:
        """Add its service to a docker entry of the site config, or why it has none."""
        if entry.kind is not Kind.DOCKER or not self.is_loaded:
            return entry  # nor can its containers be known yet
        name = f"{self.prefix}{entry.instance_id}"
        known = self.by_name.get(name)
        if known is None:
            return replace(
                entry, inoperable_reason=entry.inoperable_reason or self._missing_reason(name)
            )
        return _add_service(entry, *known)

    def _missing_reason(self, name: str) -> str:
        if not self.paths:
            return NO_FILES_REASON
        broken = [path for path in self.paths if path in self.broken]
        notice = f" {', '.join(broken)} cannot be used at present." if broken else ""
        return (
            f"No compose file has a service '{name}' for this entry (looked in "
            f"{', '.join(self.paths)}).{notice}{self._other_name_hint(name)}"
        )

    def _other_name_hint(self, name: str) -> str:
        """A service of another name may be meant for an instance."""
        instance_id = name.removeprefix(self.prefix)
        meant = [s for _, s in self.by_name.values() if s.instance_id == instance_id]
        if not meant:
            return ""
        file = self.by_name[meant[0].name][0].file
        return (
            f" Service '{meant[0].name}' of {file} has INSTANCE_ID={instance_id} in its "
            f"environment: it has to be called '{name}'."
        )

    def unmanaged_specs(self, entries: Iterable[InstanceSpec]) -> dict[str, InstanceSpec]:
        """The services that belong to none of these entries, as unmanaged instances."""
        entries = list(entries)
        owned = {f"{self.prefix}{e.instance_id}" for e in entries if e.kind is Kind.DOCKER}
        taken = {e.instance_id for e in entries}
        specs = {
            name: InstanceSpec(
                name, UNMANAGED_CLASS, kind=Kind.DOCKER, initial_target=Target.PASSIVE
            )
            for name in self.by_name
            if name not in owned and name not in taken
        }
        return {name: _add_service(spec, *self.by_name[name]) for name, spec in specs.items()}


def _add_service(spec: InstanceSpec, ref: ServiceRef, service: Service) -> InstanceSpec:
    return replace(spec, service=ref, fingerprint=service.digest, stop_grace=service.stop_grace)


def build_catalog(
    files: Iterable[ComposeFile], paths: Iterable[str], prefix: str, broken: Iterable[str] = ()
) -> ServiceCatalog:
    """Combine the services of all files; of two with one name, that of the first file counts."""
    by_name: dict[str, tuple[ServiceRef, Service]] = {}
    projects = set()
    warnings: dict[str, list[str]] = {}
    for file in files:
        projects.add(file.project)
        for name, service in file.services.items():
            if name in by_name:
                warnings.setdefault(file.path, []).append(
                    f"Service '{name}' is in {by_name[name][0].file}, too; that one is used."
                )
            elif name == ALL or name.startswith("-"):
                warnings.setdefault(file.path, []).append(
                    f"Service '{name}' is ignored: requests cannot name it."
                )
            else:
                by_name[name] = (_service_ref(file, service), service)
    text = {path: " ".join(lines) for path, lines in warnings.items()}
    return ServiceCatalog(
        *(prefix, tuple(paths), True, by_name, frozenset(projects), text, frozenset(broken))
    )


def _service_ref(file: ComposeFile, service: Service) -> ServiceRef:
    return ServiceRef(
        *(file.path, file.project, service.name, service.image, service.scale),
        *(service.depends_on, service.digest_comparable, service.build, service.pull_policy),
        *(service.networks, service.volumes),
    )


def find_orphans(
    containers: Iterable[Container], files: Iterable[ComposeFile], absolute_paths: Mapping[str, str]
) -> dict[str, tuple[Container, str]]:
    """The running containers of services that are in none of the files any more.

    Args:
        containers: All containers of the projects of these files.
        files: The files, as they were loaded last.
        absolute_paths: The absolute path of each file, as compose writes it on its containers.

    Returns:
        By container id: the container, and the file that it was probably created from. A
        container that was created from any other file than these is not an orphan: its service
        may be in that one.
    """
    orphans = {}
    files = list(files)
    for container in containers:
        if not container.alive or container.oneoff:
            continue
        own = [f for f in files if f.project == container.project]
        if any(container.service in f.services for f in own):
            continue
        origins = [_origin(name, own, absolute_paths) for name in container.files] or own[:1]
        known = [origin.path for origin in origins if origin is not None]
        if known and len(known) == len(origins):
            orphans[container.id] = (container, known[0])
    return orphans


def running_elsewhere(
    containers: Iterable[Container], project: str, services: Collection[str], paths: Iterable[str]
) -> list[Container]:
    """The running containers of these services of a file that are in another project than its own.

    Args:
        containers: All containers of compose services on the engine.
        project: The project of the file.
        services: Names of services.
        paths: The paths of the file, as compose writes them on its containers.
    """
    origins = set(paths)
    return [
        container
        for container in containers
        if container.alive
        and not container.oneoff
        and container.project != project
        and container.service in services
        and not origins.isdisjoint(container.files)
    ]


def describe_running_elsewhere(container: Container) -> str:
    """Why a service is not started beside a container of another project, and what helps."""
    return (
        f"Service '{container.service}' is already running, in the container {container.name} of the "
        f"project '{container.project}', made from the same file; a second one would be another copy "
        f"of the agent. `docker rm -f {container.name}` ends that one; or name the project "
        f"'{container.project}' again (COMPOSE_PROJECT_NAME in .env)."
    )


def _origin(
    name: str, files: Iterable[ComposeFile], absolute_paths: Mapping[str, str]
) -> ComposeFile | None:
    """The managed file that a container names as the one that it was created from."""
    return next(
        (f for f in files if name in (absolute_paths[f.path], os.fspath(f.resolved_path))), None
    )


def orphan_view(container: Container, path: str) -> dict[str, Any]:
    """Show an orphan to clients (contract, section 5)."""
    return {
        "compose_file": path,
        "service": container.service,
        "container_id": container.id,
        "running": container.alive,
        "exit_code": container.exit_code,
        "container_found": True,
        "running_image": container.image,
    }
