"""How many processes the manager may have: RLIMIT_NPROC, which does not bind root; so for root
a control group with the `pids` controller, where one can be made."""

import contextlib
import os
import resource
from collections.abc import Callable
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")


class ProcessLimit:
    """Limits processes (threads count as well) of one process and all that it starts.

    Attributes:
        impossible: Why that cannot be done here; empty: it can.
    """

    def __init__(self, name: str) -> None:
        self._group: Path | None = None
        self._home: Path | None = None
        self.impossible = ""
        if os.getuid() != 0:
            return
        self._home = _pids_hierarchy()
        if self._home is None:
            self.impossible = "RLIMIT_NPROC does not bind root, and no cgroup limits processes here"
            return
        try:
            self._group = self._home / name
            self._group.mkdir()
        except OSError as error:
            self._group = None
            self.impossible = f"RLIMIT_NPROC does not bind root, and no cgroup: {error.strerror}"

    def impose(self, pid: int, more: int) -> Callable[[], None]:
        """Let a process have only so many more; returns what lifts that."""
        if self._group is None:
            before = resource.prlimit(pid, resource.RLIMIT_NPROC)
            resource.prlimit(pid, resource.RLIMIT_NPROC, (1, before[1]))
            return lambda: resource.prlimit(pid, resource.RLIMIT_NPROC, before) and None
        group = self._group
        (group / "cgroup.procs").write_text(f"{pid}\n")
        used = int((group / "pids.current").read_text())
        (group / "pids.max").write_text(f"{used + more}\n")
        return self._lift

    def _lift(self) -> None:
        assert self._group is not None
        (self._group / "pids.max").write_text("max\n")

    def close(self) -> None:
        """Remove the group; whoever is still in it goes back to where all are."""
        if self._group is None or self._home is None:
            return
        self._lift()
        for pid in (self._group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (self._home / "cgroup.procs").write_text(pid)
        with contextlib.suppress(OSError):
            self._group.rmdir()


def _pids_hierarchy() -> Path | None:
    """Where groups with a limit of processes can be made."""
    for line in _MOUNTS.read_text().splitlines():
        _, directory, kind, options, *_ = line.split()
        if kind == "cgroup" and "pids" in options.split(","):
            return Path(directory)
        control = Path(directory) / "cgroup.subtree_control"
        if kind == "cgroup2" and control.exists() and "pids" in control.read_text().split():
            return Path(directory)
    return None
