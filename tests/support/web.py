"""`hostmanager web` as a real process, and a small site of two hosts for it."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import requests

from hostmanager.testing.crossbar_router import CrossbarRouter
from hostmanager.testing.ports import free_port
from tests.support.demos import HOSTMANAGER
from tests.support.managers import Manager
from tests.support.processes import kill_all
from tests.support.sites import Site, manager_entry
from tests.support.waiting import wait_for


class WebServer:
    """One `hostmanager web` of a site (or a site config), on a free port of 127.0.0.1.

    Attributes:
        url: The address of the page, without a slash at the end.
        process: The process.
        log_path: What it prints.
    """

    def __init__(
        self, site: Site | Path, *options: str, port: int = 0, root_path: str = ""
    ) -> None:
        file = site if isinstance(site, Path) else site.file
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}{root_path}"
        self.log_path = file.parent / f"web-{self.port}.log"
        argv = [HOSTMANAGER, "web", "--site-file", str(file)]
        argv += ["--listen", f"127.0.0.1:{self.port}"]
        argv += [*(["--root-path", root_path] if root_path else []), *options]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                argv,
                cwd=file.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self) -> Self:
        """Return when it answers."""

        def answers() -> bool:
            return self.process.poll() is not None or requests.get(self.url + "/", timeout=5).ok

        try:
            wait_for(answers, 10, "the page to answer", self.output)
            assert self.process.poll() is None, f"it has ended:\n{self.output()}"
        except BaseException:
            self.stop()
            raise
        return self

    def output(self) -> str:
        """Everything that it printed."""
        return self.log_path.read_text(errors="replace")

    def stop(self, timeout: float = 30.0) -> int:
        """SIGTERM, and wait: the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"it ignored SIGTERM for {timeout:g} s:\n{self.output()}"
            ) from None

    def __enter__(self) -> Self:
        return self.wait_ready()

    def __exit__(self, *_: object) -> None:
        self.stop()


class WebSite:
    """A site with real managers, each with its own host, and a page for all of them.

    As a context manager it leaves nothing behind, whatever fails in between.

    Attributes:
        hosts: By name, what a manager of one host needs; each reads its own copy of the site config.
        managers: The managers that run, by host.
        router: The router of the site.
    """

    def __init__(
        self, directory: Path, router: CrossbarRouter, entries: Mapping[str, list[dict[str, Any]]]
    ) -> None:
        self.router = router
        first = Site(directory / "first", router)
        self.hosts = {
            host: Site(directory / host, router, host=host, address_root=first.address_root)
            for host in entries
        }
        self.managers: dict[str, Manager] = {}
        self.write(entries)

    def write(self, entries: Mapping[str, list[dict[str, Any]]]) -> None:
        """Write the site config: these instances, by host, and a manager for each host."""
        blocks = {
            host: {"agent-instances": [manager_entry(f"hm-{host}"), *instances]}
            for host, instances in entries.items()
        }
        for site in self.hosts.values():
            site.write_data({"hub": site.hub(), "hosts": blocks})

    @property
    def site(self) -> Site:
        """The first host, for commands."""
        return next(iter(self.hosts.values()))

    def start_managers(
        self, *hosts: str, options: tuple[str, ...] = ("--stop-timeout", "2")
    ) -> None:
        """Start the managers of these hosts (of all, unless told); returns when they run."""
        started = [self._start(host, options) for host in hosts or self.hosts]
        for manager in started:
            manager.wait_ready()

    def _start(self, host: str, options: tuple[str, ...]) -> Manager:
        self.managers[host] = Manager(self.hosts[host], options)
        return self.managers[host]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the managers, and with them the agents."""
        for manager in self.managers.values():
            if manager.running():
                manager.terminate()
        deadline = time.monotonic() + 60
        for manager in self.managers.values():
            manager.stop(max(0.1, deadline - time.monotonic()))
        for site in self.hosts.values():
            kill_all(site)
