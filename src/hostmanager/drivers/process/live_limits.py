"""Settings that a process can be given while it runs: when they change, and when it is adopted."""

import threading
from dataclasses import dataclass, replace

from hostmanager.core.model import InstanceSettings, InstanceSpec
from hostmanager.drivers.process.cgroups import AgentCgroups
from hostmanager.drivers.process.process_limits import change_limits
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
            pids = {pid for pid in list_pids() if session_id(pid) == self._leader}
            if self._leader in grouped or self._cgroups.enter(self._id, pids):
                unlimited: list[str] = []
                problems = self._cgroups.limit(self._id, settings)
            else:
                unlimited, problems = self._not_grouped(settings)
            at_restart = unlimited + change_limits(pids.union(grouped), self._applied, settings)
            before = self._applied or settings
            self._applied = replace(
                settings,
                nice=before.nice if "nice" in at_restart else settings.nice,
                open_files=before.open_files if "open-files" in at_restart else settings.open_files,
            )
            return Shortfall(" ".join(problems), tuple(at_restart))

    def _not_grouped(self, settings: InstanceSettings) -> tuple[list[str], list[str]]:
        """What is missing without a cgroup of its own: for a new run, or here in general."""
        if self._cgroups.directory is None:
            return [], self._cgroups.limit(self._id, settings)
        wanted = {"memory-max": settings.memory_max, "cpu-quota": settings.cpu_quota}
        return [key for key, value in wanted.items() if value is not None], []
