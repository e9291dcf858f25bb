"""The manager's side of the protocol: one fork server, and the processes that it forks.

docs/warm-launch.md has the protocol and the failure cases.
"""

import json
import logging
import os
import select
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import IO

from hostmanager.drivers.process.priority import manager_nice
from hostmanager.util.secret import Environment

log = logging.getLogger(__name__)

SERVER = Path(__file__).with_name("fork_server.py")

START_TIMEOUT = 20.0
"""Seconds for the imports of the fork server: half a second on an idle machine with warm caches."""

FORK_TIMEOUT = 5.0
"""Seconds for a fork and what follows: some milliseconds on an idle machine."""

READY_ANSWER = b"ready 2"
"""What it says when it serves. To be another word when the protocol changes: after an upgrade the file is
newer than a manager that runs."""

KILL_TIMEOUT = 5.0
"""Seconds for the end of a fork server that was killed: one that waits for a disk may not end."""

MAX_COMMAND_BYTES = 16384
"""Room for the command line of an agent; a longer one is launched cold."""

MAX_ANSWER_BYTES = 4096

NOT_UNDERSTOOD = "what it says is not understood"


class WarmLaunchError(Exception):
    """It has to be launched cold, and why."""


class BrokenForkError(WarmLaunchError):
    """The fork server, or what it forked, hangs, ends or says what nobody understands."""


class NoForkServerError(Exception):
    """There is none, or it has ended before it forked: another one may."""


class WarmProcess:
    """A forked process that becomes an agent, and waits until it may begin.

    Attributes:
        pid: Its id. It is our child.
    """

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self._channel = channel

    def wait_ready(self) -> None:
        """Return when it may begin.

        Raises:
            WarmLaunchError: It cannot, and was ended.
        """
        try:
            self._channel.settimeout(FORK_TIMEOUT)
            told = json.loads(self._channel.recv(MAX_ANSWER_BYTES))
            announced, self.pid = self.pid, int(told["pid"])  # what it says itself is to be ended
            if announced != self.pid:
                raise BrokenForkError(NOT_UNDERSTOOD)
            if "error" in told:
                raise WarmLaunchError(told["error"])
        except BaseException as error:
            self.abandon()
            if isinstance(error, TimeoutError):
                raise BrokenForkError(f"what it forked hangs for {FORK_TIMEOUT:g} s") from None
            if isinstance(error, (OSError, ValueError, KeyError, TypeError)):
                raise BrokenForkError("what it forked ended before it began") from error
            raise

    def begin(self) -> None:
        """Let it begin; if it has ended already, its exit status says so."""
        with self._channel, suppress(OSError):
            self._channel.send(b"1")

    def abandon(self) -> None:
        """End it; it has not begun."""
        self._channel.close()
        _kill_and_reap(self.pid)


class ForkServerProcess:
    """A fork server's process, and the connection to it.

    Args:
        python: The interpreter.
        cwd: Where agents are launched.
        env: Their environment, without what marks one of them.

    Attributes:
        pid: Its id.
        has_forked: Whether it has forked anything so far.
        ended: Whether `end` was called.

    Raises:
        OSError: It cannot be executed.
    """

    def __init__(self, python: str, cwd: Path, env: Environment) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.has_forked = self.ended = False
        command = (python, os.fspath(SERVER))
        with theirs:
            try:
                self._process = subprocess.Popen(
                    (*command, str(theirs.fileno()), str(manager_nice()), " " * MAX_COMMAND_BYTES),
                    cwd=cwd,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    # Pipes, as agents have them: they get its objects for stdout and stderr.
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except BaseException:
                self._control.close()
                raise
        self.pid = self._process.pid

    def wait_ready(self) -> None:
        """Return when it serves.

        Raises:
            WarmLaunchError: It does not.
        """
        try:
            self._control.settimeout(START_TIMEOUT)
            answer = self._control.recv(MAX_ANSWER_BYTES)
        except TimeoutError:
            raise WarmLaunchError(f"its imports take more than {START_TIMEOUT:g} s") from None
        except OSError as error:
            raise WarmLaunchError(f"it did not start: {error.strerror}") from error
        if answer != READY_ANSWER:
            raise WarmLaunchError(answer.decode("utf-8", "replace") or "it ended while it started")

    def fork(self, fds: tuple[int, ...]) -> WarmProcess:
        """Have a process forked that becomes what the first of these files says.

        Raises:
            NoForkServerError: It has ended before it did, or has imported what is out of date.
            BrokenForkError: It does not.
        """
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                socket.send_fds(self._control, [b"f"], [theirs.fileno(), *fds])
            pid, problem = self._announcement(FORK_TIMEOUT)
        except (OSError, ValueError) as error:
            self._kill()  # what it said until now is its last word
            if (forked := self._unannounced(channel)) is not None:
                forked.abandon()
            channel.close()
            self.end()
            raise _failure(error) from error
        process = WarmProcess(pid, channel)
        if problem:
            self.end()
            process.abandon()
            raise NoForkServerError("what it imported has changed on disk")
        self.has_forked = True
        return process

    def _unannounced(self, channel: socket.socket) -> WarmProcess | None:
        """What it forked for a request before it was killed."""
        with suppress(OSError, ValueError):
            return WarmProcess(self._announcement(0)[0], channel)
        with suppress(OSError, ValueError, KeyError, TypeError):
            channel.settimeout(FORK_TIMEOUT)
            return WarmProcess(int(json.loads(channel.recv(MAX_ANSWER_BYTES))["pid"]), channel)
        return None

    def _announcement(self, timeout: float) -> tuple[int, str]:
        """What it says that it forked, one message for each request, and what is wrong with it."""
        self._control.settimeout(timeout)
        answer = self._control.recv(MAX_ANSWER_BYTES)
        if not answer:
            raise ConnectionResetError
        pid, _, problem = answer.decode().partition(" ")
        return int(pid), problem

    def interrupt(self) -> None:
        """Kill it; whoever waits for it does not, any more. From any thread."""
        self._process.kill()
        with suppress(OSError):  # closed, or not connected
            self._control.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """End it, and log what it printed; nothing waits for one that cannot be ended."""
        if self.ended:
            return
        self.ended = True
        self._kill()
        assert self._process.stdout is not None
        with self._process.stdout as printed:
            _log_output(printed)
        self._control.close()

    def _kill(self) -> None:
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_TIMEOUT)


def _failure(error: Exception) -> BrokenForkError | NoForkServerError:
    if isinstance(error, ConnectionError):
        return NoForkServerError("it ended while it forked")
    if isinstance(error, TimeoutError):
        return BrokenForkError(f"it hangs: nothing was forked within {FORK_TIMEOUT:g} s")
    return BrokenForkError(str(error) if isinstance(error, OSError) else NOT_UNDERSTOOD)


def _log_output(pipe: IO[bytes]) -> None:
    """Log what the fork server printed; its end is closed by all but what it forked."""
    os.set_blocking(pipe.fileno(), False)
    text = os.read(pipe.fileno(), MAX_ANSWER_BYTES) if select.select([pipe], (), (), 0)[0] else b""
    if text:
        log.debug("the fork server printed: %s", text.decode("utf-8", "replace"))


def _kill_and_reap(pid: int) -> None:
    """End a child of ours that was not reaped, so that the pid is still its own."""
    with suppress(ChildProcessError, ProcessLookupError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # raises if it is none
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
