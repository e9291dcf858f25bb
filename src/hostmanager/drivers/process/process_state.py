"""The state of a process in the kernel: suspended, a zombie, in uninterruptible sleep.

It is read from /proc when a client reads the status of an instance, so it costs an idle manager
nothing, and is at most `CACHE_SECONDS` old. A read takes 10 µs; more clients do not make it more. On a
large host that would be most of what a request costs, so one reads `MAX_READS`, the oldest first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from hostmanager.util import procfs as proc

CACHE_SECONDS = 0.5
"""Seconds for which a state is valid."""

MAX_READS = 100
"""States that are read anew for one request, as long as the others are not older than `MAX_AGE`."""

MAX_AGE = 2.5
"""Seconds."""

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
"""Seconds for which uninterruptible sleep, or a zombie, is not reported."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """The state of a process.

    Attributes:
        pid: Its process id.
        name: The kernel's name of the state; None: it could not be read.
        since: When it was first observed in this state, monotonic seconds.
        observed_at: When it was observed last.
    """

    pid: int
    name: str | None
    since: float
    observed_at: float

    @property
    def signals_blocked_reason(self) -> str | None:
        """Why only SIGKILL has an effect at present; None: other signals have."""
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
        """Whether the state lasts; any process is in some states for a moment."""
        is_deliberate = self.name in ("stopped", "tracing stop")
        return is_deliberate or self.observed_at - self.since >= TRANSIENT_SECONDS


class ProcessStateCache:
    """The process states of all instances, as far as they were read.

    Args:
        read_state: Returns the letter for a process.
    """

    def __init__(self, read_state: Callable[[int], bytes | None] | None = None) -> None:
        self._read_state = read_state or _state_letter
        self._states: dict[str, ProcessState] = {}  # in the order of their reads
        self._read_at, self._due = 0.0, frozenset[str]()

    def get(self, instance_id: str, pid: int | None, now: float) -> ProcessState | None:
        """Return the state of the process of an instance; None if it has none.

        Args:
            instance_id: The instance.
            pid: Its process.
            now: Monotonic seconds; the same for all that are asked for at once.
        """
        if pid is None:
            self._states.pop(instance_id, None)
            return None
        if now != self._read_at:
            self._forget_unasked()
            self._read_at, self._due = now, frozenset(islice(self._states, MAX_READS))
        before = self._states.get(instance_id)
        if before is not None and before.pid != pid:
            before = None
        if before is not None:
            age = now - before.observed_at
            if age < CACHE_SECONDS or (age < MAX_AGE and instance_id not in self._due):
                return before
        name = STATE_NAMES.get(self._read_state(pid) or b"")
        since = before.since if before is not None and before.name == name else now
        self._states.pop(instance_id, None)
        state = self._states[instance_id] = ProcessState(pid, name, since, now)
        return state

    def _forget_unasked(self) -> None:
        """Whoever was due in the pass before and was not asked for is gone: it takes nobody's turn."""
        for instance_id in self._due:
            state = self._states.get(instance_id)
            if state is not None and self._read_at - state.observed_at >= CACHE_SECONDS:
                del self._states[instance_id]


def _state_letter(pid: int) -> bytes | None:
    try:
        return proc.read_state_letter(pid)
    except OSError:  # for lack of file descriptors, say
        return None
