"""A Docker Engine as the tests use it: the one that is reachable, or one of their own.

    engine.docker("ps", "-a")
    engine.compose("up", "-d", cwd=directory)
    engine.inspect(container)["State"]["Status"]

What is done to the engine itself (`freeze`, `kill`, `restart` and so on) only works on one that
the test owns (fixture `own_engine`).
"""

import functools
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

from tests.support.private_engine import client, directories, image
from tests.support.private_engine.daemon import Daemon, DaemonError, find_dockerd, why_no_networks
from tests.support.waiting import wait_for

IMAGE = image.IMAGE
DEFAULT_HOST = "unix:///var/run/docker.sock"
HOW = 'as root on Debian, eval "$(python3 -m tests.support.private_engine up)" gets one'
PROBLEM = "HOSTMANAGER_ENGINE_PROBLEM"  # set by .ci/run: why `up` did not work there
MADE = "hostmanager.tests.made"  # label of images that tests make
LIMIT = 100.0


class MissingError(Exception):
    """There is no engine for the tests; the message says what is missing and how to get it."""


class Engine:
    """A Docker Engine, and the command line tools that talk to it.

    Attributes:
        environment: What a program needs in its environment to find the engine.
        socket: Its Unix socket.
        root: The file system of the image of the tests, packed.
        daemon: Its dockerd, if it is the test's own.
    """

    def __init__(self, environment: Mapping[str, str], root: Path, daemon: Daemon | None) -> None:
        self.environment = dict(environment)
        self.socket = Path(urlsplit(environment["DOCKER_HOST"]).path)
        self.root = _packed_root(root)
        self.daemon = daemon
        self._token = secrets.token_hex(4)
        image.load(self.root, self.environment)

    @classmethod
    def any(cls, directory: Path) -> Self:
        """The engine that DOCKER_HOST names or the one of this machine, else a private one.

        Args:
            directory: An empty one, for what has to be made.

        Raises:
            MissingError: There is none, and none can be started.
        """
        host = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
        why = _unreachable(host)
        if not why:
            _need_tools(environment(host))
            return cls(environment(host), directory / image.ROOT, None)
        try:
            return cls.private(directory / directories.ENGINE)
        except (MissingError, DaemonError) as error:
            msg = f"no Docker Engine answers at {host} ({why}), and none can be started: {error}"
            raise MissingError(msg) from None

    @classmethod
    def private(
        cls, directory: Path, arguments: Sequence[str] = (), networks: bool = False
    ) -> Self:
        """Start a dockerd of the test's own, in a directory that must not be there yet.

        Args:
            directory: Everything of it is in there.
            arguments: More arguments for dockerd.
            networks: It has a bridge, in a network namespace of its own.

        Raises:
            MissingError: Something is not installed; the message says what, and how to get it.
            DaemonError: It does not start.
        """
        if find_dockerd() is None:
            msg = f"dockerd is not installed; {os.environ.get(PROBLEM) or HOW}"
            raise MissingError(msg)
        if os.geteuid() != 0:
            msg = "only root can start one"
            raise MissingError(msg)
        if networks and (why := why_no_networks()):
            msg = f"an engine with networks cannot run on this machine: {why}"
            raise MissingError(msg)
        daemon = Daemon(directory, arguments, networks=networks)
        variables = environment(f"unix://{daemon.socket}")
        _need_tools(variables)
        directory.mkdir(mode=0o700)
        try:
            daemon.start()
            return cls(variables, directory / image.ROOT, daemon)
        except BaseException:
            daemon.remove()
            raise

    def remove(self) -> None:
        """End an engine of the test's own; of another, remove the images that were made here."""
        if self.daemon is not None:
            self.daemon.remove()
            return
        label = f"label={MADE}={self._token}"
        ids = self.docker("image", "ls", "--quiet", "--all", "--filter", label).split()
        if ids:
            self.docker("image", "rm", "--force", *set(ids))

    def docker(self, *arguments: str, check: bool = True, timeout: float = LIMIT) -> str:
        """Run ``docker …``; return what it printed, without the line's end."""
        return self.run("docker", *arguments, check=check, timeout=timeout).stdout.strip()

    def compose(
        self,
        *arguments: str,
        cwd: Path | None = None,
        v1: bool = False,
        check: bool = True,
        timeout: float = LIMIT,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker compose …``, or ``docker-compose …`` with `v1`."""
        command = [compose_v1() or "docker-compose"] if v1 else ["docker", "compose"]
        return self.run(*command, *arguments, cwd=cwd, check=check, timeout=timeout)

    def run(
        self, *command: str, cwd: Path | None = None, check: bool = True, timeout: float = LIMIT
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the engine's environment; a failure shows what it printed."""
        result = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        if check and result.returncode:
            msg = f"{' '.join(command)}: exit code {result.returncode}\n{result.stdout}{result.stderr}"
            raise AssertionError(msg)
        return result

    def api(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> client.Answer:
        """Ask the engine itself: ``api("GET", "/containers/json?all=1")``."""
        return client.request(self.socket, method, target, body)

    def inspect(self, container: str) -> dict[str, Any]:
        """All that the engine knows of a container (id or name)."""
        answer = self.api("GET", f"/containers/{quote(container, safe='')}/json")
        if answer.status != 200:
            msg = f"container {container}: {answer.body}"
            raise LookupError(msg)
        results: dict[str, Any] = answer.body
        return results

    def state(self, container: str) -> str:
        """``running``, ``exited`` and so on; ``gone`` if there is no such container."""
        try:
            return str(self.inspect(container)["State"]["Status"])
        except LookupError:
            return "gone"

    def wait_state(self, container: str, state: str, timeout: float = 60) -> None:
        """Wait until a container is in that state, as of `state`."""
        what = f"container {container} to be {state}"
        wait_for(
            lambda: self.state(container) == state, timeout, what, lambda: self.state(container)
        )

    def container_pid(self, container: str) -> int:
        """The pid of what runs in a container, as seen from here; never 0."""
        pid = int(self.inspect(container)["State"]["Pid"])
        assert pid > 1, f"container {container} does not run: {self.state(container)}"
        return pid

    def make_image(self, name: str, **labels: str) -> str:
        """Make an image of that name, another one at each call; return its id."""
        labels = {MADE: self._token, **labels}
        changes = [f"LABEL {label}={value}" for label, value in labels.items()]
        image.load(self.root, self.environment, name, changes)
        return self.docker("image", "inspect", "--format", "{{.Id}}", name)

    def kill(self) -> None:
        """SIGKILL dockerd; its containers go on."""
        self._own().kill()

    def stop(self) -> None:
        """SIGTERM dockerd, and wait."""
        self._own().stop()

    def start(self, *arguments: str) -> None:
        """Start dockerd again, with these arguments from now on if there are any."""
        self._own().start(*arguments)

    def restart(self, *arguments: str) -> None:
        """Stop, then start."""
        self._own().restart(*arguments)

    def freeze(self, containerd: bool = False) -> None:
        """SIGSTOP dockerd, and its containerd if told."""
        self._own().freeze(containerd)

    def thaw(self) -> None:
        """Take `freeze` back."""
        self._own().thaw()

    def hide(self) -> None:
        """Take the socket away; `show` puts it back."""
        self._own().hide()

    def show(self) -> None:
        """Put the socket back."""
        self._own().show()

    def forbid(self) -> None:
        """Refuse connections; programs of root are refused behind `WITHOUT_RIGHTS` only."""
        self._own().forbid()

    def allow(self) -> None:
        """Take `forbid` back."""
        self._own().allow()

    def _own(self) -> Daemon:
        if self.daemon is None:
            msg = "this engine is not the test's own: use the fixture own_engine"
            raise AssertionError(msg)
        return self.daemon


def _need_tools(environment: Mapping[str, str]) -> None:
    """See that the command line tools are there; MissingError if not."""
    if not shutil.which("docker"):
        msg = f"the docker command is not installed; {HOW}"
        raise MissingError(msg)
    asked = subprocess.run(
        ["docker", "compose", "version"],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    if asked.returncode:
        msg = f"the docker command has no Compose plugin; {HOW}"
        raise MissingError(msg)


def _unreachable(host: str) -> str:
    """Why the engine at that address is of no use; empty if it is."""
    if urlsplit(host).scheme != "unix":
        return "the tests need one on a Unix socket"
    return client.why_not(Path(urlsplit(host).path))


@functools.cache
def compose_v1() -> str | None:
    """Where the old stand-alone docker-compose is, if there is one."""
    path = shutil.which("docker-compose")
    if path is None:
        return None
    result = subprocess.run(
        [path, "version", "--short"], capture_output=True, text=True, check=False
    )
    return path if result.stdout.startswith("1.") else None


def environment(host: str) -> dict[str, str]:
    """How programs find the engine and, in DOCKER_CONFIG, the Compose plugin."""
    made = _made()
    config = made / "config" if made else None
    named = os.environ.get("DOCKER_CONFIG") or (str(config) if config and config.exists() else "")
    return {"DOCKER_HOST": host, **({"DOCKER_CONFIG": named} if named else {})}


def _made() -> Path | None:
    """The directory of what `python -m tests.support.private_engine up` has made, if it was run."""
    usual = Path(tempfile.gettempdir()) / "hostmanager-engine"
    named = os.environ.get("HOSTMANAGER_ENGINE_DIR")
    directory = Path(named) if named else usual
    return directory if directory.exists() and directory.stat().st_uid == os.geteuid() else None


def _packed_root(otherwise: Path) -> Path:
    """The packed file system of the image: the one that there is, else made there."""
    made = _made()
    if made and (made / image.ROOT).exists():
        return made / image.ROOT
    busybox = image.find_busybox()
    if busybox is None:
        msg = f"the image of the tests needs a static busybox (package busybox-static); {HOW}"
        raise MissingError(msg)
    return image.pack(busybox, otherwise)
