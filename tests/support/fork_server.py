"""Managers without the second of imports that each costs: forked off a process that has them.

A manager of the tests is what `python -m hostmanager.agent` is: a process in a session of its own
with its own command line, environment, directory, signals, loop and threads. It only finds its
modules imported. What a test has to say about the start itself is tested with an interpreter of
its own: fixture `fresh_managers`; with ``HM_TEST_FRESH=1`` all tests are.

The server has one thread, no loop and no reactor. It ends when the tests do. There is another for
each environment that `serve_also` names.
"""

import array
import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import json
import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

FIXED_AT_START = (
    "LD_",
    "PYTHON",
    "LC_",
    "LANG",
    "MALLOC_",
    "UV",
    "TWISTED",
    "AUTOBAHN",
    "COVERAGE",
)
"""Variables that an interpreter, its libraries or modules read once."""

PR_SET_MM, PR_SET_MM_MAP, PR_SET_MM_MAP_SIZE = 35, 14, 15
"""Of prctl(2): where the kernel finds what /proc shows of a process."""

MEMORY_MAP = struct.Struct("@12Q2I")
"""`struct prctl_mm_map`: addresses as below, the auxiliary vector (not changed), its size, a file
descriptor of the executable (not changed)."""

FIELDS = (26, 27, 45, 46, 47, None, 28)
"""Of proc_pid_stat(5), in the order of that structure; `None` is where the heap ends."""

_MAX_REQUEST = 1 << 17

Fixed = frozenset[tuple[str, str]]
"""Those of them that a process has, with their values."""

_starting = threading.Lock()
_also: dict[Fixed, dict[str, str]] = {}
_servers: dict[Fixed, socket.socket] = {}


class ForkedProcess:
    """A process of the server's, as `subprocess.Popen` is one of ours.

    Args:
        argv: What /proc shows as its command line: ``python -m hostmanager.agent …``.
        cwd: Its working directory.
        env: Its whole environment.
        output: Where stdout and stderr go; stdin is /dev/null.
    """

    def __init__(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], output: int) -> None:
        self.args = list(argv)
        self.returncode: int | None = None
        self._reading = threading.Lock()
        self._status, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = json.dumps({"argv": self.args, "cwd": str(cwd), "env": dict(env)}).encode()
        with theirs:
            socket.send_fds(_server(_fixed(env)), [request], [output, theirs.fileno()])
        self.pid = int(self._status.recv(64) or 0)
        if not self.pid:
            msg = "the fork server has ended"
            raise RuntimeError(msg)

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end: the exit code."""
        if self.returncode is None and not select.select([self._status], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        with self._reading:
            if self.returncode is None:
                self.returncode = int(self._status.recv(64) or -signal.SIGKILL)
                # Not closed: another thread may be about to look at it.
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def serve_also(surroundings: Mapping[str, str]) -> None:
    """Have a server for managers with these variables, too: a library is preloaded, say.

    It gets all of them, so they must be the same for all managers with the same library.
    """
    env = _server_environment() | surroundings
    _also[_fixed(env)] = env


def can_fork(env: Mapping[str, str]) -> bool:
    """Whether a manager with this environment may come from a server."""
    if os.environ.get("HM_TEST_FRESH") or not _may_set_command_line():
        return False
    return _fixed(env) in (_fixed(_server_environment()), *_also)


def _fixed(env: Mapping[str, str]) -> Fixed:
    return frozenset(item for item in env.items() if item[0].startswith(FIXED_AT_START))


@functools.cache
def _server_environment() -> dict[str, str]:
    left_out = {"PYTHONDONTWRITEBYTECODE"}
    return {key: value for key, value in os.environ.items() if key not in left_out}


@functools.cache
def _may_set_command_line() -> bool:
    """Whether this kernel lets a process say where its command line is (CHECKPOINT_RESTORE)."""
    size = ctypes.c_uint()
    known = ctypes.CDLL(None).prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, ctypes.byref(size), 0, 0) == 0
    return known and size.value == MEMORY_MAP.size


def _server(fixed: Fixed) -> socket.socket:
    with _starting:
        if fixed not in _servers:
            _servers[fixed] = _start_server(_also.get(fixed) or _server_environment())
        return _servers[fixed]


def _start_server(env: Mapping[str, str]) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            cwd=Path(__file__).parents[2],
            env=env,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    atexit.register(process.wait)
    atexit.register(ours.close)  # done first
    return ours


# --- in the server -------------------------------------------------------------------------------


MODULES = (
    "autobahn.twisted.wamp",
    "autobahn.twisted.websocket",
    "autobahn.wamp.cryptosign",
    "autobahn.wamp.serializer",
    "automat",
    "hostmanager.agent.compose.backend",
    "hostmanager.agent.main",
    "hostmanager.siteconfig.arguments",
    "hostmanager.util.network.tls",
    "ocs.access",
    "ocs.site_config",
    "twisted.internet.asyncioreactor",
    "twisted.internet.endpoints",
    "twisted.internet.ssl",
    "uvloop",
)
"""What a manager consists of, but nothing that makes or wants Twisted's reactor."""


def _import_all() -> None:
    from hostmanager.agent.framework.event_loop import skip_optional_imports

    with skip_optional_imports():
        for module in MODULES:
            importlib.import_module(module)
    assert "twisted.internet.reactor" not in sys.modules


def serve(control: socket.socket) -> None:
    """Fork a process at each request, and tell who requested it how it ended."""
    _import_all()
    gc.collect()
    gc.freeze()  # collections in the children do not touch these pages
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    _report_end(selector, key)
                elif not _fork(selector, control):
                    return


def _fork(selector: selectors.BaseSelector, control: socket.socket) -> bool:
    """Read one request, and carry it out; False when there will be no more."""
    request, fds, _, _ = socket.recv_fds(control, _MAX_REQUEST, 2)
    if not request:
        return False
    pid = os.fork()
    if not pid:
        control.detach()
        selector.close()
        _become(json.loads(request), output=fds[0])
    os.close(fds[0])
    os.write(fds[1], str(pid).encode())
    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, fds[1]))
    return True


def _report_end(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    pid, status = key.data
    selector.unregister(key.fileobj)
    os.close(key.fd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(OSError):  # whoever started it may not be interested
        os.write(status, str(code).encode())
    os.close(status)


def _become(request: dict, output: int) -> None:
    """In the child: be what was requested. Does not return."""
    os.setsid()
    os.chdir(request["cwd"])
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    argv = request["argv"]
    _show(argv, request["env"])
    from hostmanager.agent.daemon import early_signals, pid1
    from hostmanager.agent.main import main

    early_signals.note_signals()
    pid1.leave_process_1()
    sys.argv = argv[2:]
    main(argv[3:], prog="python -m hostmanager.agent")


_shown: list[array.array] = []  # kept: the kernel reads them at each look into /proc


def _show(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Have /proc show these as the command line and the environment of this process."""
    addresses: list[int] = []
    for words in (argv, [f"{key}={value}" for key, value in env.items()]):
        _shown.append(array.array("b", b"".join(os.fsencode(word) + b"\0" for word in words)))
        address, length = _shown[-1].buffer_info()
        addresses += [address, address + length]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.sbrk.restype = ctypes.c_ulong
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    present = [libc.sbrk(0) if n is None else int(stat[n - 3]) for n in FIELDS]
    memory_map = MEMORY_MAP.pack(*present, *addresses, 0, 0, 0xFFFFFFFF)
    if libc.prctl(PR_SET_MM, PR_SET_MM_MAP, memory_map, len(memory_map), 0):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        serve(connection)
