"""Launches wait, as long as the manager itself starts: its own start comes first.

A manager that starts has half a second of its own to compute, and so has each of its agents. If all
of them begin at the same time, it is the last to be ready: of a host with 54 agents nobody heard
for 3 s, with cold disks for 14 s, and what agents reported meanwhile was read as late. So a few
are launched at once (on a small host, all), and the others when the manager stands. They lose
nothing: it is the processors that they would wait for instead.
"""

from collections import deque
from collections.abc import Callable


class LaunchGate:
    """Lets launches pass, or keeps them for later. On the loop's thread alone; open at first."""

    def __init__(self) -> None:
        self._passes_left: int | None = None  # how many may pass; None: all
        self._waiting: deque[Callable[[], object]] = deque()

    def close(self, free: int) -> None:
        """Keep launches back from now on, but for the first ones.

        Args:
            free: How many pass all the same.
        """
        self._passes_left = free

    def enter(self, launch: Callable[[], object]) -> None:
        """Launch now, or when it is opened; in the order of coming."""
        if self._passes_left is None:
            launch()
        elif self._passes_left > 0:
            self._passes_left -= 1
            launch()
        else:
            self._waiting.append(launch)

    def open(self) -> None:
        """Launch what was kept back, and all that comes."""
        self._passes_left = None
        while self._waiting:
            self._waiting.popleft()()
