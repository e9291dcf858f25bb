"""Where this host has cgroups of version 2, and what their files say.

By the kernel's document (cgroup-v2.rst): each cgroup is a directory, and what it has is read and
written in files of it.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hostmanager.util.numbers import parse_number

MANAGER_SUBGROUP = "manager"
"""The cgroup of the manager within the one that is delegated to it, as its unit names it."""


def mount_point(proc: Path = Path("/proc/self")) -> tuple[Path, str] | None:
    """Where the hierarchy is mounted, and the path in it that is there; None: nowhere."""
    for line in _lines(proc / "mountinfo"):
        fields, _, source = line.partition(" - ")
        if source.startswith("cgroup2 "):
            root, point = fields.split(" ")[3:5]
            return Path(_unescape(point)), _unescape(root)
    return None


def own_cgroup(proc: Path = Path("/proc/self")) -> Path | None:
    """The directory of the cgroup that a process is in; None: it cannot be seen from here."""
    mount = mount_point(proc)
    paths = [line.removeprefix("0::") for line in _lines(proc / "cgroup") if line.startswith("0::")]
    if mount is None or not paths:
        return None
    point, root = mount
    with suppress(ValueError):  # mounted is a part of the hierarchy that it is not in
        return point / Path(paths[0]).relative_to(root)
    return None


def controllers(directory: Path) -> frozenset[str]:
    """The controllers that a cgroup has; those that it could give to the cgroups in it."""
    return frozenset(
        word for line in _lines(directory / "cgroup.controllers") for word in line.split()
    )


def is_root(directory: Path) -> bool:
    """Whether this is the root of the hierarchy, which has no limits of its own."""
    return not (directory / "cgroup.type").exists()


def is_delegated(directory: Path) -> bool:
    """Whether a cgroup was left to its processes to be divided, as systemd marks it.

    systemd sets the attribute for units with ``Delegate=`` (its page "Control Group APIs and
    Delegation"): others, even of root, belong to systemd alone.
    """
    for name in ("user.delegate", "trusted.delegate"):
        with suppress(OSError):
            if os.getxattr(directory, name) == b"1":
                return os.access(directory, os.W_OK) and not is_root(directory)
    return False


def processes(directory: Path) -> list[int]:
    """The pids of all processes in a cgroup and in those within it; none if there is none."""
    return [pid for each, _, _ in os.walk(directory) for pid in own_processes(Path(each))]


def own_processes(directory: Path) -> list[int]:
    """The pids of the processes in a cgroup itself."""
    return [pid for line in _lines(directory / "cgroup.procs") if (pid := parse_number(line))]


def counters(file: Path) -> dict[str, int]:
    """The numbers in a file of lines such as ``oom_kill 1``; empty if there is none."""
    values = {}
    for line in _lines(file):
        name, _, text = line.partition(" ")
        if (number := parse_number(text)) is not None:
            values[name] = number
    return values


def _lines(file: Path) -> Iterator[str]:
    with suppress(OSError):
        yield from file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()


def _unescape(text: str) -> str:
    """Blanks and the like are octal numbers in mountinfo (proc(5))."""
    for octal, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(octal, char)
    return text
