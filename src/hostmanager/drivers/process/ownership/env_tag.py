"""The mark that each launched process carries in its environment, and finding the marked.

A mark says which manager launched the process, for which instance, from which entry, and
when. It is inherited by all that the process starts, and it outlives the manager: the next
one knows its processes by it, whatever became of files. See docs/ownership.md.

A second variable says who that manager is, whatever it is called today (see `identity`). It
names the mark that it belongs to: a manager of the version before, launched by one of ours,
gives its agents marks of its own and inherits the other variable to them.

The leader of an instance is the process that was launched itself. Its stamp names it; where
there is none yet, it leads its session and began when the mark says. A daemon that it started
leads a session of its own, but began later.
"""

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from hostmanager.drivers.process.ownership import rlimit_tag as stamps
from hostmanager.drivers.process.ownership.rlimit_tag import RlimitTag
from hostmanager.util import procfs as proc
from hostmanager.util.names import decode_id, encode_id
from hostmanager.util.numbers import parse_number
from hostmanager.util.procfs import list_pids, session_id, start_ticks

ENV_VAR = "OCS_HOSTMANAGER"
IDENTITY_ENV_VAR = "OCS_HOSTMANAGER_IDENTITY"

SETPROCTITLE_ENV = {"SPT_NOENV": "1"}
"""`ocs.agent_cli` renames its process (setproctitle), and would use the memory of the
environment for the name; with this it leaves the environment alone."""

LEADER_START_TOLERANCE = 300
"""Ticks between the time in a mark and the start of its leader, at most: 3 s. While a hundred
agents start on two processors, more than one second was seen."""

MAX_TAG_CHARS = 4096
"""Characters of a mark: far more than ids, digests and names of classes have."""

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class EnvTag:
    """What a mark says.

    Attributes:
        key: Digest that tells one manager from others.
        instance_id: Whose process it is.
        fingerprint: Of the entry that it was launched with.
        ticks: Time since boot just before the launch, in the kernel's clock ticks.
        agent_class: The class that it was launched as.
        identity: That of its manager; empty if a manager of the version before launched it.
        site: Digest of what its manager was called; empty likewise.
    """

    key: str
    instance_id: str
    fingerprint: str
    ticks: int
    agent_class: str
    identity: str = ""
    site: str = ""

    def __str__(self) -> str:
        """The value of the variable."""
        name = encode_id(self.instance_id)  # a slash in it would make two of it
        before = f"{self.key}/{name}/{self.fingerprint}/{self.ticks}"
        return f"{before}/{self.agent_class}"  # last: it may hold anything

    @property
    def variables(self) -> dict[str, str]:
        """What goes into the environment."""
        said = {ENV_VAR: str(self)}
        if self.identity:
            said[IDENTITY_ENV_VAR] = f"{self.identity}/{self.site}/{_digest(str(self))}"
        return said


@dataclass(frozen=True, slots=True)
class TaggedProcess:
    """A live process of an instance; without a mark if only its lock tells of it."""

    pid: int
    tag: EnvTag | None
    started: int  # ticks since boot
    rlimit_tag: RlimitTag | None = None

    @property
    def is_tagged(self) -> bool:
        """Whether more than an open file tells that it was launched."""
        return self.tag is not None or self.rlimit_tag is not None

    @property
    def is_leader(self) -> bool:
        """Whether it is the very process that was launched."""
        if self.rlimit_tag is not None:
            return self.rlimit_tag == RlimitTag(self.pid, self.started)
        # Its manager was killed before it could stamp it, or knew nothing of stamps.
        began_then = self.tag is None or self.started - self.tag.ticks < LEADER_START_TOLERANCE
        return began_then and session_id(self.pid) == self.pid


def now_ticks() -> int:
    """Time since boot, in the kernel's clock ticks."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_SECOND)


def parse_tag(text: str) -> EnvTag | None:
    """Read the value of the variable; None if no manager can have written it.

    Anybody may write anything there: this never fails, and what it gives can be used.
    """
    parts = text.split("/", 4)
    instance_id = decode_id(parts[1]) if len(parts) == 5 else None
    if instance_id is None:
        return None
    ticks = parse_number(parts[3])
    if ticks is None or len(text) > MAX_TAG_CHARS or not text.isprintable():
        return None
    return EnvTag(parts[0], instance_id, parts[2], ticks, parts[4])


def find_tagged(owns: Callable[[EnvTag], bool]) -> list[TaggedProcess]:
    """Find the live processes of this user whose marks are ours, and what they started.

    Raises:
        OSError: /proc cannot be read.
    """
    return [found for pid in list_pids() if (found := inspect(pid, owns)) is not None]


def inspect(pid: int, owns: Callable[[EnvTag], bool]) -> TaggedProcess | None:
    """Tell whether a process carries a mark of ours; zombies carry none.

    Of another user's process nothing is read: it may say anything, and its memory may lie on
    a disk that never answers.
    """
    mark = read_tag(pid) if proc.effective_uid(pid) == os.geteuid() else None
    if mark is None or not owns(mark) or not proc.has_our_uids(pid):
        return None
    return describe_process(pid, mark)


def describe_process(pid: int, mark: EnvTag | None) -> TaggedProcess | None:
    """What is known of a process beside its mark; None if it is gone."""
    started = start_ticks(pid)
    return None if started is None else TaggedProcess(pid, mark, started, stamps.read(pid))


def read_tag(pid: int) -> EnvTag | None:
    """Read the mark of a process; None if it has none, or may not be looked at.

    Raises:
        OSError: It could not be seen, whatever it is (no file descriptors left, say).
    """
    entries = (proc.read_file(pid, "environ") or b"").split(b"\0")
    text = _value(entries, ENV_VAR)
    mark = None if text is None else parse_tag(text)
    if mark is None or text is None:
        return None
    parts = (_value(entries, IDENTITY_ENV_VAR) or "").split("/")
    if len(parts) != 3 or parts[2] != _digest(text) or not is_identity(parts[0]):
        return mark
    return replace(mark, identity=parts[0], site=parts[1])


def is_identity(text: str) -> bool:
    """Whether this can be the identity of a manager: 32 hexadecimal digits."""
    return len(text) == 32 and not set(text) - set("0123456789abcdef")


def _value(entries: list[bytes], name: str) -> str | None:
    begin = name.encode() + b"="
    for entry in entries:
        if entry.startswith(begin):
            return entry[len(begin) :].decode("utf-8", "replace")
    return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
