"""Making one process, and saying which step failed when none comes to be.

Runs in a worker thread: files are opened and a program is executed, and any disk in
between may hang. A process gets a session (and with it a process group) of its own, so
that a terminal's Ctrl-C for the manager is not one for the agents, and so that all that
it starts can be found and ended.
"""

import errno
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hostmanager.drivers.process import output


@dataclass(frozen=True, slots=True)
class Command:
    """How to start an instance.

    Attributes:
        argv: Program and arguments; never seen by a shell.
        cwd: Working directory.
        env: The whole environment.
        output: File that its stdout and stderr are appended to.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    output: Path


@dataclass(frozen=True, slots=True)
class Spawned:
    """A process that came to be.

    Attributes:
        pid: Its id, also that of its session and process group.
        pidfd: Refers to this very process; becomes readable when it ends. To be closed.
        output_start: Size of the output file before it, bytes.
    """

    pid: int
    pidfd: int
    output_start: int


class SpawnError(Exception):
    """No process came to be: which step failed (a noun), and why (a sentence)."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason


def spawn(command: Command, opened: Callable[[int], None]) -> Spawned:
    """Start a process.

    Args:
        command: How.
        opened: Told the size of the output file, before the process can write to it.

    Raises:
        SpawnError: It could not be started; nothing is left of the attempt.
    """
    try:
        fd, start = output.open_for_run(command.output)
    except OSError as error:
        reason = f"{command.output} cannot be written: {error.strerror}"
        raise SpawnError("output file", reason) from error
    opened(start)
    try:
        process = subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=dict(command.env),
            stdin=subprocess.DEVNULL,
            stdout=fd,
            stderr=fd,
            start_new_session=True,
        )
    except OSError as error:
        raise _explain(command, error) from error
    except ValueError as error:  # a NUL byte in an argument
        raise SpawnError("arguments", str(error)) from error
    finally:
        os.close(fd)
    # Our own child, not waited for: the pid cannot mean anything else yet.
    pidfd = _pidfd(process)
    # From here on the pidfd alone is used: keep Popen from waiting for the child as well.
    process.returncode = 0
    return Spawned(process.pid, pidfd, start)


def _pidfd(process: "subprocess.Popen[bytes]") -> int:
    try:
        return os.pidfd_open(process.pid)
    except OSError as error:
        process.kill()
        process.wait()
        raise SpawnError("process", f"it cannot be watched: {error.strerror}") from error


def _explain(command: Command, error: OSError) -> SpawnError:
    if error.filename is not None and str(error.filename) == str(command.cwd):
        return SpawnError("working directory", f"{command.cwd}: {error.strerror}")
    if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        reason = f"{error.strerror}; this host or user is at its limit (see `ulimit -a`)"
        return SpawnError("process", reason)
    return SpawnError("program", f"{command.argv[0]}: {error.strerror}")
