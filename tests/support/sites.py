"""A site of one host, in a directory: its site file can be written and written again."""

import itertools
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hostmanager.testing.crossbar_router import CrossbarRouter

_count = itertools.count(1)


class Launch(NamedTuple):
    """One start of a tiny agent, as it noted it itself; `at` on the monotonic clock."""

    pid: int
    at: float


class Signal(NamedTuple):
    """One signal that a tiny agent received."""

    pid: int
    name: str
    at: float


def instance(
    instance_id: str, *arguments: object, agent_class: str = "TinyAgent", **keys: object
) -> dict[str, Any]:
    """One entry of ``agent-instances``; `keys` such as ``manage="host/down"``."""
    return {
        "instance-id": instance_id,
        "agent-class": agent_class,
        "arguments": list(arguments),
        **keys,
    }


def manager_entry(
    instance_id: str, *arguments: object, follows_health: bool = False
) -> dict[str, Any]:
    """The entry of a manager. Most agents of the tests are programs that never register."""
    entry = instance(instance_id, *arguments, agent_class="HostManager")
    return entry if follows_health else entry | {"host-manager": {"heartbeat": {"timeout": 0}}}


@dataclass
class Site:
    """A site file with a host `testhost`, and the directories that its agents use.

    Attributes:
        directory: Everything of this site is in here; its processes are recognised by that.
        router: The router that the site file names.
        host: For ``--site-host``.
        address_root: Its own, so that sites can share a router.
        mark: Value of ``HM_TEST_MARK`` in the environment of the site's manager.
        may_leave_processes: For tests that end with agents running on purpose.
        router_host: How the site calls the router's host.
        manager_arguments: What the site file gives to the manager.
        names_state_dir: Whether its manager is told where its state directory is.
        follows_health: Whether its manager listens to the heartbeats of its agents.
    """

    directory: Path
    router: CrossbarRouter
    host: str = "testhost"
    address_root: str = ""
    mark: str = field(default="")
    may_leave_processes: bool = False
    router_host: str = "127.0.0.1"
    manager_arguments: tuple[str, ...] = ()
    names_state_dir: bool = True
    follows_health: bool = False

    def __post_init__(self) -> None:
        self.directory = Path(self.directory).resolve()
        name = f"s{os.getpid()}_{next(_count)}"
        self.address_root = self.address_root or f"{self.router.address_root}.{name}"
        self.mark = self.mark or f"{name}:{self.directory}"
        self.working_dir.mkdir(parents=True, exist_ok=True)

    @property
    def file(self) -> Path:
        return self.directory / "site.yaml"

    @property
    def working_dir(self) -> Path:
        return self.directory / "work"

    @property
    def state_dir(self) -> Path:
        return self.directory / "state"

    @property
    def manager_id(self) -> str:
        return f"hm-{self.host}"

    @property
    def args(self) -> list[str]:
        """The site options, for managers and clients."""
        return ["--site-file", str(self.file), "--site-host", self.host]

    def write(self, *entries: dict[str, Any], **host_keys: object) -> None:
        """Write the site file: these instances, and the manager's own entry."""
        manager = manager_entry(
            self.manager_id, *self.manager_arguments, follows_health=self.follows_health
        )
        host = {**host_keys, "agent-instances": [manager, *entries]}
        self.write_data({"hub": self.hub(), "hosts": {self.host: host}})

    def write_data(self, data: dict[str, Any]) -> None:
        """Write the site file from data of its form."""
        self.write_text(yaml.safe_dump(data, sort_keys=False))

    def write_text(self, text: str) -> None:
        """Write the site file, right or wrong; readers see the old one or the new one.

        Its time is that of a file which has been there for a while: managers wait for others.
        """
        draft = self.directory / "site.yaml.draft"
        draft.write_text(text)
        then = time.time() - 5
        os.utime(draft, (then, then))
        draft.replace(self.file)

    def hub(self) -> dict[str, Any]:
        """The hub block: where the router is."""
        return {
            "wamp_server": self.router.url.replace("127.0.0.1", self.router_host),
            "wamp_http": self.router.http,
            "wamp_realm": self.router.realm,
            "address_root": self.address_root,
        }

    def launches(self, instance_id: str) -> list[Launch]:
        """Every start of the instance so far, the oldest first."""
        notes = self._notes("launches", instance_id)
        return [Launch(int(pid), float(at)) for pid, at in notes]

    def signals(self, instance_id: str) -> list[Signal]:
        """Every SIGINT and SIGTERM that the instance received, the oldest first."""
        notes = self._notes("signals", instance_id)
        return [Signal(int(pid), name, float(at)) for pid, name, at in notes]

    def _notes(self, directory: str, instance_id: str) -> list[list[str]]:
        try:
            text = (self.working_dir / directory / instance_id).read_text()
        except FileNotFoundError:
            return []
        return [line.split() for line in text.splitlines()]
