"""The manager's side of warm launch: keeps a fork server running, and has it fork agents.

Used in the threads that launch. Whatever goes wrong costs the agent its warm launch and nothing
else: it is launched cold. docs/warm-launch.md has the protocol and the failure cases.
"""

import json
import logging
import os
import select
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO

from hostmanager.drivers.process.ownership.env_tag import ENV_VAR, IDENTITY_ENV_VAR
from hostmanager.util.secret import Environment

log = logging.getLogger(__name__)

SERVER = Path(__file__).with_name("fork_server.py")

START_TIMEOUT = 20.0
"""Seconds for the imports of the fork server: half a second on an idle machine with warm caches."""

FORK_TIMEOUT = 5.0
"""Seconds for a fork and what follows: some milliseconds on an idle machine."""

RETRY_AFTER = 60.0
"""Seconds without another attempt after a fork server did not start, or failed repeatedly."""

MAX_FAILURES = 2
"""Requests in succession that may fail: each of them may take its time, one after the other."""

READY_ANSWER = b"ready"
"""What it says when it serves. To be another word when the protocol changes: after an upgrade the file is
newer than a manager that runs."""

UNFIT = "UnfitError: "
"""How it says that there is no use in trying."""

KILL_TIMEOUT = 5.0
"""Seconds for the end of a fork server that was killed: one that waits for a disk may not end."""

MAX_COMMAND_BYTES = 16384
"""Room for the command line of an agent; a longer one is launched cold."""

MAX_ANSWER_BYTES = 4096


class WarmLaunchError(Exception):
    """It has to be launched cold, and why."""


class ServerError(WarmLaunchError):
    """The fork server hangs, or ended."""


class ServerStartError(ServerError):
    """The fork server did not start: the next one will hardly, either."""


class WarmProcess:
    """A forked process that waits until it may begin.

    Attributes:
        pid: Its id. It is our child.
    """

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self._channel = channel

    def begin(self) -> None:
        """Let it begin; if it has ended already, its exit status says so."""
        with self._channel, suppress(OSError):
            self._channel.send(b"1")

    def abandon(self) -> None:
        """End it; it has not begun."""
        self._channel.close()
        _kill_and_reap(self.pid)


class WarmLauncher:
    """Launches agents warm."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._retry_at = 0.0
        self._failures = 0  # in succession
        self._reported: set[str] = set()
        self._closed = False

    def fork(
        self, argv: tuple[str, ...], cwd: Path, env: Environment, fds: tuple[int, ...]
    ) -> WarmProcess | None:
        """Fork a process that becomes an agent; None: launch it cold.

        Args:
            argv: What its command line would be: an interpreter, -m, a module, arguments.
            cwd: Its working directory.
            env: Its environment.
            fds: Its output; then what it inherits.
        """
        with self._lock:
            if self._closed or time.monotonic() < self._retry_at:
                return None
            try:
                with _request(argv, cwd, env) as request:
                    process = self._try_to_fork(argv[0], cwd, env, (request.fileno(), *fds))
            except (WarmLaunchError, OSError) as error:
                self._on_error(error)
                self._report(str(error))
                return None
            self._failures = 0
            return process

    def _on_error(self, error: Exception) -> None:
        self._failures += isinstance(error, ServerError)
        if isinstance(error, ServerStartError):
            self._end_server()
        if isinstance(error, ServerStartError) or self._failures >= MAX_FAILURES:
            self._failures = 0
            self._retry_at = time.monotonic() + RETRY_AFTER

    def close(self) -> None:
        """End the fork server; nothing is launched warm any more."""
        self._closed = True  # first: a launch may have the lock for a while
        server = self._server
        if server is not None:
            server.kill()
        if self._lock.acquire(timeout=KILL_TIMEOUT):  # a launch may wait for a disk
            try:
                self._end_server()
            finally:
                self._lock.release()

    @property
    def pid(self) -> int | None:
        """The pid of the fork server; None: there is none."""
        return None if self._server is None else self._server.pid

    def _try_to_fork(
        self, python: str, cwd: Path, env: Environment, fds: tuple[int, ...]
    ) -> WarmProcess:
        # It may have ended while it had nothing to do, and ends if what it imported has changed.
        for is_new in (False, True) if self._server else (True,):
            if is_new:
                self._end_server()
                self._start_server(python, cwd, env)
            process = self._request_fork(fds)
            if process is not None:
                return process
        raise ServerError("it ended while it forked")

    def _start_server(self, python: str, cwd: Path, env: Environment) -> None:
        tag = (ENV_VAR, IDENTITY_ENV_VAR)  # it belongs to no instance
        env = Environment({name: value for name, value in env.items() if name not in tag})
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        try:
            with theirs:
                self._server = subprocess.Popen(
                    (python, SERVER, str(theirs.fileno()), " " * MAX_COMMAND_BYTES),
                    cwd=cwd,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    # Pipes, as agents have them: they get its objects for stdout and stderr.
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            if self._closed:  # `close` may have come before there was anything to end
                raise ServerStartError("the manager ends")
            ours.settimeout(START_TIMEOUT)
            answer = ours.recv(MAX_ANSWER_BYTES)
        except TimeoutError:
            raise ServerStartError(f"its imports take more than {START_TIMEOUT:g} s") from None
        except OSError as error:
            raise ServerStartError(f"it did not start: {error.strerror}") from error
        if answer != READY_ANSWER:
            raise ServerStartError(answer.decode("utf-8", "replace") or "it ended while it started")

    def _request_fork(self, fds: tuple[int, ...]) -> WarmProcess | None:
        """Have a process forked; None if the fork server has ended before it did."""
        assert self._control is not None
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                socket.send_fds(self._control, [b"f"], [theirs.fileno(), *fds])
            channel.settimeout(FORK_TIMEOUT)
            answer = channel.recv(MAX_ANSWER_BYTES)
        except ConnectionError:
            self._on_failed_request(channel)
            return None
        except OSError as error:
            self._on_failed_request(channel)
            is_late = isinstance(error, TimeoutError)
            reason = (
                f"it hangs: nothing was forked within {FORK_TIMEOUT:g} s" if is_late else str(error)
            )
            raise ServerError(reason) from error
        if not answer:
            self._on_failed_request(channel)
            return None
        try:
            told = json.loads(answer)
            pid = int(told["pid"])
        except (ValueError, KeyError, TypeError):
            self._on_failed_request(channel)
            raise ServerError("what it says is not understood") from None
        if self._announced_pid(FORK_TIMEOUT) != pid:
            self._end_server()  # it ended, or hangs, after the fork
        if "error" in told:
            WarmProcess(pid, channel).abandon()
            raise WarmLaunchError(str(told["error"]))
        return WarmProcess(pid, channel)

    def _on_failed_request(self, channel: socket.socket) -> None:
        """End the fork server, and what it may have forked for this request alone."""
        channel.close()
        if self._server is not None:
            _end(self._server)  # what it says now is its last word
        pid = self._announced_pid(0)
        if pid is not None:
            _kill_and_reap(pid)
        self._end_server()

    def _announced_pid(self, timeout: float) -> int | None:
        """What the fork server says that it forked: one message for each request."""
        assert self._control is not None
        with suppress(OSError, ValueError):
            self._control.settimeout(timeout)
            return int(self._control.recv(MAX_ANSWER_BYTES))
        return None

    def _end_server(self) -> None:
        server, control = self._server, self._control
        self._server = self._control = None
        if server is not None:
            _end(server)
            assert server.stdout is not None
            with server.stdout as printed:
                _log_output(printed)
        if control is not None:
            control.close()

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


def _log_output(pipe: IO[bytes]) -> None:
    """Log what the fork server printed; its end is closed by all but what it forked."""
    os.set_blocking(pipe.fileno(), False)
    text = os.read(pipe.fileno(), MAX_ANSWER_BYTES) if select.select([pipe], (), (), 0)[0] else b""
    if text:
        log.debug("the fork server printed: %s", text.decode("utf-8", "replace"))


def _end(server: subprocess.Popen[bytes]) -> None:
    """End it; launches do not wait for one that cannot be ended."""
    server.kill()
    with suppress(subprocess.TimeoutExpired):
        server.wait(KILL_TIMEOUT)


def _kill_and_reap(pid: int) -> None:
    """End a child of ours that was not reaped, so that the pid is still its own."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
