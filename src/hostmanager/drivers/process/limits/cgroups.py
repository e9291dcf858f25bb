"""A cgroup (version 2) for each agent, where one was delegated to the manager.

Layout below the delegated cgroup, which is that of the unit:

- ``manager``: the manager and its log daemon; systemd starts it there (``DelegateSubgroup=``, 254
  and later).
- ``agent-IDENTITY-ID``: what an agent has started, whatever session it moved to. It exists from the
  launch until nothing is left, so its counters are those of one run.

The kernel has no limits within a cgroup that has processes of its own, and lets no process into
one that limits others. A manager in the delegated cgroup itself therefore sets no limits: systemd
could not start the next one there while agents run. It still groups and kills.

Everything here may block a little, and belongs into threads.
"""

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hostmanager.core.model import InstanceSettings
from hostmanager.util import cgroup
from hostmanager.util.cgroup import MANAGER_SUBGROUP
from hostmanager.util.names import decode_id, encode_id

log = logging.getLogger(__name__)

_PERIOD = 100_000
"""Microseconds in which a share of CPU time is counted: what systemd has by default."""

_IDENTITY_CHARS = 8

NOT_DELEGATED = (
    "no cgroup is delegated to the manager; run it by the unit of `hostmanager install-systemd`"
)
NO_SUBGROUP = (
    "the manager runs in the delegated cgroup itself; it takes systemd 254 or later, and the unit of "
    "`hostmanager install-systemd` as it is now"
)


@dataclass(frozen=True, slots=True)
class AgentCgroups:
    """The cgroups of a manager's agents.

    Attributes:
        directory: The delegated cgroup; None: there is none, and all calls do nothing.
        identity: Of the manager: its own cgroups have it in their names.
        obstacle: Why there can be no limits, as a clause; empty: there can be, as far as the
            delegated cgroup has the controllers.
    """

    directory: Path | None = None
    identity: str = ""
    obstacle: str = NOT_DELEGATED

    def limit_obstacle(self, controller: str) -> str:
        """Why a limit of a controller cannot be set here, as a clause; empty: it can."""
        if self.directory is None or self.obstacle:
            return self.obstacle
        there = cgroup.controllers(self.directory)
        if controller in there:
            return self._enable(controller)
        names = ", ".join(sorted(there)) or "none"
        return f"the cgroup of the manager has no {controller} controller (controllers: {names})"

    def enter(self, instance_id: str, pids: Iterable[int]) -> bool:
        """Put processes into the cgroup of their instance, which is made if it is missing."""
        directory = self._of(instance_id)
        if directory is None:
            return False
        try:
            if not self.obstacle and "memory" in cgroup.controllers(self.directory or directory):
                self._enable("memory")  # without a limit, too: its counters tell why it was killed
            directory.mkdir(exist_ok=True)
            for pid in pids:
                with suppress(ProcessLookupError):  # it has ended already
                    _write(directory / "cgroup.procs", str(pid))
        except OSError as error:
            log.warning("%s: no cgroup of its own: %s", instance_id, error)
            return False
        return True

    def limit(self, instance_id: str, settings: InstanceSettings) -> list[str]:
        """Set the limits of an instance's cgroup; returns why some are not, as sentences."""
        directory = self._of(instance_id)
        obstacles = {
            "memory-max": self._limit(directory, "memory", "memory.max", settings.memory_max),
            "cpu-quota": self._limit(directory, "cpu", "cpu.max", _quota(settings.cpu_quota)),
        }
        if directory is not None:
            with suppress(OSError):  # an agent with one process less would be neither up nor down
                _write(directory / "memory.oom.group", "1")
            with suppress(OSError):  # between cgroups, niceness of processes does not count
                _write(directory / "cpu.weight.nice", str(settings.nice or 0))
        return [f"{key!r} is not applied: {why}." for key, why in obstacles.items() if why]

    def _limit(
        self, directory: Path | None, controller: str, file: str, value: int | str | None
    ) -> str:
        """Set one limit, or (None) lift it; returns why it is not set, as a clause."""
        path = None if directory is None else directory / file
        if value is None and (path is None or not path.exists()):
            return ""
        obstacle = "" if value is None else self.limit_obstacle(controller)
        try:
            if not obstacle and path is not None:
                _write(path, "max" if value is None else str(value))
        except OSError as error:
            return f"{path}: {error.strerror}"
        return obstacle

    def processes(self, instance_id: str) -> list[int]:
        """The processes of an instance: all that it started, whatever they have become."""
        directory = self._of(instance_id)
        return [] if directory is None else cgroup.processes(directory)

    def kill(self, instance_id: str) -> None:
        """Kill all processes of an instance at once; those that are being forked, too."""
        directory = self._of(instance_id)
        if directory is not None:
            with suppress(OSError):  # it has none; Linux before 5.14
                _write(directory / "cgroup.kill", "1")

    def kill_reason(self, instance_id: str) -> str | None:
        """Whether the kernel killed it for lack of memory, as a phrase; None: not known here."""
        directory = self._of(instance_id)
        events = {} if directory is None else cgroup.counters(directory / "memory.events")
        if directory is None or "oom_kill" not in events:
            return None
        if not events["oom_kill"]:
            return "not from the manager, and not for lack of memory"
        text = _read(directory / "memory.max")
        if events.get("oom") and text.isdigit():
            return f"out of memory: it used all of its 'memory-max', {int(text) >> 20}M"
        return "out of memory: the host, or the unit of the manager, had no more"

    def populated(self) -> dict[str, list[int]]:
        """The processes of all instances that have some; the empty cgroups are removed."""
        prefix = self._prefix
        found: dict[str, list[int]] = {}
        for path in [] if self.directory is None else self.directory.glob(f"{prefix}*"):
            instance_id = decode_id(path.name.removeprefix(prefix))
            pids = cgroup.processes(path)
            if pids and instance_id is not None:
                found[instance_id] = pids
            elif not pids:
                _remove(path)
        return found

    def remove(self, instance_id: str) -> None:
        """Remove the cgroup of an instance of which nothing is left."""
        directory = self._of(instance_id)
        if directory is not None:
            _remove(directory)

    @property
    def _prefix(self) -> str:
        return f"agent-{self.identity[:_IDENTITY_CHARS]}-"

    def _of(self, instance_id: str) -> Path | None:
        if self.directory is None:
            return None
        return self.directory / f"{self._prefix}{encode_id(instance_id)}"

    def _enable(self, controller: str) -> str:
        """Have a controller in the cgroups of the agents; returns why not, as a clause."""
        assert self.directory is not None
        control = self.directory / "cgroup.subtree_control"
        try:
            if controller not in _read(control).split():
                # What an earlier manager started may be in there itself: the kernel forbids that.
                for pid in cgroup.own_processes(self.directory):
                    with suppress(ProcessLookupError):
                        _write(self.directory / MANAGER_SUBGROUP / "cgroup.procs", str(pid))
                _write(control, f"+{controller}")
                if controller == "cpu":  # the manager keeps the priority that it has
                    own = str(max(-20, min(19, os.nice(0))))
                    _write(self.directory / MANAGER_SUBGROUP / "cpu.weight.nice", own)
        except OSError as error:
            return f"the {controller} controller cannot be enabled: {error}"
        return ""


NO_CGROUPS = AgentCgroups()
"""Where none is delegated."""


def find_cgroups(identity: str, proc: Path = Path("/proc/self")) -> AgentCgroups:
    """Find the cgroup that is delegated to this process: its own, or the one around it."""
    own = cgroup.own_cgroup(proc)
    if own is None:
        return AgentCgroups(obstacle="this host has no cgroups of version 2")
    if own.name == MANAGER_SUBGROUP and cgroup.is_delegated(own.parent):
        return AgentCgroups(own.parent, identity, "")
    if cgroup.is_delegated(own):
        return AgentCgroups(own, identity, NO_SUBGROUP)
    return NO_CGROUPS


def _quota(percent: float | None) -> str | None:
    return None if percent is None else f"{round(percent * _PERIOD / 100)} {_PERIOD}"


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace").strip()
    return ""


def _write(path: Path, text: str) -> None:
    """Write into a file of a cgroup, which has to be there, in one call as the kernel wants it."""
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode("ascii"))
    finally:
        os.close(fd)


def _remove(path: Path) -> None:
    """Remove a cgroup with those in it; one that has processes stays."""
    for each, _, _ in os.walk(path, topdown=False):
        with suppress(OSError):
            Path(each).rmdir()
