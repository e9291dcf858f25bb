"""The tag in the environment of each launched process, and finding tagged processes.

A tag says which manager launched the process, for which instance, from which entry, and when.
All descendants inherit it, and it outlives the manager: the next manager identifies its processes
by it, whatever happened to files. See docs/ownership.md.

A second variable has the identity of that manager, whatever its present name (see
`manager_identity`). It has a digest of the tag that it belongs to: a manager of the version
before, launched by one of ours, gives its agents tags of its own and passes the other variable on.

The leader of an instance is the process that was launched itself. Its rlimit tag names it; without
one, it leads its session and began at the time in the tag. A daemon that it started leads a
session of its own, but began later.
"""

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from hostmanager.drivers.process.ownership import rlimit_tag as rlimit_tags
from hostmanager.drivers.process.ownership.rlimit_tag import RlimitTag
from hostmanager.util import procfs
from hostmanager.util.names import decode_id, encode_id
from hostmanager.util.numbers import parse_number
from hostmanager.util.procfs import list_pids, session_id, start_ticks

ENV_VAR = "OCS_HOSTMANAGER"
IDENTITY_ENV_VAR = "OCS_HOSTMANAGER_IDENTITY"

SETPROCTITLE_ENV = {"SPT_NOENV": "1"}
"""`ocs.agent_cli` renames its process (setproctitle), and would use the memory of the
environment for the name; with this variable it does not."""

LEADER_START_TOLERANCE = 300
"""Most ticks between the time in a tag and the start of its leader: 3 s. While a hundred
agents start on two processors, more than one second was measured."""

MAX_TAG_CHARS = 4096
"""Far more than ids, digests and names of classes have."""

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class EnvTag:
    """The content of a tag.

    Attributes:
        key: Digest that distinguishes managers.
        instance_id: The instance of the process.
        fingerprint: Of the entry that it was launched with.
        ticks: Time since boot just before the launch, in the kernel's clock ticks.
        agent_class: The class that it was launched as.
        identity: That of its manager; empty if a manager of the version before launched it.
        site: Digest of the name of its manager; empty likewise.
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
        name = encode_id(self.instance_id)  # without slashes
        before = f"{self.key}/{name}/{self.fingerprint}/{self.ticks}"
        return f"{before}/{self.agent_class}"  # last: it may contain anything

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables."""
        variables = {ENV_VAR: str(self)}
        if self.identity:
            variables[IDENTITY_ENV_VAR] = f"{self.identity}/{self.site}/{_digest(str(self))}"
        return variables


@dataclass(frozen=True, slots=True)
class TaggedProcess:
    """A live process of an instance; without a tag if only its lock identifies it."""

    pid: int
    tag: EnvTag | None
    started: int  # ticks since boot
    rlimit_tag: RlimitTag | None = None

    @property
    def is_tagged(self) -> bool:
        """Whether more than the open lock identifies it."""
        return self.tag is not None or self.rlimit_tag is not None

    @property
    def is_leader(self) -> bool:
        """Whether it is the very process that was launched."""
        if self.rlimit_tag is not None:
            return self.rlimit_tag == RlimitTag(self.pid, self.started)
        # Its manager was killed before setting the rlimit tag, or had none.
        began_at_launch = self.tag is None or self.started - self.tag.ticks < LEADER_START_TOLERANCE
        return began_at_launch and session_id(self.pid) == self.pid


def now_ticks() -> int:
    """Time since boot, in the kernel's clock ticks."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_SECOND)


def parse_tag(text: str) -> EnvTag | None:
    """Read the value of the variable; None if no manager can have written it.

    Any process may write anything there: this never raises, and the result is safe to use.
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
    """Find the live processes of this user with a tag of ours, and their descendants.

    Raises:
        OSError: /proc cannot be read.
    """
    return [tagged for pid in list_pids() if (tagged := inspect(pid, owns)) is not None]


def inspect(
    pid: int, owns: Callable[[EnvTag], bool], instance_id: str | None = None
) -> TaggedProcess | None:
    """Return a process if it has a tag of ours; zombies have none.

    Processes of other users are not read: they may say anything, and their memory may be on a
    disk that never replies.

    Args:
        pid: The process.
        owns: Whether a tag is ours.
        instance_id: Only a tag of this instance counts; None: that of any.
    """
    is_ours = procfs.effective_uid(pid) == os.geteuid()
    tag = read_tag(pid, instance_id) if is_ours else None
    if tag is None or not owns(tag) or not procfs.has_our_uids(pid):
        return None
    return describe_process(pid, tag)


def describe_process(pid: int, tag: EnvTag | None) -> TaggedProcess | None:
    """Add what is known of a process beside its tag; None if it is gone."""
    started = start_ticks(pid)
    return None if started is None else TaggedProcess(pid, tag, started, rlimit_tags.read(pid))


def read_tag(pid: int, instance_id: str | None = None) -> EnvTag | None:
    """Read the tag of a process; None if it has none, or may not be inspected.

    Args:
        pid: The process.
        instance_id: Only a tag of this instance counts; None: that of any.

    Raises:
        OSError: It could not be read, for lack of file descriptors, say.
    """
    environ = b"\0" + (procfs.read_file(pid, "environ") or b"")
    text = _value(environ, ENV_VAR) or ""
    if instance_id is not None and f"/{encode_id(instance_id)}/" not in text:
        return None  # a scan finds many of others, and few of this one
    tag = parse_tag(text)
    if tag is None or instance_id not in (None, tag.instance_id):
        return None
    parts = (_value(environ, IDENTITY_ENV_VAR) or "").split("/")
    if len(parts) != 3 or parts[2] != _digest(text) or not is_identity(parts[0]):
        return tag
    return replace(tag, identity=parts[0], site=parts[1])


def is_identity(text: str) -> bool:
    """Whether this can be the identity of a manager: 32 hexadecimal digits."""
    return len(text) == 32 and not set(text) - set("0123456789abcdef")


def _value(environ: bytes, name: str) -> str | None:
    """The value of a variable; this is done for each process of the host whenever an agent ends."""
    _, found, rest = environ.partition(b"\0" + name.encode() + b"=")
    return rest.partition(b"\0")[0].decode("utf-8", "replace") if found else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
