"""Reading a compose file: through the compose command, into plain data.

A file that cannot be understood raises one error, which says why and, where that can be
found, in which line; nothing of it is used then.
"""

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hostmanager.composefile import yaml_source as raw
from hostmanager.composefile.command import CompletedCommand, Compose, ComposeError
from hostmanager.composefile.model import ComposeFile, ComposeFileError, Service

log = logging.getLogger(__name__)

NO_ENGINE_ENV = {"DOCKER_HOST": "unix:///nonexistent"}
"""Reading a file needs no engine, but version 2 asks for it, and waits 3 s for a frozen one."""

ALL_PROFILES = ("--profile", "*")
"""Services behind a profile are services, too."""

READ_TIMEOUT = 30.0
"""Seconds that reading a file may take; it takes a tenth of one, or a half with version 1."""

MALFORMED_CONFIG = (
    *(ValueError, TypeError, AttributeError, OverflowError, RecursionError, yaml.YAMLError),
)
"""What making sense of an answer of compose raises if it is of another form than was thought."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


async def load_compose_file(compose: Compose, path: str) -> ComposeFile:
    """Read a compose file.

    Args:
        compose: The compose command.
        path: The file, relative to where the command runs.

    Raises:
        ComposeFileError: It cannot be used; the text names the file and, if known, the line.
    """
    file = compose.cwd / path
    root = await asyncio.to_thread(raw.parse_yaml, file, path)
    try:
        result = await _config(compose, file)
        if result.exit_code != 0:
            raise ComposeFileError(_load_error(path, root, result))
        data = _parsed(result.stdout, compose.is_v1)
        services = _services(data, {} if compose.is_v1 else await _digests(compose, file, data))
    except ComposeError as error:
        raise ComposeFileError(f"{path}: {error}") from None
    except MALFORMED_CONFIG as error:
        raise ComposeFileError(
            f"{path}: the answer of `{' '.join(compose.argv)} config` is not understood: {error}."
        ) from None
    sources = await asyncio.to_thread(raw.source_files, file)
    project = data.get("name") or await asyncio.to_thread(_v1_project_name, file, compose.environ)
    return ComposeFile(path, file.resolve(), str(project), services, sources)


async def _config(compose: Compose, file: Path) -> CompletedCommand:
    call = ("config",) if compose.is_v1 else (*ALL_PROFILES, "config", "--format", "json")
    return await compose.run(*call, file=file, time_limit=READ_TIMEOUT, extra_env=NO_ENGINE_ENV)


async def _digests(compose: Compose, file: Path, data: Mapping[str, Any]) -> dict[str, str]:
    """The digest that compose puts on a container of each service when we bring that up.

    What `config --hash` says of the file itself is another one (as of 2.26) if a service has env
    files, whose contents it leaves out, and if it depends on others, which are not there when
    it is brought up alone. So compose is given the file with both of that resolved.
    """
    services = data.get("services") or {}
    alone = {
        name: {key: value for key, value in entry.items() if key != "depends_on"}
        for name, entry in services.items()
    }
    call = (
        "--project-directory",
        str(file.parent),
        "-f",
        "-",
        *ALL_PROFILES,
        "config",
        "--hash",
        "*",
    )
    feed = json.dumps({**data, "services": alone}).encode()
    done = await compose.run(*call, time_limit=READ_TIMEOUT, extra_env=NO_ENGINE_ENV, stdin=feed)
    if done.exit_code != 0:
        log.warning("%s: changes of its services are not seen: %s", file, done.reason)
        return {}
    pairs = (line.split() for line in done.stdout.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _load_error(path: str, root: yaml.Node, done: CompletedCommand) -> str:
    line = raw.error_line(root, done.stderr)
    where = f", line {line}" if line is not None else ""
    return f"{path}{where}: {done.error_summary.rstrip('.')}."


def _parsed(text: str, is_v1: bool) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data = yaml.load(text, Loader=loader) if is_v1 else json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("it is no mapping")
    return data


def _services(data: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, Service]:
    return {
        str(name): _service(str(name), entry or {}, digests.get(str(name), ""))
        for name, entry in (data.get("services") or {}).items()
    }


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
        container_name=entry.get("container_name") or None,
        depends_on=tuple(entry.get("depends_on") or ()),
        # Who brings it up with all that it depends on has another digest put on it.
        digest_comparable=bool(digest and not entry.get("depends_on")),
        pull_policy=str(entry.get("pull_policy") or ""),
    )


def parse_duration(length: Any) -> float | None:
    """Turn ``1m30s`` into 90.0; None for what is no length of time."""
    parts = re.findall(r"([0-9.]+)(h|ms|m|us|µs|ns|s)", str(length or ""))
    if not parts:
        return None
    try:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    except ValueError:
        return None


def _v1_project_name(file: Path, environ: Mapping[str, str]) -> str:
    """The name of a file's project by the rules of version 1, which does not tell it."""
    name = environ.get("COMPOSE_PROJECT_NAME") or _project_name_in_env_file(file.parent / ".env")
    name = name or file.parent.absolute().name
    return re.sub(r"[^-_a-z0-9]", "", name.lower()) or "default"


def _project_name_in_env_file(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(r"^\s*(?:export\s+)?COMPOSE_PROJECT_NAME\s*=\s*(.*)$", text, re.MULTILINE)
    return found[1].strip().strip("'\"") if found else ""
