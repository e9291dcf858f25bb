"""Whether agents are launched warm: keeps a fork server, or does without it for a while.

Used in the threads that launch; `LaunchQueue` has launches wait for the fork server. Whatever goes
wrong costs an agent its warm launch and nothing else: it is launched cold.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hostmanager.drivers.process.warm.control import (
    KILL_TIMEOUT,
    BrokenForkError,
    ForkServerProcess,
    NoForkServerError,
    WarmLaunchError,
    WarmProcess,
)
from hostmanager.util.secret import Environment

log = logging.getLogger(__name__)

RETRY_AFTER = 60.0
"""Seconds without another attempt after a fork server did not start, or failed repeatedly."""

UNFIT_RETRY_AFTER = 3600.0
"""The same where a fork server says that it does not fit here: each attempt costs a launch the time of
its imports, and only another kernel, interpreter or library changes that."""

MAX_FAILURES = 2
"""Fork servers in succession that may fail before they forked anything, and requests that may take
their time, one after the other."""

MIN_AGENTS = 3
"""Agents from which on a fork server saves memory: it has 80 MB, and each of them 35 MB less."""

UNFIT = "UnfitError: "
"""How it says that there is no use in trying."""


class WarmLauncher:
    """Launches agents warm, where there are enough of them.

    Args:
        count: Returns how many there are that may be launched warm; default: enough.
    """

    def __init__(self, count: Callable[[], int] = lambda: MIN_AGENTS) -> None:
        self._count = count
        self._lock = threading.Lock()  # the fork server has one request at a time
        self._server: ForkServerProcess | None = None
        self._starting: ForkServerProcess | None = None
        self._retry_at = 0.0
        self._failures = 0  # in succession
        self._reported: set[str] = set()
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The pid of the fork server; None: there is none."""
        return None if self._server is None else self._server.pid

    @property
    def needs_start(self) -> bool:
        """Whether there is no fork server, and should be one."""
        return self._server is None and self._may_fork()

    def _may_fork(self) -> bool:
        is_worth_it = self._count() >= MIN_AGENTS
        return is_worth_it and not self._closed and time.monotonic() >= self._retry_at

    def start(self, python: str, cwd: Path, env: Environment) -> None:
        """Start a fork server if there is none; return when it serves, or does not. One at a time.

        Args:
            python: The interpreter of the agents.
            cwd: Their working directory.
            env: Their environment.
        """
        if not self.needs_start:
            return
        try:
            self._starting = server = ForkServerProcess(python, cwd, env)
            try:
                if self._closed:  # `close` may have come before there was anything to end
                    raise WarmLaunchError("the manager ends")
                server.wait_ready()
            except BaseException:
                server.end()
                raise
            self._server = server
        except (WarmLaunchError, OSError, MemoryError) as error:
            self._give_up(
                f"it did not start: {error}" if isinstance(error, OSError) else str(error)
            )
        finally:
            self._starting = None
        if self._closed:
            self.close()

    def fork(
        self, argv: tuple[str, ...], cwd: Path, env: Environment, fds: tuple[int, ...]
    ) -> WarmProcess | None:
        """Fork a process that becomes an agent; None: launch it cold.

        Args:
            argv: What its command line would be: an interpreter, -m, a module, arguments.
            cwd: Its working directory.
            env: Its environment.
            fds: Its output; then what it inherits.

        Raises:
            NoForkServerError: There is no fork server, or none any more: it may be started.
        """
        with self._lock:
            if not self._may_fork():
                return None
            server = self._server
            if server is None:
                raise NoForkServerError
            try:
                with _request(argv, cwd, env) as request:
                    process = server.fork((request.fileno(), *fds))
            except (NoForkServerError, WarmLaunchError, OSError) as error:
                self._on_failed(server, error)
                if isinstance(error, NoForkServerError):  # it ends if what it imported has changed
                    raise
                return None
        try:  # while the fork server has the next request: others have the processors, too
            process.wait_ready()
        except WarmLaunchError as error:
            with self._lock:
                self._on_failed(server, error)
            return None
        self._failures = 0
        return process

    def _on_failed(self, server: ForkServerProcess, error: Exception) -> None:
        if server.ended and self._server is server:
            self._server = None
        if isinstance(error, BrokenForkError) or not server.has_forked:
            self._failures += 1
        if self._failures >= MAX_FAILURES:
            self._give_up(str(error))
        elif not isinstance(error, NoForkServerError):
            self._report(str(error))

    def _give_up(self, reason: str) -> None:
        """Launch all cold for a while, and say so."""
        self._failures = 0
        is_unfit = reason.startswith(UNFIT)
        self._retry_at = time.monotonic() + (UNFIT_RETRY_AFTER if is_unfit else RETRY_AFTER)
        self._report(reason)

    def close(self) -> None:
        """End the fork server; nothing is launched warm any more."""
        self._closed = True  # first: a start or a fork may be under way
        for server in (self._starting, self._server):
            if server is not None:
                server.interrupt()
        if self._lock.acquire(timeout=KILL_TIMEOUT):  # a launch may wait for a disk
            try:
                if self._server is not None:
                    self._server.end()
            finally:
                self._server = None
                self._lock.release()

    def _report(self, reason: str) -> None:
        """Say it once: there may be hundreds of launches."""
        if not self._closed and reason not in self._reported:
            self._reported.add(reason)
            is_usual = reason.startswith(UNFIT)  # here, and from now on
            level = logging.INFO if is_usual else logging.WARNING
            log.log(level, "agents are launched without the fork server: %s", reason)


def _request(argv: tuple[str, ...], cwd: Path, env: Environment) -> BinaryIO:
    """A file in memory with what the forked process has to become: it may be large."""
    text = json.dumps({"argv": argv, "cwd": os.fspath(cwd), "env": dict(env)})
    file = os.fdopen(os.memfd_create("launch"), "w+b")
    file.write(text.encode())
    file.seek(0)
    return file
