"""The demo's compose services, where a Docker Engine can be reached.

Two of them: `camera` has an entry in the site config and is managed, `weather` has none and is only
watched. Nothing is downloaded: they need an image that the engine has already.

Whatever of this exists is named after the demo's directory, so that it can be found and removed by
anybody who knows the directory: the demo, or its guard after the demo was killed.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

MANAGED, WATCHED = "camera", "weather"
FILE = "compose.yaml"
QUERY_TIMEOUT, COMMAND_TIMEOUT = 5.0, 30.0

IMAGE = "busybox:latest"
SCRIPT = "while :; do echo Nothing to report.; sleep 5; done"
PROJECT = "com.docker.compose.project"


class ServicesError(Exception):
    """There are no services in this demo, or they are not gone; the text says why."""


def find_compose_command() -> list[str]:
    """How compose is called here, once it is known that the engine answers.

    Raises:
        ServicesError: There is no docker, no compose, or no engine.
    """
    if shutil.which("docker") is None:
        raise ServicesError("the docker command is not installed")
    _run("docker", "version", "--format", "{{.Server.Version}}", timeout=QUERY_TIMEOUT)
    if not _run("docker", "images", "-q", IMAGE, timeout=QUERY_TIMEOUT).strip():
        raise ServicesError(f"the engine has no image {IMAGE} (`docker pull {IMAGE}` gets it)")
    for command in (["docker", "compose"], ["docker-compose"]):
        try:
            _run(*command, "version", timeout=QUERY_TIMEOUT)
        except ServicesError:
            continue
        return command
    raise ServicesError("there is no compose command")


def start(directory: Path, compose: list[str]) -> None:
    """Write the compose file and start the service that is not managed.

    Raises:
        ServicesError: It did not work; what was made is there to be removed.
    """
    service = {
        "image": IMAGE,
        "command": ["sh", "-c", SCRIPT],
        "stop_signal": "SIGKILL",
        "network_mode": "none",
    }
    services: dict[str, Any] = {f"ocs-{MANAGED}": service, WATCHED: service}
    # First: where there is a compose file, there may be containers to remove.
    text = yaml.safe_dump({"version": "2.4", "services": services}, sort_keys=False)
    (directory / FILE).write_text(text)
    _run(*compose, "-f", str(directory / FILE), "up", "-d", WATCHED, timeout=COMMAND_TIMEOUT)


def remove(directory: Path) -> None:
    """Remove the containers of a demo, if there are any.

    Raises:
        ServicesError: Something may be left; the text says how to remove it.
    """
    if not (directory / FILE).exists():
        return
    try:
        label = f"label={PROJECT}={directory.name}"
        if containers := _run("docker", "ps", "-aq", "--no-trunc", "--filter", label).split():
            _run("docker", "rm", "--force", *containers)
    except ServicesError as error:
        text = f"containers of the compose project {directory.name} may be left: {error}"
        raise ServicesError(text) from None


def _run(*command: str, timeout: float = COMMAND_TIMEOUT) -> str:
    try:
        done = subprocess.run(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
            start_new_session=True,  # Ctrl-C is for the demo alone
        )
    except subprocess.TimeoutExpired:
        raise ServicesError(
            f"`{command[0]} {command[1]}` did not answer in {timeout:g} s"
        ) from None
    except OSError as error:
        raise ServicesError(f"{command[0]} cannot be executed: {error.strerror}") from None
    if done.returncode != 0:
        lines = [line for line in os.fsdecode(done.stderr).splitlines() if line.strip()]
        raise ServicesError((lines or [f"`{command[0]}` failed"])[-1].strip().rstrip("."))
    return os.fsdecode(done.stdout)
