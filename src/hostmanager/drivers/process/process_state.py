"""How a process is, as the kernel sees it: suspended, a zombie, in uninterruptible sleep.

Looked up in /proc when somebody looks at an instance, so it costs an idle manager nothing
and can be neither missed nor outdated: what is shown was so at most `FRESH` seconds ago. A
look takes 13 µs; that many clients look does not make it more.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hostmanager.util import procfs as proc

CACHE_SECONDS = 0.5
"""Seconds for which a look counts."""

STATE_NAMES = {
    b"R": "running",
    b"S": "sleeping",
    b"D": "disk sleep",
    b"T": "stopped",
    b"t": "tracing stop",
    b"Z": "zombie",
    b"X": "dead",
    b"I": "idle",
    b"P": "parked",
}
"""The letters of /proc/PID/stat, and the words of /proc/PID/status for them."""

TRANSIENT_SECONDS = 2.0
"""Seconds for which a sleep in the kernel, or a zombie, is nothing to talk about."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """How a process is.

    Attributes:
        pid: Its process id.
        name: The kernel's word for it; None: it could not be seen.
        since: When it was first seen so, monotonic seconds.
        observed_at: When it was seen so last.
    """

    pid: int
    name: str | None
    since: float
    observed_at: float

    @property
    def signals_blocked_reason(self) -> str | None:
        """Why no signal but SIGKILL has an effect at present; None: they have."""
        match self.name:
            case "stopped":
                return "it is suspended (SIGSTOP)"
            case "tracing stop":
                return "a debugger holds it"
            case "disk sleep":
                return (
                    "it waits in the kernel for a disk, a network file system or a device "
                    "(uninterruptible sleep)"
                )
            case "zombie":
                return "its main thread has ended and others of it go on (it is a zombie)"
        return None

    @property
    def is_persistent(self) -> bool:
        """Whether that is more than what happens to any process for a moment."""
        at_once = self.name in ("stopped", "tracing stop")
        return at_once or self.observed_at - self.since >= TRANSIENT_SECONDS


class ProcessStateCache:
    """The conditions of all instances, as far as anybody looked.

    Args:
        look: Tells the letter for a process.
    """

    def __init__(self, look: Callable[[int], bytes | None] | None = None) -> None:
        self._read_state = look or _state_letter
        self._states: dict[str, ProcessState] = {}

    def get(self, instance_id: str, pid: int | None, now: float) -> ProcessState | None:
        """Tell how an instance's process is; None if it has none.

        Args:
            instance_id: Whose process.
            pid: The process.
            now: Monotonic seconds.
        """
        if pid is None:
            self._states.pop(instance_id, None)
            return None
        before = self._states.get(instance_id)
        same = before is not None and before.pid == pid
        if before is not None and same and now - before.observed_at < CACHE_SECONDS:
            return before
        word = STATE_NAMES.get(self._read_state(pid) or b"")
        goes_on = before is not None and same and before.name == word
        since = before.since if before is not None and goes_on else now
        known = self._states[instance_id] = ProcessState(pid, word, since, now)
        return known


def _state_letter(pid: int) -> bytes | None:
    try:
        fields = proc.read_stat(pid)
    except OSError:  # no descriptors left, say: it is only for showing
        return None
    return fields[0] if fields else None
