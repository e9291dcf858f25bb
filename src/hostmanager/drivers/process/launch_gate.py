"""Holds launches back while the manager itself starts.

The start of a manager computes for half a second, and so does the start of each agent. If all of
them begin at the same time, the manager is the last to be ready: on a host with 54 agents it was
unreachable for 3 s, with cold disks for 14 s, and read the reports of agents late. So a few agents
are launched at once (on a small host, all), and the others when the manager is ready. They lose
nothing: otherwise they would wait for a processor.
"""

from collections import deque
from collections.abc import Callable


class LaunchGate:
    """Lets launches pass, or queues them. Used on the loop's thread only; open at first."""

    def __init__(self) -> None:
        self._passes_left: int | None = None  # launches that may pass; None: all
        self._waiting: deque[Callable[[], object]] = deque()

    def close(self, passes: int) -> None:
        """Queue launches from now on.

        Args:
            passes: How many pass before.
        """
        self._passes_left = passes

    def enter(self, launch: Callable[[], object]) -> None:
        """Launch now, or in this order when the gate is opened."""
        if self._passes_left is None:
            launch()
        elif self._passes_left > 0:
            self._passes_left -= 1
            launch()
        else:
            self._waiting.append(launch)

    def open(self) -> None:
        """Launch what is queued, and let all further launches pass."""
        self._passes_left = None
        while self._waiting:
            self._waiting[0]()
            self._waiting.popleft()  # only now: one that cannot begin, for lack of memory, is not lost
