"""The demo as a real process, and what it has left behind: processes and files.

Each demo has a TMPDIR of its own. A process belongs to it if its working directory, its
command line or its environment names that directory, or it has the demo's mark.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.support.waiting import wait_for

LIGHT_CROSSBAR = str(Path(__file__).parent / "light_crossbar")
"""For PYTHONPATH: routers start in half the processor time."""

HOSTMANAGER = str(Path(sys.executable).parent / "hostmanager")


class Demo:
    """One run of the demo, without a terminal.

    Attributes:
        directory: Its TMPDIR.
        process: The process.
        output: The file that it prints to, errors included.
    """

    def __init__(self, directory: Path, *options: str, **more: str) -> None:
        self.directory = directory / "tmp"
        self.directory.mkdir()
        self.output = directory / "output"
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [HOSTMANAGER, "demo", *options],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment(self.directory, **more),
                start_new_session=True,
            )
        self.begun = time.monotonic()

    def text(self) -> str:
        """Everything that it printed so far."""
        return self.output.read_text()

    def wait_for_text(self, *arguments: str, timeout: float = 60.0) -> None:
        """Return when one line has all these words."""
        wait_for(
            lambda: any(all(w in line for w in arguments) for line in self.text().splitlines()),
            timeout,
            f"a line with {arguments}",
            self.text,
            every=0.05,
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the demo alone."""
        self.process.send_signal(number)

    def wait(self, timeout: float = 240.0) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(timeout)

    def left(self) -> list[str]:
        """What there still is of it: processes and files."""
        return left_in(self.directory)

    def kill_all(self) -> None:
        """Have nothing left, whatever it takes."""
        kill_all(self.directory)
        self.process.wait()


def environment(directory: Path, **more: str) -> dict[str, str]:
    """The environment of a demo whose temporary directory is `directory`; it has no Docker Engine."""
    alone = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    ours = {"TMPDIR": str(directory), "HM_DEMO_MARK": str(directory), "PYTHONPATH": LIGHT_CROSSBAR}
    return {**os.environ, **alone, **more, **ours}


def left_in(directory: Path) -> list[str]:
    """What there is of the demo with this TMPDIR: processes and files."""
    leftovers = [
        f"{process.pid} {' '.join(process.cmdline())}" for process in _processes(directory)
    ]
    return [*leftovers, *map(str, directory.rglob("*"))]


def kill_all(directory: Path) -> None:
    """Kill every process of the demo with this TMPDIR."""
    for process in _processes(directory):
        with contextlib.suppress(psutil.Error):
            process.kill()


def _processes(directory: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and _belongs(process, str(directory)):
                yield process


def _belongs(process: psutil.Process, directory: str) -> bool:
    cwd = str(Path(f"/proc/{process.pid}/cwd").readlink())
    argv = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    mark = f"HM_DEMO_MARK={directory}".encode()
    marked = mark in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    return cwd.startswith(directory) or os.fsencode(directory) in argv or marked
