"""The scribe's loop: waits for the kernel to tell of bytes, and has them moved.

Edge-triggered: the kernel tells when bytes come, not that they are still there, so a pipe
without writers is silent. After each round there is a pause of some milliseconds, in which
the pipes fill: a loud agent costs tens of rounds a second, not one for each of its lines.
The pause gets shorter when a pipe fills too fast. All of it is looked at once in a while,
asked or not, so nothing rests on a message that may have been lost.
"""

import contextlib
import errno
import os
import resource
import select
import time

from hostmanager.logd import lost_output as debts
from hostmanager.logd import paths as names
from hostmanager.logd.compress import Compressor
from hostmanager.logd.control_pipe import ControlPipe
from hostmanager.logd.log_file import LogFile
from hostmanager.logd.pipe_reader import PipeBufferBudget, PipeBusyError, PipeReader
from hostmanager.logd.settings import Settings
from hostmanager.logd.stderr_log import log_error, succeeds
from hostmanager.util import lockfile as locks

PAUSE = 0.04
"""Seconds between two rounds, at most."""

CHECK_INTERVAL = 10.0
"""Seconds between two looks at everything."""

EARLY_CHECK = 1.0
"""Seconds until such a look after something that makes one worth while."""

_SHORTEST = 0.001
_LAST_ROUNDS = 2.0  # seconds for draining before the end
_READ = select.EPOLLIN | select.EPOLLET


class LogDaemon:
    """Owns everything that the scribe has open."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._epoll = select.epoll()
        self._null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        self._packer = Compressor(settings.files, settings.max_files)
        self._budget = PipeBufferBudget()
        self._outlets: dict[str, LogFile] = {}
        self._sources: dict[int, PipeReader] = {}  # by descriptor
        self._handed_over: list[PipeReader] = []  # another scribe is about to read these
        self._pending_opens: set[str] = set()  # instances whose pipe could not be opened
        self._unlinked_pipes: dict[
            tuple[str, str], tuple[int, int]
        ] = {}  # the same, without a path
        self._busy: set[int] = set()  # descriptors of pipes that may have something
        self._control: ControlPipe | None = None
        self._lock: int | None = None
        self._pause = PAUSE
        self._next_look = 0.0
        self._ending = False
        self._final_shutdown = False  # nobody will have the pipes open after us
        self._replaced = False

    def acquire_state_dir(self) -> bool:
        """Become the scribe of this state folder, unless there is one."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        succeeds(resource.setrlimit, resource.RLIMIT_NOFILE, (hard, hard))
        _spare_from_oom()
        self._next_look = time.monotonic() + CHECK_INTERVAL
        if not self._take_state():
            return False
        for instance_id, debt in debts.load(self._settings.state).items():
            self._outlets.setdefault(instance_id, self._outlet(instance_id)).restore_loss(debt)
            self._next_look = 0.0
        return True

    def run(self) -> None:
        """Move bytes until the end."""
        while not self._ending:
            self._wait()
            self._round()
            if time.monotonic() >= self._next_look:
                self._periodic_check()
            elif self._busy or self._pause:
                time.sleep(self._pause)
        self._last_rounds()

    # --- a round ----------------------------------------------------------------------

    def _wait(self) -> None:
        patience = 0.0 if self._busy else max(0.0, self._next_look - time.monotonic())
        for fd, events in self._epoll.poll(patience):
            if self._control is not None and fd == self._control.fd:
                self._handle_commands(self._control)
            elif fd == self._packer.pidfd:
                self._epoll.unregister(fd)
                self._packer.finish()
                self._start_packing()
            elif fd in self._sources:
                self._busy.add(fd)
                if events & select.EPOLLHUP:
                    self._hung_up(self._sources[fd])

    def _round(self) -> None:
        fullest = 0.0
        for fd in list(self._busy):
            source = self._sources.get(fd)
            if source is None or not self._pump(source):
                self._busy.discard(fd)
            if source is not None:
                fullest = max(fullest, source.peak_fill)
        if fullest > 0.45:
            self._pause = self._pause / 2 if self._pause > _SHORTEST else 0.0
        elif fullest < 0.2:
            self._pause = min(PAUSE, max(_SHORTEST, self._pause * 2))

    def _pump(self, source: PipeReader) -> bool:
        outlet = source.outlet
        before = outlet.trouble
        try:
            more = source.pump()
        except OSError as error:  # never the end of all others
            log_error(f"pipe of {outlet.instance_id}: {error}")
            return False
        if outlet.trouble is not None and before is None:
            self._next_look = min(self._next_look, time.monotonic() + EARLY_CHECK)
            if outlet.trouble.errno in (errno.EMFILE, errno.ENFILE):
                self._close_files(idle=0.0)
        if outlet.rotated:
            outlet.rotated = False
            self._packer.enqueue(outlet.instance_id)
            self._start_packing()
        return more

    def _start_packing(self) -> None:
        if self._packer.pidfd is not None:
            return
        try:
            self._packer.start()
        except OSError as error:  # no process to be had, say: old files stay as they are
            log_error(f"compressing: {error}")
        if self._packer.pidfd is not None:
            self._epoll.register(self._packer.pidfd, select.EPOLLIN)

    def _hung_up(self, source: PipeReader) -> None:
        self._next_look = min(
            self._next_look, time.monotonic() + EARLY_CHECK
        )  # the last one, perhaps
        if source.dropped and not source.waiting():
            self._forget(source)

    def _forget(self, source: PipeReader) -> None:
        self._busy.discard(source.fd)
        self._sources.pop(source.fd, None)
        source.close()  # which takes it out of the epoll, too
        if all(other.outlet is not source.outlet for other in self._sources.values()):
            source.outlet.close()
            self._outlets.pop(source.outlet.instance_id, None)

    # --- what it is told --------------------------------------------------------------

    def _handle_commands(self, control: ControlPipe) -> None:
        for words in control.read():
            match words:
                case ["add", instance_id]:
                    self._add(instance_id)
                case ["drop", instance_id]:
                    self._drop(instance_id)
                case ["at", instance_id, pid, fd, device, inode]:
                    self._add_at(instance_id, f"/proc/{pid}/fd/{fd}", (int(device), int(inode)))
                case ["end"]:
                    self._ending = self._final_shutdown = True
                case _:
                    self._ending = True

    def _add(self, instance_id: str) -> None:
        path = names.pipe(self._settings.state, instance_id)
        try:
            status = os.lstat(path)
            source = self._source(instance_id, path, (status.st_dev, status.st_ino))
        except OSError as error:
            if not isinstance(error, PipeBusyError):
                log_error(f"pipe of {instance_id}: {error}")
            if error.errno != errno.ENOENT:
                self._pending_opens.add(instance_id)
                self._next_look = min(self._next_look, time.monotonic() + EARLY_CHECK)
            return
        self._pending_opens.discard(instance_id)
        source.dropped = False
        self._busy.add(source.fd)

    def _add_at(self, instance_id: str, path: str, identity: tuple[int, int]) -> None:
        """A pipe that has no path any more, by way of somebody who has it open."""
        self._unlinked_pipes.pop((instance_id, path), None)
        try:
            source = self._source(instance_id, path, identity, follow=True)
        except PipeBusyError:  # the scribe before this one lives: its end is waited for
            self._unlinked_pipes[instance_id, path] = identity
            self._next_look = min(self._next_look, time.monotonic() + EARLY_CHECK)
        except OSError as error:
            if error.errno != errno.ENOENT:  # else nobody needs it any more
                log_error(f"pipe of {instance_id} at {path}: {error}")
        else:
            self._busy.add(source.fd)

    def _source(
        self, instance_id: str, path: str, identity: tuple[int, int], *, follow: bool = False
    ) -> PipeReader:
        source = self._find(instance_id, identity)
        if source is None:
            outlet = self._outlet(instance_id)
            source = PipeReader(path, outlet, self._budget, identity if follow else None)
            self._outlets[instance_id] = outlet
            self._sources[source.fd] = source
            self._epoll.register(source.fd, _READ)
        return source

    def _outlet(self, instance_id: str) -> LogFile:
        outlet = self._outlets.get(instance_id)
        return outlet or LogFile(self._settings, instance_id, self._null)

    def _find(self, instance_id: str, identity: tuple[int, int]) -> PipeReader | None:
        for source in self._sources.values():
            if source.outlet.instance_id == instance_id and source.identity == identity:
                return source
        return None

    def _drop(self, instance_id: str) -> None:
        for source in list(self._sources.values()):
            if source.outlet.instance_id == instance_id:
                source.dropped = True
                self._pump(source)
                if not source.has_writer():
                    self._hung_up(source)

    # --- once in a while --------------------------------------------------------------

    def _periodic_check(self) -> None:
        for source in list(self._sources.values()):
            if source.waiting():
                self._busy.add(source.fd)
            elif source.dropped and not source.has_writer():
                self._forget(source)
        for outlet in list(self._outlets.values()):
            if outlet.trouble is not None:
                outlet.recover()
        for instance_id in list(self._pending_opens):
            self._add(instance_id)
        for (instance_id, path), identity in list(self._unlinked_pipes.items()):
            self._add_at(instance_id, path, identity)
        for source in [source for source in self._handed_over if source.is_handed_over()]:
            self._handed_over.remove(source)
            self._forget(source)
        self._close_files(idle=CHECK_INTERVAL)
        if not self._busy and not self._is_needed():
            self._ending = True
        elif not self._is_ours():
            self._look_for_another()
        troubled = any(outlet.trouble for outlet in self._outlets.values())
        waits = troubled or self._pending_opens or self._unlinked_pipes or self._handed_over
        pause = EARLY_CHECK if waits else CHECK_INTERVAL
        self._next_look = time.monotonic() + pause

    def _close_files(self, idle: float) -> None:
        before = time.monotonic() - idle
        for outlet in self._outlets.values():
            if outlet.used <= before:
                outlet.close()

    def _is_needed(self) -> bool:
        manager_lock = names.manager_lock(self._settings.state)
        if not self._replaced and locks.read_lock_holder(manager_lock) is not None:
            return True
        if self._handed_over:
            return True
        return any(source.has_writer() for source in self._sources.values())

    # --- its place --------------------------------------------------------------------

    def _is_ours(self) -> bool:
        state = self._settings.state
        return (
            self._lock is not None
            and self._control is not None
            and locks.is_same_file(self._lock, names.lock(state))
            and locks.is_same_file(self._control.fd, names.control(state))
        )

    def _look_for_another(self) -> None:
        """Our lock or control pipe is gone: take the place again, or leave it to another.

        Another scribe gets the pipes that are where it looks for them. Those that are not
        (the state folder was deleted) nobody else can read: they stay ours to their end.
        """
        path = names.lock(self._settings.state)
        mine = self._lock is not None and locks.is_same_file(self._lock, path)
        self._replaced = not mine and locks.read_lock_holder(path) is not None
        if not self._replaced:
            self._take_state()
            return
        for source in list(self._sources.values()):
            if source.is_linked():
                self._pump(source)
                self._epoll.unregister(source.fd)
                self._busy.discard(source.fd)
                del self._sources[source.fd]
                source.release()
                self._handed_over.append(source)

    def _take_state(self) -> bool:
        """Take the lock, then the control pipe, then all pipes; again if they were removed."""
        state = self._settings.state
        try:
            os.makedirs(names.pipes(state), mode=0o700, exist_ok=True)
            if self._lock is None or not locks.is_same_file(self._lock, names.lock(state)):
                text = f"{os.getpid()} {self._settings.signature()}\n"
                taken = locks.acquire_lock(names.lock(state), text, 1.0, replace=True)
                if taken is None:
                    return False
                if self._lock is not None:
                    os.close(self._lock)
                self._lock = taken
            if self._control is None or not locks.is_same_file(
                self._control.fd, names.control(state)
            ):
                self._open_control(names.control(state))
            for instance_id in names.list_pipes(state):
                self._add(instance_id)
        except OSError as error:
            log_error(f"state folder: {error}")
            return False
        return True

    def _open_control(self, path: str) -> None:
        control = ControlPipe(path)
        if self._control is not None:
            self._control.close()
        self._control = control
        self._epoll.register(control.fd, select.EPOLLIN)

    def _last_rounds(self) -> None:
        """Empty all pipes, as far as the files can be written."""
        deadline = time.monotonic() + _LAST_ROUNDS
        for outlet in self._outlets.values():
            outlet.retry_at_once()
        busy = list(self._sources.values())
        while busy and time.monotonic() < deadline:
            busy = [source for source in busy if self._pump(source) and not source.outlet.trouble]
        if self._final_shutdown:
            for source in self._sources.values():
                if source.outlet.trouble is not None and not source.has_writer():
                    source.discard_pending()
        owed = {}
        for outlet in self._outlets.values():
            if outlet.trouble is not None:
                outlet.recover()
            if (debt := outlet.unreported_loss) is not None:
                owed[outlet.instance_id] = debt
            outlet.close()
        debts.save(self._settings.state, owed)


def _spare_from_oom() -> None:
    """Have others killed first when memory is short; only root may ask for that."""
    with (
        contextlib.suppress(OSError),
        open("/proc/self/oom_score_adj", "wb", buffering=0) as file,
    ):
        file.write(b"-500")
