"""Who belongs to one run of an instance beside its leader: what it leaves behind when it ends.

Told by session, stamp, mark and lock. Nobody can come into a session that he was not born in;
a stamp or a mark anybody can put on himself, so they count in a process of our user; the lock
counts in whoever holds it.
"""

import errno
from collections.abc import Mapping
from dataclasses import dataclass

from hostmanager.drivers.process.ownership import instance_lock as locks
from hostmanager.drivers.process.ownership import rlimit_tag as stamps
from hostmanager.drivers.process.ownership.discovery import Ownership, command_line, open_if
from hostmanager.drivers.process.ownership.rlimit_tag import RlimitTag
from hostmanager.util import procfs as proc
from hostmanager.util.procfs import is_zombie, list_pids, session_id, start_ticks

MAX_SCANS = 50
"""Looks at those who ended before they could be held, until there is a pause."""


@dataclass(frozen=True, slots=True)
class HeldProcess:
    """A live process of a run, held by its pidfd; in a few words for people."""

    pidfd: int
    description: str


@dataclass(frozen=True, slots=True)
class Remnants:
    """What is left of a run.

    Attributes:
        relatives: The live ones, by pid; their pidfds are to be closed.
        held: Whether somebody holds the lock though nobody is to be seen.
    """

    relatives: Mapping[int, HeldProcess]
    held: bool = False


@dataclass(frozen=True, slots=True)
class Descendants:
    """Everybody who belongs to one run of an instance, but for its leader.

    Attributes:
        owner: How we know our processes.
        instance_id: Whose run it is.
        leader: The process that was launched, which its session is named for; None if unknown.
        rlimit_tag: That of its descendants, if they have one.
    """

    owner: Ownership
    instance_id: str
    leader: int | None
    rlimit_tag: RlimitTag | None = None

    def open_all(self) -> Remnants:
        """Find the live ones and open a pidfd for each, to be closed by the caller.

        Zombies are left out: nothing of them runs, and their parent has yet to wait for them.
        Who has ended once he was found may have left others: it is looked again until the
        list is sure.

        Raises:
            OSError: /proc cannot be read, no descriptor can be opened, or they come and go.
        """
        for _ in range(MAX_SCANS):
            members = self._members()
            opened = {pid: open_if(pid, self._includes) for pid in members}
            seized = {
                p: HeldProcess(fd, command_line(p)) for p, fd in opened.items() if fd is not None
            }
            if seized:
                return Remnants(seized)
            if not members:
                return Remnants({}, held=self._lock_is_held())
        raise OSError(errno.EAGAIN, "processes come and go too fast to be held")

    def _members(self) -> list[int]:
        members = [pid for pid in list_pids() if self._is_member(pid)] or self._lock_holders()
        return [pid for pid in members if pid != self.leader]

    def _includes(self, pid: int) -> bool:
        return self._is_member(pid) or pid in self._lock_holders()

    def _is_member(self, pid: int) -> bool:
        if pid == self.leader:
            return False
        ours = (
            (
                self.leader is not None
                and session_id(pid) == self.leader
                and not self._leader_pid_is_reused()
            )
            or (self._has_rlimit_tag(pid) and proc.has_our_uids(pid))
            or self.owner.is_tagged(pid, self.instance_id)
        )
        return ours and not is_zombie(pid)

    def _leader_pid_is_reused(self) -> bool:
        """Whether the number of the leader is somebody else's by now, and so its session.

        The kernel gives it to nobody before the last of the session is gone; but to anybody then.
        """
        assert self.leader is not None
        started = start_ticks(self.leader)
        return self.rlimit_tag is not None and started not in (None, self.rlimit_tag.started)

    def _has_rlimit_tag(self, pid: int) -> bool:
        return self.rlimit_tag is not None and stamps.read(pid) == self.rlimit_tag

    def _lock_is_held(self) -> bool:
        return locks.is_held(self.owner.lock_file(self.instance_id))

    def _lock_holders(self) -> list[int]:
        """Whoever has the lock although neither session nor mark tell of him."""
        if not self._lock_is_held():
            return []
        return [p for p in self.owner.lock_holders(self.instance_id) if p != self.leader]
