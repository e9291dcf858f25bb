"""The managers of a campaign: one after the other, each with a log of its own."""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.support.managers import OURS, Manager
from tests.support.sites import Site

_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\S+ ")
_ADOPTED = re.compile(r" (\S+): already running \(pid (\d+)\)")


class Run:
    """One run of the manager.

    Attributes:
        process: The process, in a session of its own.
        pid: Its process id.
        log: What it printed.
        begun: When it was started, monotonic seconds.
        poor: Whether its memory, descriptors or processes were limited at some time.
        tracebacks_seen: How many of its tracebacks have been judged.
        adopting: What it should take over: pid by instance-id.
        fresh: Whether it is a new interpreter, as on a host.
    """

    def __init__(
        self,
        site: Site,
        number: int,
        options: Iterable[str] = (),
        surroundings: Mapping[str, str] | None = None,
        adopting: Mapping[str, int] | None = None,
        *,
        fresh: bool = False,
    ) -> None:
        self.log: Path = site.directory / "logs" / f"manager-{number:04}.log"
        self.log.parent.mkdir(exist_ok=True)
        self.adopting = dict(adopting or {})
        self.fresh = fresh
        self.poor = False
        self.tracebacks_seen = 0
        self._read = 0
        self._lines: list[str] = []
        self._rest = ""
        self.begun = time.monotonic()
        self._manager = Manager(site, options, OURS, self.log, surroundings, fresh=fresh)
        self.process = self._manager.process
        self.pid = self._manager.pid
        self.running = self._manager.running
        self.kill = self._manager.kill

    def lines(self) -> list[str]:
        """All complete lines that it printed so far."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        *new, self._rest = (self._rest + data.decode("utf-8", "replace")).split("\n")
        self._lines += new
        return self._lines

    def tracebacks(self) -> list[str]:
        """The last line of each traceback in its log: what was raised."""
        results: list[str] = []
        within = False
        for line in map(_bare, self.lines()):
            if "Traceback (most recent call last)" in line or "Fatal Python error" in line:
                within = True
                results.append(line)
            elif within and line and not line.startswith((" ", "\t")):
                within, results[-1] = False, line
        return results

    def adopted(self) -> dict[str, int]:
        """What it says that it took over."""
        matches = (_ADOPTED.search(line) for line in self.lines())
        return {match[1]: int(match[2]) for match in matches if match}

    def wait_adopted(
        self, expected: dict[str, int], alive: Callable[[], dict[str, int]], patience: float
    ) -> float | None:
        """Seconds from its start until it had taken over all of these that are still alive.

        None: not in time.
        """
        while time.monotonic() < self.begun + patience:
            adopted = self.adopted().items()
            if expected.items() <= adopted or expected.items() & alive().items() <= adopted:
                return time.monotonic() - self.begun
            if not self.running():
                return None
            time.sleep(0.002)
        return None


def _bare(line: str) -> str:
    """A line without the time before it."""
    return _STAMP.sub("", line)
