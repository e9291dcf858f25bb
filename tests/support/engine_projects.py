"""Compose projects of tests: a directory with compose files, and the containers made of them.

The directory's name is the project's, and is nobody else's: projects of tests that run at the same
time do not meet.
"""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from tests.support.engine import IMAGE, Engine
from tests.support.waiting import wait_for

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
# Runs until it is told to stop, and then ends at once.
WAIT = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"]


def service(**keys: Any) -> dict[str, Any]:
    """A service that runs until it is stopped; `keys` add to it or, if None, take away."""
    usual = {"image": IMAGE, "command": WAIT, "network_mode": "none", "stop_grace_period": "1s"}
    return {name: value for name, value in {**usual, **keys}.items() if value is not None}


class Project:
    """One compose project.

    Attributes:
        engine: Where it runs.
        directory: Its directory.
        name: Its name, as compose makes it from the directory's.
        file: The compose file that is meant unless another is named.
    """

    def __init__(self, engine: Engine, parent: Path) -> None:
        self.engine = engine
        self.name = f"hm-{secrets.token_hex(5)}"
        self.directory = parent / self.name
        self.directory.mkdir()
        self.file = self.directory / "compose.yaml"

    def write(
        self, services: dict[str, dict[str, Any]] | Sequence[str], file: str = "", **top: Any
    ) -> Path:
        """Write a compose file.

        Args:
            services: By name; a sequence of names stands for plain `service`s.
            file: Its name; "compose.yaml" if empty.
            top: Further top-level keys, such as `include`.
        """
        if not isinstance(services, dict):
            services = {name: service() for name in services}
        path = self.directory / file if file else self.file
        path.write_text(yaml.safe_dump({"services": services, **top}, sort_keys=False))
        return path

    def compose(self, *arguments: str, v1: bool = False, check: bool = True) -> str:
        """Run compose in the directory; return what it printed, errors included."""
        result = self.engine.compose(*arguments, cwd=self.directory, v1=v1, check=check)
        return result.stdout + result.stderr

    def up(self, *services: str, v1: bool = False) -> None:
        """Bring services up (all, unless named)."""
        self.compose("up", "-d", *services, v1=v1)

    def containers(self, service: str = "") -> list[str]:
        """Ids of its containers, of one service if named, in any state; the newest first."""
        labels = [f"{PROJECT}={self.name}"] + ([f"{SERVICE}={service}"] if service else [])
        filters = quote(json.dumps({"label": labels}))
        listed = self.engine.api("GET", f"/containers/json?all=1&filters={filters}").body
        return [container["Id"] for container in listed]

    def container(self, service: str, timeout: float = 60) -> str:
        """The id of the one container of a service, once there is one."""
        containers = wait_for(
            lambda: self.containers(service), timeout, f"a container of {self.name}/{service}"
        )
        assert len(containers) == 1, f"{self.name}/{service} has {len(containers)} containers"
        return str(containers[0])

    def state(self, service: str) -> str:
        """The state of the one container of a service; ``gone`` if it has none."""
        containers = self.containers(service)
        assert len(containers) <= 1, f"{self.name}/{service} has {len(containers)} containers"
        return self.engine.state(containers[0]) if containers else "gone"

    def wait_state(self, service: str, state: str, timeout: float = 60) -> None:
        """Wait until `state` is that."""
        what = f"{self.name}/{service} to be {state}"
        wait_for(lambda: self.state(service) == state, timeout, what, lambda: self.state(service))

    def remove(self) -> None:
        """Remove its containers, networks and volumes, whatever its files say by now."""
        if ids := self.containers():
            self.engine.docker("rm", "--force", "--volumes", *ids)
        for kind in ("network", "volume"):
            label = f"label={PROJECT}={self.name}"
            listed = self.engine.docker(kind, "ls", "--quiet", "--filter", label).split()
            if listed:
                self.engine.docker(kind, "rm", *listed)
