"""What Python has no functions for: a fork for another parent, and another command line.

Part of `fork_server`, which imports it by its path.
"""

import ctypes
import os
import platform

SYSCALLS = {"x86_64": (56, 273, 274), "aarch64": (220, 99, 100)}
"""The numbers of clone, set_robust_list and get_robust_list."""

CLONE_FLAGS = 0x00008000 | 0x00200000 | 0x01000000  # PARENT, CHILD_CLEARTID, CHILD_SETTID
SIGCHLD = 17
PR_SET_MM, PR_SET_MM_MAP, PR_GET_TID_ADDRESS = 35, 14, 40
"""Of linux/sched.h and linux/prctl.h."""

libc = ctypes.CDLL(None, use_errno=True)


class UnfitError(Exception):
    """An interpreter, kernel or version of a library that does not fit."""


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
