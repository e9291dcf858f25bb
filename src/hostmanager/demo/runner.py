"""The demo from curtain to curtain: put it up, show what happens, take it down.

Signals only leave a note (`Curtain`); everything that waits looks at it. So Ctrl-C at any
moment, the earliest included, ends in the same orderly clean-up.
"""

import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Protocol

from hostmanager.demo.environment import DemoEnvironment, DemoError
from hostmanager.demo.event_log import Event, EventLog, last_words
from hostmanager.demo.lines import PlainOutput
from hostmanager.demo.site import MANAGER
from hostmanager.demo.view import View, Watcher
from hostmanager.testing.crossbar_router import RouterError, find_crossbar, free_port

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
TICK = 0.1
"""Seconds after which a wait looks up whether it should go on."""


SILENCE = 3.0
"""Seconds without an answer after which it is said that there is none."""


class Display(Protocol):
    """Shows the demo to people."""

    def say(self, text: str) -> None:
        """Show a line of the demo's own."""

    def hints(self, commands: list[str]) -> None:
        """Show what to type in another terminal."""

    def show(self, story: EventLog, news: list[Event], left: float | None) -> None:
        """Show how things are; `left` seconds before the end, if that is known."""

    def close(self) -> None:
        """Show no more."""


class StopRequest:
    """Whether to end, and how fast: by signals or because the time is over."""

    def __init__(self, duration: float | None) -> None:
        self._end = None if duration is None else time.monotonic() + duration
        self.signals = 0

    def listen(self) -> None:
        """Take SIGINT, SIGTERM and SIGHUP as a wish to end."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1

    def left(self) -> float | None:
        """Seconds until the end, if that is known."""
        return None if self._end is None else self._end - time.monotonic()

    def is_set(self) -> bool:
        """Whether to end."""
        left = self.left()
        return self.signals > 0 or (left is not None and left <= 0)

    def is_urgent(self) -> bool:
        """Whether the wish to end was repeated."""
        return self.signals > 1


@dataclass(slots=True)
class DemoRun:
    """One run of the demo."""

    stage: DemoEnvironment
    curtain: StopRequest
    display: Display
    story: EventLog = field(default_factory=EventLog)
    views: SimpleQueue[View] = field(default_factory=SimpleQueue)
    told: bool = False
    seen: float = field(default_factory=time.monotonic)

    def run(self) -> int:
        """Put it up and show it, until the curtain falls or something breaks."""
        self.display.say(f"Starting the router (crossbar) at {self.stage.router.url} ...")
        try:
            self.stage.start_router(self.curtain.is_set)
        except RouterError as error:
            if not self.curtain.is_set():
                raise
            return self._verdict(str(error))
        if self.curtain.is_set():
            return self._verdict("the router had just been started")
        self.display.say(self.stage.start_services())
        if self.curtain.is_set():
            return self._verdict("the manager was about to be started")
        self.display.say(f"Starting the manager {MANAGER} and its agents ...")
        self.stage.start_manager()
        watcher = Watcher(MANAGER, self.stage.site.args, self.views.put)
        watcher.start()
        try:
            self._show()
        finally:
            watcher.stop()
            self.display.close()
        return self._verdict("")

    def _show(self) -> None:
        manager = self.stage.manager
        assert manager is not None
        while not self.curtain.is_set() and manager.poll() is None:
            view = self._next_view()
            if view is None or not (view.rows or self.story.view.rows):
                continue  # it has only just been started
            news = self.story.take(view)
            self.display.show(self.story, news, self.curtain.left())
            self._hint()

    def _next_view(self) -> View | None:
        """The next look at the manager; None when there is none within a tick."""
        try:
            view = self.views.get(timeout=TICK)
        except Empty:
            if time.monotonic() < self.seen + SILENCE:
                return None
            return replace(self.story.view, problem=f"No answer for {SILENCE:g} s or more.")
        self.seen = time.monotonic()
        return view

    def _hint(self) -> None:
        if not self.told and self.story.all_up():
            self.told = True
            pids = {row.name: row.pid for row in self.story.view.rows}
            self.display.hints(self.stage.site.hints(pids.get("fake1")))

    def _verdict(self, early: str) -> int:
        """Say how it went; returns the exit code."""
        say = self.display.say
        manager = self.stage.manager
        if manager is not None and manager.poll() is not None:
            say(f"The manager has ended (code {manager.returncode}), so the demo ends, too.")
            if manager.returncode != 0:
                _print_tail(self.stage)
                return EXIT_FAILED
        if self.curtain.signals:
            say("Told to end. (Once more: hurry.)")
            return EXIT_OK
        late = self.story.never_up()
        for row in late:
            say(f"{row.name} should be up, but never got up. {row.message}".rstrip())
            for line in last_words(row):
                say(f"  {line}")
        if not self.story.view.rows:
            say(f"The time was over before the manager could be seen. {early}".rstrip())
        return EXIT_FAILED if late or not self.story.view.rows else EXIT_OK


def run_demo(duration: float | None, fakes: int, port: int) -> int:
    """Run the demo.

    Args:
        duration: Seconds from now until it ends by itself; None: never.
        fakes: How many FakeDataAgents.
        port: For the router; 0: any that is free.

    Returns:
        0 done, 1 something failed, 2 it cannot be run here.
    """
    curtain = StopRequest(duration)
    curtain.listen()
    try:
        find_crossbar()
        port = _checked(port)
    except (RouterError, ValueError) as error:
        print(f"hostmanager demo: {error}", file=sys.stderr)
        return EXIT_USAGE
    _past_proxies()
    try:
        return _play(curtain, fakes, port)
    except BrokenPipeError:  # whoever read our output has gone; the stage is empty already
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except (RouterError, DemoError, OSError) as error:
        print(f"hostmanager demo: {error}", file=sys.stderr)
        return EXIT_FAILED


def _play(curtain: StopRequest, fakes: int, port: int) -> int:
    with DemoEnvironment(fakes, port, curtain.is_urgent) as stage:
        display = _display(stage)
        played = DemoRun(stage, curtain, display)
        code = played.run()
        display.say("Ending the agents (OCS gives them 6 s), the manager and the router ...")
    display.say(f"{played.story.summary()} Nothing was left behind.")
    return code


def _display(stage: DemoEnvironment) -> Display:
    if not sys.stdout.isatty() or os.environ.get("TERM") in (None, "", "dumb"):
        return PlainOutput()
    from hostmanager.demo.table import LiveTable  # noqa: PLC0415 - only where it can be seen

    return LiveTable(stage.site, stage.router.url)


def _checked(port: int) -> int:
    """A port that can be listened on.

    Raises:
        ValueError: The one that was asked for cannot.
    """
    if port == 0:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ValueError(
                f"--port {port} cannot be used: {error.strerror}. Choose another one, or leave "
                "the option out for any that is free."
            ) from None
    return port


def _past_proxies() -> None:
    """Have the clients of this process talk to the router directly."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1"]))


def _print_tail(stage: DemoEnvironment) -> None:
    lines = stage.site.manager_log.read_text(errors="replace").splitlines()[-10:]
    print("The end of its output:", *(f"  {line}" for line in lines), sep="\n", flush=True)
