"""The demo's site: one directory with everything in it, and the site file of one host.

Nothing of the demo is written anywhere else, so removing the directory removes it all.
"""

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hostmanager.demo import services

HOST = "demo-host"
MANAGER = f"hm-{HOST}"
REALM = "demo_realm"
ADDRESS_ROOT = "demo"

LIFETIME = ("5", "10")
"""Seconds, shortest and longest, between start and death of the flaky agent: short enough
that a demo of 20 s shows both its death and its return."""


@dataclass(slots=True)
class DemoSite:
    """The site of one demo.

    Attributes:
        directory: Everything is in here.
        fakes: How many FakeDataAgents there are.
        has_services: Whether there are compose services beside them.
    """

    directory: Path
    fakes: int
    has_services: bool = False

    @property
    def file(self) -> Path:
        """The site file."""
        return self.directory / "site.yaml"

    @property
    def router_dir(self) -> Path:
        """Where crossbar keeps its files."""
        return self.directory / "router"

    @property
    def working_dir(self) -> Path:
        """Where the manager and the agents run."""
        return self.directory / "work"

    @property
    def manager_log(self) -> Path:
        """What the manager prints."""
        return self.directory / "manager.log"

    @property
    def args(self) -> list[str]:
        """The site options, for clients and for the manager."""
        return ["--site-file", str(self.file), "--site-host", HOST]

    def manager_command(self) -> list[str]:
        """The command line that starts the manager."""
        compose = str(self.directory / services.FILE)
        return [
            *(
                sys.executable,
                "-P",
                "-m",
                "hostmanager.agent",
                "--instance-id",
                MANAGER,
                *self.args,
            ),
            *("--working-dir", str(self.working_dir), "--state-dir", str(self.directory / "state")),
            *(("--docker-compose", compose) if self.has_services else ()),
        ]

    def page_command(self, port: int) -> list[str]:
        """The command line that starts the page for browsers."""
        program = [sys.executable, "-P", "-m", "hostmanager.cli.entry_point", "web"]
        return [*program, "--site-file", str(self.file), "--listen", f"127.0.0.1:{port}"]

    def write(self, wamp_server: str, wamp_http: str) -> None:
        """Write the site file, for a router at these two addresses."""
        self.working_dir.mkdir(exist_ok=True)
        hub = {
            "wamp_server": wamp_server,
            "wamp_http": wamp_http,
            "wamp_realm": REALM,
            "address_root": ADDRESS_ROOT,
        }
        instances = self._instances()
        if self.has_services:
            # A program that is no OCS agent: it has no heartbeats.
            settings = {"heartbeat": {"timeout": 0}}
            camera = _instance("FakeDataAgent", services.MANAGED)
            instances.append({**camera, "manage": "docker", "host-manager": settings})
        site = {"hub": hub, "hosts": {HOST: {"agent-instances": instances}}}
        self.file.write_text(yaml.safe_dump(site, sort_keys=False))

    def _instances(self) -> list[dict[str, Any]]:
        acquire = ["--mode", "acq", "--num-channels", "2", "--sample-rate", "5"]
        fakes = [f"fake{number}" for number in range(1, self.fakes + 1)]
        return [
            _instance("HostManager", MANAGER),
            _instance("RegistryAgent", "registry"),
            *(_instance("FakeDataAgent", name, *acquire) for name in fakes),
            _instance("DemoFlakyAgent", "flaky", "--lifetime", *LIFETIME),
            {**_instance("FakeDataAgent", "spare", *acquire), "manage": "host/down"},
        ]

    def hints(self, pid: int | None) -> list[str]:
        """Commands to try in another terminal; `pid` is that of ``fake1``."""
        bow = shlex.join([_ocsbow(), *self.args])
        commands = [f"{bow} {what}" for what in ("status", "down fake1", "up fake1 spare")]
        return [*commands, *([] if pid is None else [f"kill -9 {pid}"])]


def _instance(agent_class: str, instance_id: str, *arguments: str) -> dict[str, Any]:
    return {
        "agent-class": agent_class,
        "instance-id": instance_id,
        "arguments": list(arguments),
    }


def _ocsbow() -> str:
    """The name of the client, with its path where the name alone would not find it."""
    beside = Path(sys.executable).parent / "ocsbow"
    path = shutil.which("ocsbow")
    if path is not None and (not beside.exists() or os.path.samefile(path, beside)):  # noqa: PTH121
        return "ocsbow"
    return str(beside)
