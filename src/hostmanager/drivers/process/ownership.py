"""What belongs to an instance: told by session, mark and lock, never by a file or a name.

Looked at when the manager starts (what did the one before me launch?), when a lock cannot be
had (who has it?), and when an agent has ended (what did it leave behind?); never in a
rhythm. docs/ownership.md tells why each of the three is needed.
"""

import errno
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostmanager.core.model import Found, InstanceSpec
from hostmanager.drivers.process import locks, marks, proc, stamps
from hostmanager.drivers.process.marks import Mark, Marked
from hostmanager.drivers.process.proc import is_zombie, parent, pids, session
from hostmanager.drivers.process.stamps import Stamp

log = logging.getLogger(__name__)

PATIENCE = 1.0
PAUSE = 0.01
"""Seconds for which, and between which, a lock that is held without a mark is looked at."""

ROUNDS = 50
"""Looks at those who ended before they could be held, until there is a pause."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """How a manager knows its processes.

    Attributes:
        key: Tells this manager from others; the same after a restart.
        locks: Folder of the instances' locks.
    """

    key: str
    locks: Path

    def lock_file(self, instance_id: str) -> Path:
        """Where the lock of an instance is."""
        return self.locks / f"{instance_id}.lock"

    def environment(self, spec: InstanceSpec) -> dict[str, str]:
        """What goes into the environment of a process that is about to be launched."""
        now = marks.now_ticks()
        mark = Mark(self.key, spec.instance_id, spec.fingerprint, now, spec.agent_class)
        return {marks.VARIABLE: str(mark), **marks.KEEP_ENVIRON}

    def survey(self) -> dict[str, Found]:
        """Find what an earlier manager launched and is still alive, by instance-id.

        What that one had just forked carries no mark yet, but has a lock: that is waited for.

        Raises:
            OSError: /proc cannot be read.
        """
        until = time.monotonic() + PATIENCE
        while True:
            held = self.held()
            seen = self._marked()
            unseen = held - seen.keys()
            if not unseen or time.monotonic() > until:
                break
            time.sleep(PAUSE)
        for instance_id in sorted(unseen):
            who = ", ".join(map(command_line, self.holders(instance_id))) or "nobody to be seen"
            log.warning("%s: its lock is held without a mark (%s)", instance_id, who)
        return {instance_id: found(processes) for instance_id, processes in seen.items()}

    def _marked(self) -> dict[str, list[Marked]]:
        by_instance: dict[str, list[Marked]] = defaultdict(list)
        for marked in marks.find(self.key):
            by_instance[marked.mark.instance_id].append(marked)
        return by_instance

    def held(self) -> set[str]:
        """The instances whose lock somebody holds; not to be asked while one is launched."""
        try:
            files = list(self.locks.glob("*.lock"))
        except OSError:
            return set()
        return {file.stem for file in files if _is_held(file)}

    def open_leader(self, instance_id: str, found: Found) -> int | None:
        """Open a pidfd for the leader that was found; None if it has ended meanwhile."""
        if found.pid is None:
            return None
        pidfd = _open_if(found.pid, lambda pid: self._leads(pid, instance_id))
        if pidfd is not None and stamps.read(found.pid) is None:
            stamps.put(found.pid)  # its manager did not come to it
        return pidfd

    def _leads(self, pid: int, instance_id: str) -> bool:
        marked = marks.look_at(pid, self.key)
        return marked is not None and marked.mark.instance_id == instance_id and marked.leads

    def holders(self, instance_id: str) -> list[int]:
        """Find who holds the lock of an instance.

        Left out is what another launch of ours has just forked: until it executes its program,
        it has a copy of everything that was open here.
        """
        holders = locks.holders(self.lock_file(instance_id))
        return [pid for pid in holders if not self._just_forked(pid, instance_id)]

    def _just_forked(self, pid: int, instance_id: str) -> bool:
        mark = marks.read(pid)
        if mark is not None and mark.key == self.key:
            return mark.instance_id != instance_id
        return parent(pid) == os.getpid()

    def is_marked(self, pid: int, instance_id: str) -> bool:
        """Tell whether a process carries the mark of an instance of ours."""
        mark = marks.read(pid)
        return mark is not None and (mark.key, mark.instance_id) == (self.key, instance_id)


def found(processes: list[Marked]) -> Found:
    """Sort out the marked processes of one instance: the leader, and the others."""
    leaders = (p for p in processes if p.leads)
    leader = min(leaders, key=lambda p: (p.stamp is None, p.started), default=None)
    first = leader or processes[0]
    age = (marks.now_ticks() - first.started) / marks.TICKS
    others = tuple(p.pid for p in processes if p is not leader)
    pid = None if leader is None else leader.pid
    mark = first.mark
    return Found(pid, time.time() - age, mark.fingerprint, mark.agent_class, others)


def _is_held(lock: Path) -> bool:
    try:
        fd = locks.take(lock)
    except OSError:
        return False
    if fd is not None:
        os.close(fd)
    return fd is None


@dataclass(frozen=True, slots=True)
class Relative:
    """A live process of a run, held by its pidfd; in a few words for people."""

    pidfd: int
    words: str


@dataclass(frozen=True, slots=True)
class Kin:
    """Everybody who belongs to one run of an instance, but for its leader.

    Attributes:
        owner: How we know our processes.
        instance_id: Whose run it is.
        leader: The process that was launched, which its session is named for; None if unknown.
        stamp: That of its descendants, if they have one.
    """

    owner: Ownership
    instance_id: str
    leader: int | None
    stamp: Stamp | None = None

    def seize(self) -> dict[int, Relative]:
        """Find the live ones and open a pidfd for each, to be closed by the caller.

        Zombies are left out: nothing of them runs, and their parent has yet to wait for them.
        Who has ended once he was found may have left others: it is looked again until the
        list is sure.

        Raises:
            OSError: /proc cannot be read, no descriptor can be opened, or they come and go.
        """
        for _ in range(ROUNDS):
            members = self._members()
            opened = {pid: _open_if(pid, self._includes) for pid in members}
            seized = {
                p: Relative(fd, command_line(p)) for p, fd in opened.items() if fd is not None
            }
            if seized or not members:
                return seized
        raise OSError(errno.EAGAIN, "processes come and go too fast to be held")

    def _members(self) -> list[int]:
        members = [pid for pid in pids() if self._is_known(pid)] or self._holders()
        return [pid for pid in members if pid != self.leader]

    def _includes(self, pid: int) -> bool:
        return self._is_known(pid) or pid in self._holders()

    def _is_known(self, pid: int) -> bool:
        if pid == self.leader:
            return False
        ours = (
            (self.leader is not None and session(pid) == self.leader)
            or (self.stamp is not None and stamps.read(pid) == self.stamp)
            or self.owner.is_marked(pid, self.instance_id)
        )
        return ours and not is_zombie(pid)

    def _holders(self) -> list[int]:
        """Whoever has the lock although neither session nor mark tell of him."""
        try:
            free = locks.take(self.owner.lock_file(self.instance_id))
        except OSError:
            return []  # no lock to be looked at: it was launched without one, too
        if free is not None:
            os.close(free)
            return []
        return [p for p in self.owner.holders(self.instance_id) if p != self.leader]


def _open_if(pid: int, is_right: Callable[[int], bool]) -> int | None:
    """Open a pidfd; None if the process has ended. Only once open is it certain who it is."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        if is_right(pid):
            return pidfd
    except OSError:
        os.close(pidfd)
        raise
    os.close(pidfd)
    return None


def command_line(pid: int) -> str:
    """The command line of a process, for people; its number alone when it is gone."""
    try:
        words = (proc.read(pid, "cmdline", 4096) or b"").split(b"\0")
    except OSError:
        return f"pid {pid}"
    text = " ".join(b" ".join(words).decode("utf-8", "replace").split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return f"pid {pid}: {text[:80]}" if text else f"pid {pid}"
