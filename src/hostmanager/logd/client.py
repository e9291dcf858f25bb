"""What a manager does with the scribe: has one run, and gets pipes for its agents.

All calls block for milliseconds and belong into worker threads; all may be made at the same
time. A manager keeps a reading end of each pipe open, too (`hold`), without ever reading:
what is in a pipe vanishes only with the last one who has it open, so neither the scribe's
death nor the manager's alone costs a byte, even if the agent ends in the same moment.
"""

import errno
import fcntl
import os
import select
import signal
import stat
import subprocess
import sys
import termios
import threading
import time
from contextlib import suppress
from pathlib import Path

from hostmanager.logd import paths as names
from hostmanager.logd.settings import MAX_BYTES, MAX_FILES, Settings
from hostmanager.util import lockfile as locks
from hostmanager.util.files import move_aside, open_fifo, open_or_replace
from hostmanager.util.numbers import parse_number
from hostmanager.util.secret import Environment

_OUTER = frozenset({"OCS_HOSTMANAGER", "OCS_HOSTMANAGER_IDENTITY"})
"""In the environment of a manager that is itself an agent of another one. A scribe that had them
would be ended as something that the agent left behind."""

LARGEST_PID = 2**22
"""PID_MAX_LIMIT of every Linux."""

_STEP = 0.005
_START = 10.0


class LogDaemonError(OSError):
    """The scribe does not come to be; the text says why."""


class LogDaemonClient:
    """The scribe of one manager.

    Args:
        state: The manager's state folder.
        files: Where the output files are.
        max_bytes: No output file gets larger, bytes.
        max_files: So many old ones are kept for each instance, at least 1.
    """

    def __init__(
        self, state: Path, files: Path, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES
    ) -> None:
        self._settings = Settings(str(state), str(files), max_bytes, max_files)
        self._state = self._settings.state
        self._mutex = threading.Lock()
        self._starting = threading.Lock()
        self._kept_fds: dict[str, int] = {}
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the scribe that runs; None: there is none."""
        found = self._running()
        return found[0] if found else None

    def ensure_running(self, timeout: float = _START) -> int:
        """Have a scribe run, as this manager wants it.

        One that runs already is kept (and woken, if it was stopped), unless it is of another
        version or has other settings: then it is told to end, and another is started.

        Returns:
            Its pid, for a pidfd: when it ends, call this again.

        Raises:
            LogDaemonError: It does not start, or the other one does not end.
        """
        deadline = time.monotonic() + timeout
        with self._starting:
            while time.monotonic() < deadline:
                found = self._running()
                if found is None:
                    self._start(deadline)
                elif found[1] == self._settings.signature():
                    self.resume()
                    return found[0]
                else:
                    self._replace(found[0])
            raise LogDaemonError(f"no scribe for {self._state} within {timeout:.0f} s")

    def resume(self) -> None:
        """Have a scribe go on that somebody has suspended."""
        pid = self.pid
        if pid:
            with suppress(OSError):
                os.kill(pid, signal.SIGCONT)

    def open_pipe(self, instance_id: str) -> int:
        """Make the pipe of an instance, and have it read.

        Works without a scribe, too: one that is started later finds the pipe.

        Returns:
            A descriptor for the stdout and stderr of the agent, to be closed after the launch.

        Raises:
            OSError: The state folder cannot be written.
            ValueError: The id cannot be part of a file name.
        """
        path = names.pipe(self._state, instance_id)
        for _ in range(5):
            _make_pipe(path)
            # For reading and writing, so that the agent has a reader whoever else dies.
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                self.keep_open(instance_id)
                # Where it is, and if that is gone when it looks, who has it open.
                self._send(f"add {names.file_name(instance_id)}\n{self._fd_command(instance_id)}")
                if locks.is_same_file(fd, path):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
        raise OSError(errno.EAGAIN, "somebody keeps removing it", path)

    def keep_open(self, instance_id: str, pid: int | None = None) -> None:
        """Keep what is in the pipe of an instance, even while no scribe is there.

        `open_pipe` does it; this is for agents that the manager took over from another.

        Args:
            instance_id: Whose pipe.
            pid: An agent that has it as its stdout: its path may lead nowhere any more.
        """
        path = names.pipe(self._state, instance_id)
        fd = None if pid is None else _open_stdout(pid, path)
        try:
            if fd is None:
                fd = open_fifo(path, os.O_RDONLY)
        except OSError:
            return  # no descriptors left, say: a comfort less
        with self._mutex:
            before, self._kept_fds[instance_id] = self._kept_fds.get(instance_id), fd
        if before is not None:
            os.close(before)

    def readvertise_unlinked(self, *instance_ids: str) -> None:
        """Tell the scribe of pipes that it cannot find: whose paths are gone, or others'.

        To be called when a scribe has begun (the one before it knew them), and after `hold`.

        Args:
            instance_ids: Whose pipes; default: all that are held.
        """
        for instance_id in instance_ids or list(self._kept_fds):
            order = self._fd_command(instance_id, unless=names.pipe(self._state, instance_id))
            if order:
                self._send(order)

    def flush(self, instance_id: str, timeout: float = 1.0) -> bool:
        """Wait until all that an instance has printed so far is in its file.

        Returns:
            Whether it is; if not, there is no scribe, or the file cannot be written.
        """
        deadline = time.monotonic() + timeout
        while self._waiting(instance_id):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_STEP)
        return True

    def remove(self, instance_id: str) -> None:
        """The instance is no more: its pipe goes, its files stay. Not while it is launched."""
        with suppress(OSError):
            os.unlink(names.pipe(self._state, instance_id))
        self._send(f"drop {names.file_name(instance_id)}")
        self._release(instance_id)

    def instances(self) -> list[str]:
        """The instances that have a pipe, of managers before, too."""
        try:
            return names.list_pipes(self._state)
        except OSError:
            return []

    def stop(self, timeout: float = 5.0, *, last: bool = False) -> bool:
        """End the scribe, after it has emptied all pipes; tell whether it has ended.

        Args:
            timeout: Seconds to wait for that.
            last: Whether all agents have ended and nobody will have their pipes open: what
                cannot be written then is lost, and the next scribe is left to say so.
        """
        deadline = time.monotonic() + timeout
        while self.pid is not None:
            self._send("end" if last else "quit")
            if time.monotonic() >= deadline:
                return False
            self._await_end(min(deadline, time.monotonic() + 0.5))
        if self._child is not None:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(0.5)  # it has let go of its lock, and is about to end
        return True

    def close(self) -> None:
        """Let all descriptors go. The scribe stays, and does its work."""
        for instance_id in list(self._kept_fds):
            self._release(instance_id)

    # --- its life ---------------------------------------------------------------------

    def _running(self) -> tuple[int, str] | None:
        """Pid and settings of the scribe that holds the lock (0 and "": it just begins)."""
        child = self._child
        if child is not None:
            child.poll()  # an ended child waits to be waited for
        text = locks.read_lock_holder(names.lock(self._state))
        if text is None:
            return None
        pid, _, described = text.removesuffix("\n").partition(" ")
        return parse_number(pid, LARGEST_PID) or 0, described

    def _start(self, deadline: float) -> None:
        try:
            os.makedirs(self._state, mode=0o700, exist_ok=True)
            log = _open_log(names.log(self._state))
            try:
                child = subprocess.Popen(
                    [sys.executable, "-P", "-m", "hostmanager.logd", *self._settings.to_argv()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env=Environment({k: v for k, v in os.environ.items() if k not in _OUTER}),
                    cwd=self._state,
                    start_new_session=True,
                )
            finally:
                os.close(log)
        except OSError as error:
            raise LogDaemonError(f"the scribe cannot be started: {error}") from error
        self._child = child
        while time.monotonic() < deadline:
            found = self._running()
            if found and found[0] == child.pid and self._send(""):
                return  # it can be told of pipes
            if child.poll() is not None:
                if found is None:
                    where = names.log(self._state)
                    raise LogDaemonError(f"the scribe ended with {child.returncode}; see {where}")
                return
            time.sleep(_STEP)

    def _replace(self, pid: int) -> None:
        """End a scribe that is not as it should be; by force, if it does not hear."""
        if not pid:
            time.sleep(_STEP)
        elif not self.stop(3.0) and self.pid == pid:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)  # which costs no byte
            self._await_end(time.monotonic() + 1.0)

    def _await_end(self, deadline: float) -> None:
        while self.pid is not None and time.monotonic() < deadline:
            time.sleep(_STEP)

    def _send(self, order: str) -> bool:
        """Tell the scribe something; one that does not hear will look by itself."""
        try:
            fd = open_fifo(names.control(self._state), os.O_WRONLY)
        except OSError:
            return False  # no scribe; the next one looks for itself
        try:
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll(500)
            os.write(fd, f"{order}\n".encode())  # an empty line only shows that somebody reads
        except OSError:
            return False
        finally:
            os.close(fd)
        return True

    def _fd_command(self, instance_id: str, unless: str = "") -> str:
        """The order to read the pipe that is held, unless that path leads to it."""
        with self._mutex:
            fd = self._kept_fds.get(instance_id, -1)
            if fd < 0 or (unless and locks.is_same_file(fd, unless)):
                return ""
            which = os.fstat(fd)
        name = names.file_name(instance_id)
        return f"at {name} {os.getpid()} {fd} {which.st_dev} {which.st_ino}"

    # --- pipes ------------------------------------------------------------------------

    def _waiting(self, instance_id: str) -> int:
        with self._mutex:
            fd = self._kept_fds.get(instance_id)
            if fd is not None:
                return _bytes_in(fd)
        try:
            path = names.pipe(self._state, instance_id)
            fd = open_fifo(path, os.O_RDONLY)
        except OSError:
            return 0
        try:
            return _bytes_in(fd)
        finally:
            os.close(fd)

    def _release(self, instance_id: str) -> None:
        with self._mutex:
            fd = self._kept_fds.pop(instance_id, None)
        if fd is not None:
            os.close(fd)


def _bytes_in(fd: int) -> int:
    try:
        answer = fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0")
    except OSError:
        return 0
    return int.from_bytes(answer, sys.byteorder)


def _open_stdout(pid: int, path: str) -> int | None:
    """Open the pipe that a process has as its stdout, if it was made at this path."""
    stdout = f"/proc/{pid}/fd/1"
    try:
        if os.readlink(stdout).removesuffix(" (deleted)") != path:
            return None
        fd = os.open(stdout, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
    except OSError:
        pass
    return None


def _make_pipe(path: str) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    for _ in range(2):
        try:
            os.mkfifo(path, 0o600)
        except FileExistsError:
            with suppress(FileNotFoundError):
                if stat.S_ISFIFO(os.lstat(path).st_mode):
                    return
                move_aside(path)
        else:
            return


def _open_log(path: str) -> int:
    """Where the scribe tells of its troubles; nowhere, if that is not possible."""
    try:
        return open_or_replace(path, os.O_WRONLY | os.O_APPEND)[0]
    except OSError:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
