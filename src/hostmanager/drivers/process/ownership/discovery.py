"""What belongs to an instance: told by mark and lock, never by a file or a name.

Looked at when the manager starts (what did the one before me launch?), when a lock cannot be
had (who has it?), and when an agent has ended (what did it leave behind? see `kin`); never in a
rhythm. docs/ownership.md tells why each of them is needed.

A mark counts in a process of our user: anybody may write one. Who holds the lock counts
whatever he says and whoever he is: the file is in our folder, so he inherited it.
"""

import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostmanager.core.model import InstanceSpec, ObservedRun
from hostmanager.drivers.process.ownership import env_tag as marks
from hostmanager.drivers.process.ownership import instance_lock as locks
from hostmanager.drivers.process.ownership import rlimit_tag as stamps
from hostmanager.drivers.process.ownership.env_tag import TaggedProcess
from hostmanager.drivers.process.ownership.manager_identity import ManagerIdentity
from hostmanager.util import procfs as proc
from hostmanager.util.names import decode_id, encode_id
from hostmanager.util.procfs import parent_pid, run_id

log = logging.getLogger(__name__)

LOCK_TIMEOUT = 1.0
LOCK_POLL_INTERVAL = 0.01
"""Seconds for which, and between which, a lock that is held without a mark is looked at."""

_SUFFIX = ".lock"


@dataclass(frozen=True, slots=True)
class Ownership:
    """How a manager knows its processes.

    Attributes:
        identity: Tells this manager from others; the same after a restart.
        locks: Folder of the instances' locks.
    """

    identity: ManagerIdentity
    locks: Path

    def lock_file(self, instance_id: str) -> Path:
        """Where the lock of an instance is."""
        return self.locks / f"{encode_id(instance_id)}{_SUFFIX}"

    def environment(self, spec: InstanceSpec) -> dict[str, str]:
        """What goes into the environment of a process that is about to be launched."""
        return {**self.identity.mark(spec).variables, **marks.SETPROCTITLE_ENV}

    def discover(self) -> dict[str, ObservedRun]:
        """Find what an earlier manager launched and is still alive, by instance-id.

        What that one had just forked carries no mark yet, but has a lock: that is waited for.

        Raises:
            OSError: /proc cannot be read.
        """
        until = time.monotonic() + LOCK_TIMEOUT
        while True:
            seen = self._tagged_by_instance()
            led = {i for i, processes in seen.items() if any(p.is_leader for p in processes)}
            unclear = self.locked_ids() - led
            waited = time.monotonic() > until
            by_lock = self._holders_by_instance(unclear, sure=not waited)
            if waited or all(by_lock.values()):
                break
            time.sleep(LOCK_POLL_INTERVAL)
        surveyed = {i: self._observed_run(processes) for i, processes in seen.items()}
        for instance_id, processes in by_lock.items():
            known = {p.pid: p for p in (*processes, *seen.get(instance_id, ()))}
            surveyed[instance_id] = self._observed_run(list(known.values()))
        return surveyed

    def lock_holder(self, instance_id: str, *, sure: bool) -> ObservedRun | None:
        """What holds the lock of an instance; None if nobody does.

        Args:
            instance_id: Whose lock.
            sure: Leave out whom nothing but the lock tells of: he may have been forked for
                another instance, and not have executed his program yet.

        Returns:
            What is known; neither a pid nor others if it is held by who cannot be told.
        """
        if not locks.is_held(self.lock_file(instance_id)):
            return None
        return self._observed_run(self._holders_by_instance({instance_id}, sure=sure)[instance_id])

    def _tagged_by_instance(self) -> dict[str, list[TaggedProcess]]:
        by_instance: dict[str, list[TaggedProcess]] = defaultdict(list)
        for marked in marks.find_tagged(self.identity.owns):
            if marked.tag is not None:
                by_instance[marked.tag.instance_id].append(marked)
        return by_instance

    def _holders_by_instance(
        self, instance_ids: set[str], *, sure: bool
    ) -> dict[str, list[TaggedProcess]]:
        if not instance_ids:
            return {}
        files = {self.lock_file(i): i for i in instance_ids}
        found: dict[str, list[TaggedProcess]] = {i: [] for i in instance_ids}
        for path, pids in locks.holders_of(files.keys()).items():
            for pid in pids:
                member = self._inspect_holder(pid, files[path])
                if member is None:
                    continue
                if member.is_tagged or not (sure or self._holds_several(pid)):
                    found[files[path]].append(member)
        return found

    def _holds_several(self, pid: int) -> bool:
        return len(locks.held_by(pid, [self.lock_file(i) for i in self._ids_with_lock_file()])) > 1

    def _inspect_holder(self, pid: int, instance_id: str) -> TaggedProcess | None:
        """What is known of a holder; None if it is not one of this instance after all."""
        mark = marks.read_tag(pid)
        if mark is None and parent_pid(pid) == os.getpid():
            return None  # forked by us a moment ago, for whomever
        if mark is not None and mark.instance_id != instance_id:
            if self.identity.owns(mark):
                return None
            mark = None
        return marks.describe_process(pid, mark)

    def _observed_run(self, processes: list[TaggedProcess]) -> ObservedRun:
        said = [process.tag for process in processes if process.tag is not None]
        return observed_run(
            processes, strange=bool(said) and not any(map(self.identity.owns, said))
        )

    def locked_ids(self) -> set[str]:
        """The instances whose lock somebody holds; not to be asked while one is launched."""
        return {i for i in self._ids_with_lock_file() if locks.is_held(self.lock_file(i))}

    def _ids_with_lock_file(self) -> set[str]:
        try:
            files = list(self.locks.glob(f"*{_SUFFIX}"))
        except OSError:
            return set()
        found = (decode_id(file.name.removesuffix(_SUFFIX)) for file in files)
        return {instance_id for instance_id in found if instance_id is not None}

    def open_leader(self, instance_id: str, found: ObservedRun) -> int | None:
        """Open a pidfd for the leader that was found; None if it has ended meanwhile."""
        if found.pid is None:
            return None
        pidfd = open_if(found.pid, lambda pid: self._is_leader(pid, instance_id))
        if pidfd is not None and stamps.read(found.pid) is None:
            stamps.apply(found.pid)  # its manager did not come to it
        return pidfd

    def _is_leader(self, pid: int, instance_id: str) -> bool:
        marked = marks.inspect(pid, self.identity.owns)
        mark = None if marked is None else marked.tag
        if marked is not None and mark is not None and mark.instance_id == instance_id:
            return marked.is_leader
        if pid not in locks.holders(self.lock_file(instance_id)):
            return False
        member = self._inspect_holder(pid, instance_id)
        return member is not None and member.is_leader

    def lock_holders(self, instance_id: str) -> list[int]:
        """Find who holds the lock of an instance.

        Left out is what another launch, of ours or of a manager before, has just forked: until
        it executes its program, it has a copy of everything that was open there.
        """
        return [
            member.pid
            for member in self._holders_by_instance({instance_id}, sure=False)[instance_id]
        ]

    def is_tagged(self, pid: int, instance_id: str) -> bool:
        """Tell whether a process of our user carries the mark of an instance of ours."""
        marked = marks.inspect(pid, self.identity.owns)
        mark = None if marked is None else marked.tag
        return mark is not None and mark.instance_id == instance_id

    def describe_lock_holders(self, instance_id: str) -> str:
        """Say that the lock of an instance is held, by whom, and what to do; two sentences."""
        path = self.lock_file(instance_id)
        who = ", ".join(command_line(pid) for pid in locks.holders(path))
        if not who:
            who = "a process that cannot be seen from here (another user's, or another container's)"
        return (
            f"Its lock {path} is held by {who}. It is neither launched nor said to be down "
            f"before that has ended; as root, `fuser -v {path}` tells who it is."
        )


def observed_run(processes: list[TaggedProcess], *, strange: bool = False) -> ObservedRun:
    """Sort out the processes of one instance: the leader, and the others."""
    if not processes:
        return ObservedRun(None, time.time(), "")
    leaders = (p for p in processes if p.is_leader)
    leader = min(leaders, key=lambda p: (p.rlimit_tag is None, p.started), default=None)
    first = leader or processes[0]
    age = (marks.now_ticks() - first.started) / marks.TICKS_PER_SECOND
    others = tuple(p.pid for p in processes if p is not leader)
    pid = None if leader is None else leader.pid
    fingerprint, agent_class = "", "?"
    if first.tag is not None:
        fingerprint, agent_class = first.tag.fingerprint, first.tag.agent_class
    run = "" if leader is None else run_id(leader.pid, leader.started)
    return ObservedRun(pid, time.time() - age, fingerprint, agent_class, others, strange, run)


def open_if(pid: int, is_right: Callable[[int], bool]) -> int | None:
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
        words = (proc.read_file(pid, "cmdline", 4096) or b"").split(b"\0")
    except OSError:
        return f"pid {pid}"
    text = " ".join(b" ".join(words).decode("utf-8", "replace").split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return f"pid {pid}: {text[:80]}" if text else f"pid {pid}"
