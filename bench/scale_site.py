"""A site of simulated hosts: one router, one manager process for each host, thousands of agents."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import psutil
import requests
import yaml

from hostmanager.testing.crossbar_router import CrossbarRouter

WAIT_TIMEOUT = 120.0  # seconds for anything that should happen
AT_A_TIME = 4  # managers that are being started: more only wait for a processor
ROOT = Path(__file__).parent.parent


def site_config(
    router: CrossbarRouter, hosts: int, agents: int, *, first: int = 1
) -> dict[str, Any]:
    """The site config of so many hosts, with so many agents on each."""
    names = [host_name(number) for number in range(first, first + hosts)]
    return {
        "hub": {
            "wamp_server": router.url,
            "wamp_http": router.http,
            "wamp_realm": router.realm,
            "address_root": router.address_root,
        },
        "hosts": {name: {"agent-instances": _entries(name, agents)} for name in names},
    }


def host_name(number: int) -> str:
    return f"h{number:02d}"


def _entries(host: str, agents: int) -> list[dict[str, Any]]:
    manager = {"agent-class": "HostManager", "instance-id": f"hm-{host}"}
    children = [
        {"agent-class": "FakeDataAgent", "instance-id": f"{host}-agent{number:02d}"}
        for number in range(1, agents + 1)
    ]
    return [manager, *children]


class SimulatedSite:
    """A context manager; nothing is left behind.

    Attributes:
        agents: On each host.
        hosts: How many managers run.
        router: A real crossbar.
        directory: Everything is in here.
    """

    def __init__(self, most: int, agents: int) -> None:
        self.agents = agents
        self.hosts = 0
        self.directory = Path(tempfile.mkdtemp(prefix="hostmanager-scale-"))
        self.router = CrossbarRouter(self.directory / "router")
        self._managers: list[subprocess.Popen[bytes]] = []
        self._most = most

    def __enter__(self) -> Self:
        try:
            self.router.start()
            self._whole = self._write("site.yaml", self._most)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for manager in self._managers:
            manager.send_signal(signal.SIGKILL)  # none has a process to leave behind
        for manager in self._managers:
            manager.wait()
        self.router.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _write(self, name: str, hosts: int) -> Path:
        path = self.directory / name
        path.write_text(yaml.safe_dump(site_config(self.router, hosts, self.agents)))
        return path

    def grow(self, hosts: int) -> Path:
        """Start managers until there are so many; returns the site file of just these."""
        for number in range(self.hosts + 1, hosts + 1):
            self._managers.append(self._start(host_name(number)))
            if number % AT_A_TIME == 0:
                self._wait_for(self.hosts + 1, number)
                self.hosts = number
        self._wait_for(self.hosts + 1, hosts)
        self.hosts = hosts
        return self._write(f"site{hosts}.yaml", hosts)

    def _start(self, host: str) -> subprocess.Popen[bytes]:
        options = ["--site-file", str(self._whole), "--site-host", host]
        options += ["--instance-id", f"hm-{host}"]
        options += ["--state-dir", str(self.directory / host), "--working-dir", str(self.directory)]
        with (self.directory / f"{host}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "bench.scale_manager", *options],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=environ(),
            )

    def _wait_for(self, first: int, last: int) -> None:
        until = time.monotonic() + WAIT_TIMEOUT
        for number in range(first, last + 1):
            while not self._is_up(host_name(number)):
                if time.monotonic() > until:
                    log = (self.directory / f"{host_name(number)}.log").read_text()[-2000:]
                    raise TimeoutError(f"{host_name(number)} has not all agents up:\n{log}")
                time.sleep(0.1)

    def _is_up(self, host: str) -> bool:
        call = {"procedure": f"{self.address(host)}.ops", "args": ["status", "manager", {}]}
        answer = requests.post(self.router.http, json=call, timeout=WAIT_TIMEOUT).json()
        session = (answer.get("args") or [[0, "", {}]])[0][2] if "error" not in answer else {}
        children = (session.get("data") or {}).get("child_states", [])
        up = [child for child in children if child["next_action"] == "up"]
        return len(up) == self.agents

    def wait_up(self) -> None:
        """Wait until every manager says that all of its agents are up."""
        self._wait_for(1, self.hosts)

    def address(self, host: str) -> str:
        """The address of a host's manager."""
        return f"{self.router.address_root}.hm-{host}"

    @property
    def addresses(self) -> list[str]:
        """The addresses of all managers that run."""
        return [self.address(host_name(number)) for number in range(1, self.hosts + 1)]

    @property
    def managers(self) -> list[psutil.Process]:
        """Their processes."""
        return [psutil.Process(manager.pid) for manager in self._managers]

    def client(self, what: str, seconds: float, *rest: str) -> subprocess.Popen[str]:
        """Start one of the clients of `bench.scale_client`."""
        command = [sys.executable, "-m", "bench.scale_client", self.router.url, self.router.realm]
        return subprocess.Popen(
            [*command, what, str(seconds), *rest],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env=environ(),
        )


def environ() -> dict[str, str]:
    """The environment of what is measured: no proxies, no site of the user's."""
    drop = {"OCS_CONFIG_DIR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}
    return {k: v for k, v in os.environ.items() if k not in drop} | {"COLUMNS": "120"}
