"""The pipes of agents, which the log daemon reads: made, kept open, flushed, removed.

A manager keeps a reading end of each pipe open, too (`keep_open`), without ever reading: the bytes
in a pipe vanish only with the last process that has it open, so neither the log daemon's death nor
the manager's alone costs a byte, even if the agent ends in the same moment. For the same reason, a
pipe that gives way to another one stays open until it is empty.

A command may be lost (the control pipe was deleted or replaced, say), and the path of a pipe, too.
So nothing rests on a command: `advertise_unread`, called periodically, repeats those that matter.
"""

import errno
import os
import stat
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from hostmanager.logd import paths
from hostmanager.logd.daemon_process import POLL_INTERVAL, LogDaemonProcess
from hostmanager.logd.pipe_reader import pipe_bytes
from hostmanager.util.files import make_private_directory, move_aside, open_fifo
from hostmanager.util.lockfile import is_same_file


class LogDaemonClient(LogDaemonProcess):
    """The log daemon of one manager, and its pipes; after it has started, call `advertise_pipes`."""

    def __init__(self, state: Path, files: Path, *limits: int) -> None:
        super().__init__(state, files, *limits)
        self._mutex = threading.Lock()
        self._kept_fds: dict[str, int] = {}
        self._retired: list[tuple[str, int]] = []  # ids, descriptors; until they are empty

    def open_pipe(self, instance_id: str) -> int:
        """Make the pipe of an instance, and have it read.

        Works without a log daemon, too: one that is started later finds the pipe.

        Returns:
            A descriptor for the stdout and stderr of the agent, to be closed after the launch.

        Raises:
            OSError: The state directory cannot be written.
            ValueError: The id cannot be part of a file name.
        """
        path = paths.pipe(self._state, instance_id)
        for _ in range(5):
            _make_pipe(path)
            # For reading and writing, so that the agent has a reader whoever else dies.
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                self.keep_open(instance_id)
                self.advertise_pipes(instance_id)
                if is_same_file(fd, path):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
        raise OSError(errno.EAGAIN, "another process keeps removing it", path)

    def keep_open(self, instance_id: str, pid: int | None = None) -> None:
        """Keep the bytes in the pipe of an instance, even while no log daemon runs.

        `open_pipe` does it; this is for agents that the manager adopted from another.

        Args:
            instance_id: The instance.
            pid: An agent that has it as its stdout: its path may lead nowhere any more.
        """
        path = paths.pipe(self._state, instance_id)
        fd = None if pid is None else _open_stdout(pid, path)
        try:
            if fd is None:
                fd = open_fifo(path, os.O_RDONLY)
        except OSError:
            return  # no descriptors left, say: the log daemon finds the pipe by its path
        with self._mutex:
            before = self._kept_fds.get(instance_id)
            if before is not None and os.path.sameopenfile(before, fd):
                os.close(fd)
                return
            self._retire(instance_id)
            self._kept_fds[instance_id] = fd

    def advertise_pipes(self, *instance_ids: str) -> None:
        """Have the log daemon read pipes that are kept open, even if their paths are gone.

        Args:
            instance_ids: The instances; default: all. For a log daemon that has just started.
        """
        with self._mutex:
            ids = instance_ids or tuple(self._kept_fds)
            commands = [_add_command(i, self._kept_fds[i]) for i in ids if i in self._kept_fds]
        self._send_all(commands)

    @property
    def has_retired(self) -> bool:
        """Whether there was output in a pipe that is not in use any more, at the last look."""
        return bool(self._retired)

    def has_unread(self) -> bool:
        """Whether there is a reason to call `advertise_unread`."""
        with self._mutex:
            return bool(self._retired) or any(map(pipe_bytes, self._kept_fds.values()))

    def advertise_unread(self) -> None:
        """Name the pipes that have bytes to the log daemon again: it may not know of them.

        A log daemon that reads them ignores it.
        """
        with self._mutex:
            retired, self._retired = self._retired, []
            for instance_id, fd in retired:
                self._close_if_empty(instance_id, fd)
            pipes = [*self._retired, *self._kept_fds.items()]
            commands = [_add_command(i, fd) for i, fd in pipes if pipe_bytes(fd)]
        self._send_all(commands)

    def flush(self, instance_id: str, timeout: float = 1.0) -> bool:
        """Wait until all that an instance has printed so far is in its file.

        Returns:
            Whether it is; if not, no log daemon runs, or the file cannot be written.
        """
        deadline = time.monotonic() + timeout
        while self.waiting(instance_id):
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_INTERVAL)
        return True

    def remove(self, instance_id: str) -> None:
        """Remove the pipe of an instance; its files stay. Not while it is launched."""
        with suppress(OSError):
            os.unlink(paths.pipe(self._state, instance_id))
        self.send(f"drop {paths.file_name(instance_id)}")
        with self._mutex:
            self._retire(instance_id)

    def instances(self) -> list[str]:
        """The instances that have a pipe, of earlier managers, too."""
        try:
            return paths.list_pipes(self._state)
        except OSError:
            return []

    def close(self) -> None:
        """Close all descriptors. The log daemon stays, and does its work."""
        with self._mutex:
            for fd in (*self._kept_fds.values(), *(fd for _, fd in self._retired)):
                os.close(fd)
            self._kept_fds.clear()
            self._retired.clear()

    def waiting(self, instance_id: str) -> int:
        """The bytes of an instance that wait in its pipe; 0, too, if it has none."""
        with suppress(OSError):
            with self._mutex:
                fd = self._kept_fds.get(instance_id)
                if fd is not None:
                    return pipe_bytes(fd)
            fd = open_fifo(paths.pipe(self._state, instance_id), os.O_RDONLY)
            try:
                return pipe_bytes(fd)
            finally:
                os.close(fd)
        return 0

    def _send_all(self, commands: Iterable[str]) -> None:
        for command in commands:
            if not self.send(command):
                return  # the others would wait in vain, too

    def _retire(self, instance_id: str) -> None:
        """Keep the pipe of an instance open only until it is empty."""
        fd = self._kept_fds.pop(instance_id, None)
        if fd is not None:
            self._close_if_empty(instance_id, fd)

    def _close_if_empty(self, instance_id: str, fd: int) -> None:
        if pipe_bytes(fd):
            self._retired.append((instance_id, fd))
        else:
            os.close(fd)


def _add_command(instance_id: str, fd: int) -> str:
    status = os.fstat(fd)
    name = paths.file_name(instance_id)
    return f"add {name} {os.getpid()} {fd} {status.st_dev} {status.st_ino}"


def _open_stdout(pid: int, path: str) -> int | None:
    """Open the pipe that a process has as its stdout, if it was made with the name of this one.

    The directory may be another by now: deleted, or moved away.
    """
    stdout = f"/proc/{pid}/fd/1"
    try:
        link = os.readlink(stdout).removesuffix(" (deleted)")
        if os.path.basename(link) != os.path.basename(path):
            return None
        fd = os.open(stdout, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


def _make_pipe(path: str) -> None:
    make_private_directory(os.path.dirname(path))
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
