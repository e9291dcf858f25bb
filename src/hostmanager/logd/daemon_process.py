"""The log daemon as its manager sees it: found or started, commanded, stopped.

All calls block for milliseconds and belong into worker threads; all may be made at the same
time.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from hostmanager.logd import paths
from hostmanager.logd.settings import DEFAULT_MAX_BYTES, DEFAULT_MAX_FILES, Settings
from hostmanager.util.files import make_private_directory, open_fifo, open_or_replace
from hostmanager.util.lockfile import read_lock_holder
from hostmanager.util.numbers import parse_number
from hostmanager.util.secret import Environment

_MANAGER_VARIABLES = frozenset({"OCS_HOSTMANAGER", "OCS_HOSTMANAGER_IDENTITY"})
"""In the environment of a manager that is itself an agent of another one. A log daemon that had
them would be ended as something that the agent left behind."""

POLL_INTERVAL = 0.005
"""Seconds between two looks at what a log daemon does."""

_MAX_PID = 2**22  # PID_MAX_LIMIT of every Linux
_START_TIMEOUT = 10.0
QUIT_TIMEOUT = 3.0
_KILL_TIMEOUT = 1.0


class LogDaemonError(OSError):
    """The log daemon does not start; the text says why."""


class LogDaemonProcess:
    """The log daemon of one manager.

    Args:
        state: The manager's state directory.
        files: The directory of the output files.
        max_bytes: No output file gets larger, bytes.
        max_files: How many old files are kept for each instance, at least 1.
    """

    def __init__(
        self,
        state: Path,
        files: Path,
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_files: int = DEFAULT_MAX_FILES,
    ) -> None:
        self._settings = Settings(str(state), str(files), max_bytes, max_files)
        self._state = self._settings.state
        self._start_mutex = threading.RLock()  # `ensure_running` stops one of other settings
        self._child: subprocess.Popen[bytes] | None = None
        self._may_start = True

    @property
    def pid(self) -> int | None:
        """Of the running log daemon; None if none runs."""
        holder = self._holder()
        return holder[0] if holder else None

    def ensure_running(self, timeout: float = _START_TIMEOUT) -> int:
        """Have a log daemon run, with the settings of this manager.

        One that runs already is kept (and resumed, if it was suspended), unless it is of another
        version or has other settings: then it is stopped, and another is started.

        Returns:
            Its pid, for a pidfd: when it ends, call this again.

        Raises:
            LogDaemonError: It does not start, or the other one does not end.
        """
        deadline = time.monotonic() + timeout
        with self._start_mutex:
            while self._may_start and time.monotonic() < deadline:
                holder = self._holder()
                if holder is None:
                    self._start(deadline)
                elif holder[1] == self._settings.signature():
                    self.resume()
                    return holder[0]
                else:
                    self._stop_other(holder[0])
            raise LogDaemonError(
                f"none was ready within {timeout:.0f} s; is the disk of {self._state} full?"
            )

    def resume(self) -> None:
        """Resume a log daemon that somebody has suspended."""
        pid = self.pid
        if pid:
            with suppress(OSError):
                os.kill(pid, signal.SIGCONT)

    def stop(self, timeout: float = 5.0, *, final: bool = False) -> bool:
        """Stop the log daemon, after it has emptied all pipes; report whether it has ended.

        One that is just being started is awaited first, for at most three seconds more.

        Args:
            timeout: Seconds that it has.
            final: Also, start none any more.
        """
        self._may_start = self._may_start and not final
        if self._start_mutex.acquire(timeout=QUIT_TIMEOUT):
            self._start_mutex.release()
        deadline = time.monotonic() + timeout
        while self._is_running():
            self.send("quit")
            if time.monotonic() >= deadline:
                return False
            self._wait_exit(min(deadline, time.monotonic() + 0.5))
        return True

    def send(self, command: str) -> bool:
        """Send a command (an empty one has no effect); report whether somebody reads it."""
        try:
            fd = open_fifo(paths.control(self._state), os.O_WRONLY)
        except OSError:
            return False  # no log daemon; the next one finds the pipes by itself
        try:
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll(500)
            os.write(fd, f"{command}\n".encode())
        except OSError:
            return False
        finally:
            os.close(fd)
        return True

    def _holder(self) -> tuple[int, str] | None:
        """Pid and signature of the log daemon that holds the lock (0 and "": it just starts)."""
        child = self._child
        if child is not None:
            child.poll()  # reaps it
        text = read_lock_holder(paths.lock(self._state))
        if text is None:
            return None
        pid, _, signature = text.removesuffix("\n").partition(" ")
        return parse_number(pid, _MAX_PID) or 0, signature

    def _start(self, deadline: float) -> None:
        child = self._child = self._spawn()
        while time.monotonic() < deadline:
            holder = self._holder()
            if holder and holder[0] == child.pid and self.send(""):
                return  # it reads commands
            if child.poll() is not None:
                if holder is None:
                    log = paths.log(self._state)
                    raise LogDaemonError(f"the log daemon ended with {child.returncode}; see {log}")
                return
            time.sleep(POLL_INTERVAL)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        environ = {k: v for k, v in os.environ.items() if k not in _MANAGER_VARIABLES}
        try:
            make_private_directory(self._state)
            log = _open_log(paths.log(self._state))
            try:
                return subprocess.Popen(
                    [sys.executable, "-P", "-m", "hostmanager.logd", *self._settings.to_argv()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env=Environment(environ),
                    cwd=self._state,
                    start_new_session=True,
                )
            finally:
                os.close(log)
        except OSError as error:
            raise LogDaemonError(f"the log daemon cannot be started: {error}") from error

    def _stop_other(self, pid: int) -> None:
        """Stop a log daemon of another version or with other settings; kill it if it must be."""
        if not pid:
            time.sleep(POLL_INTERVAL)
        elif not self.stop(QUIT_TIMEOUT) and self.pid == pid:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)  # which costs no byte
            self._wait_exit(time.monotonic() + _KILL_TIMEOUT)

    def _wait_exit(self, deadline: float) -> None:
        while self._is_running() and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL)

    def _is_running(self) -> bool:
        """Whether there is a log daemon, or one of ours that has no lock yet or no more."""
        return self.pid is not None or (self._child is not None and self._child.poll() is None)


def _open_log(path: str) -> int:
    """Where the log daemon logs its errors; nowhere, if that is not possible."""
    try:
        return open_or_replace(path, os.O_WRONLY | os.O_APPEND)[0]
    except OSError:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
