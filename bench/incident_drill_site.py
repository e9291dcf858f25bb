"""A real site of twelve hosts and 150 agents on one machine, for the incident drill.

Everything is real: one crossbar, a manager for each host with a state directory of its own, OCS
agents with their connections and feeds. Each host reads its own copy of the site config, as
hosts do; operators have one more. Only the hosts share a machine. With a Docker Engine, the router is
a compose service of the last host, whose manager runs it.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

import yaml
from tests.support.engine import Engine
from tests.support.managers import Manager
from tests.support.processes import kill_all, processes_of
from tests.support.sites import Site, instance
from tests.support.waiting import wait_for

from bench.incident_drill_router import INSTANCE_ID, RouterService
from hostmanager.testing.crossbar_router import CrossbarRouter

WAIT_TIMEOUT = 240.0
"""Seconds until all agents are up: 150 interpreters that import OCS take two processors a while."""

AGENT = "FakeDataAgent"


class DrillSite:
    """A context manager; nothing is left behind.

    Args:
        hosts: How many hosts.
        agents: How many agents in all, spread evenly.
        engine: Where the router's container runs; None: the router is a process of its own.

    Attributes:
        names: The hosts.
        config: What the operators' site config says; `write` puts it there.
        directory: The operators' directory, for ``OCS_CONFIG_DIR``.
        managers: The manager of each host, while it runs.
    """

    def __init__(self, hosts: int, agents: int, engine: Engine | None = None) -> None:
        self.names = [f"daq{number:02d}" for number in range(1, hosts + 1)]
        self._home = Path(tempfile.mkdtemp(prefix="hostmanager-drill-"))
        home = self._home / "router"
        self.router_service = RouterService(home, engine) if engine is not None else None
        self._router = self.router_service or CrossbarRouter(home)
        self.directory = self._home / "operator"
        self.sites = {name: self._site(name) for name in self.names}
        self.managers: dict[str, Manager] = {}
        self.config: dict[str, Any] = {
            "hub": self.sites[self.names[0]].hub(),
            "hosts": {name: {"agent-instances": self._manager(name)} for name in self.names},
        }
        for number in range(agents):
            host = self.names[number % hosts]
            name = f"{host}-fake{number // hosts + 1:02d}"
            self.entries(host).append(instance(name, "--mode", "acq", agent_class=AGENT))
        if self.router_service is not None:
            self._add_router_service(self.router_service)

    def _add_router_service(self, service: RouterService) -> None:
        entries = self.entries(self.names[-1])
        entries[0]["arguments"] = ["--docker-compose", str(service.compose_file)]
        no_agent = {"heartbeat": {"timeout": 0}}
        keys: dict[str, object] = {"manage": "docker/up", "host-manager": no_agent}
        entries.append(instance(INSTANCE_ID, agent_class="Crossbar", **keys))

    def _site(self, name: str) -> Site:
        root = f"{self._router.address_root}.drill"
        return Site(self._home / name, self._router, host=name, address_root=root)

    @staticmethod
    def _manager(host: str) -> list[dict[str, Any]]:
        return [instance(f"hm-{host}", agent_class="HostManager")]

    @property
    def file(self) -> Path:
        """The operators' copy of the site config."""
        return self.directory / "default.yaml"

    def entries(self, host: str) -> list[dict[str, Any]]:
        """The entries of a host, the manager's first."""
        entries: list[dict[str, Any]] = self.config["hosts"][host]["agent-instances"]
        return entries

    def ids(self, host: str) -> list[str]:
        """The agents of a host."""
        return [entry["instance-id"] for entry in self.entries(host)[1:]]

    def write(self, *, everywhere: bool = True) -> None:
        """Write the operators' site config, and (by default) the copy of each host."""
        self.directory.mkdir(exist_ok=True)
        self.config["hub"] = self.sites[self.names[0]].hub()
        self.file.write_text(yaml.safe_dump(self.config, sort_keys=False))
        for site in self.sites.values() if everywhere else ():
            site.write_data(self.config)

    def __enter__(self) -> Self:
        try:
            self._router.start()
            self.write()
            # The router's host first; one after the other, since they share two processors.
            for name in reversed(self.names):
                self.start(name).wait_ready(WAIT_TIMEOUT)
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self, host: str) -> Manager:
        """Start the manager of a host, as its systemd would."""
        environment = self.router_service.environment if self.router_service else {}
        self.managers[host] = Manager(self.sites[host], kind="ours", surroundings=environment)
        return self.managers[host]

    def __exit__(self, *_: object) -> None:
        for manager in self.managers.values():
            manager.process.kill()
            manager.process.wait()
        for site in self.sites.values():
            kill_all(site)
        self._router.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def pid(self, host: str, instance_id: str) -> int:
        """The process of an agent, once there is one."""
        pids = wait_for(
            lambda: processes_of(self.sites[host]).get(instance_id), 30, f"{instance_id} to run"
        )
        return pids[0]
