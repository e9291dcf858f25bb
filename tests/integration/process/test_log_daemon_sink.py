"""Output through the scribe, as the driver uses it: what an earlier manager left is told apart."""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hostmanager.drivers.process.output.log_daemon_sink import LogDaemonSink
from hostmanager.drivers.process.output.output_sink import SinceTime
from tests.integration.logd.conftest import Room as Folders
from tests.support.waiting import wait_for


class Room(Folders):
    """A manager's folders, and a sink with a scribe of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.loop = asyncio.new_event_loop()
        self.sink = LogDaemonSink(self.loop, self.scribe, self.files)
        self.scribe.ensure_running()

    def launch(self, name: str, *argv: str) -> float:
        """Run a program to its end; when it began."""
        began = time.time()
        fd, _ = self.sink.open(name, self.files / f"{name}.out")
        subprocess.run(argv, stdout=fd, check=True)
        os.close(fd)
        assert self.scribe.flush(name, 10)
        return began

    def lines(self, name: str, begin: SinceTime) -> tuple[str, ...]:
        return self.sink.last_lines(name, self.files / f"{name}.out", begin, None)

    def pipes(self) -> list[str]:
        return self.scribe.instances()


@pytest.fixture
def room(tmp_path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.sink.close(end=True)
    made.loop.close()
    made.end()


def test_of_a_run_that_was_taken_over_only_its_own_words_are_shown(room):
    room.launch("a", "/bin/echo", "earlier run")
    time.sleep(0.25)  # times are kept to 0.1 s
    began = room.launch("a", "/bin/echo", "this run")
    begin = room.sink.attach("a", os.getpid(), began)
    assert room.lines("a", begin) == ("this run",)


def test_of_a_run_that_was_taken_over_and_said_nothing_nothing_is_shown(room):
    room.launch("a", "/bin/echo", "earlier run")
    time.sleep(0.25)
    assert room.lines("a", room.sink.attach("a", os.getpid(), time.time())) == ()


def test_pipes_of_what_is_not_alive_go_and_their_files_stay(room):
    room.launch("a", "/bin/echo", "x")
    room.launch("b", "/bin/echo", "y")
    room.sink.remove_stale({"b"})
    assert room.pipes() == ["b"]
    assert (room.files / "a.out").read_text() == "x\n"
    room.launch("a", "/bin/echo", "again")
    assert (room.files / "a.out").read_text() == "x\nagain\n"


def test_a_launch_wakes_a_scribe_that_is_suspended(room):
    room.sink.start()
    wait_for(lambda: room.sink.pid)
    pid = room.sink.pid
    psutil.Process(pid).suspend()
    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    room.launch("a", "/bin/echo", "x")
    assert (room.files / "a.out").read_text() == "x\n"
