"""The descendants of one run of an instance: what it leaves behind when its leader ends.

They are known by session, rlimit tag, environment tag, lock, and cgroup if it has one. No process can
join an existing session, nor a cgroup of ours. Any process can tag itself, so tags count only in
processes of our user. The lock counts in whichever process holds it.
"""

import errno
from collections.abc import Container, Mapping
from dataclasses import dataclass

from hostmanager.drivers.process.ownership import instance_lock
from hostmanager.drivers.process.ownership import rlimit_tag as rlimit_tags
from hostmanager.drivers.process.ownership.discovery import Ownership, command_line, open_if
from hostmanager.drivers.process.ownership.rlimit_tag import RlimitTag
from hostmanager.util import procfs
from hostmanager.util.procfs import is_zombie, list_pids, session_id, start_ticks

MAX_SCANS = 50
"""Scans of processes that ended before they were held, until there is a delay."""


@dataclass(frozen=True, slots=True)
class HeldProcess:
    """A live process of a run, held open by its pidfd; with a description for operators."""

    pidfd: int
    description: str


@dataclass(frozen=True, slots=True)
class Remnants:
    """The processes that are left of a run.

    Attributes:
        processes: The live ones, by pid; their pidfds are to be closed.
        lock_held: Whether the lock is held although no process is visible.
    """

    processes: Mapping[int, HeldProcess]
    lock_held: bool = False


@dataclass(frozen=True, slots=True)
class Descendants:
    """All processes of one run of an instance, without its leader.

    Attributes:
        ownership: Identifies our processes.
        instance_id: Whose run it is.
        leader: The process that was launched, and leads its session; None if unknown.
        rlimit_tag: The tag of its descendants, if they have one.
        live_tags: The tags of all runs that are alive: what has that of another one is not ours, and
            its environment need not be read. It changes.
    """

    ownership: Ownership
    instance_id: str
    leader: int | None
    rlimit_tag: RlimitTag | None = None
    live_tags: Container[RlimitTag] = frozenset()

    def open_all(self) -> Remnants:
        """Find the live ones and open a pidfd for each, to be closed by the caller.

        Zombies are left out: they do not run any more, and their parent has yet to reap them.
        A process that ended during the scan may have left others: the scan is repeated until
        the list is certain.

        Raises:
            OSError: /proc cannot be read, no descriptor can be opened, or they come and go.
        """
        for _ in range(MAX_SCANS):
            members = self._members()
            opened = {pid: open_if(pid, self._includes) for pid in members}
            held = {
                p: HeldProcess(fd, command_line(p)) for p, fd in opened.items() if fd is not None
            }
            if held:
                return Remnants(held)
            if not members:
                return Remnants({}, lock_held=self._lock_is_held())
        raise OSError(errno.EAGAIN, "processes come and go too fast to be held")

    def _members(self) -> list[int]:
        grouped = {pid for pid in self._in_cgroup() if not is_zombie(pid)}
        members = [pid for pid in list_pids() if pid in grouped or self._is_member(pid)]
        return [pid for pid in members or self._lock_holders() if pid != self.leader]

    def _includes(self, pid: int) -> bool:
        return self._is_member(pid) or pid in self._in_cgroup() or pid in self._lock_holders()

    def _is_member(self, pid: int) -> bool:
        if pid == self.leader:
            return False
        session = session_id(pid)
        if not session:  # gone; a thread of the kernel; begun outside of this container
            return False
        if session == self.leader and not self._leader_pid_is_reused():
            return not is_zombie(pid)
        tag = rlimit_tags.read(pid)
        if tag is not None and tag != self.rlimit_tag and tag in self.live_tags:
            return False
        is_descendant = tag is not None and tag == self.rlimit_tag and procfs.has_our_uids(pid)
        is_ours = is_descendant or self.ownership.is_tagged(pid, self.instance_id)
        return is_ours and not is_zombie(pid)

    def _in_cgroup(self) -> list[int]:
        return self.ownership.cgroups.processes(self.instance_id)

    def _leader_pid_is_reused(self) -> bool:
        """Whether the pid of the leader was reused, and so the session id.

        The kernel reuses it only after the last process of the session is gone.
        """
        assert self.leader is not None
        started = start_ticks(self.leader)
        return self.rlimit_tag is not None and started not in (None, self.rlimit_tag.started)

    def _lock_is_held(self) -> bool:
        return instance_lock.is_held(self.ownership.lock_file(self.instance_id))

    def _lock_holders(self) -> list[int]:
        """The holders of the lock that neither session nor tag identify."""
        if not self._lock_is_held():
            return []
        return [p for p in self.ownership.lock_holders(self.instance_id) if p != self.leader]
