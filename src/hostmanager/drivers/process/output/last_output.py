"""The last lines of a run, read when it has ended.

A next run may write to the same file meanwhile: its lines are left out.
"""

from collections.abc import Callable
from functools import partial

from hostmanager.core.events import LastOutput
from hostmanager.drivers.process.output.output_sink import OutputPosition, OutputSink
from hostmanager.drivers.process.thread_pools import WorkerPool
from hostmanager.drivers.process.tracked_process import TrackedProcess
from hostmanager.util.guard import Guard


class LastOutputReader:
    """Reads the last lines of processes that have ended.

    Args:
        sink: What has taken them.
        pool: Its threads wait for the disk.
        guard: Tries again what cannot be begun.
    """

    def __init__(self, sink: OutputSink, pool: WorkerPool, guard: Guard) -> None:
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
        """Read them, and report them; retried until that can be begun."""
        self._guard.retry_until_done(
            f"{process.instance_id}: its output", partial(self._read_once, process)
        )

    def _read_once(self, process: TrackedProcess) -> None:
        self._reading[process.instance_id] = process
        path, start = process.command.output, process.spawned.output_start

        def read() -> tuple[str, ...]:
            lines = self._sink.last_lines(process.instance_id, path, start, None)
            if process.next_output_start is not None:  # a new run may have written meanwhile
                lines = self._sink.last_lines(
                    process.instance_id, path, start, process.next_output_start
                )
            return lines

        def on_lines(lines: tuple[str, ...]) -> None:
            if self._reading.get(process.instance_id) is process:
                del self._reading[process.instance_id]
            process.report(LastOutput(lines))

        self._pool.submit(
            f"{process.instance_id}: its output", read, on_lines, lambda _: on_lines(())
        )
