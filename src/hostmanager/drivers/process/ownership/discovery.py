"""Which processes belong to an instance: by tag and lock, never by a file or a name.

Processes are scanned when the manager starts (what did the manager before launch?), when a lock is
held (by which process?), and when an agent has ended (what did it leave behind? see
`descendants`); never periodically. docs/ownership.md explains why each of them is needed.

A tag counts only in a process of our user: any process may write one. A holder of the lock counts
whatever its user or tag: the file is in our directory, so the holder inherited it.
"""

import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostmanager.core.model import InstanceSpec, ObservedRun
from hostmanager.drivers.process.limits.cgroups import NO_CGROUPS, AgentCgroups
from hostmanager.drivers.process.ownership import env_tag, instance_lock, rlimit_tag
from hostmanager.drivers.process.ownership.env_tag import TaggedProcess
from hostmanager.drivers.process.ownership.manager_identity import ManagerIdentity
from hostmanager.util import procfs as proc
from hostmanager.util.names import decode_id, encode_id
from hostmanager.util.procfs import parent_pid, run_id

log = logging.getLogger(__name__)

LOCK_TIMEOUT = 1.0
LOCK_POLL_INTERVAL = 0.01
"""Seconds for which, and between which, a lock with an untagged holder is checked."""

_SUFFIX = ".lock"


@dataclass(frozen=True, slots=True)
class Ownership:
    """How a manager identifies its processes.

    Attributes:
        identity: Distinguishes this manager from others; the same after a restart.
        locks: Directory of the lock files.
        cgroups: The cgroups of its instances, if they have some.
    """

    identity: ManagerIdentity
    locks: Path
    cgroups: AgentCgroups = NO_CGROUPS

    def lock_file(self, instance_id: str) -> Path:
        """The lock file of an instance."""
        return self.locks / f"{encode_id(instance_id)}{_SUFFIX}"

    def environment(self, spec: InstanceSpec) -> dict[str, str]:
        """The environment variables for a launch."""
        return {**self.identity.make_tag(spec).variables, **env_tag.SETPROCTITLE_ENV}

    def discover(self) -> dict[str, ObservedRun]:
        """Find what an earlier manager launched and is still alive, by instance-id.

        A process that it had just forked has no tag yet, but the lock: its tag is waited for.

        Raises:
            OSError: /proc cannot be read.
        """
        give_up_at = time.monotonic() + LOCK_TIMEOUT
        while True:
            tagged = self._tagged_by_instance()
            with_leader = {
                i for i, processes in tagged.items() if any(p.is_leader for p in processes)
            }
            unclear_ids = self.locked_ids() - with_leader
            timed_out = time.monotonic() > give_up_at
            holders = self._holders_by_instance(unclear_ids, only_tagged=not timed_out)
            if timed_out or all(holders.values()):
                break
            time.sleep(LOCK_POLL_INTERVAL)
        observed_runs = {i: self._observed_run(processes) for i, processes in tagged.items()}
        for instance_id, processes in holders.items():
            by_pid = {p.pid: p for p in (*processes, *tagged.get(instance_id, ()))}
            observed_runs[instance_id] = self._observed_run(list(by_pid.values()))
        for instance_id, pids in self.cgroups.populated().items():
            if instance_id not in observed_runs:  # they have lost everything else
                remnants = ObservedRun(None, time.time(), "", other_pids=tuple(pids))
                observed_runs[instance_id] = remnants
        return observed_runs

    def lock_holder(self, instance_id: str, *, only_tagged: bool) -> ObservedRun | None:
        """The run that holds the lock of an instance; None if the lock is free.

        Args:
            instance_id: The instance.
            only_tagged: Leave out processes that only the lock identifies: they may have been
                forked for another instance, and not have executed their program yet.

        Returns:
            The run; without any pid if the holder cannot be inspected.
        """
        if not instance_lock.is_held(self.lock_file(instance_id)):
            return None
        return self._observed_run(
            self._holders_by_instance({instance_id}, only_tagged=only_tagged)[instance_id]
        )

    def _tagged_by_instance(self) -> dict[str, list[TaggedProcess]]:
        by_instance: dict[str, list[TaggedProcess]] = defaultdict(list)
        for process in env_tag.find_tagged(self.identity.owns):
            if process.tag is not None:
                by_instance[process.tag.instance_id].append(process)
        return by_instance

    def _holders_by_instance(
        self, instance_ids: set[str], *, only_tagged: bool
    ) -> dict[str, list[TaggedProcess]]:
        if not instance_ids:
            return {}
        files = {self.lock_file(i): i for i in instance_ids}
        holders: dict[str, list[TaggedProcess]] = {i: [] for i in instance_ids}
        for path, pids in instance_lock.holders_of(files.keys()).items():
            for pid in pids:
                member = self._inspect_holder(pid, files[path])
                if member is None:
                    continue
                if member.is_tagged or not (only_tagged or self._holds_several(pid)):
                    holders[files[path]].append(member)
        return holders

    def _holds_several(self, pid: int) -> bool:
        return (
            len(instance_lock.held_by(pid, [self.lock_file(i) for i in self._ids_with_lock_file()]))
            > 1
        )

    def _inspect_holder(self, pid: int, instance_id: str) -> TaggedProcess | None:
        """Inspect a holder; None if it is not of this instance after all."""
        tag = env_tag.read_tag(pid)
        if tag is None and parent_pid(pid) == os.getpid():
            return None  # forked by us a moment ago, for any instance
        if tag is not None and tag.instance_id != instance_id:
            if self.identity.owns(tag):
                return None
            tag = None
        return env_tag.describe_process(pid, tag)

    def _observed_run(self, processes: list[TaggedProcess]) -> ObservedRun:
        tags = [process.tag for process in processes if process.tag is not None]
        return describe_run(
            processes, launched_by_other=bool(tags) and not any(map(self.identity.owns, tags))
        )

    def locked_ids(self) -> set[str]:
        """The instances whose lock is held; not to be called during a launch."""
        return {i for i in self._ids_with_lock_file() if instance_lock.is_held(self.lock_file(i))}

    def _ids_with_lock_file(self) -> set[str]:
        try:
            files = list(self.locks.glob(f"*{_SUFFIX}"))
        except OSError:
            return set()
        ids = (decode_id(file.name.removesuffix(_SUFFIX)) for file in files)
        return {instance_id for instance_id in ids if instance_id is not None}

    def open_leader(self, instance_id: str, observed_run: ObservedRun) -> int | None:
        """Open a pidfd for the leader of a run; None if it has ended meanwhile."""
        if observed_run.pid is None:
            return None
        pidfd = open_if(observed_run.pid, lambda pid: self._is_leader(pid, instance_id))
        if pidfd is not None and rlimit_tag.read(observed_run.pid) is None:
            rlimit_tag.apply(observed_run.pid)  # its manager was killed before it did
        return pidfd

    def _is_leader(self, pid: int, instance_id: str) -> bool:
        tagged = env_tag.inspect(pid, self.identity.owns, instance_id)
        if tagged is not None:
            return tagged.is_leader
        if pid not in instance_lock.holders(self.lock_file(instance_id)):
            return False
        member = self._inspect_holder(pid, instance_id)
        return member is not None and member.is_leader

    def lock_holders(self, instance_id: str) -> list[int]:
        """Find the processes that hold the lock of an instance.

        Without processes that another launch, of ours or of an earlier manager, has just forked:
        until they execute their program, they have a copy of all open files.
        """
        return [
            member.pid
            for member in self._holders_by_instance({instance_id}, only_tagged=False)[instance_id]
        ]

    def is_tagged(self, pid: int, instance_id: str) -> bool:
        """Whether a process of our user has the tag of an instance of ours."""
        return env_tag.inspect(pid, self.identity.owns, instance_id) is not None

    def describe_lock_holders(self, instance_id: str) -> str:
        """Say that the lock of an instance is held, by which process, and what to do."""
        path = self.lock_file(instance_id)
        holders = ", ".join(command_line(pid) for pid in instance_lock.holders(path))
        if not holders:
            holders = "a process that is not visible here (of another user, or another container)"
        return (
            f"Its lock {path} is held by {holders}. It is neither launched nor shown as down "
            f"before that has ended; as root, `fuser -v {path}` names the process."
        )


def describe_run(processes: list[TaggedProcess], *, launched_by_other: bool = False) -> ObservedRun:
    """Describe the processes of one instance: the leader, and the others."""
    if not processes:
        return ObservedRun(None, time.time(), "")
    leaders = (p for p in processes if p.is_leader)
    leader = min(leaders, key=lambda p: (p.rlimit_tag is None, p.started), default=None)
    first = leader or processes[0]
    age = (env_tag.now_ticks() - first.started) / env_tag.TICKS_PER_SECOND
    others = tuple(p.pid for p in processes if p is not leader)
    pid = None if leader is None else leader.pid
    fingerprint, agent_class = "", "?"
    if first.tag is not None:
        fingerprint, agent_class = first.tag.fingerprint, first.tag.agent_class
    run = "" if leader is None else run_id(leader.pid, leader.started)
    return ObservedRun(
        pid, time.time() - age, fingerprint, agent_class, others, launched_by_other, run
    )


def open_if(pid: int, is_expected: Callable[[int], bool]) -> int | None:
    """Open a pidfd; None if the process has ended. It is identified once the pidfd is open."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        if is_expected(pid):
            return pidfd
    except OSError:
        os.close(pidfd)
        raise
    os.close(pidfd)
    return None


def command_line(pid: int) -> str:
    """The command line of a process, for operators; only the pid when it is gone."""
    try:
        argv = (proc.read_file(pid, "cmdline", 4096) or b"").split(b"\0")
    except OSError:
        return f"pid {pid}"
    text = " ".join(b" ".join(argv).decode("utf-8", "replace").split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return f"pid {pid}: {text[:80]}" if text else f"pid {pid}"
