"""The fork server: has imported what every OCS agent imports, and forks an agent on demand.

A program of its own, executed by its path: in an agent nothing of the manager may be imported. It
has one thread, imports no Twisted reactor, and handles one request at a time. docs/warm-launch.md
has the protocol, and what an agent that was launched so has in common with any other.
"""

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import platform
import runpy  # noqa: F401 - `python -m` imports it
import socket
import sys
import time
from importlib.machinery import ModuleSpec, all_suffixes
from types import CodeType, ModuleType

PROGRAM = "ocs.agent_cli"
"""What the forked process runs, as ``python -m`` would."""

PRELOADED = (
    *("setproctitle", "importlib.metadata", "ocs.site_config", "ocs.access", "ocs.ocs_twisted"),
    *("autobahn.twisted.wamp", "autobahn.twisted.websocket", "autobahn.twisted.util"),
    *("autobahn.wamp.serializer", "twisted.application.internet", "twisted.internet.epollreactor"),
)
"""What `PROGRAM` and `ocs.ocs_agent` import, except the modules that import the reactor."""

REACTOR = "twisted.internet.reactor"

SYSCALLS = {"x86_64": (56, 273, 274), "aarch64": (220, 99, 100)}
"""The numbers of clone, set_robust_list and get_robust_list."""

CLONE_FLAGS = 0x00008000 | 0x00200000 | 0x01000000  # PARENT, CHILD_CLEARTID, CHILD_SETTID
SIGCHLD = 17
PR_SET_MM, PR_SET_MM_MAP, PR_GET_TID_ADDRESS = 35, 14, 40
"""Of linux/sched.h and linux/prctl.h."""

MAX_REQUEST_FDS = 8

TIME_ZONE = "/etc/localtime"

DECISIVE = (*all_suffixes(), ".pth", ".dist-info", ".egg-info", ".egg-link", ".egg", ".zip")
"""Names in a directory on the path that decide what is imported end so, or are directories."""

libc = ctypes.CDLL(None, use_errno=True)


class MemoryMap(ctypes.Structure):
    """`struct prctl_mm_map` of linux/prctl.h."""

    names = (
        *("start_code", "end_code", "start_data", "end_data", "start_brk", "brk", "start_stack"),
        *("arg_start", "arg_end", "env_start", "env_end", "auxv"),
    )
    _fields_ = (
        *((name, ctypes.c_uint64) for name in names),
        *((name, ctypes.c_uint32) for name in ("auxv_size", "exe_fd")),
    )


STAT_FIELDS = {
    **{"start_code": 23, "end_code": 24, "start_stack": 25, "start_data": 42, "end_data": 43},
    **{"start_brk": 44, "arg_start": 45, "arg_end": 46, "env_start": 47, "env_end": 48},
}
"""Fields of /proc/self/stat (proc(5)), counted from the state."""


class UnfitError(Exception):
    """An interpreter, kernel or version of a library that does not fit."""


class ProcessTitle:
    """The memory that the kernel shows as /proc/PID/cmdline and environ."""

    def __init__(self) -> None:
        with open("/proc/self/stat", "rb") as file:
            numbers = file.read().rpartition(b")")[2].split()
        self._map = MemoryMap(exe_fd=0xFFFFFFFF)
        for name, index in STAT_FIELDS.items():
            setattr(self._map, name, int(numbers[index]))
        self._size = self._map.arg_end - self._map.arg_start

    def set(self, argv: list[str], environ: dict[str, str] | None = None) -> None:
        """Show these.

        Raises:
            UnfitError: The kernel does not allow it, or the arguments are too long.
        """
        text = _strings(argv)
        if len(text) > self._size:
            raise UnfitError(f"its command line has more than {self._size} bytes")
        ctypes.memset(self._map.arg_start, 0, self._size)
        ctypes.memmove(self._map.arg_start, text, len(text))
        self._map.arg_end = self._map.arg_start + len(text)
        if environ is not None:
            text = _strings([f"{name}={value}" for name, value in environ.items()])
            libc.malloc.restype = ctypes.c_void_p
            memory = libc.malloc(ctypes.c_size_t(len(text) + 1))  # for ever
            ctypes.memmove(memory, text, len(text))
            self._map.env_start, self._map.env_end = memory, memory + len(text)
        libc.sbrk.restype = ctypes.c_void_p
        self._map.brk = libc.sbrk(ctypes.c_ssize_t(0))
        reference, size = ctypes.byref(self._map), ctypes.c_ulong(ctypes.sizeof(self._map))
        _prctl("PR_SET_MM_MAP", PR_SET_MM, ctypes.c_ulong(PR_SET_MM_MAP), reference, size)


def _strings(texts: list[str]) -> bytes:
    if any("\0" in text for text in texts):
        raise UnfitError("a NUL character in an argument")
    return b"".join(os.fsencode(text) + b"\0" for text in texts)


def _comm(new: str = "") -> str:
    """The name of this process (/proc/PID/comm); sets it, if there is a new one."""
    with open("/proc/self/comm", "r+" if new else "r") as file:
        return str(file.write(new)) if new else file.read().removesuffix("\n")


def _prctl(name: str, option: int, *arguments: object) -> None:
    padded = [*arguments, *[ctypes.c_ulong(0)] * (4 - len(arguments))]
    if libc.prctl(option, *padded):
        raise UnfitError(f"{name}: {os.strerror(ctypes.get_errno())}")


class Cloner:
    """Forks children of our parent: the manager, which is told of their end by the kernel."""

    def __init__(self) -> None:
        machine = platform.machine()
        if machine not in SYSCALLS:
            raise UnfitError(f"not known how to fork on {machine}")
        # musl, for one, keeps something else at the address below.
        if not _libc_version().startswith("glibc"):
            raise UnfitError("not known how to fork with another C library than glibc")
        clone, self._set_robust_list, get_robust_list = map(ctypes.c_long, SYSCALLS[machine])
        # With the GIL, as os.fork does.
        self._syscall = ctypes.PyDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long
        tid = ctypes.c_void_p()
        _prctl("PR_GET_TID_ADDRESS", PR_GET_TID_ADDRESS, ctypes.byref(tid))
        # Where libc has the number of its thread. The order of the last two differs between
        # machines, and the one that is not asked for is not looked at.
        self._arguments: list[object] = [clone, ctypes.c_ulong(CLONE_FLAGS | SIGCHLD)]
        self._arguments += [ctypes.c_ulong(0), ctypes.c_ulong(0), tid, tid]
        # Where the kernel looks for mutexes of who died: forgotten in a fork, and renewed by libc's.
        head, size = ctypes.c_void_p(), ctypes.c_size_t()
        self._syscall(get_robust_list, ctypes.c_long(0), ctypes.byref(head), ctypes.byref(size))
        self._robust_list = (head, size)

    def fork(self) -> int:
        """Fork; returns 0 in the child.

        Raises:
            OSError: It failed.
        """
        python = ctypes.pythonapi
        python.PyOS_BeforeFork()
        pid: int = self._syscall(*self._arguments)
        if pid == 0:
            python.PyOS_AfterFork_Child()
            self._syscall(self._set_robust_list, *self._robust_list)
            return 0
        error = ctypes.get_errno()
        python.PyOS_AfterFork_Parent()
        if pid < 0:
            raise OSError(error, os.strerror(error))
        return pid


def _libc_version() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""


class FileStamps:
    """What decides what is imported: the files of all modules, and what directories on the path have.

    Libraries and the time zone, too: what a new process has of them.

    Not the times of these directories: agents may write into one. In the working directory only
    what has the name of an imported module counts.
    """

    def __init__(self, since: float) -> None:
        """Note the files as they are now; `since` is when the first import began, Unix time."""
        files = {file for each in sys.modules.values() if (file := _file_of(each))}
        files |= {
            sys.executable,
            os.path.join(sys.prefix, "pyvenv.cfg"),
            TIME_ZONE,
            *_mapped_files(),
        }
        self._files = sorted(files)
        self._own_path = 0 if sys.flags.safe_path else 1  # sys.path[0]: agents may write there
        self._names = {name.partition(".")[0] for name in sys.modules}
        self._noted = self._now()
        now = time.time_ns()
        times = [_stamp(file)[:1] for file in self._files]
        # A file that was written while we imported it: nobody knows which one we have.
        self._is_unsure = any(
            since * 1e9 - 1e9 < time_ns <= now for (time_ns,) in filter(None, times)
        )

    def changed(self) -> bool:
        """Whether an agent that is launched now would import something else."""
        return self._is_unsure or self._now() != self._noted

    def _now(self) -> dict[str, object]:
        stamps: dict[str, object] = {file: _stamp(file) for file in self._files}
        for directory in sys.path[self._own_path :]:
            names = _names(directory)
            stamps[directory] = sorted(names) or _stamp(directory)  # of an archive
            for name in names:
                if name.endswith(".pth"):
                    file = os.path.join(directory, name)
                    stamps[file] = _stamp(file)
        for directory in sys.path[: self._own_path]:
            for name in _names(directory):
                if name.partition(".")[0] in self._names:
                    stamps[name] = _stamp(os.path.join(directory, name))
        return stamps


def _file_of(module: object) -> str | None:
    # Past any `__getattr__`: modules of some packages import others when they are asked.
    if not issubclass(type(module), ModuleType):
        return None
    names: dict[str, str | None] = ModuleType.__getattribute__(module, "__dict__")
    return names.get("__file__")


def _mapped_files() -> set[str]:
    """The files in memory: libraries."""
    with open("/proc/self/maps", "rb") as file:
        words = [line.rstrip(b"\n").split(None, 5) for line in file]
    return {os.fsdecode(each[5]) for each in words if len(each) > 5 and each[5].startswith(b"/")}


def _stamp(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_ino, status.st_size


def _names(directory: str) -> list[str]:
    """What can be imported from there, or decides on that; no log or data file of an agent."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return [name for name in names if name.endswith(DECISIVE) or "." not in name]


class ForkServer:
    """Imports, then forks for each request.

    Args:
        control: Connected to the manager.
    """

    def __init__(self, control: socket.socket) -> None:
        since = time.time()
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
        self._stamps = FileStamps(since)
        _end_library_threads()
        if (threads := len(os.listdir("/proc/self/task"))) > 1:
            raise UnfitError(f"what agents import starts threads ({threads})")
        gc.freeze()

    def serve(self) -> CodeType:
        """Fork until the manager is gone. Returns in the forked process: what it has to execute."""
        while True:
            data, fds, _, _ = socket.recv_fds(self._control, 1, MAX_REQUEST_FDS)
            # Exit code 0: start another one.
            if not data or self._stamps.changed():
                os._exit(0)
            pid = self._cloner.fork()
            if pid == 0:
                return self._become_agent(fds)
            self._control.send(str(pid).encode())
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
        os.setsid()
        os.chdir(request["cwd"])  # type: ignore[arg-type]
        output, *lock = given
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        for fd in lock:
            os.set_inheritable(fd, True)  # to all that the agent starts
        os.environ.clear()
        os.environ.update(environ)  # type: ignore[call-overload]
        self._title.set(argv, environ)  # type: ignore[arg-type]
        _comm(self._name)
        if not sys.flags.safe_path:
            sys.path[0] = os.getcwd()
        importlib.invalidate_caches()
        if "numpy.random" in sys.modules:  # Python's own generator renews itself
            sys.modules["numpy.random"].seed()


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
    """Serve the manager at the other end of the socket whose descriptor is the first argument."""
    control = socket.socket(fileno=int(sys.argv[1]))
    try:
        server = ForkServer(control)
    except BaseException as error:
        with contextlib.suppress(OSError):
            control.send(f"{type(error).__name__}: {error}".encode()[:1000])
        os._exit(1)
    control.send(b"ready")
    return server.serve()


if __name__ == "__main__":
    exec(main(), globals())
