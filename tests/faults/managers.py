"""The managers of a campaign: one after the other, each with a log of its own."""

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.managers import OURS, command
from tests.support.sites import Site

OPTIONS = ("--stop-timeout", "1", "--restart-delay-max", "3")

_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\S+ ")
_ADOPTED = re.compile(r" (\S+): runs already \(pid (\d+)\)")
_NOISE = ("INSTANCE_ID", "SITE_HOST", "SITE_HUB", "SITE_HTTP", "CROSSBAR_TIMEOUT")


class Run:
    """One run of the manager.

    Attributes:
        process: The process, in a session of its own.
        log: What it printed.
        begun: When it was started, monotonic seconds.
        poor: Whether its memory or descriptors were limited at some time.
        tracebacks_seen: How many of its tracebacks have been judged.
        adopting: What it should take over: pid by instance-id.
    """

    def __init__(self, site: Site, number: int, adopting: dict[str, int]) -> None:
        self.log: Path = site.folder / "logs" / f"manager-{number:03}.log"
        self.adopting = adopting
        self.poor = False
        self.tracebacks_seen = 0
        self._read = 0
        self._lines: list[str] = []
        self._rest = ""
        self.log.parent.mkdir(exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if k not in _NOISE}
        with self.log.open("wb") as log:
            self.begun = time.monotonic()
            self.process = subprocess.Popen(
                command(OURS, site, OPTIONS),
                cwd=site.working_dir,
                env={**environment, "HM_TEST_MARK": site.mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.process.kill()
        self.process.wait(10)

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
        found: list[str] = []
        within = False
        for line in map(_bare, self.lines()):
            if "Traceback (most recent call last)" in line or "Fatal Python error" in line:
                within = True
                found.append(line)
            elif within and line and not line.startswith((" ", "\t")):
                within, found[-1] = False, line
        return found

    def adopted(self) -> dict[str, int]:
        """What it says that it took over."""
        found = (_ADOPTED.search(line) for line in self.lines())
        return {match[1]: int(match[2]) for match in found if match}

    def wait_adopted(
        self, wanted: dict[str, int], alive: Callable[[], dict[str, int]], patience: float
    ) -> float | None:
        """Seconds from its start until it had taken over all of these that are still alive.

        None: not in time.
        """
        while time.monotonic() < self.begun + patience:
            adopted = self.adopted().items()
            if wanted.items() <= adopted or wanted.items() & alive().items() <= adopted:
                return time.monotonic() - self.begun
            if not self.running():
                return None
            time.sleep(0.002)
        return None


def _bare(line: str) -> str:
    """A line without the time before it."""
    return _STAMP.sub("", line)
