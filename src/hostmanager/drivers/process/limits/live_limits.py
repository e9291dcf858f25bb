"""Settings that a process can be given while it runs: when they change, and when it is adopted."""

import threading
from dataclasses import dataclass, replace

from hostmanager.core.model import InstanceSettings, InstanceSpec
from hostmanager.drivers.process.limits.cgroups import AgentCgroups
from hostmanager.drivers.process.limits.process_limits import change_limits
from hostmanager.util.procfs import list_pids, session_id


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What a live process does not have of its settings.

    Attributes:
        notice: What cannot be had here, as sentences for operators.
        at_restart: Keys of the settings that only a new run can have.
    """

    notice: str = ""
    at_restart: tuple[str, ...] = ()


class LiveLimits:
    """The limits of one process that runs.

    Args:
        spec: Its instance.
        leader: Its pid, and session.
        cgroups: The cgroups of the manager's agents.
        applied: The settings that it has; None if that is not known.

    Attributes:
        reported: What was reported of it last.
    """

    def __init__(
        self,
        spec: InstanceSpec,
        leader: int,
        cgroups: AgentCgroups,
        applied: InstanceSettings | None = None,
    ) -> None:
        self._id, self._leader = spec.instance_id, leader
        self._cgroups, self._applied = cgroups, applied
        self._lock = threading.Lock()
        self.reported = Shortfall()

    def change(self, settings: InstanceSettings) -> Shortfall:
        """Give it these settings, as far as possible. Blocks; for threads.

        Raises:
            OSError: /proc cannot be read.
        """
        with self._lock:
            grouped = self._cgroups.processes(self._id)
            is_grouped = self._leader in grouped
            if not is_grouped and self._cgroups.directory is not None:
                is_grouped = self._cgroups.enter(self._id, self._session())
            at_restart, problems = self._limit_group(settings, is_grouped=is_grouped)
            before = self._applied or replace(settings, nice=None, open_files=None)
            if (before.nice, before.open_files) != (settings.nice, settings.open_files):
                at_restart += change_limits(self._session().union(grouped), before, settings)
            self._applied = replace(
                settings,
                nice=before.nice if "nice" in at_restart else settings.nice,
                open_files=before.open_files if "open-files" in at_restart else settings.open_files,
            )
            return Shortfall(" ".join(problems), tuple(at_restart))

    def _session(self) -> set[int]:
        return {pid for pid in list_pids() if session_id(pid) == self._leader}

    def _limit_group(
        self, settings: InstanceSettings, *, is_grouped: bool
    ) -> tuple[list[str], list[str]]:
        """Limit its cgroup: keys for which that takes a new run, and what cannot be had here."""
        if is_grouped or self._cgroups.directory is None:
            return [], self._cgroups.limit(self._id, settings)
        wanted = {"memory-max": settings.memory_max, "cpu-quota": settings.cpu_quota}
        return [key for key, value in wanted.items() if value is not None], []
