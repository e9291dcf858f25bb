"""The log daemon's loop: waits until pipes have bytes, and has them moved into files.

Edge-triggered: epoll reports that bytes come, not that they are still there, so a pipe without
writers is silent. After each round there is a pause of some milliseconds, in which the pipes
fill: a loud agent costs tens of rounds a second, not one for each of its lines. The pause gets
shorter when a pipe fills too fast. A periodic check covers everything, so nothing rests on a
single notification or command that may have been lost.
"""

import contextlib
import errno
import os
import select
import time
from collections import Counter

from hostmanager.logd import paths
from hostmanager.logd.compress import Compressor
from hostmanager.logd.control_pipe import ControlPipe
from hostmanager.logd.log_file import LogFile
from hostmanager.logd.pipe_reader import PipeBufferBudget, PipeBusyError, PipeReader
from hostmanager.logd.settings import Settings
from hostmanager.logd.stderr_log import log_error
from hostmanager.util.files import make_private_directory
from hostmanager.util.lockfile import acquire_lock, is_same_file, read_lock_holder

MAX_ROUND_PAUSE = 0.04
"""Seconds between two rounds, at most."""

PERIODIC_CHECK_INTERVAL = 10.0
"""Seconds between two checks of everything."""

EARLY_CHECK = 1.0
"""Seconds until such a check after an event that calls for one."""

_MIN_ROUND_PAUSE = 0.001
_LOCK_TIMEOUT = 1.0
_DRAIN_TIMEOUT = 2.0  # seconds for emptying the pipes before the end
_READ = select.EPOLLIN | select.EPOLLET

_Identity = tuple[int, int]  # device and inode


class LogDaemon:
    """Owns everything that the log daemon has open."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._epoll = select.epoll()
        self._null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        self._compressor = Compressor(settings.files, settings.max_files)
        self._budget = PipeBufferBudget()
        self._log_files: dict[str, LogFile] = {}
        self._readers: dict[int, PipeReader] = {}  # by descriptor
        self._pending: dict[tuple[str, str], _Identity] = {}  # pipes that could not be opened
        self._busy: set[int] = set()  # descriptors of pipes that may have bytes
        self._linked: set[tuple[str, int]] | None = None  # names, inodes of pipes that are read
        self._control: ControlPipe | None = None
        self._lock: int | None = None
        self._pause = MAX_ROUND_PAUSE
        self._next_check = 0.0
        self._ending = False

    def acquire_state_dir(self) -> bool:
        """Become the log daemon of this state directory, unless it has one."""
        self._next_check = time.monotonic() + PERIODIC_CHECK_INTERVAL
        return self._acquire()

    def run(self) -> None:
        """Move bytes until the end."""
        while not self._ending:
            self._wait()
            self._round()
            if time.monotonic() >= self._next_check:
                self._next_check = time.monotonic() + PERIODIC_CHECK_INTERVAL
                try:
                    self._periodic_check()
                except OSError as error:  # never the end of the pipes that are read
                    log_error(f"check: {error}")
            elif self._busy or self._pause:
                time.sleep(self._pause)
        self._drain()

    # --- a round ----------------------------------------------------------------------

    def _wait(self) -> None:
        timeout = 0.0 if self._busy else max(0.0, self._next_check - time.monotonic())
        for fd, events in self._epoll.poll(timeout):
            if self._control is not None and fd == self._control.fd:
                self._handle_commands(self._control)
            elif fd == self._compressor.pidfd:
                self._epoll.unregister(fd)
                self._compressor.finish()
                self._start_compressing()
            elif fd in self._readers:
                self._busy.add(fd)
                if events & select.EPOLLHUP:
                    self._on_hangup(self._readers[fd])

    def _round(self) -> None:
        peak_fill = 0.0
        for fd in list(self._busy):
            reader = self._readers.get(fd)
            if reader is None or not self._pump(reader):
                self._busy.discard(fd)
            if reader is not None:
                peak_fill = max(peak_fill, reader.peak_fill)
        if peak_fill > 0.45:
            self._pause = self._pause / 2 if self._pause > _MIN_ROUND_PAUSE else 0.0
        elif peak_fill < 0.2:
            self._pause = min(MAX_ROUND_PAUSE, max(_MIN_ROUND_PAUSE, self._pause * 2))

    def _pump(self, reader: PipeReader) -> bool:
        log_file = reader.log_file
        error_before = log_file.error
        try:
            has_more = reader.pump()
        except OSError as error:  # never the end of all others
            log_error(f"pipe of {log_file.instance_id}: {error}")
            return False
        if log_file.error is not None and error_before is None:
            self._check_early()
            if log_file.error.errno in (errno.EMFILE, errno.ENFILE):
                self._close_files(idle=0.0)
        if log_file.rotated:
            log_file.rotated = False
            self._compressor.enqueue(log_file.instance_id)
            self._start_compressing()
        return has_more

    def _start_compressing(self) -> None:
        if self._compressor.pidfd is not None:
            return
        try:
            self._compressor.start()
        except OSError as error:  # no process to be had, say: old files stay as they are
            log_error(f"compressing: {error}")
        if self._compressor.pidfd is not None:
            self._epoll.register(self._compressor.pidfd, select.EPOLLIN)

    def _on_hangup(self, reader: PipeReader) -> None:
        self._check_early()  # it may have been the last writer
        if reader.removed and not reader.waiting():
            self._close_reader(reader)

    def _close_reader(self, reader: PipeReader) -> None:
        self._linked = None
        self._busy.discard(reader.fd)
        self._readers.pop(reader.fd, None)
        reader.close()  # which takes it out of the epoll, too
        if all(other.log_file is not reader.log_file for other in self._readers.values()):
            reader.log_file.close()
            self._log_files.pop(reader.log_file.instance_id, None)

    # --- commands ---------------------------------------------------------------------

    def _handle_commands(self, control: ControlPipe) -> None:
        for command in control.read():
            match command:
                case ["add", instance_id, pid, fd, device, inode]:
                    identity = (int(device), int(inode))
                    self._add(instance_id, f"/proc/{pid}/fd/{fd}", identity)
                case ["drop", instance_id]:
                    self._remove(instance_id)
                case _:
                    self._ending = True

    def _add(self, instance_id: str, path: str, identity: _Identity) -> None:
        """Read a pipe; one that cannot be opened yet is tried again."""
        self._pending.pop((instance_id, path), None)
        try:
            reader = self._find(instance_id, identity) or self._open(instance_id, path, identity)
        except OSError as error:
            if error.errno == errno.ENOENT:
                if path.startswith("/proc/"):  # its manager has died; an agent may write to it
                    self._add_linked(instance_id)
                return
            if not isinstance(error, PipeBusyError):
                log_error(f"pipe of {instance_id} at {path}: {error}")
            self._pending[instance_id, path] = identity
            self._check_early()
            return
        reader.removed = False
        self._busy.add(reader.fd)

    def _find(self, instance_id: str, identity: _Identity) -> PipeReader | None:
        for reader in self._readers.values():
            if reader.log_file.instance_id == instance_id and reader.identity == identity:
                return reader
        return None

    def _open(self, instance_id: str, path: str, identity: _Identity) -> PipeReader:
        log_file = self._log_files.get(instance_id)
        log_file = log_file or LogFile(self._settings, instance_id, self._null)
        reader = PipeReader(path, log_file, self._budget, identity)
        self._log_files[instance_id] = log_file
        self._readers[reader.fd] = reader
        self._epoll.register(reader.fd, _READ)
        return reader

    def _remove(self, instance_id: str) -> None:
        self._linked = None
        for reader in list(self._readers.values()):
            if reader.log_file.instance_id == instance_id:
                reader.removed = True
                self._pump(reader)
                if not reader.has_writer():
                    self._on_hangup(reader)

    # --- the periodic check -----------------------------------------------------------

    def _check_early(self) -> None:
        self._next_check = min(self._next_check, time.monotonic() + EARLY_CHECK)

    def _periodic_check(self) -> None:
        for reader in list(self._readers.values()):
            if reader.waiting():
                self._busy.add(reader.fd)
            elif not reader.has_writer() and (reader.removed or not self._is_linked(reader)):
                self._close_reader(reader)
        for log_file in self._log_files.values():
            if log_file.error is not None:
                log_file.recover()
        for (instance_id, path), identity in list(self._pending.items()):
            self._add(instance_id, path, identity)
        self._close_files(idle=PERIODIC_CHECK_INTERVAL)
        idle, has_state_dir = not self._busy, self._has_state_dir()
        if has_state_dir:  # first: an agent may write to one whose command was lost
            self._add_linked_pipes()
        if idle and not self._is_needed():
            self._ending = True
        elif not has_state_dir:
            self._reclaim_state_dir()
        has_errors = any(log_file.error for log_file in self._log_files.values())
        interval = EARLY_CHECK if has_errors or self._pending else PERIODIC_CHECK_INTERVAL
        self._next_check = time.monotonic() + interval

    def _is_linked(self, reader: PipeReader) -> bool:
        """Whether its path leads to it: whoever runs the agent next will use it again."""
        path = paths.pipe(self._settings.state, reader.log_file.instance_id)
        return is_same_file(reader.fd, path)

    def _close_files(self, idle: float) -> None:
        before = time.monotonic() - idle
        for log_file in self._log_files.values():
            if log_file.used_at <= before:
                log_file.close()

    def _is_needed(self) -> bool:
        if read_lock_holder(paths.manager_lock(self._settings.state)) is not None:
            return True
        return any(reader.has_writer() for reader in self._readers.values())

    # --- the state directory ----------------------------------------------------------

    def _has_state_dir(self) -> bool:
        state = self._settings.state
        return (
            self._lock is not None
            and self._control is not None
            and is_same_file(self._lock, paths.lock(state))
            and is_same_file(self._control.fd, paths.control(state))
            and os.path.isdir(paths.pipes(state))
        )

    def _reclaim_state_dir(self) -> None:
        """Our lock, control pipe, or directory of pipes is gone: make it again, or leave to another one.

        The other one waits for the pipes that we have locked: its manager has sent their commands.
        """
        path = paths.lock(self._settings.state)
        holds_lock = self._lock is not None and is_same_file(self._lock, path)
        if not holds_lock and read_lock_holder(path) is not None:
            self._ending = True
        else:
            self._acquire()

    def _acquire(self) -> bool:
        """Acquire the lock, then the control pipe, then all pipes; again if they were removed."""
        state = self._settings.state
        try:
            make_private_directory(paths.pipes(state))
            if self._lock is None or not is_same_file(self._lock, paths.lock(state)):
                text = f"{os.getpid()} {self._settings.signature()}\n"
                lock = acquire_lock(paths.lock(state), text, _LOCK_TIMEOUT, replace=True)
                if lock is None:
                    return False
                if self._lock is not None:
                    os.close(self._lock)
                self._lock = lock
            control = paths.control(state)
            if self._control is None or not is_same_file(self._control.fd, control):
                self._open_control(control)
            self._add_linked_pipes()
        except OSError as error:
            log_error(f"state directory: {error}")
            return False
        return True

    def _add_linked_pipes(self) -> None:
        """Read the pipes that are there; if they are those of the last time, all are read."""
        with os.scandir(paths.pipes(self._settings.state)) as entries:
            linked = {(entry.name, entry.inode()) for entry in entries}
        if linked != self._linked:
            for instance_id in paths.list_pipes(self._settings.state):
                self._add_linked(instance_id)
            self._linked = linked

    def _add_linked(self, instance_id: str) -> None:
        path = paths.pipe(self._settings.state, instance_id)
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            status = os.lstat(path)
            self._add(instance_id, path, (status.st_dev, status.st_ino))

    def _open_control(self, path: str) -> None:
        control = ControlPipe(path)
        if self._control is not None:
            self._control.close()
        self._control = control
        self._epoll.register(control.fd, select.EPOLLIN)

    # --- the end ----------------------------------------------------------------------

    def _drain(self) -> None:
        """Empty all pipes, as far as the files can be written."""
        deadline = time.monotonic() + _DRAIN_TIMEOUT
        for log_file in self._log_files.values():
            log_file.retry_now()
        busy = list(self._readers.values())
        while busy and time.monotonic() < deadline:
            busy = [reader for reader in busy if self._pump(reader) and not reader.log_file.error]
        kept = Counter[str]()  # of those who have ended: nobody else can read these
        for reader in self._readers.values():
            kept[reader.log_file.instance_id] += 0 if reader.has_writer() else reader.waiting()
        for log_file in self._log_files.values():
            lost = log_file.lost_bytes + kept[log_file.instance_id]
            if log_file.error is not None and not log_file.recover() and lost:
                error = os.strerror(log_file.error.errno or errno.EIO)
                text = f"{lost} bytes lost: {error}"
                log_error(f"output of {log_file.instance_id}: {text}")
            log_file.close()
