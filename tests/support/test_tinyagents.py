"""The tiny agents do what the tests and the bench take for granted."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from hostmanager.testing.crossbar_router import CrossbarRouter
from tests.support.clients import client
from tests.support.processes import alive, kill_all, processes, processes_of
from tests.support.sites import Site, instance
from tests.support.waiting import BUSY_MACHINE, wait_for


class Run:
    """One tiny agent, started as a manager starts it, but for the pipes."""

    def __init__(self, site: Site, *arguments: object, agent_class: str = "TinyAgent") -> None:
        site.write(instance("a", *arguments, agent_class=agent_class))
        self.out = site.directory / "out"
        self.err = site.directory / "err"
        command = [sys.executable, "-m", "ocs.agent_cli", "--instance-id", "a", *site.args]
        command += ["--working-dir", str(site.working_dir)]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=err, cwd=site.working_dir, start_new_session=True
            )

    def up(self) -> "Run":
        wait_for(lambda: b"tiny a up" in self.out.read_bytes(), 10, "the agent to be up")
        return self

    def send_signal(self, number: signal.Signals) -> "Run":
        self.process.send_signal(number)
        return self

    def code(self) -> int:
        return self.process.wait(60)


@pytest.fixture
def offline(tmp_path) -> Iterator[Site]:
    """A site without a running router."""
    site = Site(tmp_path / "site", CrossbarRouter(tmp_path / "router"))
    yield site
    kill_all(site)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_ok_agent_ends_at_once_on_request(offline, number):
    run = Run(offline).up()
    started = time.monotonic()
    assert run.send_signal(number).code() == 0
    assert time.monotonic() - started < 1 * BUSY_MACHINE
    assert [got.name for got in offline.signals("a")] == [number.name]


def test_each_launch_is_noted_with_pid_and_time(offline):
    started = time.monotonic()
    run = Run(offline).up()
    (launch,) = offline.launches("a")
    assert launch.pid == run.process.pid
    assert started < launch.at < time.monotonic()
    assert processes_of(offline) == {"a": [run.process.pid]}


def test_exit_at_once_has_a_code_and_last_words(offline):
    run = Run(offline, "--behave", "exit-at-once", "--code", 7)
    assert run.code() == 7
    assert run.err.read_text().splitlines()[-1] == "tiny a: no answer from the device"


def test_crash_after_runs_for_a_while_first(offline):
    run = Run(offline, "--behave", "crash-after", 0.3).up()
    assert run.code() == 1
    assert time.monotonic() - offline.launches("a")[0].at > 0.3


def test_slow_stop_takes_its_time_from_the_first_signal_on(offline):
    run = Run(offline, "--behave", "slow-stop", 0.5).up()
    started = time.monotonic()
    run.send_signal(signal.SIGINT)
    time.sleep(0.1)  # the second signal comes later
    assert run.send_signal(signal.SIGTERM).code() == 0
    assert 0.45 < time.monotonic() - started < 2 * BUSY_MACHINE


def test_stubborn_ends_on_sigterm_only(offline):
    run = Run(offline, "--behave", "stubborn").up().send_signal(signal.SIGINT)
    wait_for(lambda: offline.signals("a"), 5, "SIGINT to arrive")
    assert run.process.poll() is None
    assert run.send_signal(signal.SIGTERM).code() == 0


def test_very_stubborn_ends_on_sigkill_only(offline):
    run = Run(offline, "--behave", "very-stubborn").up()
    for count, number in enumerate([signal.SIGINT, signal.SIGTERM], 1):
        run.send_signal(number)
        wait_for(lambda count=count: len(offline.signals("a")) == count, 5, number.name)
    assert run.process.poll() is None
    assert run.send_signal(signal.SIGKILL).code() == -signal.SIGKILL


def test_chatty_writes_numbered_lines_at_its_rate(offline):
    run = Run(offline, "--behave", "chatty", "--rate", 2_000_000, "--total", 1_000_000).up()
    note = offline.working_dir / "chatty" / "a"
    wait_for(note.exists, 10, "all to be written")
    lines, size, seconds = note.read_text().split()
    assert (int(lines), int(size)) == (10_000, 1_000_000)
    assert 0.45 < float(seconds) < 2 * BUSY_MACHINE
    numbers = [line.split()[0] for line in run.out.read_bytes().splitlines() if b" ..." in line]
    assert [int(number) for number in numbers] == list(range(10_000))


def test_bad_utf8_writes_what_cannot_be_decoded_and_goes_on(offline):
    run = Run(offline, "--behave", "bad-utf8").up()
    wait_for(lambda: b"after" in run.err.read_bytes(), 5, "the last line")
    assert b"a bad byte: \xff\n" in run.err.read_bytes()
    assert "a split character: é\n".encode() in run.out.read_bytes()


@pytest.mark.parametrize("leave", [False, True])
def test_fork_has_grandchildren_and_leaves_them_only_on_request(offline, leave):
    run = Run(offline, "--behave", "fork", *(["--leave"] if leave else [])).up()
    grandchildren = [process for process in processes(offline) if process.kind == "grandchild"]
    assert len(grandchildren) == 2
    for process in grandchildren:
        os.kill(process.pid, signal.SIGINT)
        assert os.getpgid(process.pid) == run.process.pid
    assert run.send_signal(signal.SIGTERM).code() == 0
    assert [alive(process.pid) for process in grandchildren] == [leave, leave]


def test_segfault_dies_of_it(offline):
    assert Run(offline, "--behave", "segfault").code() == -signal.SIGSEGV


def test_dump_env_tells_what_it_was_started_with(offline):
    run = Run(offline, "--behave", "dump-env").up()
    data = json.loads((offline.working_dir / "dumps" / "a.json").read_text())
    assert data["cwd"] == str(offline.working_dir)
    assert data["pgid"] == run.process.pid
    assert "--site-file" in data["argv"]
    assert data["fds"]["1"] == str(run.out)


def test_a_tiny_ocs_agent_answers_at_the_router(site):
    Run(site, agent_class="TinyOCSAgent")
    tiny = client(site, "a")
    assert tiny.echo(text="there?").session["data"]["text"] == "there?"
    wait_for(lambda: tiny.count.status().session["data"]["value"] > 1, 5, "the count to go on")
    kill_all(site)
