"""Spawning one process, or naming the step that failed.

This runs in a worker thread: it opens files and executes a program, and any of the disks may hang.
A process gets a session (and with it a process group) of its own, so that Ctrl-C in the terminal
of the manager does not reach the agents, and so that all descendants can be found and stopped.
"""

import errno
import logging
import os
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostmanager.core.model import InstanceSpec, ObservedRun
from hostmanager.drivers.process.limits import process_limits
from hostmanager.drivers.process.output.output_sink import OutputPosition, OutputSink
from hostmanager.drivers.process.ownership import instance_lock, rlimit_tag
from hostmanager.drivers.process.ownership.discovery import (
    LOCK_POLL_INTERVAL,
    LOCK_TIMEOUT,
    Ownership,
)
from hostmanager.drivers.process.ownership.rlimit_tag import RlimitTag
from hostmanager.drivers.process.warm.launcher import WarmLauncher
from hostmanager.util.procfs import descendants, run_id, start_ticks
from hostmanager.util.secret import Environment

log = logging.getLogger(__name__)

RESOURCE_LIMIT_HINT = "this host or user is at its limit (see `ulimit -a`)"


@dataclass(frozen=True, slots=True)
class LaunchCommand:
    """How to start an instance.

    Attributes:
        argv: Program and arguments; no shell is involved.
        cwd: Working directory.
        env: The environment; the tag is added to it.
        output: The file that gets its stdout and stderr.
        warm: Whether it may be launched warm.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Environment
    output: Path
    warm: bool = False


@dataclass(frozen=True, slots=True)
class SpawnedProcess:
    """A launched process.

    Attributes:
        pid: Its id, which is that of its session and process group as well.
        pidfd: Becomes readable when the process ends. To be closed.
        output_start: Where its output begins.
        rlimit_tag: The tag of its descendants.
        run_id: See `ObservedRun`.
        notice: What it does not have of its settings, as sentences for operators.
    """

    pid: int
    pidfd: int
    output_start: OutputPosition
    rlimit_tag: RlimitTag | None = None
    run_id: str = ""
    notice: str = ""


@dataclass(frozen=True, slots=True)
class AlreadyRunning:
    """A live run of an instance that should have been launched.

    Attributes:
        observed_run: The run.
        pidfd: Of its leader, to be closed; None if that has ended.
    """

    observed_run: ObservedRun
    pidfd: int | None


class SpawnError(Exception):
    """No process was started: which step failed (a noun), and why (a sentence)."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason


def spawn(
    command: LaunchCommand,
    spec: InstanceSpec,
    ownership: Ownership,
    sink: OutputSink,
    on_output_open: Callable[[OutputPosition], None],
    *,
    warm: WarmLauncher | None = None,
) -> SpawnedProcess | AlreadyRunning:
    """Start a process, unless the instance is alive already.

    Args:
        command: What to execute.
        spec: The instance.
        ownership: Identifies the process as ours.
        sink: Takes its output.
        on_output_open: Gets the begin of its output, before the process can write.
        warm: Launches what may be launched warm.

    Returns:
        The process; or the live run of the instance: nothing was started then.

    Raises:
        SpawnError: It could not be started; nothing is left of the attempt.
        NoForkServerError: It is to be launched warm, and there is no fork server; neither is
            anything left.
    """
    lock = _acquire_lock(ownership, spec.instance_id)
    if isinstance(lock, ObservedRun):
        return AlreadyRunning(lock, ownership.open_leader(spec.instance_id, lock))
    try:
        fd, begin = _open_output(sink, spec.instance_id, command.output)
        on_output_open(begin)
        attempt = _Attempt(command, spec, ownership, lock, fd, begin)
        try:
            spawned = None if warm is None else _start_warm(attempt, warm)
            return spawned or _start_cold(attempt)
        finally:
            os.close(fd)
    finally:
        if lock is not None:
            os.close(lock)  # the process has its own copy of the descriptor


def _open_output(sink: OutputSink, instance_id: str, path: Path) -> tuple[int, OutputPosition]:
    try:
        return sink.open(instance_id, path)
    except OSError as error:
        reason = f"{path} cannot be written: {error.strerror}"
        raise SpawnError("output file", reason) from error


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One launch: what is launched, and what it inherits."""

    command: LaunchCommand
    spec: InstanceSpec
    ownership: Ownership
    lock: int | None
    output: int
    output_start: OutputPosition

    def env(self) -> Environment:
        """Make its environment.

        To be called last: the tag has the time, and a process that begins much later is not the
        leader.
        """
        own = dict(self.spec.settings.environment)
        return Environment({**self.command.env, **own, **self.ownership.environment(self.spec)})

    @property
    def inherited(self) -> tuple[int, ...]:
        """The descriptors that it inherits beside its output."""
        return () if self.lock is None else (self.lock,)


def _start_warm(attempt: _Attempt, warm: WarmLauncher) -> SpawnedProcess | None:
    """Start it as a fork; None: it has to be started as usual.

    So it is if its output is not a pipe: then its `sys.stdout` would be another one.
    """
    command = attempt.command
    if not command.warm or not stat.S_ISFIFO(os.fstat(attempt.output).st_mode):
        return None
    fds = (attempt.output, *attempt.inherited)
    process = warm.fork(command.argv, command.cwd, attempt.env(), fds)
    if process is None:
        return None
    try:
        spawned = _tag_and_watch(process.pid, attempt)
    except BaseException:  # a process that is not watched must not run
        process.abandon()
        attempt.ownership.cgroups.remove(attempt.spec.instance_id)
        raise
    process.begin()
    return spawned


def _start_cold(attempt: _Attempt) -> SpawnedProcess:
    command, env = attempt.command, attempt.env()
    try:
        process = subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=attempt.output,
            stderr=attempt.output,
            pass_fds=attempt.inherited,
            start_new_session=True,
        )
    except OSError as error:
        raise _launch_error(command, error) from error
    except ValueError as error:  # a NUL byte in an argument
        raise SpawnError("arguments", str(error)) from error
    try:
        spawned = _tag_and_watch(process.pid, attempt)
    except BaseException:  # a process that is not watched must not run
        process.kill()
        process.wait()
        attempt.ownership.cgroups.remove(attempt.spec.instance_id)
        raise
    # From here on only the pidfd is used: keep Popen from reaping the child.
    process.returncode = 0
    return spawned


def _tag_and_watch(pid: int, attempt: _Attempt) -> SpawnedProcess:
    spec, cgroups = attempt.spec, attempt.ownership.cgroups
    tag = rlimit_tag.apply(pid)  # first: it may start others
    if cgroups.enter(spec.instance_id, [pid]):  # what it started before, too
        cgroups.enter(spec.instance_id, descendants(pid))
    notice = " ".join(cgroups.limit(spec.instance_id, spec.settings))
    try:
        process_limits.apply_limits(pid, spec.settings)
    except process_limits.LimitError as error:
        raise SpawnError(error.setting, error.reason) from error
    # Our own child, not reaped: the pid cannot be reused yet.
    pidfd = _open_pidfd(pid)
    started = start_ticks(pid) if tag is None else tag.started
    return SpawnedProcess(pid, pidfd, attempt.output_start, tag, run_id(pid, started), notice)


def _acquire_lock(ownership: Ownership, instance_id: str) -> int | ObservedRun | None:
    """Acquire the lock of the instance, or find its holder.

    Returns:
        The open file; None if there can be no lock (a read-only or full disk: supervising
        goes on, the tag still identifies the process); or the run that holds it, as far as that
        is known.
    """
    path = ownership.lock_file(instance_id)
    give_up_at = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            lock = instance_lock.acquire(path)
        except OSError as error:
            if error.errno in instance_lock.RESOURCE_ERRNOS:  # it may be held all the same
                raise SpawnError(
                    "lock", f"{path}: {error.strerror}; {RESOURCE_LIMIT_HINT}"
                ) from error
            log.warning("%s is launched without a lock: %s: %s", instance_id, path, error.strerror)
            return None
        if lock is not None:
            return lock
        # A manager was killed between fork and exec: the tag of what it forked is about to appear.
        timed_out = time.monotonic() > give_up_at
        observed_run = ownership.lock_holder(instance_id, only_tagged=not timed_out)
        if observed_run is not None and (timed_out or observed_run.pid or observed_run.other_pids):
            return observed_run
        time.sleep(LOCK_POLL_INTERVAL)


def _open_pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        raise SpawnError("process", f"it cannot be watched: {error.strerror}") from error


def _launch_error(command: LaunchCommand, error: OSError) -> SpawnError:
    if error.filename is not None and str(error.filename) == str(command.cwd):
        return SpawnError("working directory", f"{command.cwd}: {error.strerror}")
    if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        return SpawnError("process", f"{error.strerror}; {RESOURCE_LIMIT_HINT}")
    return SpawnError("program", f"{command.argv[0]}: {error.strerror}")
