"""Output through the log daemon, as the driver uses it: what an earlier manager left is told apart."""

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
from hostmanager.logd import paths as logd_paths
from hostmanager.logd.client import LogDaemonClient
from tests.integration.logd.conftest import LogEnvironment
from tests.support.waiting import wait_for


class SinkEnvironment(LogEnvironment):
    """A manager's directories, and a sink with a log daemon of its own."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.loop = asyncio.new_event_loop()
        self.sink = LogDaemonSink(self.loop, self.client, self.files)
        self.client.ensure_running()

    def launch(self, name: str, *argv: str) -> float:
        """Run a program to its end; when it began."""
        began = time.time()
        fd, _ = self.sink.open(name, self.files / f"{name}.out")
        subprocess.run(argv, stdout=fd, check=True)
        os.close(fd)
        assert self.client.flush(name, 10)
        return began

    def lines(self, name: str, begin: SinceTime) -> tuple[str, ...]:
        return self.sink.last_lines(name, self.files / f"{name}.out", begin, None)

    def pipes(self) -> list[str]:
        return self.client.instances()


@pytest.fixture
def env(tmp_path) -> Iterator[SinkEnvironment]:
    environment = SinkEnvironment(tmp_path)
    yield environment
    environment.sink.close(end=True)
    environment.loop.close()
    environment.close()


def test_of_a_run_that_was_taken_over_only_its_own_words_are_shown(env):
    env.launch("a", "/bin/echo", "earlier run")
    time.sleep(0.25)  # times are kept to 0.1 s
    began = env.launch("a", "/bin/echo", "this run")
    begin = env.sink.attach("a", os.getpid(), began)
    assert env.lines("a", begin) == ("this run",)


def test_of_a_run_that_was_taken_over_and_wrote_nothing_nothing_is_shown(env):
    env.launch("a", "/bin/echo", "earlier run")
    time.sleep(0.25)  # times are kept to 0.1 s
    assert env.lines("a", env.sink.attach("a", os.getpid(), time.time())) == ()


def test_pipes_of_what_is_not_alive_go_and_their_files_stay(env):
    env.launch("a", "/bin/echo", "x")
    env.launch("b", "/bin/echo", "y")
    env.sink.remove_stale({"b"})
    assert env.pipes() == ["b"]
    assert (env.files / "a.out").read_text() == "x\n"
    env.launch("a", "/bin/echo", "again")
    assert (env.files / "a.out").read_text() == "x\nagain\n"


def test_a_launch_resumes_a_log_daemon_that_is_suspended(env):
    env.sink.start()
    wait_for(lambda: env.sink.pid)
    pid = env.sink.pid
    psutil.Process(pid).suspend()
    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    env.launch("a", "/bin/echo", "x")
    assert (env.files / "a.out").read_text() == "x\n"


def test_an_agent_whose_output_can_be_written_nowhere_runs_without(tmp_path):
    disk, path = tmp_path / "disk", tmp_path / "disk" / "output" / "a.out"
    disk.touch()  # as on a disk that is read-only, nothing can be made in it
    loop = asyncio.new_event_loop()
    sink = LogDaemonSink(loop, LogDaemonClient(disk / "state", path.parent), path.parent)
    fd, begin = sink.open("a", path)
    subprocess.run(["/bin/echo", "x"], stdout=fd, check=True)
    os.close(fd)
    assert sink.last_lines("a", path, begin, None) == ()
    assert sink.faults(lambda _: False) == []
    assert sink.faults(lambda name: name == "a") == [
        f"The output of a is lost until it is restarted: {path.parent} cannot be written: "
        "Not a directory."
    ]
    disk.unlink()
    os.close(sink.open("a", path)[0])
    assert sink.faults(lambda _: True) == []
    sink.close(end=True)
    loop.close()


def test_output_that_does_not_get_into_its_file_is_held_up(env, monkeypatch):
    for name in "ab":
        env.launch(name, "/bin/echo", "x")
        assert not env.sink.is_held_up(name)
    pid = env.client.ensure_running()
    psutil.Process(pid).suspend()
    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    pipes = [os.open(logd_paths.pipe(os.fspath(env.state), name), os.O_RDWR) for name in "ab"]
    for pipe in pipes:
        os.write(pipe, b"y\n")
    assert env.sink.is_held_up("a")
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", lambda _: pytest.fail("both were looked at already"))
        assert env.sink.is_held_up("b")
    psutil.Process(pid).resume()
    for name, pipe in zip("ab", pipes, strict=True):
        assert env.client.flush(name, 10)
        assert not env.sink.is_held_up(name)
        os.close(pipe)
