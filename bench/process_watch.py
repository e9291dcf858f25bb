"""When processes come and go, seen from outside: a thread that looks at /proc all the time.

It lists /proc every half millisecond, so it sees any process, whoever its parent is, and
says nothing about whose it is: agents note their own pids (`Site.launches`).
"""

import contextlib
import os
import threading
import time
from typing import Self

from tests.support.waiting import wait_for

INTERVAL = 0.0005


class ProcessWatch:
    """A context manager; all times are of the monotonic clock, in seconds.

    Attributes:
        seen: When each process that is new since the start was first seen.
        gone: When each watched process was first found dead (a zombie is dead).
    """

    def __init__(self) -> None:
        self.seen: dict[int, float] = {}
        self.gone: dict[int, float] = {}
        self._watched: set[int] = set()
        self._known: set[str] = set()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._known = set(os.listdir("/proc"))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def watch(self, *pids: int) -> None:
        """From now on, note when these are gone."""
        for pid in pids:
            self.gone.pop(pid, None)
            self._watched.add(pid)

    def wait_gone(self, pid: int, timeout: float) -> float:
        """Wait for the end of a watched process: the moment when it was found dead."""
        at: float = wait_for(lambda: self.gone.get(pid), timeout, f"the end of process {pid}")
        return at

    def _run(self) -> None:
        while not self._ends.is_set():
            names = set(os.listdir("/proc"))
            now = time.monotonic()
            for name in names - self._known:
                if name.isdigit():
                    self.seen[int(name)] = now
            self._known = names
            for pid in [pid for pid in self._watched if dead(pid)]:
                self.gone[pid] = time.monotonic()
                self._watched.discard(pid)
            time.sleep(INTERVAL)


def dead(pid: int) -> bool:
    """Whether the process is gone, or a zombie that nobody has reaped yet."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return True


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of its children that were waited for.

    The scheduler counts live threads in nanoseconds; without it (schedstat), and for the
    children, the kernel's ticks of 10 ms have to do.
    """
    tick = os.sysconf("SC_CLK_TCK")
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    children = (int(fields[13]) + int(fields[14])) / tick
    own = (int(fields[11]) + int(fields[12])) / tick
    with contextlib.suppress(OSError):
        own = sum(_thread_cpu(pid, thread) for thread in os.listdir(f"/proc/{pid}/task"))
    return own + children


def _thread_cpu(pid: int, thread: str) -> float:
    with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def resident_bytes(pid: int) -> int:
    """Resident memory of a process (VmRSS)."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
