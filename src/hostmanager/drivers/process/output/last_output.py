"""The last lines of a run, read when it has ended.

A next run may write to the same file meanwhile: its lines are left out.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from hostmanager.core.events import LastOutput
from hostmanager.drivers.process.output.output_sink import OutputPosition, OutputSink
from hostmanager.drivers.process.thread_pools import WorkerPool
from hostmanager.drivers.process.tracked_process import TrackedProcess
from hostmanager.util.guard import Guard

READ_DELAY = 0.01
"""Seconds after the end of a process: its next launch is under way then, and not held up."""


class LastOutputReader:
    """Reads the last lines of processes that have ended.

    Args:
        loop: The event loop.
        sink: What has taken them.
        pool: Its threads wait for the disk.
        guard: Tries again what cannot be begun.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sink: OutputSink, pool: WorkerPool, guard: Guard
    ) -> None:
        self._loop = loop
        self._sink = sink
        self._pool = pool
        self._guard = guard
        self._reading: dict[str, TrackedProcess] = {}

    def before_next_run(self, instance_id: str) -> Callable[[OutputPosition], None]:
        """Prepare a launch; returns what is called, in any thread, where its output begins."""
        before = self._reading.get(instance_id)

        def on_output_open(start: OutputPosition) -> None:
            if before is not None:
                before.next_output_start = start

        return on_output_open

    def read(self, process: TrackedProcess) -> None:
        """Read them soon, and report them; to be called before the end is reported."""
        self._reading[process.instance_id] = process
        name = f"{process.instance_id}: its output"
        read = self._guard.callback(name, partial(self._read_once, process))
        self._guard.retry_until_done(name, lambda: self._loop.call_later(READ_DELAY, read))

    def _read_once(self, process: TrackedProcess) -> None:
        path, start = process.command.output, process.spawned.output_start

        def read() -> tuple[str, ...]:
            while True:  # a new run may begin, and write, meanwhile
                end = process.next_output_start
                lines = self._sink.last_lines(process.instance_id, path, start, end)
                if end == process.next_output_start:
                    return lines

        def on_lines(lines: tuple[str, ...]) -> None:
            if self._reading.get(process.instance_id) is process:
                del self._reading[process.instance_id]
            process.report(LastOutput(lines))

        self._pool.submit(
            f"{process.instance_id}: its output", read, on_lines, lambda _: on_lines(())
        )
