"""Puts the demo up and takes it down: directory, guard, router, manager.

Whatever happens in between, leaving the `with` block leaves nothing behind: no process and
no file. Signals raise nothing in here; whoever waits asks `hurried` or `give_up` instead,
so that no process can be started and then be lost on the way into a variable.
"""

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from hostmanager.demo import services
from hostmanager.demo.cleanup_guard import DONE, kill_leftovers, start_guard
from hostmanager.demo.page import DemoPage, page_port
from hostmanager.demo.site import ADDRESS_ROOT, REALM, DemoSite
from hostmanager.testing.crossbar_router import CrossbarRouter

MANAGER_TIMEOUT = 20.0
"""Seconds for the manager to end its agents and itself; 1 s is usual."""

ROUTER_TIMEOUT = 3.0
"""Seconds for the router to end politely; half a second is usual."""

HURRY_TIMEOUT = 2.0
"""Seconds for the manager, once somebody is in a hurry."""

NOT_OURS = (
    *("INSTANCE_ID", "SITE_HOST", "SITE_HUB", "SITE_HTTP", "CROSSBAR_TIMEOUT"),
    *("OCS_CONFIG_DIR", "LOGLEVEL"),
)
"""Variables that agents would take for options: those of the user's own site."""


class DemoError(Exception):
    """The demo could not be set up, or left something behind; the text says what."""


class DemoEnvironment:
    """Everything that has to be gone in the end.

    Args:
        fakes: How many FakeDataAgents.
        port: Of the router.
        hurried: Asked while things end: whether there is no time for politeness.

    Attributes:
        site: The site; its directory is there as long as the stage is.
        manager: The manager's process, once it was started.
        page: What serves the page for browsers.
    """

    def __init__(self, fakes: int, port: int, hurried: Callable[[], bool]) -> None:
        self._hurried = hurried
        self.site = DemoSite(make_directory(), fakes)
        self.manager: subprocess.Popen[bytes] | None = None
        self.page: DemoPage | None = None
        try:
            self._guard = start_guard(self.site.directory)
        except BaseException:
            self.site.directory.rmdir()
            raise
        self.router = CrossbarRouter(
            self.site.router_dir, port=port, realm=REALM, address_root=ADDRESS_ROOT
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start_router(self, give_up: Callable[[], bool]) -> None:
        """Start crossbar and write the site file. Raises RouterError as `Router.start`."""
        self.router.start(give_up=give_up)
        self._write_site()

    def _write_site(self) -> None:
        self.site.write(self.router.url, self.router.http)

    def start_services(self) -> str:
        """Start the compose services, if there can be any; returns what came of it, for people."""
        try:
            compose = services.find_compose_command()
            services.start(self.site.directory, compose)
        except services.ServicesError as error:
            end = "" if str(error).endswith("?") else "."
            return f"No compose services in this demo: {error}{end}"
        self.site.has_services = True
        self._write_site()
        return (
            f"Two compose services: {services.MANAGED} is managed, {services.WATCHED} only watched."
        )

    def start_manager(self) -> None:
        """Start the manager; returns at once."""
        self.manager = self._start(self.site.manager_command(), self.site.manager_log)

    def start_page(self) -> None:
        """Start the page for browsers; returns at once."""
        port = page_port()
        log = self.site.directory / "page.log"
        self.page = DemoPage(self._start(self.site.page_command(port), log), port, log)

    def _start(self, command: list[str], log_path: Path) -> subprocess.Popen[bytes]:
        environment = {key: value for key, value in os.environ.items() if key not in NOT_OURS}
        with log_path.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.site.working_dir,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo alone
            )

    def close(self) -> None:
        """End everything and remove the directory. May be repeated.

        Raises:
            DemoError: A process survived SIGKILL, or a container its removal.
        """
        with ExitStack() as last:  # each step is done whatever becomes of those before it
            last.callback(self._dismiss_guard)
            last.callback(shutil.rmtree, self.site.directory, ignore_errors=True)
            last.callback(self._sweep)
            last.callback(self._remove_services)
            if self.page is not None:
                self.page.process.terminate()  # it may take its time while the others end
                last.callback(self.page.end)
            last.callback(self._end_router)
            self._end_manager()

    def _end_manager(self) -> None:
        if self.manager is None or self.manager.poll() is not None:
            return
        self.manager.terminate()
        until = time.monotonic() + MANAGER_TIMEOUT
        hurrying = False
        while time.monotonic() < until:
            with suppress(subprocess.TimeoutExpired):
                self.manager.wait(0.05)
                return
            if self._hurried() and not hurrying:
                hurrying = True
                until = time.monotonic() + HURRY_TIMEOUT
                self.manager.terminate()  # the second one makes it hurry
        self.manager.kill()  # the sweep ends what it leaves
        self.manager.wait()

    def _end_router(self) -> None:
        self.router.stop(0.0 if self._hurried() else ROUTER_TIMEOUT)

    def _remove_services(self) -> None:
        try:
            services.remove(self.site.directory)
        except services.ServicesError as error:
            raise DemoError(str(error)) from None

    def _sweep(self) -> None:
        left = kill_leftovers(self.site.directory)
        if left:
            raise DemoError(f"these processes survived SIGKILL: {left}")

    def _dismiss_guard(self) -> None:
        with suppress(BrokenPipeError, subprocess.TimeoutExpired, ValueError):
            self._guard.communicate(DONE, timeout=5)


def make_directory() -> Path:
    """Make the directory. Image and project have its name, where `__` or `_` at the end is illegal."""
    while True:
        path = Path(tempfile.gettempdir(), f"hm-demo-{secrets.token_hex(4)}").resolve()
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            return path
