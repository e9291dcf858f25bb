"""Reading a compose file: through the compose command, into plain data.

A file that cannot be understood raises one error, which says why and, where that can be
found, in which line; nothing of it is used then.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from hostmanager.compose import raw
from hostmanager.compose.command import Compose, ComposeError, Done
from hostmanager.compose.model import ComposeFile, ComposeFileError, Service

WITHOUT_ENGINE = {"DOCKER_HOST": "unix:///nonexistent"}
"""Reading a file needs no engine, but version 2 asks for it, and waits 3 s for a frozen one."""

READ_TIME = 30.0
"""Seconds that reading a file may take; it takes a tenth of one, or a half with version 1."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


async def read(compose: Compose, path: str) -> ComposeFile:
    """Read a compose file.

    Args:
        compose: The compose command.
        path: The file, relative to where the command runs.

    Raises:
        ComposeFileError: It cannot be used; the text names the file and, if known, the line.
    """
    file = compose.cwd / path
    root = await asyncio.to_thread(raw.parse, file, path)
    try:
        if compose.old:
            done = await _config(compose, file)
            digests = ""
        else:
            done, hashes = await asyncio.gather(
                _config(compose, file, "--format", "json"), _config(compose, file, "--hash", "*")
            )
            digests = hashes.out if hashes.code == 0 else ""
    except ComposeError as error:
        raise ComposeFileError(f"{path}: {error}") from None
    if done.code != 0:
        raise ComposeFileError(_refusal(path, root, done))
    try:
        data = _parsed(done.out, compose.old)
        services = {
            name: replace(service, telling=_telling(root, service))
            for name, service in _services(data, dict(_digests(digests))).items()
        }
    except (ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ComposeFileError(
            f"{path}: the answer of `{' '.join(compose.argv)} config` is not understood: {error}."
        ) from None
    found = await asyncio.to_thread(raw.sources, file)
    project = data.get("name") or await asyncio.to_thread(_old_project, file, compose.environ)
    return ComposeFile(path, file.resolve(), str(project), services, found)


async def _config(compose: Compose, file: Path, *args: str) -> Done:
    every = () if compose.old else ("--profile", "*")
    call = (*every, "config", *args)
    return await compose.run(*call, file=file, limit=READ_TIME, more=WITHOUT_ENGINE)


def _refusal(path: str, root: yaml.Node, done: Done) -> str:
    line = raw.blamed_line(root, done.err)
    where = f", line {line}" if line is not None else ""
    return f"{path}{where}: {done.complaint.rstrip('.')}."


def _parsed(text: str, old: bool) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data = yaml.load(text, Loader=loader) if old else json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("it is no mapping")
    return data


def _digests(text: str) -> list[tuple[str, str]]:
    pairs = (line.split() for line in text.splitlines())
    return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]


def _services(data: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, Service]:
    return {
        str(name): _service(str(name), entry or {}, digests.get(str(name), ""))
        for name, entry in (data.get("services") or {}).items()
    }


def _telling(root: yaml.Node, service: Service) -> bool:
    """Whether the digest of a service is also the one that its container gets.

    Not so, as seen with 2.26, if it has env files, and if it is started without the services that
    it depends on, which we do. Whatever may hide one of these counts as such.
    """
    written = raw.child(raw.child(root, "services"), service.name)
    hidden = any(raw.child(written, key) for key in ("env_file", "extends", "<<"))
    return bool(service.digest and written and not service.depends_on and not hidden)


def _service(name: str, entry: Mapping[str, Any], digest: str) -> Service:
    replicas = (entry.get("deploy") or {}).get("replicas")
    scale = entry.get("scale", 1 if replicas is None else replicas)
    return Service(
        name,
        image=entry.get("image") or None,
        build=bool(entry.get("build")),
        digest=digest,
        stop_grace=seconds(entry.get("stop_grace_period")),
        scale=int(scale),
        container_name=entry.get("container_name") or None,
        depends_on=tuple(entry.get("depends_on") or ()),
    )


def seconds(length: Any) -> float | None:
    """Turn ``1m30s`` into 90.0; None for what is no length of time."""
    parts = re.findall(r"([0-9.]+)(h|ms|m|us|µs|ns|s)", str(length or ""))
    if not parts:
        return None
    try:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    except ValueError:
        return None


def _old_project(file: Path, environ: Mapping[str, str]) -> str:
    """The name of a file's project by the rules of version 1, which does not tell it."""
    name = environ.get("COMPOSE_PROJECT_NAME") or _in_env_file(file.parent / ".env")
    name = name or file.parent.absolute().name
    return re.sub(r"[^-_a-z0-9]", "", name.lower()) or "default"


def _in_env_file(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(r"^\s*(?:export\s+)?COMPOSE_PROJECT_NAME\s*=\s*(.*)$", text, re.MULTILINE)
    return found[1].strip().strip("'\"") if found else ""
