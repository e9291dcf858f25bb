"""A real crossbar router as a child process, for the demo, the tests and the bench.

Sites have a router of their own; this one is for trying things out. It listens on
127.0.0.1 only and keeps every file that it writes inside one directory. `Router.start`
returns when a call really gets an answer, and `Router.stop` when nothing is left:
crossbar is two processes (controller and worker), and both are waited for. Should this
process die without `stop`, a small guard ends the router, so that none is left behind.

The configuration template that comes with OCS is not used: crossbar 26 refuses it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import psutil

from hostmanager.testing.ports import free_port

START_TIMEOUT = 90.0  # seconds; 3 s are usual, 18 s on a busy machine; one that ends is noticed
STOP_TIMEOUT = 10.0  # seconds for a polite end; 0.5 s are usual
KILL_TIMEOUT = 5.0
HINT = "Install it: pip install 'ocs-hostmanager[demo]'"

HTTP_CALLER_ROLE = "http_caller"
_EVERYTHING = {"call": True, "register": True, "publish": True, "subscribe": True}
# Runs beside crossbar with our end of a pipe as its standard input: the read ends when
# we end, however that happens.
_GUARD = 'read -r line; kill -s KILL -- "-$1" 2>/dev/null'


class RouterError(RuntimeError):
    """The router is not installed, did not start or did not stop. The text says why."""


def find_crossbar() -> str:
    """Path of the crossbar command: the one beside this Python, else on the PATH.

    Raises:
        RouterError: There is none; the text has a hint.
    """
    beside = Path(sys.executable).parent / "crossbar"
    path = str(beside) if os.access(beside, os.X_OK) else shutil.which("crossbar")
    if path is None:
        raise RouterError(f"crossbar, the WAMP router, is not installed. {HINT}")
    return path


def write_config(directory: Path, port: int, realm: str, address_root: str) -> Path:
    """Write crossbar's ``config.json`` for one OCS site into a directory.

    Args:
        directory: Crossbar's node directory; it is made if missing.
        port: TCP port of 127.0.0.1 for both ``/ws`` and ``/call``.
        realm: The WAMP realm of the site.
        address_root: Agents may use the addresses below this one.

    Returns:
        The path of the file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "config.json"
    path.write_text(json.dumps(crossbar_config(port, realm, address_root), indent=2) + "\n")
    return path


def crossbar_config(port: int, realm: str, address_root: str) -> dict[str, Any]:
    """Crossbar's configuration for one OCS site."""
    permissions = [
        {"uri": f"{address_root}.", "match": "prefix", "allow": _EVERYTHING},
        # What the router tells about itself: sessions, registrations.
        {"uri": "wamp.", "match": "prefix", "allow": {"call": True, "subscribe": True}},
    ]
    websocket = {
        "type": "websocket",
        "auth": {"anonymous": {"type": "static", "role": "anonymous"}},
        "options": {
            "open_handshake_timeout": 2500,
            "close_handshake_timeout": 1000,
            "auto_ping_interval": 10000,
            "auto_ping_timeout": 5000,
            "auto_ping_size": 12,  # the template in OCS has 4, which crossbar 26 refuses
        },
    }
    caller = {"type": "caller", "realm": realm, "role": HTTP_CALLER_ROLE, "options": {}}
    roles = [{"name": name, "permissions": permissions} for name in ("anonymous", HTTP_CALLER_ROLE)]
    worker = {
        "type": "router",
        "realms": [{"name": realm, "roles": roles}],
        "transports": [
            {
                "type": "web",
                "endpoint": {"type": "tcp", "port": port, "interface": "127.0.0.1"},
                "paths": {"ws": websocket, "call": caller},
            }
        ],
    }
    return {"version": 2, "workers": [worker]}


class CrossbarRouter:
    """One crossbar, as a context manager or by `start` and `stop`.

    A stopped or killed router can be started again: it keeps its port.

    Attributes:
        directory: Where all its files are.
        port: TCP port, on 127.0.0.1.
        realm: The WAMP realm.
        address_root: The address root of the site.
        environment: Variables that each router gets besides ours.
    """

    environment: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        realm: str = "test_realm",
        address_root: str = "observatory",
    ) -> None:
        self.directory = Path(directory).absolute()
        self.port = free_port() if port is None else port
        self.realm = realm
        self.address_root = address_root
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The websocket address, for ``wamp_server``."""
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def http(self) -> str:
        """The address of the HTTP bridge, for ``wamp_http``."""
        return f"http://127.0.0.1:{self.port}/call"

    @property
    def log_path(self) -> Path:
        """The file with everything that crossbar printed, over all its starts."""
        return self.directory / "crossbar.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(
        self, timeout: float = START_TIMEOUT, give_up: Callable[[], bool] = lambda: False
    ) -> None:
        """Start crossbar and return when a WAMP call through it gets an answer.

        Args:
            timeout: Seconds that this may take.
            give_up: Called all the while; once it returns true, the router is ended again.

        Raises:
            RouterError: Not installed, running already, gone at once, no answer within
                `timeout` seconds, or given up. Nothing is left running then.
        """
        if self._process is not None:
            raise RouterError(f"the router on port {self.port} is already running")
        command = [find_crossbar(), "start", "--cbdir", str(self.directory), "--color", "false"]
        write_config(self.directory, self.port, self.realm, self.address_root)
        home = self.directory / "home"  # crossbar keeps a user key in ~/.crossbar
        home.mkdir(exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                env={**os.environ, "HOME": str(home), "PYTHONUNBUFFERED": "1", **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._guard = _start_guard(self._process.pid)
            self._wait_for_answer(timeout, give_up)
        except BaseException:
            self.kill()
            raise

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """End the router: politely, and after `timeout` seconds by force. May be repeated.

        Raises:
            RouterError: A process of the router survived SIGKILL.
        """
        if self._process is None:
            return
        self.resume()  # a stopped process would not hear the request
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to all processes of the router; returns when none is left.

        Raises:
            RouterError: A process of the router survived.
        """
        if self._process is None:
            return
        gone = _until(lambda: not self._signal_all(signal.SIGKILL), KILL_TIMEOUT)
        left = [] if gone else self.pids()
        with suppress(subprocess.TimeoutExpired):
            # Reaps it; it cannot be while its threads are ending, and crossbar does not start
            # beside its own zombie.
            self._process.wait(KILL_TIMEOUT)
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()  # closes our end of its pipe too
        self._process = self._guard = None
        if left:
            raise RouterError(
                f"processes {left} of the router on port {self.port} survived SIGKILL"
            )

    def restart(self) -> None:
        """Stop and start again on the same port."""
        self.stop()
        self.start()

    def suspend(self) -> None:
        """Stop all processes of the router as they are (SIGSTOP): it hangs, unanswering."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen router go on (SIGCONT)."""
        self._signal_all(signal.SIGCONT)

    def pids(self) -> list[int]:
        """List the router's live processes, the controller first; none when not running."""
        if self._process is None:
            return []
        leader = self._process.pid
        return sorted((pid for pid in psutil.pids() if _lives_in(pid, leader)), key=leader.__ne__)

    def answers(self, timeout: float = 2.0) -> bool:
        """Whether a WAMP call over HTTP gets an answer within `timeout` seconds."""
        call = {"procedure": f"{self.address_root}.nobody-has-this", "args": [], "kwargs": {}}
        request = urllib.request.Request(
            self.http,
            data=json.dumps(call).encode(),
            headers={"Content-Type": "application/json"},
        )
        return b"wamp.error.no_such_procedure" in _fetch(request, timeout)

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of crossbar's output."""
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no output)"

    def _wait_for_answer(self, timeout: float, give_up: Callable[[], bool]) -> None:
        process = self._process
        assert process is not None

        def decided() -> bool:
            return process.poll() is not None or give_up() or self._listens()

        ready = _until(decided, timeout)
        if process.poll() is not None:
            what = f"crossbar ended with code {process.returncode} while it started"
        elif give_up():
            what = "crossbar was ended again while it started"
        elif not ready:
            what = f"crossbar did not answer at {self.http} within {timeout:g} s"
        else:
            return
        raise RouterError(f"{what}. The end of {self.log_path}:\n{self.log_tail()}")

    def _listens(self) -> bool:
        """Whether both paths are there: crossbar opens them one after the other."""
        page = f"http://127.0.0.1:{self.port}/ws"  # a browser gets a page here
        return self.answers() and _fetch(urllib.request.Request(page), 2.0) != b""

    def _signal_all(self, number: signal.Signals) -> list[int]:
        """Signal every process of the router; returns the ones that were there."""
        pids = self.pids()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids


def _lives_in(pid: int, session: int) -> bool:
    """Whether the process belongs to that session and is not a zombie."""
    try:
        return os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def _fetch(request: urllib.request.Request, timeout: float) -> bytes:
    """Return the body of the answer, past any proxy; empty when there is no good one."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=timeout) as response:
            body: bytes = response.read()
            return body
    except (OSError, HTTPException):
        return b""


def _start_guard(group: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "router-guard", str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _until(condition: Callable[[], bool], timeout: float) -> bool:
    """Ask every 20 ms until the condition holds; False when `timeout` seconds went by."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
