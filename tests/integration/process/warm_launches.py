"""Launches of probes, warm or cold: what the tests of warm launch and of its fork server share."""

import contextlib
import json
import os
import secrets
import signal
import sys
from pathlib import Path

import psutil

from hostmanager.core.model import InstanceSettings, InstanceSpec
from hostmanager.drivers.process import LaunchCommand, WarmLauncher
from hostmanager.drivers.process.output.output_sink import OutputSink
from hostmanager.drivers.process.ownership.discovery import Ownership
from hostmanager.drivers.process.ownership.manager_identity import ManagerIdentity
from hostmanager.drivers.process.spawn import SpawnedProcess, spawn
from hostmanager.drivers.process.warm.control import NoForkServerError, WarmProcess
from hostmanager.util.secret import Environment
from tests.support.waiting import wait_for

PROBE = Path(__file__).with_name("warm_probe.py")


class PipeSink(OutputSink):
    """Pipes, as those of the log daemon; what is in them is read in the end."""

    def open(self, instance_id: str, path: Path) -> tuple[int, int]:
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        return os.open(path, os.O_RDWR), 0


class Launches:
    """Launches probes, and ends them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.warm = WarmLauncher()
        identity = ManagerIdentity("test", (secrets.token_hex(16),))
        self.ownership = Ownership(identity, directory / "locks")
        self.sink = PipeSink()
        self.spawned: list[SpawnedProcess] = []
        (directory / "work").mkdir()

    def launch(
        self,
        name: str,
        *arguments: str,
        warm: bool = True,
        settings: InstanceSettings | None = None,
    ) -> SpawnedProcess:
        argv = [sys.executable, "-m", "ocs.agent_cli", "--agent", os.fspath(PROBE)]
        argv += ["--entrypoint", "main", "--instance-id", "probe", *arguments]
        env = Environment({**os.environ, "PROBE_TEST": "ä", "PYTHONUNBUFFERED": "1"})
        spec = InstanceSpec(name, "Probe", settings=settings or InstanceSettings())
        command = LaunchCommand(
            *(tuple(argv), self.directory / "work", env, self.directory / f"{name}.out"),
            warm=warm and spec.settings.may_be_forked,
        )
        parts = (command, spec, self.ownership, self.sink, lambda _: None)
        for attempt in (self.warm, self.warm, None):
            if attempt and command.warm:
                attempt.start(sys.executable, command.cwd, env)
            with contextlib.suppress(NoForkServerError):
                spawned = spawn(*parts, warm=attempt)
                break
        assert isinstance(spawned, SpawnedProcess)
        self.spawned.append(spawned)
        return spawned

    def probe(
        self, name: str, *, warm: bool = True, settings: InstanceSettings | None = None
    ) -> dict:
        """Launch one, and return what it saw of itself."""
        file = self.directory / "dump.json"
        file.unlink(missing_ok=True)
        spawned = self.launch(name, "--dump", os.fspath(file), warm=warm, settings=settings)
        wait_for(file.exists, 20, "the probe", lambda: self.output(name))
        assert exit_of(spawned) == (os.CLD_EXITED, 7), self.output(name)
        return json.loads(file.read_text())

    def output(self, name: str) -> str:
        """What it wrote; to be asked while it, or its server, has the pipe open."""
        fd = os.open(self.directory / f"{name}.out", os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(fd, "rb", buffering=0) as pipe:
            return (pipe.read(1 << 20) or b"").decode()

    def close(self) -> None:
        self.warm.close()
        for each in self.spawned:
            if each.pidfd >= 0:
                try:
                    signal.pidfd_send_signal(each.pidfd, signal.SIGKILL)
                    os.waitid(os.P_PIDFD, each.pidfd, os.WEXITED)
                except (ProcessLookupError, ChildProcessError):
                    pass
                os.close(each.pidfd)


def fork(warm: WarmLauncher, cwd: Path, output: int = 1) -> WarmProcess | None:
    """Have a process forked; None: it has to be launched cold."""
    env = Environment(dict(os.environ))
    warm.start(sys.executable, cwd, env)
    return warm.fork((sys.executable, "-m", "ocs.agent_cli"), cwd, env, (output,))


def exit_of(spawned: SpawnedProcess) -> tuple[int, int]:
    """Wait for its end: how it ended."""
    result = os.waitid(os.P_PIDFD, spawned.pidfd, os.WEXITED)
    assert result is not None
    return result.si_code, result.si_status


def children() -> list[psutil.Process]:
    """Our children, zombies too."""
    return psutil.Process().children()


def is_forked(pid: int) -> bool:
    """Whether a process was launched warm: nothing was executed since its fork."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return bool(int(fields[6]) & 0x40)  # PF_FORKNOEXEC


def agents_alive() -> set[int]:
    """All processes that are probes, whoever their parent is."""
    pids = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            is_zombie = process.status() == psutil.STATUS_ZOMBIE
            if not is_zombie and os.fspath(PROBE) in process.cmdline():
                pids.add(process.pid)
    return pids
