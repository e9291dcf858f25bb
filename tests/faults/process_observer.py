"""What is alive of a site, all the time, from outside: read in /proc, never asked of a manager.

A thread looks every 5 ms. A process is an agent's if its environment has the mark of the
site (`HM_TEST_MARK`, inherited from the manager) and that of an instance (`OCS_HOSTMANAGER`);
the leader of an instance is the one that leads its session. Each is held by a pidfd, so a
reused number cannot mislead: what is said to be alive at a moment was alive at that moment.
"""

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote

from tests.support.sites import Site

INTERVAL = 0.005
YOUNG = 3.0
"""Seconds in which a new process may still become an agent (between fork and exec)."""

LATER = 1.25
"""A new process is looked at again when it is so many times as old: a fork shows soon what it is
for, and on a busy machine most are somebody else's."""

LOOK_AT_ALL = 2.0
"""Seconds between two looks at processes that were found to be nobody's."""

_MARK = b"OCS_HOSTMANAGER="


@dataclass(slots=True)
class Living:
    """One process of an instance.

    Attributes:
        pid: Its process id.
        pidfd: Held while it is alive.
        instance_id: Whose it is.
        leads: Whether it leads its session: the one that was launched.
        since: When it was first seen, monotonic seconds.
        until: When it was found dead; None: it is alive.
    """

    pid: int
    pidfd: int
    instance_id: str
    leads: bool
    since: float
    until: float | None = None


@dataclass(slots=True)
class _Young:
    """A process of which it is not known yet whose it is: first seen then, looked at again then."""

    since: float
    due: float = 0.0


class ProcessObserver:
    """A context manager that watches the processes of a site.

    Args:
        site: Whose processes.
        complain: Called with a sentence when two leaders of one instance are alive at once.
    """

    def __init__(self, site: Site, complain: Callable[[str], None]) -> None:
        self._site_mark = f"HM_TEST_MARK={site.mark}".encode()
        self._complain = complain
        self._alive: dict[int, Living] = {}
        self._young: dict[int, _Young] = {}
        self._others: set[int] = set()
        self._dead: deque[Living] = deque(maxlen=100)
        self._looked_at_all = 0.0
        self._newest = b""
        self._loadavg = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="process observer", daemon=True)
        self.launched = 0
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()
        for living in self._alive.values():
            os.close(living.pidfd)
        os.close(self._loadavg)

    def alive(self) -> list[Living]:
        """Everything that is alive at this moment."""
        with self._lock:
            self._look()
            return list(self._alive.values())

    def leaders(self) -> dict[str, int]:
        """The pid of each instance's leader that is alive at this moment."""
        return {living.instance_id: living.pid for living in self.alive() if living.leads}

    def alive_through(self, begin: float) -> list[Living]:
        """Whatever was alive at `begin` and has been, until this moment."""
        return [living for living in self.alive() if living.since < begin]

    def leaders_since(self, begin: float) -> dict[str, set[int]]:
        """The pids of each instance's leaders that were alive at some moment since `begin`."""
        pids: dict[str, set[int]] = {}
        for living in [*self.alive(), *self._dead]:
            if living.leads and (living.until is None or living.until > begin):
                pids.setdefault(living.instance_id, set()).add(living.pid)
        return pids

    def _run(self) -> None:
        while not self._ends.wait(INTERVAL):
            with self._lock:
                self._look()

    def _look(self) -> None:
        """Look at what is new; a list of all is made only when there may be something."""
        now = time.monotonic()
        self.looks += 1
        newest = os.pread(self._loadavg, 100, 0).split()[-1]  # the process id given last
        if newest != self._newest or now > self._looked_at_all + LOOK_AT_ALL:
            self._newest = newest
            self._list(now)
        self._bury()
        for pid in [pid for pid, young in self._young.items() if now >= young.due]:
            self._look_at(pid, now)
        self._bury()

    def _list(self, now: float) -> None:
        """Find those who were not there before."""
        listed = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208
        if now > self._looked_at_all + LOOK_AT_ALL:
            self._looked_at_all = now
            self._young |= {pid: _Young(now - YOUNG) for pid in self._others & listed}
            self._others.clear()
        self._others &= listed
        self._young = {pid: young for pid, young in self._young.items() if pid in listed}
        for pid in listed - self._alive.keys() - self._others - self._young.keys():
            self._young[pid] = _Young(now)

    def _bury(self) -> None:
        """Note the dead: a pidfd is readable as soon as its process has ended."""
        by_fd = {living.pidfd: living for living in self._alive.values()}
        for fd, _ in self._poll.poll(0):
            living = by_fd[fd]
            living.until = time.monotonic()
            self._poll.unregister(fd)
            os.close(fd)
            del self._alive[living.pid]
            self._dead.append(living)
            self._others.add(living.pid)  # a zombie, until its parent waits

    def _look_at(self, pid: int, now: float) -> None:
        """Whose is it? If nobody's, it is asked again while it is young."""
        if self._whose(pid) is None:
            self._look_later(pid, now)
            return
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            self._young.pop(pid)
            return
        instance_id = self._whose(pid)  # now it cannot be another's
        if instance_id is None or _ended(pidfd):
            os.close(pidfd)
            self._look_later(pid, now)
            return
        del self._young[pid]
        with contextlib.suppress(ProcessLookupError):
            leads = os.getsid(pid) == pid
            # Not `now`, which this look began with: it may have begun to exist since.
            living = Living(pid, pidfd, instance_id, leads, time.monotonic())
            if leads:
                self.launched += 1
                self._insist_on_one(living)
            self._alive[pid] = living
            self._poll.register(pidfd, select.POLLIN)
            return
        os.close(pidfd)

    def _look_later(self, pid: int, now: float) -> None:
        age = now - self._young[pid].since
        if age >= YOUNG:
            self._others.add(pid)
            del self._young[pid]
        else:
            self._young[pid].due = self._young[pid].since + age * LATER

    def _whose(self, pid: int) -> str | None:
        try:
            environ = _read(f"/proc/{pid}/environ").split(b"\0")
        except OSError:
            return None
        if self._site_mark not in environ:
            return None
        mark = next((entry for entry in environ if entry.startswith(_MARK)), None)
        # Ids of any characters stand in the tag percent-encoded (docs/ownership.md).
        return None if mark is None else unquote(mark.split(b"/")[1].decode())

    def _insist_on_one(self, new: Living) -> None:
        for old in self._alive.values():
            if not old.leads or old.instance_id != new.instance_id:
                continue
            # Alive before and after the look at the other: then both were at that moment.
            if not (_ended(new.pidfd) or _ended(old.pidfd) or _ended(new.pidfd)):
                self._complain(
                    f"two live processes of {new.instance_id} at once: {old.pid} and {new.pid}"
                )


def _ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _read(path: str) -> bytes:
    """Without the cost of a path or a file object: many a thousand times a minute."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(fd, 1 << 16), b""))
    finally:
        os.close(fd)
