"""The fork server: has imported what every OCS agent imports, and forks an agent on demand.

A program of its own, executed by its path: in an agent nothing of the manager may be imported. So
its two other modules are imported by their path as well, and not known by a name. It
has one thread, imports no Twisted reactor, and handles one request at a time. docs/warm-launch.md
has the protocol, and what an agent that was launched so has in common with any other.
"""

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import runpy  # noqa: F401 - `python -m` imports it
import socket
import sys
import time
from importlib.machinery import ModuleSpec
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostmanager.drivers.process.warm.import_stamps import ImportStamps
    from hostmanager.drivers.process.warm.process_image import Cloner, ProcessTitle, UnfitError
else:
    sys.path.insert(0, os.path.dirname(__file__))
    from import_stamps import ImportStamps
    from process_image import Cloner, ProcessTitle, UnfitError

    del sys.path[0]
    # No agent finds them, nor is there another module of that name in their place.
    del sys.modules["import_stamps"], sys.modules["process_image"]

PROGRAM = "ocs.agent_cli"
"""What the forked process runs, as ``python -m`` would."""

PRELOADED = (
    *("setproctitle", "importlib.metadata", "ocs.site_config", "ocs.access", "ocs.ocs_twisted"),
    *("autobahn.twisted.wamp", "autobahn.twisted.websocket", "autobahn.twisted.util"),
    *("autobahn.wamp.serializer", "twisted.application.internet", "twisted.internet.epollreactor"),
)
"""What `PROGRAM` and `ocs.ocs_agent` import, except the modules that import the reactor."""

REACTOR = "twisted.internet.reactor"

MAX_REQUEST_FDS = 8

_AUTOGROUP = "/proc/self/autogroup"


def _comm(new: str = "") -> str:
    """The name of this process (/proc/PID/comm); sets it, if there is a new one."""
    with open("/proc/self/comm", "r+" if new else "r") as file:
        return str(file.write(new)) if new else file.read().removesuffix("\n")


def _raise_priority(nice: int) -> int:
    """Be preferred as the manager is, as far as that is allowed; returns the niceness before.

    Else a hundred agents that start would keep it from forking the next one. priority.py
    has the reasons.
    """
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    if nice < 0:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, nice)
            with open(_AUTOGROUP, "w") as file:  # of its session, in which it is alone
                file.write(str(nice))
    return usual


class ForkServer:
    """Imports, then forks for each request.

    Args:
        control: Connected to the manager.
        nice: Its niceness if below 0; agents get the one that it was started with.
    """

    def __init__(self, control: socket.socket, nice: int) -> None:
        since = time.time()
        self._agents_nice = _raise_priority(nice)
        self._name = _comm()
        if not sys.flags.safe_path:
            sys.path[0] = os.getcwd()  # as `python -m` has it
        gc.disable()  # what is collected makes holes in shared pages
        for name in PRELOADED:
            importlib.import_module(name)
        spec = importlib.util.find_spec(PROGRAM)
        code = spec.loader.get_code(PROGRAM) if spec and spec.loader else None  # type: ignore[attr-defined]
        if spec is None or code is None:
            raise UnfitError(f"{PROGRAM} has no code")
        if REACTOR in sys.modules:
            raise UnfitError(
                f"{REACTOR} was imported; this version of Twisted, autobahn or OCS does"
            )
        if not sys.modules["setproctitle"].getproctitle():  # it looks for its memory now
            raise UnfitError("setproctitle does not work")
        self._spec, self._code = spec, code
        self._control = control
        self._title, self._cloner = ProcessTitle(), Cloner()
        self._title.set(sys.orig_argv[:-1])  # without what keeps room for those of agents
        _comm(self._name)  # setproctitle changed it
        self._stamps = ImportStamps(since)
        _end_library_threads()
        if (threads := len(os.listdir("/proc/self/task"))) > 1:
            raise UnfitError(f"what agents import starts threads ({threads})")
        importlib.invalidate_caches()  # nothing is imported any more: of agents, too
        gc.freeze()

    def serve(self) -> CodeType:
        """Fork until the manager is gone. Returns in the forked process: what it has to execute."""
        while True:
            data, fds, _, _ = socket.recv_fds(self._control, 1, MAX_REQUEST_FDS)
            if not data:
                os._exit(0)
            pid = self._cloner.fork()
            if pid == 0:
                return self._become_agent(fds)
            # While the process becomes an agent; if it is not to be one, it has not begun.
            changed = self._stamps.changed()
            self._control.send(f"{pid} changed".encode() if changed else str(pid).encode())
            if changed:
                os._exit(0)
            for fd in fds:
                os.close(fd)

    def _become_agent(self, fds: list[int]) -> CodeType:
        """Make this process what the request says, and wait until it may begin."""
        self._control.close()
        channel_fd, request_fd, *given = fds
        channel = socket.socket(fileno=channel_fd)
        answer: dict[str, object] = {"pid": os.getpid()}
        try:
            with open(request_fd, "rb") as file:
                file.seek(0)  # an attempt before may have read it
                request = json.load(file)
            self._prepare(request, given)
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}"[:300]  # up to 12 bytes each in JSON
            channel.send(json.dumps({**answer, "error": reason}).encode())
            os._exit(1)
        channel.send(json.dumps(answer).encode())
        if not channel.recv(1):
            os._exit(0)  # the manager gave up on us, or is gone
        channel.close()
        gc.enable()
        code: CodeType = self._code
        _replace_main(self._spec, request["argv"])  # last: nothing of this module is there any more
        return code

    def _prepare(self, request: dict[str, object], given: list[int]) -> None:
        argv, environ = request["argv"], request["env"]
        os.chdir(request["cwd"])  # type: ignore[arg-type]
        output, *lock = given
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        for fd in lock:
            os.set_inheritable(fd, True)  # to all that the agent starts
        _set_environment(environ)  # type: ignore[arg-type]
        _comm(self._name)
        if not sys.flags.safe_path:
            sys.path[0] = os.getcwd()
        if "numpy.random" in sys.modules:  # Python's own generator renews itself
            sys.modules["numpy.random"].seed()
        # Until here it is preferred, as others wait for it.
        if os.getpriority(os.PRIO_PROCESS, 0) != self._agents_nice:  # else it may be forbidden
            os.setpriority(os.PRIO_PROCESS, 0, self._agents_nice)
        os.setsid()
        # Last: now it has the tag of the instance, and who sees that takes a leader for one.
        self._title.set(argv, environ)  # type: ignore[arg-type]


def _set_environment(environ: dict[str, str]) -> None:
    """Make `os.environ` that, which differs from ours by little."""
    for name in set(os.environ).difference(environ):
        del os.environ[name]
    for name, value in environ.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _end_library_threads() -> None:
    """Have libraries end their threads, as they do before any fork.

    autobahn imports numpy where that is installed, and its OpenBLAS starts threads at once. Before
    a fork it ends them; it starts them again when it computes, in each process for itself.
    """
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _replace_main(spec: ModuleSpec, argv: list[str]) -> None:
    """Make `__main__` and the arguments what ``python -m`` makes of them."""
    sys.orig_argv[:] = argv
    sys.argv[:] = [spec.origin or "", *argv[3:]]
    names = vars(sys.modules["__main__"])
    values = {
        **{"__name__": "__main__", "__doc__": None, "__package__": spec.parent},
        **{"__loader__": spec.loader, "__spec__": spec, "__builtins__": names["__builtins__"]},
        "__file__": spec.origin,
    }
    if "__annotations__" in names:  # not in newer versions
        values["__annotations__"] = {}
    if "__cached__" in names:
        values["__cached__"] = spec.cached
    names.clear()
    names.update(values)


def main() -> CodeType:
    """Serve the manager at the other end of a socket; arguments: its descriptor, and a niceness."""
    control = socket.socket(fileno=int(sys.argv[1]))
    try:
        server = ForkServer(control, int(sys.argv[2]))
    except BaseException as error:
        with contextlib.suppress(OSError):
            control.send(f"{type(error).__name__}: {error}".encode()[:1000])
        os._exit(1)
    control.send(b"ready 2")
    return server.serve()


if __name__ == "__main__":
    exec(main(), globals())
