"""Processes, read from /proc: state, parent, start time, environment.

psutil would do as well, for 2 MB of memory in a manager that hardly ever needs it. A process
chooses much of its /proc files: what makes no sense is None, like a process that is gone or may
not be read. Only where we ourselves cannot read (no descriptors left, say) there is an exception.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

from hostmanager.util.numbers import parse_number

MAX_READ_BYTES = 8 * 1024 * 1024
"""Bytes that are read of one file: the kernel gives arguments and environment 6 MiB, but a
process may claim that any of its memory is its environment."""

_BLOCK = 16384

_CPU, _START, _EXIT_CODE = slice(11, 15), 19, 49
"""Fields of /proc/PID/stat, counted from the state."""

_TICKS = os.sysconf("SC_CLK_TCK")


def read_file(pid: int, name: str, max_bytes: int = MAX_READ_BYTES) -> bytes | None:
    """The content of /proc/PID/NAME; None: the process is gone, or may not be read.

    Raises:
        OSError: It cannot be read, whatever it is (no file descriptors left, say).
    """
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    data = b""
    try:
        while len(data) < max_bytes and (block := os.read(fd, _BLOCK)):
            data += block
    except (ProcessLookupError, PermissionError):
        return None
    finally:
        os.close(fd)
    return data[:max_bytes]


def read_stat(pid: int) -> list[bytes] | None:
    """The fields of /proc/PID/stat from the state on; None when the process is gone.

    The name before them is in parentheses and may be anything.

    Raises:
        OSError: It cannot be read, whatever it is (no file descriptors left, say).
    """
    text = read_stat_line(pid)
    fields = (text or b"").rpartition(b")")[2].split()
    return fields if len(fields) > _EXIT_CODE else None


def read_state_letter(pid: int) -> bytes | None:
    """The letter of the state of a process; None when it is gone.

    Raises:
        OSError: It cannot be read, whatever it is (no file descriptors left, say).
    """
    return (read_stat_line(pid) or b"").rpartition(b") ")[2][:1] or None


def read_stat_line(pid: int) -> bytes | None:
    """The line /proc/PID/stat, which the kernel gives as a whole; see `read_file`."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    try:
        return os.read(fd, 4096)
    except (ProcessLookupError, PermissionError):
        return None
    finally:
        os.close(fd)


def effective_uid(pid: int) -> int | None:
    """The effective uid of a process; None when it is gone.

    Enough to leave out all others at little cost. A process with our uid may still be somebody
    else's, see `has_our_uids`.
    """
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def has_our_uids(pid: int) -> bool:
    """Whether a process is of our user and of nobody else.

    Any user can start a set-uid program of ours (`su`, for root), with an environment and limits
    of his choice: it has our effective uid, and his real one.

    Raises:
        OSError: It cannot be read, whatever it is (no file descriptors left, say).
    """
    _, _, rest = (read_file(pid, "status", 4096) or b"").partition(b"\nUid:\t")
    uids = rest.partition(b"\n")[0].split()
    return len(uids) == 4 and all(parse_number(uid) == os.geteuid() for uid in uids)


def start_ticks(pid: int) -> int | None:
    """When a process began, in ticks since boot; with the pid, its identity for ever."""
    try:
        fields = read_stat(pid)
    except OSError:
        return None
    return None if fields is None else parse_number(fields[_START])


def boot_id() -> str:
    """The id of this boot of the machine; empty if the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def run_id(pid: int, started: int | None) -> str:
    """The identity of a run: its pid and its start; empty if that is not known."""
    return "" if started is None else f"{pid}/{started}"


def is_zombie(pid: int) -> bool:
    """Whether nothing of a process runs any more."""
    fields = read_stat(pid)
    return fields is None or fields[0] in (b"Z", b"X")


def zombie_exit_code(pid: int) -> int | None:
    """The wait status of a zombie; None if it is none."""
    try:
        fields = read_stat(pid)
    except OSError:
        return None
    ended = fields is not None and fields[0] in (b"Z", b"X")
    return parse_number(fields[_EXIT_CODE]) if fields and ended else None


def cpu_seconds(pid: int, pidfd: int) -> float | None:
    """CPU time of a process that has ended, with that of the children that it waited for.

    None: it is not known any more, since somebody has waited for it.
    """
    try:
        fields = read_stat(pid)
        signal.pidfd_send_signal(pidfd, 0)  # its pid is not another process's yet
    except OSError:
        return None
    ticks = [parse_number(field) for field in fields[_CPU]] if fields else [None]
    known = [count for count in ticks if count is not None]
    return sum(known) / _TICKS if len(known) == len(ticks) else None


def parent_pid(pid: int) -> int | None:
    """The pid of the parent; None when the process is gone."""
    fields = read_stat(pid)
    return None if fields is None else parse_number(fields[1])


def descendants(pid: int) -> list[int]:
    """The children of a process and theirs; those of a kernel that does not list them: none."""
    results: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for text in (thread / "children").read_text(encoding="ascii").split():
                child = parse_number(text)
                results += [] if child is None else [child, *descendants(child)]
    return results


def session_id(pid: int) -> int | None:
    """The session of a process; None when it is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


def list_pids() -> list[int]:
    """The pids of all processes.

    Raises:
        OSError: /proc cannot be read.
    """
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
