"""A dockerd with a socket, data and containers of its own, in one directory.

It makes no bridge and no firewall rule on this machine: with networks, it runs in a network
namespace of its own, which goes with it. Nothing of it is left after `remove`, whatever was done to
it before: killed, frozen, its socket taken away.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.private_engine import client, processes

START_LIMIT = 60.0
STOP_LIMIT = 30.0
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


OWN_NETWORK = ("unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
"""Before a command: in a network namespace of its own."""

_TRY_NETWORK = "ip link add hm0 type bridge && iptables -t nat -L -n"


class DaemonError(Exception):
    """The engine did not start or stop; the message says why."""


def find_dockerd() -> str | None:
    """Where dockerd is installed; the paths of root are searched too."""
    return shutil.which("dockerd", path=_path())


def why_no_networks() -> str:
    """Why no engine with networks can run on this machine; empty if one can."""
    try:
        tried = subprocess.run(
            [*OWN_NETWORK, "sh", "-c", _TRY_NETWORK],
            env={**os.environ, "PATH": _path()},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        return f"unshare: {error.strerror}"
    return "" if tried.returncode == 0 else tried.stderr.strip() or "unshare failed"


class Daemon:
    """A private engine.

    Args:
        directory: Everything of it is in there. A short path: it holds Unix sockets.
        arguments: More arguments for dockerd, such as ``--live-restore``.
        detached: It goes on when the process that started it ends. Else it is told to stop then,
            also after SIGKILL.
        networks: It runs in a network namespace of its own, with a bridge and firewall rules; its
            containers reach each other, and nothing outside.
    """

    def __init__(
        self,
        directory: Path,
        arguments: Sequence[str] = (),
        detached: bool = False,
        networks: bool = False,
    ) -> None:
        self.directory = directory
        self.arguments = tuple(arguments)
        self.socket = directory / "docker.sock"
        self.log = directory / "dockerd.log"
        self._pid_file = directory / "dockerd.pid"
        self._hidden = directory / "hidden.sock"
        self._detached = detached
        self._networks = networks
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of dockerd; 0 if it does not run."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self._pid_file.read_text())
            if processes.belongs(pid, self.directory):
                return pid
        return 0

    @property
    def containerd(self) -> int:
        """The pid of its containerd; 0 if there is none."""
        return next(iter(processes.children(self.pid)), 0) if self.pid else 0

    def start(self, *arguments: str) -> None:
        """Start it, unless it runs; it answers afterwards.

        Args:
            arguments: From now on these instead of those it was made with.

        Raises:
            DaemonError: It did not start; the end of its log is in the message.
        """
        if arguments:
            self.arguments = arguments
        if not self.pid:
            self._launch()
        until = time.monotonic() + START_LIMIT
        while why := client.why_not(self.socket):
            if not self.pid or time.monotonic() > until:
                end = self.log.read_text(errors="replace").splitlines()[-5:]
                msg = "\n".join(
                    [f"the Docker Engine in {self.directory} did not start: {why}", *end]
                )
                raise DaemonError(msg)
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in an orderly way (SIGTERM); without ``--live-restore`` its containers end too."""
        pid = self.pid
        processes.send(pid, signal.SIGTERM)
        self.thaw()
        if not processes.wait_gone(pid, STOP_LIMIT):
            msg = f"dockerd {pid} did not stop within {STOP_LIMIT:g} s"
            raise DaemonError(msg)
        self._reap()

    def kill(self) -> None:
        """SIGKILL: its containers go on, its socket file stays, and refuses."""
        pid, containerd = self.pid, self.containerd
        processes.send(pid, signal.SIGKILL)
        for each in (pid, containerd):  # it goes with its parent
            processes.wait_gone(each, STOP_LIMIT)
        self._reap()

    def restart(self, *arguments: str) -> None:
        """Stop it, then start it."""
        self.stop()
        self.start(*arguments)

    def freeze(self, containerd: bool = False) -> None:
        """SIGSTOP: connections are accepted (by the kernel), nothing is answered."""
        pid, child = self.pid, self.containerd
        if not pid or not child:
            msg = f"the Docker Engine in {self.directory} does not run: it cannot be frozen"
            raise DaemonError(msg)
        processes.freeze(pid)
        if containerd:
            processes.freeze(child)

    def thaw(self) -> None:
        """SIGCONT after `freeze`; nothing happens to one that is not frozen."""
        for pid in (self.containerd, self.pid):
            processes.send(pid, signal.SIGCONT)

    def hide(self) -> None:
        """Take its socket away, as if it had never been there; connections stay."""
        self.socket.rename(self._hidden)

    def show(self) -> None:
        """Put its socket back after `hide`."""
        self._hidden.rename(self.socket)

    def forbid(self) -> None:
        """Nobody may connect any more, but for root with all rights: see `WITHOUT_RIGHTS`."""
        self.socket.chmod(0)

    def allow(self) -> None:
        """Take `forbid` back."""
        self.socket.chmod(0o660)

    def remove(self) -> None:
        """End it and everything in it, and delete its directory."""
        self.thaw()
        self._remove_containers()
        with contextlib.suppress(DaemonError):
            self.stop()
        processes.end_all(self.directory)
        self._reap()
        processes.unmount_all(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)
        left = processes.of_directory(self.directory) or processes.mounts(self.directory)
        if left or self.directory.exists():
            msg = f"{self.directory} could not be removed wholly; left: {left}"
            raise DaemonError(msg)

    def _launch(self) -> None:
        dockerd = find_dockerd()
        if dockerd is None:
            msg = "dockerd is not installed"
            raise DaemonError(msg)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The pids in there may be zombies by now, or somebody else's: dockerd would wait for them.
        old_containerd = self.directory / "exec" / "containerd" / "containerd.pid"
        for old in (self.socket, self._pid_file, self.directory / "docker.pid", old_containerd):
            old.unlink(missing_ok=True)
        command = [
            dockerd,
            "--host",
            f"unix://{self.socket}",
            "--pidfile",
            f"{self.directory}/docker.pid",
        ]
        command += [
            "--data-root",
            f"{self.directory}/data",
            "--exec-root",
            f"{self.directory}/exec",
        ]
        if self._networks:
            command = [*OWN_NETWORK, *command]
        else:
            command += ["--bridge=none", "--iptables=false"]
        command += self.arguments
        if not self._detached:
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "PATH": _path()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pid_file.write_text(str(self._process.pid))
        until = time.monotonic() + START_LIMIT
        while self._process.poll() is None and not self.pid and time.monotonic() < until:
            time.sleep(0.005)  # setpriv has not become dockerd yet

    def _remove_containers(self) -> None:
        with contextlib.suppress(OSError):
            listed = client.request(self.socket, "GET", "/containers/json?all=1").body
            for container in listed:
                client.request(self.socket, "DELETE", f"/containers/{container['Id']}?force=1&v=1")

    def _reap(self) -> None:
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(60)


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN])


# Before a command that root runs: without the rights that pass over file permissions. Files of
# root are still there for it, but a socket that was forbidden is forbidden.
WITHOUT_RIGHTS = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
