"""A tag on each launched process that no descendant can lose: whose descendant it is.

The manager sets it right after the fork, from outside; it names the launched process by pid and
start time. It is the limit on file locks (`RLIMIT_LOCKS`), which Linux has ignored since 2.4.25: a
number that all descendants inherit, whatever they do with environment, session and file
descriptors. docs/ownership.md has the alternatives.
"""

import resource
from contextlib import suppress
from dataclasses import dataclass

from hostmanager.util.procfs import start_ticks

RLIMIT_LOCKS = 10
"""`RLIMIT_LOCKS` of <asm-generic/resource.h>; Python has no name for it."""

_OURS = 1 << 62
"""In every tag. No sane limit is that large, and unlimited is larger."""

_PID_BITS = 22
"""A pid is below 2**22 on every Linux (PID_MAX_LIMIT)."""


@dataclass(frozen=True, slots=True)
class RlimitTag:
    """The content of a tag: which process was launched.

    Attributes:
        pid: Its process id.
        started: Its start, ticks since boot; with the pid, its identity for all time.
    """

    pid: int
    started: int

    def __int__(self) -> int:
        """The value of the limit."""
        return _OURS | self.started << _PID_BITS | self.pid


def apply(pid: int) -> RlimitTag | None:
    """Tag a launched process, and all that it starts from now on.

    The caller makes sure that the pid is still that of the process. None: not possible.
    """
    started = start_ticks(pid)
    if started is None:
        return None
    tag = RlimitTag(pid, started)
    try:
        _, hard = resource.prlimit(pid, RLIMIT_LOCKS)
        resource.prlimit(pid, RLIMIT_LOCKS, (int(tag), hard))
    except (OSError, ValueError):  # it ended or changed its user, or is limited to less
        return None
    return tag


def read(pid: int) -> RlimitTag | None:
    """Read the tag of a process; None if it has none, or may not be inspected."""
    try:
        value, _ = resource.prlimit(pid, RLIMIT_LOCKS)
    except (OSError, ValueError):
        return None
    if value < _OURS:
        return None
    value ^= _OURS
    return RlimitTag(value & ((1 << _PID_BITS) - 1), value >> _PID_BITS)


def clear_inherited() -> None:
    """Remove the tag that this process inherited, if another manager launched it.

    Else a launched process would seem to be of that manager until it gets a tag of its own.
    """
    value, hard = resource.getrlimit(RLIMIT_LOCKS)
    if value >= _OURS:
        with suppress(OSError, ValueError):
            resource.setrlimit(RLIMIT_LOCKS, (hard, hard))
