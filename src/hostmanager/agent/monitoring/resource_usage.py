"""What each instance uses of the host: CPU, memory, threads, open files, disk.

All processes of an instance count: those of its session, and the descendants of the process that was
launched (of a container, of its first process). They are found and read in one pass over /proc, every
`INTERVAL` seconds, in a worker thread; who asks gets what was measured last, so being looked at
costs nothing.
"""

import asyncio
import os
from array import array
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from hostmanager.core.protocols import Clock
from hostmanager.core.snapshot import Snapshot
from hostmanager.util.guard import Guard
from hostmanager.util.numbers import parse_number
from hostmanager.util.procfs import list_pids, read_file, read_stat, session_id
from hostmanager.util.text import format_duration

INTERVAL = 30.0
"""Seconds between two samples."""

KEPT_SAMPLES = 120
"""Samples of an instance that are kept: an hour."""

MAX_SAMPLES_IN_REPLY = 6000
"""Samples in one reply, of all instances together."""

COLUMNS = ("time", "cpu", "memory", "threads", "open_files")
"""What is kept of a sample. The time is Unix seconds; see `Usage` for the others."""

FULL_PASS = 20
"""Passes after which all processes of the host are read again."""

_PARENT, _SESSION, _MINOR_FAULTS, _MAJOR_FAULTS, _CPU = 1, 3, 7, 9, slice(11, 15)
_THREADS, _START, _RESIDENT = 17, 19, 21
"""Fields of /proc/PID/stat, counted from the state."""

_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What the processes of one instance use.

    Attributes:
        time: When it was measured, Unix seconds.
        processes: How many there are.
        cpu: Cores that they used on average since the sample before (0.5: half of one); None
            in the first sample of a run.
        cpu_seconds: CPU time since their start, with that of children that have ended.
        memory: Resident memory, bytes. Pages that several of them share count for each.
        memory_peak: The sum of the largest that each of them had, bytes.
        threads: Their threads.
        open_files: Their open descriptors; None where they may not be counted.
        read_bytes: Read from disks so far; None where that may not be read.
        written_bytes: Written to disks so far; None likewise.
    """

    time: float
    processes: int
    cpu: float | None
    cpu_seconds: float
    memory: int
    memory_peak: int
    threads: int
    open_files: int | None
    read_bytes: int | None
    written_bytes: int | None


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    session: int
    cpu_seconds: float
    threads: int
    memory: int
    faults: tuple[bytes, ...]
    """Its start and its page faults: as long as they are the same, so is the most memory it had."""


class UsageReader:
    """Measures instances again and again.

    It reads only processes that are new, or were of an instance in the pass before: no process becomes
    the descendant of another one later. Every `FULL_PASS` passes it reads all, since a pid may be reused
    between two passes.
    """

    def __init__(self) -> None:
        self._owners: dict[int, str] = {}
        self._others: set[int] = set()
        self._peaks: dict[int, tuple[tuple[bytes, ...], int | None]] = {}
        self._passes = 0

    def measure(self, leaders: Mapping[str, int], now: float) -> dict[str, Usage]:
        """Measure instances, each known by the pid of its first process. Reads /proc; blocks.

        Args:
            leaders: The first process of each, by instance-id.
            now: Unix time.

        Raises:
            OSError: /proc cannot be read.
        """
        owners = {pid: instance_id for instance_id, pid in leaders.items()}
        pids = list_pids()
        if owners.keys() - self._owners.keys() or self._passes % FULL_PASS == 0:
            self._others.clear()
        self._owners, self._passes = owners, self._passes + 1
        unknown = [pid for pid in pids if pid not in self._others]
        # The kernel's own processes have no session, and need not be read. In a container, neither has
        # what was started from outside.
        to_read = [pid for pid in unknown if pid in owners or session_id(pid)]
        processes = {pid: found for pid in to_read if (found := _read(pid)) is not None}
        members: dict[str, list[int]] = {}
        for pid in processes:
            owner = _owner(pid, processes, owners)
            if owner is not None:
                members.setdefault(owner, []).append(pid)
        own = {pid for each in members.values() for pid in each}
        unreadable = set(to_read) - processes.keys()
        self._others = set(pids) - own - unreadable
        self._peaks = {pid: self._peak(pid, processes[pid]) for pid in own}
        return {owner: self._sum(pids, processes, now) for owner, pids in members.items()}

    def _peak(self, pid: int, process: _Process) -> tuple[tuple[bytes, ...], int | None]:
        known = self._peaks.get(pid)
        if known is not None and known[0] == process.faults:
            return known
        return process.faults, _peak(pid)

    def _sum(self, pids: Iterable[int], processes: Mapping[int, _Process], now: float) -> Usage:
        members = {pid: processes[pid] for pid in pids}
        disk = [_disk(pid) for pid in members]
        return Usage(
            time=now,
            processes=len(members),
            cpu=None,
            cpu_seconds=sum(process.cpu_seconds for process in members.values()),
            memory=sum(process.memory for process in members.values()),
            memory_peak=sum(max(self._peaks[pid][1] or 0, p.memory) for pid, p in members.items()),
            threads=sum(process.threads for process in members.values()),
            open_files=_total(_open_files(pid) for pid in members),
            read_bytes=_total(read for read, _ in disk),
            written_bytes=_total(written for _, written in disk),
        )


def _owner(pid: int, processes: Mapping[int, _Process], owners: Mapping[int, str]) -> str | None:
    """The instance of a process: that of its session, else of the nearest ancestor that has one."""
    owner = owners.get(processes[pid].session)
    steps = len(processes)
    while owner is None and pid in processes and steps:  # pids may be reused during the pass
        owner = owners.get(pid)
        pid, steps = processes[pid].parent, steps - 1
    return owner


def _read(pid: int) -> _Process | None:
    """Read what all processes of the host are asked."""
    try:
        fields = read_stat(pid)
    except OSError:
        return None
    if fields is None or fields[0] in (b"Z", b"X"):
        return None
    return _Process(
        _number(fields[_PARENT]),
        _number(fields[_SESSION]),
        sum(map(_number, fields[_CPU])) / _TICKS,
        _number(fields[_THREADS]),
        _number(fields[_RESIDENT]) * _PAGE,
        (fields[_START], fields[_MINOR_FAULTS], fields[_MAJOR_FAULTS]),
    )


def _number(field: bytes) -> int:
    return parse_number(field) or 0


def _total(values: Iterable[int | None]) -> int | None:
    """The sum; None if one of them is not known."""
    known = list(values)
    return None if None in known else sum(value or 0 for value in known)


def _open_files(pid: int) -> int | None:
    path = f"/proc/{pid}/fd"
    with suppress(OSError):
        # Since Linux 6.2 this is their number; before, it is 0.
        if size := os.stat(path).st_size:  # noqa: PTH116 - a Path costs as much as the call
            return size
        with os.scandir(path) as entries:
            return sum(1 for _ in entries)
    return None


def _peak(pid: int) -> int | None:
    (kilobytes,) = _fields(pid, "status", b"VmHWM:")
    return None if kilobytes is None else kilobytes * 1024


def _disk(pid: int) -> list[int | None]:
    return _fields(pid, "io", b"read_bytes:", b"write_bytes:")


def _fields(pid: int, file: str, *names: bytes) -> list[int | None]:
    """The numbers in a file of lines such as ``name: 12 kB``; None if it may not be read."""
    with suppress(OSError):
        text = b"\n" + (read_file(pid, file, 8192) or b"")
        return [_number_after(text, b"\n" + name) for name in names]
    return [None] * len(names)


def _number_after(text: bytes, name: bytes) -> int | None:
    words = text.partition(name)[2][:32].split(maxsplit=1)
    return parse_number(words[0]) if words else None


class ResourceSampler:
    """Samples what the instances of a host use, every `INTERVAL` seconds.

    Args:
        snapshot: What is known of the instances.
        clock: Time.
        guard: Makes the calls.
    """

    def __init__(self, snapshot: Snapshot, clock: Clock, guard: Guard) -> None:
        self._snapshot, self._clock, self._guard = snapshot, clock, guard
        self._reader = UsageReader()
        self._usage: dict[str, tuple[int, Usage]] = {}
        self._samples: dict[str, array[float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._schedule()

    def _schedule(self) -> None:
        callback = self._guard.callback("a sample of resources", self._sample)
        self._clock.call_at(self._clock.now().monotonic + INTERVAL, callback)

    def usage(self, instance_id: str) -> Usage | None:
        """What an instance used when it was sampled last; None if it has not been in this run."""
        record = self._snapshot.get(instance_id)
        pid, usage = self._usage.get(instance_id, (None, None))
        return usage if record is not None and record.run.pid == pid else None

    def peak_text(self, instance_id: str) -> str:
        """The most memory that the present run of an instance was seen with, for people; or empty."""
        usage = self.usage(instance_id)
        if usage is None:
            return ""
        age = format_duration(max(0.0, self._clock.now().wall - usage.time))
        return f"peak {usage.memory_peak / 1e6:,.0f} MB, measured {age} before"

    def samples(self, instance_ids: Iterable[str]) -> dict[str, list[list[float]]]:
        """The last hour of these instances; see `COLUMNS`. The oldest first; -1: not known."""
        ids = [instance_id for instance_id in instance_ids if instance_id in self._samples]
        width = len(COLUMNS)
        each = min(KEPT_SAMPLES, MAX_SAMPLES_IN_REPLY // max(1, len(ids)))
        result = {}
        for instance_id in ids:
            values = list(self._samples[instance_id][-each * width :])
            result[instance_id] = [values[n : n + width] for n in range(0, len(values), width)]
        return result

    def _sample(self) -> None:
        if not self._tasks:  # else the last one is not done: the host is that busy
            task = self._guard.task("a sample of resources", self.measure_now())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._schedule()

    async def measure_now(self) -> None:
        """Take a sample of all instances that run."""
        leaders = {
            instance_id: record.run.pid
            for instance_id, record in self._snapshot.items()
            if record.run.pid
        }
        if leaders:
            now = self._clock.now().wall
            measured = await asyncio.to_thread(self._reader.measure, leaders, now)
            for instance_id, usage in measured.items():
                self._keep(instance_id, leaders[instance_id], usage)
        for instance_id in self._samples.keys() - self._snapshot.keys():
            del self._samples[instance_id]
            self._usage.pop(instance_id, None)

    def _keep(self, instance_id: str, pid: int, usage: Usage) -> None:
        before_pid, before = self._usage.get(instance_id, (None, None))
        if before is not None and before_pid == pid:
            passed = max(usage.time - before.time, 1e-3)
            used = max(0.0, usage.cpu_seconds - before.cpu_seconds)
            usage = replace(usage, cpu=round(used / passed, 4))
        self._usage[instance_id] = pid, usage
        samples = self._samples.setdefault(instance_id, array("d"))
        row = [getattr(usage, name) for name in COLUMNS]
        samples.extend(-1.0 if value is None else value for value in row)
        del samples[: max(0, len(samples) - KEPT_SAMPLES * len(COLUMNS))]
