"""The real driver with real processes, on both event loops, with the loop being watched.

def test_something(host):
    a = await host.launch("a", PYTHON, "-c", "…")
    assert await host.next("a") == Ended(ExitStatus(code=0))
"""

import asyncio
import contextlib
import gc
import logging
import os
import secrets
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop
from blockbuster import BlockBuster

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus
from hostmanager.core.model import InstanceSpec
from hostmanager.drivers.process import LaunchCommand, LaunchGate, ProcessDriver
from hostmanager.drivers.process.output.output_sink import OutputSink
from hostmanager.drivers.process.ownership.discovery import Ownership
from hostmanager.drivers.process.ownership.manager_identity import ManagerIdentity
from hostmanager.drivers.process.warm import control
from tests.integration.process.warm_launches import Launches, children

PYTHON = sys.executable
KILLED = ExitStatus(signal=9, detail="not from the manager; perhaps out of memory")
"""The end of a process that somebody else has killed."""

LOCK_TIMEOUT = 60.0
"""Seconds after which something that should happen did not."""


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Each test runs on both loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def open_fds() -> set[tuple[str, str]]:
    """The file descriptors of this process, each with what it is open on.

    What an earlier test left in a cycle of references is closed first. Something else of it may
    be closed in the middle, so only what is new afterwards was lost.
    """
    gc.collect()
    fds = set()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the directory itself
            fds.add((fd.name, os.fspath(fd.readlink())))
    return fds


class FaultyLoop:
    """The event loop; `calls` has those of its methods that are to fail."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.calls: dict[str, Callable[..., object]] = {}

    def __getattr__(self, name: str) -> Any:
        return self.calls.get(name) or getattr(self._loop, name)


class Host:
    """A driver, and what it reports."""

    def __init__(self, directory: Path, owner: Ownership | None = None) -> None:
        self.directory = directory
        self.commands: dict[str, LaunchCommand] = {}
        self.reports: dict[str, asyncio.Queue[ev.Observation]] = defaultdict(asyncio.Queue)
        self.owner = owner or Ownership(
            ManagerIdentity(f"test{os.getpid()}-{id(self)}", (secrets.token_hex(16),)),
            directory / "locks",
        )
        self.loop = FaultyLoop(asyncio.get_running_loop())
        self.sink, self.gate = OutputSink(), LaunchGate()
        self.driver = ProcessDriver(
            self.loop, lambda s: self.commands[s.instance_id], self.owner, self.sink, self.gate
        )
        self.pids: dict[str, int] = {}
        # Of other tests, and of the whole session: the router is a child of this process, too.
        self._before = {(child.pid, child.create_time()) for child in psutil.Process().children()}

    def output(self, name: str) -> Path:
        return self.directory / f"{name}.out"

    def has_said(self, name: str, word: str, times: int = 1) -> bool:
        """Whether a word is in its output so often."""
        path = self.output(name)
        return path.exists() and path.read_text().count(word) >= times

    def command(self, name: str, *argv: str, **more: object) -> LaunchCommand:
        """What to launch; the environment is as poor as can be."""
        parts: dict[str, object] = {"cwd": self.directory, "output": self.output(name), **more}
        env = {"PATH": os.environ["PATH"], "HOST_TEST": str(self.directory)}
        return LaunchCommand(argv=argv, **{"env": env, **parts})  # type: ignore[arg-type]

    def begin(self, name: str, *argv: str, **more: object) -> None:
        """Ask for a launch; what comes of it is reported."""
        self.commands[name] = self.command(name, *argv, **more)
        self.driver.launch(InstanceSpec(name, "Any"), self.reports[name].put_nowait)

    async def launch(self, name: str, *argv: str, **more: object) -> int:
        """Launch, and expect it to work; returns the pid."""
        self.begin(name, *argv, **more)
        launched = await self.next(name)
        assert isinstance(launched, ev.Launched), launched
        self.pids[name] = launched.pid
        return launched.pid

    async def next(self, name: str, *, output: bool = False) -> ev.Observation:
        """The next report; those of output are left out, or are all that counts.

        That a launch has begun is left out, too.
        """
        async with asyncio.timeout(LOCK_TIMEOUT):
            while True:
                report = await self.reports[name].get()
                started = isinstance(report, ev.StatusChanged) and report.launching
                if isinstance(report, ev.LastOutput) == output and not started:
                    return report

    async def failure(self, name: str, *argv: str, **more: object) -> ev.LaunchFailed:
        """Launch, and expect it to fail."""
        self.begin(name, *argv, **more)
        report = await self.next(name)
        assert isinstance(report, ev.LaunchFailed), report
        return report

    def file(self, name: str) -> Path:
        return self.directory / name

    def processes(self) -> list[psutil.Process]:
        """All that runs of what was launched here, whoever its parent is; zombies too."""
        results = []
        for process in psutil.process_iter():
            try:
                ours = (
                    process.ppid() == os.getpid()
                    or str(self.directory) in process.environ().values()
                )
                before = (process.pid, process.create_time()) in self._before
                if ours and not before and process.pid != os.getpid():
                    results.append(process)
            except psutil.Error:
                continue
        return results


async def until(true: Callable[[], object], what: str) -> None:
    """Wait for a condition, for a bounded time."""
    end = time.monotonic() + LOCK_TIMEOUT
    while not true():
        assert time.monotonic() < end, f"not in {LOCK_TIMEOUT:g} s: {what}"
        await asyncio.sleep(0.005)


@pytest.fixture
async def host(tmp_path, caplog) -> AsyncIterator[Host]:
    """A driver on a loop that is watched; nothing may be left, nothing may have blocked it."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.2  # less is for quieter machines; blocking is caught below
    faults: list[dict] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    watch = BlockBuster(scanned_modules="hostmanager")
    host = Host(tmp_path)
    watch.activate()
    try:
        yield host
    finally:
        watch.deactivate()
        host.driver.close()
        left = host.processes()
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=LOCK_TIMEOUT)  # those of one test are no fault of the next
    assert not faults, faults
    assert not left, f"processes were left: {left}"
    errors = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert not errors, errors


@pytest.fixture(scope="module")
def launches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launches]:
    """Launches with one fork server for all tests of a module."""
    before = {child.pid for child in children()}
    launches = Launches(tmp_path_factory.mktemp("warm"))
    with pytest.MonkeyPatch.context() as patch:  # the machine may be busy
        patch.setattr(control, "START_TIMEOUT", 100)
        patch.setattr(control, "FORK_TIMEOUT", 25)
        yield launches
    launches.close()
    assert {child.pid for child in children()} <= before
