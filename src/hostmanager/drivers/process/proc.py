"""What /proc tells of a process: its state, its parent, when it began.

psutil would tell as well, for 2 MB of memory in a manager that hardly ever needs to know.
"""

import os


def stat(pid: int) -> list[bytes] | None:
    """The fields of /proc/PID/stat from the state on; None when the process is gone.

    The name before them stands in parentheses and may hold anything.

    Raises:
        OSError: It could not be seen, whatever it is (no file descriptors left, say).
    """
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        return os.read(fd, 4096).rpartition(b")")[2].split()
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)


def start_ticks(pid: int) -> int | None:
    """When a process began, in ticks since boot; with the pid, its identity for ever."""
    try:
        fields = stat(pid)
        return None if fields is None else int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def is_zombie(pid: int) -> bool:
    """Whether nothing of a process runs any more."""
    fields = stat(pid)
    return fields is None or fields[0] in (b"Z", b"X")


def parent(pid: int) -> int | None:
    """The pid of the parent; None when the process is gone."""
    fields = stat(pid)
    return None if fields is None else int(fields[1])


def session(pid: int) -> int | None:
    """The session of a process; None when it is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


def pids() -> list[int]:
    """The numbers of all processes.

    Raises:
        OSError: /proc cannot be read.
    """
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
