"""Making one process, and saying which step failed when none comes to be.

Runs in a worker thread: files are opened and a program is executed, and any disk in
between may hang. A process gets a session (and with it a process group) of its own, so
that a terminal's Ctrl-C for the manager is not one for the agents, and so that all that
it starts can be found and ended.
"""

import errno
import logging
import os
import resource
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hostmanager.core.model import InstanceSpec, ObservedRun
from hostmanager.drivers.process.output.output_sink import OutputPosition, OutputSink
from hostmanager.drivers.process.ownership import instance_lock as locks
from hostmanager.drivers.process.ownership import rlimit_tag as stamps
from hostmanager.drivers.process.ownership.discovery import (
    LOCK_POLL_INTERVAL,
    LOCK_TIMEOUT,
    Ownership,
)
from hostmanager.drivers.process.ownership.rlimit_tag import RlimitTag
from hostmanager.util.procfs import run_id, start_ticks
from hostmanager.util.secret import Environment

log = logging.getLogger(__name__)

INHERITED_NOFILE = resource.getrlimit(resource.RLIMIT_NOFILE)
"""What this program was started with, and agents are: it raises its own limit afterwards."""

RESOURCE_LIMIT_HINT = "this host or user is at its limit (see `ulimit -a`)"


@dataclass(frozen=True, slots=True)
class LaunchCommand:
    """How to start an instance.

    Attributes:
        argv: Program and arguments; never seen by a shell.
        cwd: Working directory.
        env: The environment; the mark is added to it.
        output: File that its stdout and stderr are appended to.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Environment
    output: Path


@dataclass(frozen=True, slots=True)
class SpawnedProcess:
    """A process that came to be.

    Attributes:
        pid: Its id, also that of its session and process group.
        pidfd: Refers to this very process; becomes readable when it ends. To be closed.
        output_start: Where its output begins.
        rlimit_tag: What all that it starts is stamped with.
        run_id: Its identity, see `Found`.
    """

    pid: int
    pidfd: int
    output_start: OutputPosition
    rlimit_tag: RlimitTag | None = None
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class AlreadyRunning:
    """What was alive already of an instance that was to be launched.

    Attributes:
        observed_run: What it is.
        pidfd: Of its leader, to be closed; None if that has ended.
    """

    observed_run: ObservedRun
    pidfd: int | None


class SpawnError(Exception):
    """No process came to be: which step failed (a noun), and why (a sentence)."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason


def spawn(
    command: LaunchCommand,
    spec: InstanceSpec,
    owner: Ownership,
    sink: OutputSink,
    on_output_open: Callable[[OutputPosition], None],
) -> SpawnedProcess | AlreadyRunning:
    """Start a process, unless one of the instance is alive already.

    Args:
        command: How.
        spec: Whose process it is.
        owner: How it will be known as ours.
        sink: Takes its output.
        on_output_open: Told where its output begins, before the process can write.

    Returns:
        The process; or what was found alive of the instance: nothing was started then.

    Raises:
        SpawnError: It could not be started; nothing is left of the attempt.
    """
    lock = _acquire_lock(owner, spec.instance_id)
    if isinstance(lock, ObservedRun):
        return AlreadyRunning(lock, owner.open_leader(spec.instance_id, lock))
    try:
        fd, begin = _open_output(sink, spec.instance_id, command.output)
        on_output_open(begin)
        # Last: the mark says when, and who begins much later is not taken for the leader.
        env = Environment({**command.env, **owner.environment(spec)})
        return _start(command, env, lock, fd, begin)
    finally:
        if lock is not None:
            os.close(lock)  # the process has its own copy of the descriptor


def _open_output(sink: OutputSink, instance_id: str, path: Path) -> tuple[int, OutputPosition]:
    try:
        return sink.open(instance_id, path)
    except OSError as error:
        reason = f"{path} cannot be written: {error.strerror}"
        raise SpawnError("output file", reason) from error


def _start(
    command: LaunchCommand, env: Environment, lock: int | None, fd: int, begin: OutputPosition
) -> SpawnedProcess:
    try:
        process = subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=fd,
            stderr=fd,
            pass_fds=() if lock is None else (lock,),
            start_new_session=True,
        )
    except OSError as error:
        raise _launch_error(command, error) from error
    except ValueError as error:  # a NUL byte in an argument
        raise SpawnError("arguments", str(error)) from error
    finally:
        os.close(fd)
    try:
        return _tag_and_watch(process, begin)
    except BaseException:  # what nobody would watch must not run
        process.kill()
        process.wait()
        raise


def _tag_and_watch(process: "subprocess.Popen[bytes]", begin: OutputPosition) -> SpawnedProcess:
    stamp = stamps.apply(process.pid)  # first of all: it may start others
    _restore_nofile_limit(process.pid)
    # Our own child, not waited for: the pid cannot mean anything else yet.
    pidfd = _open_pidfd(process)
    # From here on the pidfd alone is used: keep Popen from waiting for the child as well.
    process.returncode = 0
    started = start_ticks(process.pid) if stamp is None else stamp.started
    return SpawnedProcess(process.pid, pidfd, begin, stamp, run_id(process.pid, started))


def _restore_nofile_limit(pid: int) -> None:
    with suppress(OSError, ValueError):  # it ended, or changed its user
        resource.prlimit(pid, resource.RLIMIT_NOFILE, INHERITED_NOFILE)


def _acquire_lock(owner: Ownership, instance_id: str) -> int | ObservedRun | None:
    """Take the lock of the instance, or find who has it.

    Returns:
        The open file; None if there can be no lock (a read-only or full disk: supervising
        goes on, the mark still tells whose the process is); or what holds it, as far as that
        can be told.
    """
    path = owner.lock_file(instance_id)
    until = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            lock = locks.acquire(path)
        except OSError as error:
            if error.errno in locks.RESOURCE_ERRNOS:  # somebody may hold it all the same
                raise SpawnError(
                    "lock", f"{path}: {error.strerror}; {RESOURCE_LIMIT_HINT}"
                ) from error
            log.warning("%s is launched without a lock: %s: %s", instance_id, path, error.strerror)
            return None
        if lock is not None:
            return lock
        # A predecessor was killed between fork and exec: what it forked is about to be marked.
        waited = time.monotonic() > until
        found = owner.lock_holder(instance_id, sure=not waited)
        if found is not None and (waited or found.pid or found.other_pids):
            return found
        time.sleep(LOCK_POLL_INTERVAL)


def _open_pidfd(process: "subprocess.Popen[bytes]") -> int:
    try:
        return os.pidfd_open(process.pid)
    except OSError as error:
        raise SpawnError("process", f"it cannot be watched: {error.strerror}") from error


def _launch_error(command: LaunchCommand, error: OSError) -> SpawnError:
    if error.filename is not None and str(error.filename) == str(command.cwd):
        return SpawnError("working directory", f"{command.cwd}: {error.strerror}")
    if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        return SpawnError("process", f"{error.strerror}; {RESOURCE_LIMIT_HINT}")
    return SpawnError("program", f"{command.argv[0]}: {error.strerror}")
