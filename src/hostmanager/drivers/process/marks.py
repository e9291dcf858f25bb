"""The mark that each launched process carries in its environment, and finding the marked.

A mark says which manager launched the process, for which instance, from which entry, and
when. It is inherited by all that the process starts, and it outlives the manager: the next
one knows its processes by it, whatever became of files. See docs/ownership.md.

The leader of an instance is the process that was launched itself. Its stamp names it; where
there is none yet, it leads its session and began when the mark says. A daemon that it started
leads a session of its own, but began later.
"""

import os
import time
from dataclasses import dataclass

from hostmanager.drivers.process import proc, stamps
from hostmanager.drivers.process.proc import pids, session, start_ticks
from hostmanager.drivers.process.stamps import Stamp
from hostmanager.scribe import names
from hostmanager.util.numbers import parse_number

VARIABLE = "OCS_HOSTMANAGER"

KEEP_ENVIRON = {"SPT_NOENV": "1"}
"""`ocs.agent_cli` renames its process (setproctitle), and would use the memory of the
environment for the name; with this it leaves the environment alone."""

LAUNCH_SPREAD = 300
"""Ticks between the time in a mark and the start of its leader, at most: 3 s. While a hundred
agents start on two processors, more than one second was seen."""

LONGEST = 4096
"""Characters of a mark: far more than ids, digests and names of classes have."""

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a mark says.

    Attributes:
        key: Digest that tells one manager from others.
        instance_id: Whose process it is.
        fingerprint: Of the entry that it was launched with.
        ticks: Time since boot just before the launch, in the kernel's clock ticks.
        agent_class: The class that it was launched as.
    """

    key: str
    instance_id: str
    fingerprint: str
    ticks: int
    agent_class: str

    def __str__(self) -> str:
        """The value of the variable."""
        before = f"{self.key}/{self.instance_id}/{self.fingerprint}/{self.ticks}"
        return f"{before}/{self.agent_class}"  # last: it may hold anything


@dataclass(frozen=True, slots=True)
class Marked:
    """A live process with a mark."""

    pid: int
    mark: Mark
    started: int  # ticks since boot
    stamp: Stamp | None = None

    @property
    def leads(self) -> bool:
        """Whether it is the very process that was launched."""
        if self.stamp is not None:
            return self.stamp == Stamp(self.pid, self.started)
        # Its manager was killed before it could stamp it, or knew nothing of stamps.
        began_then = self.started - self.mark.ticks < LAUNCH_SPREAD
        return began_then and session(self.pid) == self.pid


def now_ticks() -> int:
    """Time since boot, in the kernel's clock ticks."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS)


def parse(text: str) -> Mark | None:
    """Read the value of the variable; None if no manager can have written it.

    Anybody may write anything there: this never fails, and what it gives can be used.
    """
    parts = text.split("/", 4)
    if len(parts) != 5 or not names.is_usable(parts[1]):
        return None
    ticks = parse_number(parts[3])
    if ticks is None or len(text) > LONGEST or not text.isprintable():
        return None
    return Mark(parts[0], parts[1], parts[2], ticks, parts[4])


def find(key: str) -> list[Marked]:
    """Find all live processes that a manager of this key launched, and what they started.

    Raises:
        OSError: /proc cannot be read.
    """
    return [found for pid in pids() if (found := look_at(pid, key)) is not None]


def look_at(pid: int, key: str) -> Marked | None:
    """Tell whether a process carries a mark of this key; zombies carry none."""
    mark = read(pid)
    if mark is None or mark.key != key:
        return None
    started = start_ticks(pid)
    return None if started is None else Marked(pid, mark, started, stamps.read(pid))


def read(pid: int) -> Mark | None:
    """Read the mark of a process; None if it has none, or may not be looked at.

    Raises:
        OSError: It could not be seen, whatever it is (no file descriptors left, say).
    """
    environ = proc.read(pid, "environ") or b""
    wanted = VARIABLE.encode() + b"="
    for entry in environ.split(b"\0") if wanted in environ else ():
        if entry.startswith(wanted):
            return parse(entry[len(wanted) :].decode("utf-8", "replace"))
    return None
