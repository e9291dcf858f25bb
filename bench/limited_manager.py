"""A manager that lets only so many agents compute at the same time while they start: a prototype.

python -m bench.limited_manager LIMIT [options of the manager]

A place is free again when its agent is ready, has ended, has come to rest (three looks in a row in
which it neither ran nor waited for a processor or a disk), or after 10 s.
"""

import sys
from collections import deque
from typing import Any

from hostmanager.agent import bootstrap, main, program
from hostmanager.core import events as ev
from hostmanager.core.model import InstanceSpec
from hostmanager.core.protocols import ReportObservation
from hostmanager.drivers.process import ProcessDriver
from hostmanager.util import procfs

LOOK_INTERVAL, LOOKS_AT_REST, MAX_PLACE_TIME = 0.1, 3, 10.0


class LimitedDriver(ProcessDriver):
    """Queues launches while `limit` agents compute."""

    limit = 0
    parts: Any = None

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._queue: deque[tuple[InstanceSpec, ReportObservation]] = deque()
        self._places: dict[str, tuple[float, int, int]] = {}  # since when, CPU ticks, looks at rest
        self._looking = False

    def launch(self, spec: InstanceSpec, report: ReportObservation) -> None:
        """Launch it, or queue it."""

        def note(event: ev.Observation) -> None:
            if isinstance(event, ev.Exited | ev.ExitedWithRemnants | ev.LaunchFailed):
                self._places.pop(spec.instance_id, None)
            report(event)

        self._queue.append((spec, note))
        self._fill()

    def _fill(self) -> None:
        while self._queue and len(self._places) < self.limit:
            spec, report = self._queue.popleft()
            self._places[spec.instance_id] = (self._loop.time(), 0, 0)
            super().launch(spec, report)
        if self._queue and not self._looking:
            self._looking = True
            self._loop.call_later(LOOK_INTERVAL, self._look)

    def _look(self) -> None:
        self._looking = False
        for name, (since, ticks, before) in list(self._places.items()):
            process = self._processes.get(name)
            stat = None if process is None else procfs.read_stat(process.spawned.pid)
            now_ticks = 0 if stat is None else int(stat[11]) + int(stat[12])
            rests = before + 1 if stat and stat[0] == b"S" and now_ticks == ticks else 0
            late = self._loop.time() - since >= MAX_PLACE_TIME
            if rests >= LOOKS_AT_REST or late or self.parts.health.is_ready(name):
                del self._places[name]
            else:
                self._places[name] = (since, now_ticks, rests)
        self._fill()


def run() -> None:
    """Run the manager with this driver."""
    LimitedDriver.limit = int(sys.argv.pop(1))
    bootstrap.ProcessDriver = LimitedDriver  # type: ignore[misc]
    make = bootstrap.make_parts

    def make_parts(*args: Any) -> Any:
        LimitedDriver.parts = make(*args)
        return LimitedDriver.parts

    program.make_parts = make_parts
    main.main()


if __name__ == "__main__":
    run()
