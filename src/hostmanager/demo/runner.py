"""One run of the demo: start everything, show what happens, end everything.

A signal only sets a flag (`StopRequest`), and everything that waits reads it. So Ctrl-C at any
moment, the earliest included, ends in the same orderly clean-up.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from hostmanager.demo.environment import DemoEnvironment, DemoError
from hostmanager.demo.event_log import DemoEvent, EventLog, output_tail
from hostmanager.demo.page import port_problem
from hostmanager.demo.plain_output import PlainOutput
from hostmanager.demo.site import MANAGER
from hostmanager.demo.status import ManagerWatch
from hostmanager.testing.crossbar_router import RouterError, find_crossbar
from hostmanager.testing.ports import free_port

if TYPE_CHECKING:
    from hostmanager.demo.live_table import StatusTable

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
TICK = 0.1
"""Seconds after which a wait reads whether it should go on."""


class Display(Protocol):
    """Shows the demo to people."""

    def message(self, text: str) -> None:
        """Show a line of the demo's own."""

    def hints(self, commands: list[str]) -> None:
        """Show what to type in another terminal."""

    def show(self, log: EventLog, events: list[DemoEvent], seconds_left: float | None) -> None:
        """Show the latest view, and the events since the one before."""

    def close(self) -> None:
        """Show no more."""


class StopRequest:
    """Whether to end, and how fast: by signals or because the time is over."""

    def __init__(self, duration: float | None) -> None:
        self._end = None if duration is None else time.monotonic() + duration
        self.signals = 0

    def install_handlers(self) -> None:
        """Take SIGINT, SIGTERM and SIGHUP as a request to end."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1

    def seconds_left(self) -> float | None:
        """Seconds until the end, if that is known."""
        return None if self._end is None else self._end - time.monotonic()

    def is_set(self) -> bool:
        """Whether to end."""
        left = self.seconds_left()
        return self.signals > 0 or (left is not None and left <= 0)

    def is_urgent(self) -> bool:
        """Whether the request to end was repeated."""
        return self.signals > 1


@dataclass(slots=True)
class DemoRun:
    """One run of the demo."""

    environment: DemoEnvironment
    stop: StopRequest
    display: Display
    log: EventLog = field(default_factory=EventLog)
    hints_shown: bool = False
    page_shown: bool = False

    def run(self) -> int:
        """Start everything and show it, until there is a request to end or something breaks."""
        self.display.message(f"Starting the router (crossbar) at {self.environment.router.url} ...")
        try:
            self.environment.start_router(self.stop.is_set)
        except RouterError as error:
            if not self.stop.is_set():
                raise
            return self.verdict(str(error))
        if self.stop.is_set():
            return self.verdict("The router had just been started.")
        self.display.message(self.environment.start_services())
        if self.stop.is_set():
            return self.verdict("The manager was about to be started.")
        self.display.message(
            f"Starting the manager {MANAGER} and its agents; waiting for them to be ready ..."
        )
        self.environment.start_manager()
        watch = ManagerWatch(self.environment.site)
        try:
            self._show(watch)
        finally:
            watch.stop()
            self.display.close()
        return self.verdict("")

    def _show(self, watch: ManagerWatch) -> None:
        manager = self.environment.manager
        assert manager is not None
        while not self.stop.is_set() and manager.poll() is None:
            view = watch.next_view(TICK)
            if not view.agents:
                continue  # it has only just been started
            events = self.log.update(view)
            self.display.show(self.log, events, self.stop.seconds_left())
            self._show_page()
            self._show_hints()

    def _show_page(self) -> None:
        if self.environment.page is None:
            self.environment.start_page()
        elif not self.page_shown and (text := self.environment.page.describe()):
            self.page_shown = True
            self.display.message(text)

    def _show_hints(self) -> None:
        if not self.hints_shown and self.log.all_ready():
            self.hints_shown = True
            self.display.message(self.log.readiness())
            pids = {agent.instance_id: agent.get("pid") for agent in self.log.view.agents}
            self.display.hints(self.environment.site.hints(pids.get("fake1")))

    def verdict(self, reason: str) -> int:
        """Say how it went; returns the exit status."""
        message = self.display.message
        manager = self.environment.manager
        if manager is not None and manager.poll() is not None:
            message(f"The manager has ended (code {manager.returncode}), so the demo ends, too.")
            if manager.returncode != 0:
                _print_log_tail(self.environment)
                return EXIT_FAILED
        if self.stop.signals:
            message("Ending, as requested. (Once more: at once.)")
            return EXIT_OK
        never_up = self.log.never_up()
        for agent in never_up:
            text = f"{agent.instance_id} should be up, but never got up. "
            message((text + (agent.get("message") or "")).rstrip())
            for line in output_tail(agent):
                message(f"  {line}")
        if not self.log.view.agents:
            message(f"The time was over before the manager could be seen. {reason}".rstrip())
        return EXIT_FAILED if never_up or not self.log.view.agents else EXIT_OK


def run_demo(duration: float | None, fakes: int, port: int, table: "StatusTable") -> int:
    """Run the demo.

    Args:
        duration: Seconds from now until it ends by itself; None: never.
        fakes: How many FakeDataAgents.
        port: For the router; 0: any that is free.
        table: Makes the table of agents on a terminal.

    Returns:
        0 done, 1 something failed, 2 it cannot be run here.
    """
    stop = StopRequest(duration)
    stop.install_handlers()
    try:
        find_crossbar()
        port = _usable_port(port)
    except (RouterError, ValueError) as error:
        print(f"hostmanager demo: {error}", file=sys.stderr)
        return EXIT_USAGE
    _bypass_proxies()
    try:
        return _run(stop, fakes, port, table)
    except BrokenPipeError:  # nobody reads our output any more; everything has ended already
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except (RouterError, DemoError, OSError) as error:
        print(f"hostmanager demo: {error}", file=sys.stderr)
        return EXIT_FAILED


def _run(stop: StopRequest, fakes: int, port: int, table: "StatusTable") -> int:
    with DemoEnvironment(fakes, port, stop.is_urgent) as environment:
        display = _make_display(environment, table)
        demo = DemoRun(environment, stop, display)
        code = demo.run()
        display.message("Ending the agents (OCS gives them 6 s), the manager and the router ...")
    display.message(f"{demo.log.summary()} Nothing was left behind.")
    return code


def _make_display(environment: DemoEnvironment, table: "StatusTable") -> Display:
    if not sys.stdout.isatty() or os.environ.get("TERM") in (None, "", "dumb"):
        return PlainOutput()
    from hostmanager.demo.live_table import LiveTable  # noqa: PLC0415 - only on a terminal

    return LiveTable(environment.site, environment.router.url, table)


def _usable_port(port: int) -> int:
    """A port that can be listened on.

    Raises:
        ValueError: The one that was asked for cannot.
    """
    if port and (problem := port_problem(port)):
        raise ValueError(
            f"--port {port} cannot be used: {problem}. Choose another one, or leave the option out "
            "for any that is free."
        )
    return port or free_port()


def _bypass_proxies() -> None:
    """Have the clients of this process talk to the router directly."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1"]))


def _print_log_tail(environment: DemoEnvironment) -> None:
    lines = environment.site.manager_log.read_text(errors="replace").splitlines()[-10:]
    print("The end of its output:", *(f"  {line}" for line in lines), sep="\n", flush=True)
