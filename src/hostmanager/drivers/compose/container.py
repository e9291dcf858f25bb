"""A container as the engine describes it, as plain data.

Services are recognised by the labels that compose puts on containers, never by names, which
differ between its versions and can be chosen. Labels may be missing or contain anything: such a
container is not one of ours.
"""

import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hostmanager.core.events import ExitStatus
from hostmanager.util.numbers import parse_number

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
NUMBER_LABEL = "com.docker.compose.container-number"
ONEOFF_LABEL = "com.docker.compose.oneoff"
CONFIG_HASH_LABEL = "com.docker.compose.config-hash"
VERSION_LABEL = "com.docker.compose.version"
CONFIG_FILES_LABEL = "com.docker.compose.project.config_files"
WORKING_DIR_LABEL = "com.docker.compose.project.working_dir"

ALIVE_STATUSES = frozenset({"running", "paused", "restarting"})

RUNNING_STATUSES = frozenset({"running", "paused"})

LOG_CLOCK_SKEW = 0.2
"""Seconds that a container may write before the engine's time of its start; 0.04 were observed."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a compose service.

    Attributes:
        id: Its id, 64 hexadecimal digits.
        name: Its name.
        project: Its compose project.
        service: Its compose service.
        number: Its number among the containers of its service.
        oneoff: Whether `compose run` created it, so that it is not the service itself.
        files: The compose files that it was created from, as absolute paths as far as known.
        digest: Compose's digest of the settings that it was created with.
        image: The name of the image that it was created with.
        image_id: The image that it runs.
        status: ``created``, ``running``, ``paused``, ``restarting``, ``exited`` …
        pid: Its main process, as the engine's machine numbers it; 0 if there is none.
        start_stamp: The time of its latest start, as the engine writes it; identifies a run.
        started_at: The same as Unix time.
        finished_at: The end of its latest run that ended, Unix time; 0 if there is none.
        previous_finished_at: The end of the run before its latest, Unix time; 0 if not known.
        exit_code: The exit code of its latest run, if that ended.
        oom: Whether the kernel killed a process of it because memory was short.
        health: ``healthy``, ``unhealthy``, ``starting``; None without a health check.
        health_output: The last output line of the latest health check.
        error: Why the engine could not start it; empty if it could.
        ports: The ports of this machine that it publishes.
        host_network: Whether it uses the network of this machine.
        from_list_only: Whether this comes only from the engine's list.
    """

    id: str
    name: str
    project: str
    service: str
    number: int = 1
    oneoff: bool = False
    files: tuple[str, ...] = ()
    digest: str = ""
    image: str = ""
    image_id: str = ""
    status: str = "running"
    pid: int = 0
    start_stamp: str = ""
    started_at: float = 0.0
    finished_at: float = 0.0
    previous_finished_at: float = 0.0
    exit_code: int = 0
    oom: bool = False
    health: str | None = None
    health_output: str = ""
    error: str = ""
    ports: frozenset[int] = frozenset()
    host_network: bool = False
    from_list_only: bool = False

    @property
    def alive(self) -> bool:
        """Whether it runs, is paused, or is about to be restarted by the engine."""
        return self.status in ALIVE_STATUSES

    @property
    def run_key(self) -> tuple[str, str]:
        """Identifies this run among all."""
        return self.id, self.start_stamp

    @property
    def run_id(self) -> str:
        """The key of its run as text; empty while its start is not known."""
        return f"{self.id}/{self.start_stamp}" if self.start_stamp else ""

    @property
    def exit_status(self) -> ExitStatus:
        """How its latest run ended."""
        return container_exit_status(self.exit_code, oom=self.oom)


def container_exit_status(code: int, *, oom: bool = False) -> ExitStatus:
    """Explain an exit code of a container."""
    if oom:
        return ExitStatus(code=code, detail="out of memory: the kernel killed a process of it")
    if code > 128:
        try:
            return ExitStatus(code=code, detail=f"probably by {signal.Signals(code - 128).name}")
        except ValueError:
            pass
    return ExitStatus(code=code)


def from_inspect(inspected: Mapping[str, Any]) -> Container | None:
    """Make a container of what the engine's `inspect` returns.

    Returns:
        None if it does not belong to a compose service.
    """
    config = inspected.get("Config") or {}
    base = _from_labels(str(inspected["Id"]), config.get("Labels") or {})
    if base is None:
        return None
    state = inspected.get("State") or {}
    health = state.get("Health") or {}
    start_stamp = str(state.get("StartedAt") or "")
    return replace(
        base,
        name=str(inspected.get("Name") or "").lstrip("/"),
        image=str(config.get("Image") or ""),
        image_id=str(inspected.get("Image") or ""),
        status=str(state.get("Status") or ""),
        pid=int(state.get("Pid") or 0),
        start_stamp=start_stamp,
        started_at=unix_time(start_stamp),
        finished_at=unix_time(str(state.get("FinishedAt") or "")),
        exit_code=int(state.get("ExitCode") or 0),
        oom=bool(state.get("OOMKilled")),
        health=health.get("Status") if health.get("Status") not in ("", "none") else None,
        health_output=_last_health_output(health),
        error=str(state.get("Error") or ""),
        ports=_published_ports(inspected.get("NetworkSettings")),
        host_network=_network_mode(inspected.get("HostConfig")) == "host",
    )


def from_list(listed: Mapping[str, Any], known: Container | None) -> Container | None:
    """Make a container of its entry in the engine's list, if `inspect` does not answer.

    Args:
        listed: Its entry in the list.
        known: What was known of it.

    Returns:
        None if it does not belong to a compose service. When it was started is only known if it
        runs as before, or has exited since; else `start_stamp` is empty.
    """
    base = _from_labels(str(listed["Id"]), listed.get("Labels") or {})
    if base is None:
        return None
    status, text = str(listed.get("State") or ""), str(listed.get("Status") or "")
    is_alive = status in ALIVE_STATUSES
    same = known if known is not None and (known.alive or not is_alive) else None
    health = re.search(r"\((?:health: )?(healthy|unhealthy|starting)\)", text)
    code = re.search(r"\((\d+)\)", text)
    return replace(
        base,
        name=str((listed.get("Names") or [""])[0]).lstrip("/"),
        image=known.image if known else str(listed.get("Image") or ""),
        image_id=str(listed.get("ImageID") or ""),
        status=status,
        pid=same.pid if same and is_alive else 0,
        start_stamp=same.start_stamp if same else "",
        started_at=same.started_at if same else float(listed.get("Created") or 0),
        exit_code=(parse_number(code[1]) or 0) if code else 0,
        health=health[1] if health else None,
        from_list_only=True,
    )


def _from_labels(container_id: str, labels: Mapping[str, Any]) -> Container | None:
    project, service = labels.get(PROJECT_LABEL), labels.get(SERVICE_LABEL)
    if not project or not service:
        return None
    number = parse_number(str(labels.get(NUMBER_LABEL)))
    return Container(
        container_id,
        "",
        project,
        service,
        number=1 if number is None else number,
        oneoff=str(labels.get(ONEOFF_LABEL)).lower() == "true",
        files=config_files(labels),
        digest=_digest(labels),
    )


def with_previous_run(current: Container, previous: Container | None) -> Container:
    """Add the end of the run before its latest, as far as known."""
    if current.status in RUNNING_STATUSES:
        return replace(current, previous_finished_at=current.finished_at)
    if previous is None:
        return current
    is_same = previous.run_key == current.run_key
    before = previous.previous_finished_at if is_same else previous.finished_at
    return replace(current, previous_finished_at=before)


def log_start(container: Container) -> float:
    """Where the output of its latest run begins in its log, Unix time.

    The engine stamps a line when it reads it: the last line of a run can be later than its end,
    and the first one is earlier than its start. The middle between the end of the run before and
    the start of this one leaves the most room for both.
    """
    if not container.previous_finished_at:
        return max(0.0, container.started_at - LOG_CLOCK_SKEW)
    return container.previous_finished_at + max(
        1e-6, (container.started_at - container.previous_finished_at) / 2
    )


def same_run(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether these may be one run of one container: the start may not be known."""
    return one[0] == other[0] and (one[1] == other[1] or not one[1] or not other[1])


def listed_project(listed: Mapping[str, Any]) -> str:
    """The compose project of a container in the engine's list."""
    labels = listed.get("Labels")
    return str(labels.get(PROJECT_LABEL, "")) if isinstance(labels, Mapping) else ""


def config_files(labels: Mapping[str, str]) -> tuple[str, ...]:
    """The compose files that a container was created from.

    Version 1 writes them as on its command line: relative to where it was called, which it does
    not write; but its working directory label is the directory of the first file.
    """
    names = [name for name in str(labels.get(CONFIG_FILES_LABEL) or "").split(",") if name]
    directory = str(labels.get(WORKING_DIR_LABEL) or "")
    if names:
        first = Path(os.path.normpath(names[0]))
        directory = directory.removesuffix(f"/{first.parent}")
    return tuple(os.path.normpath(Path(directory) / name) for name in names)


def _digest(labels: Mapping[str, str]) -> str:
    """Compose's digest; that of version 1 is not comparable."""
    is_v1 = str(labels.get(VERSION_LABEL)).startswith("1.")
    return "" if is_v1 else str(labels.get(CONFIG_HASH_LABEL) or "")


def _network_mode(host_config: Any) -> str:
    return str(host_config.get("NetworkMode")) if isinstance(host_config, Mapping) else ""


def _published_ports(settings: Any) -> frozenset[int]:
    """The ports of this machine that lead to a container; malformed entries are ignored."""
    ports = settings.get("Ports") if isinstance(settings, Mapping) else None
    bindings = ports.values() if isinstance(ports, Mapping) else ()
    flat = [binding for some in bindings if isinstance(some, list) for binding in some]
    texts = [str(binding.get("HostPort")) for binding in flat if isinstance(binding, Mapping)]
    return frozenset(int(text) for text in texts if text.isdecimal())


def _last_health_output(health: Mapping[str, Any]) -> str:
    log = health.get("Log") or []
    output = str((log[-1] or {}).get("Output") or "") if log else ""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def unix_time(text: str) -> float:
    """Turn ``2026-11-25T02:03:04.123456789Z`` into Unix time; 0 if it is not such a time."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return max(0.0, when.timestamp()) if when.tzinfo else 0.0
