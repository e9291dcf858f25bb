"""Loading a compose file: through the compose command, into plain data.

A file that cannot be used raises one error, which gives the reason and, if known, the line;
nothing of the file is used then.
"""

import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from hostmanager.composefile import yaml_source as raw
from hostmanager.composefile.command import CompletedCommand, Compose, ComposeError
from hostmanager.composefile.model import ComposeFile, ComposeFileError, Service, UnsetVariable
from hostmanager.composefile.variables import describe_unset, unset_variables
from hostmanager.util.yaml_loader import YAML_LOADER

log = logging.getLogger(__name__)

NO_ENGINE_ENV = {"DOCKER_HOST": "unix:///nonexistent"}
"""Loading a file needs no engine, but version 2 contacts it, and waits 3 s for a frozen one."""

ALL_PROFILES = ("--profile", "*")
"""Services with a profile are services, too."""

READ_TIMEOUT = 30.0
"""Seconds that loading a file may take; usually 0.1, with version 1 0.5."""

MALFORMED_CONFIG = (
    *(ValueError, TypeError, AttributeError, OverflowError, RecursionError, yaml.YAMLError),
)
"""What an answer of compose in an unexpected form raises."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


async def load_compose_file(compose: Compose, path: str, project: str = "") -> ComposeFile:
    """Load a compose file.

    Args:
        compose: The compose command.
        path: The file, relative to the working directory of the command.
        project: The name of its project; empty: what the file and its environment say.

    Raises:
        ComposeFileError: It cannot be used; the text names the file and, if known, the line.
    """
    file = compose.cwd / path
    root = await asyncio.to_thread(raw.parse_yaml, file, path)
    used = await asyncio.to_thread(unset_variables, file, compose.environ, path)
    try:
        result = await _config(compose, file, project)
        # Compose decides: what it does not warn about, it did not need.
        unset = tuple(each for each in used if _is_reported(each.name, result.stderr))
        if result.exit_code != 0:
            raise ComposeFileError(_load_error(path, root, result, unset))
        data = _parsed(result.stdout, compose.is_v1)
        digests = {} if compose.is_v1 else await _digests(compose, file, data)
        name = project or str(
            data.get("name") or await asyncio.to_thread(_v1_project_name, file, compose.environ)
        )
        services = _services(data, name, digests, is_v1=compose.is_v1)
    except ComposeError as error:
        raise ComposeFileError(f"{path}: {error}") from None
    except MALFORMED_CONFIG as error:
        raise ComposeFileError(
            f"{path}: the answer of `{' '.join(compose.argv)} config` is malformed: {error}."
        ) from None
    return ComposeFile(path, file.resolve(), name, services, unset)


def project_args(project: str) -> tuple[str, ...]:
    """The arguments that name the project of a compose command; none for an empty name."""
    return ("-p", project) if project else ()


async def _config(compose: Compose, file: Path, project: str) -> CompletedCommand:
    named = project_args(project)
    args = ("config",) if compose.is_v1 else (*ALL_PROFILES, "config", "--format", "json")
    return await compose.run(
        *named, *args, file=file, time_limit=READ_TIMEOUT, extra_env=NO_ENGINE_ENV
    )


async def _digests(compose: Compose, file: Path, data: Mapping[str, Any]) -> dict[str, str]:
    """The digests that compose puts on containers when it brings up one service.

    `config --hash` of the file itself gives other ones (as of 2.26): it leaves out the contents
    of env files, and includes `depends_on`, which is absent when a service is brought up
    alone. So compose gets the file with env files resolved and without `depends_on`.
    """
    services = data.get("services") or {}
    independent = {
        name: {key: value for key, value in entry.items() if key != "depends_on"}
        for name, entry in services.items()
    }
    source = ("--project-directory", str(file.parent), "-f", "-", *ALL_PROFILES)
    result = await compose.run(
        *(*source, "config", "--hash", "*"),
        time_limit=READ_TIMEOUT,
        extra_env=NO_ENGINE_ENV,
        stdin=json.dumps({**data, "services": independent}).encode(),
    )
    if result.exit_code != 0:
        log.warning("%s: changes of its services are not detected: %s", file, result.reason)
        return {}
    pairs = (line.split() for line in result.stdout.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _is_reported(variable: str, stderr: str) -> bool:
    return re.search(rf"\b{variable}\b.{{0,3}} variable is not set", stderr) is not None


def _load_error(
    path: str, root: yaml.Node, result: CompletedCommand, unset: Sequence[UnsetVariable]
) -> str:
    reason = result.error_summary.rstrip(".")
    if unset:  # which is probably why
        return f"{describe_unset(unset)} Compose says: {reason}."
    line = raw.error_line(root, result.stderr)
    location = f", line {line}" if line is not None else ""
    return f"{path}{location}: {reason}."


def _parsed(text: str, is_v1: bool) -> dict[str, Any]:
    data = yaml.load(text, Loader=YAML_LOADER) if is_v1 else json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("it is not a mapping")
    return data


def _services(
    data: Mapping[str, Any], project: str, digests: Mapping[str, str], *, is_v1: bool
) -> dict[str, Service]:
    networks = _made_by_compose(data.get("networks") or {}, project)
    networks.setdefault("default", f"{project}_default")  # version 1 does not write it
    volumes = _made_by_compose(data.get("volumes") or {}, project)
    entries = {str(key): entry or {} for key, entry in (data.get("services") or {}).items()}
    services = {}
    for key, entry in entries.items():
        enabled = list(entries.values()) if is_v1 else _enabled_with(entry, entries)
        service = _service(key, entry, digests.get(key, ""))
        services[service.name] = replace(
            service,
            networks=_made_for(enabled, networks, _used_networks),
            volumes=_made_for(enabled, volumes, _used_volumes),
        )
    return services


def _enabled_with(
    entry: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The services whose networks and volumes compose makes when it brings up this one.

    Not only its own, also with `--no-deps`: those of all that have no profile, or one of its own
    (seen with 2.26; version 1.29 makes those of all services).
    """
    own = set(entry.get("profiles") or ())
    return [
        each
        for each in entries.values()
        if not each.get("profiles") or own.intersection(each["profiles"])
    ]


def _made_for(
    entries: Iterable[Mapping[str, Any]],
    names: Mapping[str, str],
    used_by: Callable[[Mapping[str, Any]], list[str]],
) -> tuple[str, ...]:
    used = {key for entry in entries for key in used_by(entry)}
    return tuple(name for key, name in names.items() if key in used)


def _made_by_compose(entries: Mapping[str, Any], project: str) -> dict[str, str]:
    """The name on the engine of each network or volume that compose makes if it is missing."""
    return {
        str(key): str((entry or {}).get("name") or f"{project}_{key}")
        for key, entry in entries.items()
        if not (entry or {}).get("external")
    }


def _used_networks(entry: Mapping[str, Any]) -> list[str]:
    if entry.get("network_mode"):
        return []
    return [str(name) for name in entry.get("networks") or ("default",)]


def _used_volumes(entry: Mapping[str, Any]) -> list[str]:
    names = []
    for volume in entry.get("volumes") or ():
        if isinstance(volume, str):  # as version 1 writes it; of a path, no volume has the name
            names.append(volume.partition(":")[0])
        elif volume.get("type") == "volume":
            names.append(str(volume.get("source") or ""))
    return names


def _service(name: str, entry: Mapping[str, Any], digest: str) -> Service:
    replicas = (entry.get("deploy") or {}).get("replicas")
    scale = entry.get("scale", 1 if replicas is None else replicas)
    return Service(
        name,
        image=entry.get("image") or None,
        build=bool(entry.get("build")),
        digest=digest,
        stop_grace=parse_duration(entry.get("stop_grace_period")),
        scale=int(scale),
        depends_on=tuple(entry.get("depends_on") or ()),
        # Brought up together with what it depends on, it gets another digest.
        digest_comparable=bool(digest and not entry.get("depends_on")),
        pull_policy=str(entry.get("pull_policy") or ""),
        instance_id=_environment_value(entry.get("environment"), "INSTANCE_ID"),
    )


def _environment_value(environment: Any, name: str) -> str:
    if isinstance(environment, Mapping):
        return str(environment.get(name) or "")
    pairs = (str(line).partition("=") for line in environment or ())
    return next((value for key, _, value in pairs if key == name), "")


def parse_duration(text: Any) -> float | None:
    """Turn ``1m30s`` into 90.0; None if it is not a duration."""
    parts = re.findall(r"([0-9.]+)(h|ms|m|us|µs|ns|s)", str(text or ""))
    if not parts:
        return None
    try:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    except ValueError:
        return None


def _v1_project_name(file: Path, environ: Mapping[str, str]) -> str:
    """The name of a file's project by the rules of version 1, which does not print it."""
    name = environ.get("COMPOSE_PROJECT_NAME") or _project_name_in_env_file(file.parent / ".env")
    name = name or file.parent.absolute().name
    return re.sub(r"[^-_a-z0-9]", "", name.lower()) or "default"


def _project_name_in_env_file(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    match = re.search(r"^\s*(?:export\s+)?COMPOSE_PROJECT_NAME\s*=\s*(.*)$", text, re.MULTILINE)
    return match[1].strip().strip("'\"") if match else ""
