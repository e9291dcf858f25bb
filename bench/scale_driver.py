"""A driver that launches nothing, and says that it did: for sites larger than the machine.

It answers as late as a real one does on an idle machine, and shows the manager's own pid as
that of every agent, so that looking at a process in /proc costs what it costs.
"""

import asyncio
import os
import signal
from collections.abc import Mapping

from hostmanager.core.events import (
    Absent,
    Exited,
    ExitStatus,
    LastOutput,
    Launched,
    Prepared,
    StopStage,
)
from hostmanager.core.model import InstanceSpec, ObservedRun
from hostmanager.core.protocols import ReportObservation

LAUNCHING = 0.006
"""Seconds from a launch to its report, as measured of real ones by `python -m bench`."""

ENDING = 0.3
"""Seconds from SIGINT to the end; a real agent leaves its event loop in about that."""


class SimulatedDriver:
    """Implements the core's `Driver`. Every agent starts, runs, and ends when it is told to."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running: dict[str, ReportObservation] = {}
        self._killed = 0

    def launch(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Start it, soon."""
        self._loop.call_later(LAUNCHING, self._launched, spec.instance_id, report)

    def _launched(self, instance_id: str, report: ReportObservation) -> None:
        self._running[instance_id] = report
        report(Launched(os.getpid()))

    def discover(self) -> Mapping[str, ObservedRun]:
        """Nothing is ever found."""
        return {}

    def adopt(
        self, spec: InstanceSpec, observed_run: ObservedRun, report: ReportObservation
    ) -> None:
        """Never asked for: nothing is ever found."""
        raise NotImplementedError

    def observe(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Nobody else starts or ends what there is not."""
        report(Absent())

    def prepare(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """It needs nothing."""
        report(Prepared())

    def update_spec(self, spec: InstanceSpec) -> None:
        """It has no settings."""

    def signal(self, instance_id: str, stage: StopStage) -> None:
        """End it; as with real ones, nothing happens while its launch is under way."""
        report = self._running.pop(instance_id, None)
        if report is not None:
            self._loop.call_later(ENDING, self._ended, report)

    @staticmethod
    def _ended(report: ReportObservation) -> None:
        report(Exited(ExitStatus(code=0)))
        report(LastOutput(("shutting down",)))

    def kill_next(self) -> None:
        """Have an agent die of SIGKILL: the first by name, at the next call the second, and so on."""
        names = sorted(self._running)
        name, self._killed = names[self._killed % len(names)], self._killed + 1
        report = self._running.pop(name)
        report(Exited(ExitStatus(signal=signal.SIGKILL)))
        report(LastOutput(()))

    def release(self, instance_id: str) -> None:
        """Drop it."""
        self._running.pop(instance_id, None)

    def close(self) -> None:
        """Nothing is left to let go."""
        self._running.clear()
