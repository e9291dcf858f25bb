"""Launches: what a process finds around it, and which step failed when there is none."""

import asyncio
import errno
import os
import signal
import sys

import pytest

from hostmanager.core import events as ev
from hostmanager.core.events import Exited, ExitStatus, Launched, StopStage
from hostmanager.core.model import InstanceSpec
from hostmanager.drivers.process.ownership import instance_lock as locks
from tests.integration.process.conftest import KILLED, PYTHON, Host, open_fds, until


async def ended(host: Host, name: str, *argv: str, **more: object) -> ExitStatus:
    """Launch, and wait for its end."""
    await host.launch(name, *argv, **more)
    end = await host.next(name)
    assert isinstance(end, Exited), end
    return end.status


# --- ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 127, 255])
async def test_an_exit_code_is_reported(host, code):
    assert await ended(host, "a", "/bin/sh", "-c", f"exit {code}") == ExitStatus(code=code)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT, signal.SIGHUP])
async def test_an_end_by_a_signal_is_reported(host, number):
    status = await ended(host, "a", "/bin/sh", "-c", f"kill -{int(number)} $$")
    assert status == (KILLED if number == 9 else ExitStatus(signal=number))
    assert status.signal_name == number.name


async def test_a_process_that_is_killed_from_outside_is_reported(host):
    pid = await host.launch("a", "/bin/sleep", "100")
    os.kill(pid, signal.SIGKILL)
    assert await host.next("a") == Exited(KILLED)


async def test_no_zombie_is_left(host):
    for n in range(5):
        await ended(host, f"a{n}", "/bin/true")
    assert host.processes() == []


async def test_a_child_that_somebody_else_waited_for_has_still_ended(host):
    pid = await host.launch("a", "/bin/sleep", "0.3")
    # On the loop: so the driver, which waits there, cannot be first.
    os.waitpid(pid, 0)  # noqa: ASYNC222
    end = await host.next("a")
    assert end.status in (ExitStatus(), ExitStatus(code=0))


# --- what a process finds around it --------------------------------------------------------


async def test_a_process_gets_nothing_of_ours_but_what_it_is_given(host):
    ours = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(ours, True)  # as a careless library might have
    try:
        await ended(host, "a", "/bin/ls", "-l", "/proc/self/fd")
    finally:
        os.close(ours)
    lines = host.output("a").read_text().splitlines()
    fds = {line.split()[-3]: line.split()[-1] for line in lines if "->" in line}
    assert fds.pop("0") == "/dev/null"
    assert fds.pop("1") == fds.pop("2") == str(host.output("a"))
    lock = [fd for fd, path in fds.items() if path == str(host.directory / "locks" / "a.lock")]
    assert len(lock) == 1
    assert next(path for fd, path in fds.items() if fd not in lock).startswith("/proc/")
    assert len(fds) == 2  # the lock, and the directory that `ls` itself looks at


async def test_a_process_founds_a_session_and_a_group(host):
    code = "import os; print(os.getpid() == os.getsid(0) == os.getpgrp())"
    await ended(host, "a", PYTHON, "-c", code)
    assert host.output("a").read_text() == "True\n"


@pytest.fixture
def ignored():
    """Signals that whoever started this program had it ignore: before there is a driver."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in IGNORED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD)


async def test_signals_are_neither_blocked_nor_ignored_in_a_process(ignored, host):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        await ended(host, "a", "/bin/cat", "/proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    lines = [line.split(":\t") for line in host.output("a").read_text().splitlines()]
    # 32 and beyond are the C library's own, and whoever runs the tests may ignore them.
    expected = ("SigBlk", "SigIgn", "SigCgt")
    texts = {name: int(mask, 16) & 0x7FFFFFFF for name, mask in lines if name in expected}
    assert texts == {"SigBlk": 0, "SigIgn": 0, "SigCgt": 0}


async def test_an_exit_code_is_had_also_where_ended_children_were_to_be_ignored(ignored, host):
    assert await ended(host, "a", "/bin/sh", "-c", "exit 7") == ExitStatus(code=7)


async def test_environment_and_directory_are_those_of_the_command(host):
    env = {"PATH": os.environ["PATH"], "WORD": "höher"}
    await ended(
        host, "a", "/bin/sh", "-c", "pwd; echo $WORD; env | wc -l", env=env, cwd=host.directory
    )
    directory, word, _ = host.output("a").read_text().splitlines()
    assert (directory, word) == (str(host.directory.resolve()), "höher")


# --- failures name the step ----------------------------------------------------------------


async def test_a_missing_program(host):
    assert await host.failure("a", "/no/such/program") == ev.LaunchFailed(
        "program", "/no/such/program: No such file or directory"
    )


async def test_a_program_that_may_not_be_executed(host):
    path = host.file("script")
    path.write_text("#!/bin/sh\n")
    path.chmod(0o644)
    assert await host.failure("a", str(path)) == ev.LaunchFailed(
        "program", f"{path}: Permission denied"
    )


async def test_a_program_that_is_none(host):
    path = host.file("noise")
    path.write_bytes(b"\0\1\2\3")
    path.chmod(0o755)
    assert await host.failure("a", str(path)) == ev.LaunchFailed(
        "program", f"{path}: Exec format error"
    )


async def test_a_missing_working_directory(host):
    cwd = host.file("nowhere")
    assert await host.failure("a", "/bin/true", cwd=cwd) == ev.LaunchFailed(
        "working directory", f"{cwd}: No such file or directory"
    )


async def test_a_working_directory_that_is_a_file(host):
    cwd = host.file("file")
    cwd.touch()
    failure = await host.failure("a", "/bin/true", cwd=cwd)
    assert failure == ev.LaunchFailed("working directory", f"{cwd}: Not a directory")


async def test_an_output_file_that_cannot_be_made(host):
    host.file("file").touch()
    output = host.file("file") / "a.out"
    failure = await host.failure("a", "/bin/true", output=output)
    assert failure == ev.LaunchFailed("output file", f"{output} cannot be written: Not a directory")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_an_output_file_that_may_not_be_written(host):
    output = host.output("a")
    output.touch(mode=0o400)
    failure = await host.failure("a", "/bin/true")
    assert failure == ev.LaunchFailed(
        "output file", f"{output} cannot be written: Permission denied"
    )


async def test_an_output_file_that_is_a_directory(host):
    host.output("a").mkdir()
    failure = await host.failure("a", "/bin/true")
    assert (failure.step, "Is a directory" in failure.reason) == ("output file", True)


async def test_a_pipe_without_reader_in_the_place_of_the_output_file_hangs_nothing(host):
    os.mkfifo(host.output("a"))
    await ended(host, "a", "/bin/echo", "hello")
    assert host.output("a").read_text() == "hello\n"
    (aside,) = host.directory.glob("a.out.aside-*")
    assert aside.is_fifo()


async def test_a_nul_in_an_argument(host):
    failure = await host.failure("a", "/bin/echo", "a\0b")
    assert failure == ev.LaunchFailed("arguments", "embedded null byte")


async def test_a_missing_output_directory_is_made(host):
    output = host.file("deep") / "er" / "a.out"
    await ended(host, "a", "/bin/echo", "hello", output=output)
    assert output.read_text() == "hello\n"


async def test_a_failed_launch_leaves_nothing_behind_and_the_next_one_works(host):
    before = open_fds()
    for _ in range(20):
        await host.failure("a", "/no/such/program")
        await host.failure("b", "/bin/true", cwd=host.file("nowhere"))
    assert open_fds() - before == set()
    assert host.processes() == []
    assert await ended(host, "a", "/bin/true") == ExitStatus(code=0)


# --- many ----------------------------------------------------------------------------------


async def test_two_hundred_launches_at_once_and_no_descriptor_is_lost(host):
    await ended(host, "warm-up", "/bin/true")
    await host.next("warm-up", output=True)
    before = open_fds()
    names = [f"a{n}" for n in range(200)]
    for name in names:
        host.begin(name, "/bin/sleep", "100")
    assert all([isinstance(await host.next(name), Launched) for name in names])
    for name in names:
        host.driver.signal(name, StopStage.TERMINATE)
    assert {await host.next(name) for name in names} == {Exited(ExitStatus(signal=15))}
    for name in names:
        await host.next(name, output=True)
    assert open_fds() - before == set()
    assert host.processes() == []


async def test_a_signal_to_what_does_not_run_is_harmless(host):
    for step in StopStage:
        host.driver.signal("nobody", step)
    await ended(host, "a", "/bin/true")
    for step in StopStage:
        host.driver.signal("a", step)
    await asyncio.sleep(0.05)  # nothing is reported: only time shows it
    assert host.reports["nobody"].empty()
    while not host.reports["a"].empty():
        assert isinstance(host.reports["a"].get_nowait(), ev.LastOutput)


async def test_an_unforeseen_fault_is_a_failed_launch_not_a_silence(host, monkeypatch, caplog):
    monkeypatch.setattr("hostmanager.drivers.process.launch_queue.spawn", lambda *_, **__: 1 / 0)
    failure = await host.failure("a", "/bin/true")
    assert failure == ev.LaunchFailed("launcher", "ZeroDivisionError: division by zero")
    caplog.clear()


async def test_a_driver_that_was_closed_launches_nothing_any_more(host):
    host.driver.close()
    host.commands["a"] = host.command("a", sys.executable)
    with pytest.raises(RuntimeError):
        host.driver.launch(InstanceSpec("a", "Any"), host.reports["a"].put_nowait)
    await until(lambda: host.processes() == [], "nothing was launched")


async def test_no_memory_for_a_launch_is_reported_with_a_remedy(host, monkeypatch):
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("hostmanager.drivers.process.launch_queue.spawn", no_memory)
    failed = await host.failure("a", "/bin/sleep", "1000")
    assert failed.step == "process"
    assert "not enough memory" in failed.reason
    assert "ulimit -v" in failed.reason


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
async def test_without_descriptors_nothing_is_launched_beside_who_holds_the_lock(
    host, number, monkeypatch
):
    pid = await host.launch("a", "/bin/sleep", "100")
    acquire = locks.acquire

    def acquire_without_resources(_):
        monkeypatch.setattr(locks, "acquire", acquire)  # a moment later, there are some again
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks, "acquire", acquire_without_resources)
    failed = await host.failure("a", "/bin/sleep", "100")
    assert failed.step == "lock"
    assert os.strerror(number) in failed.reason
    assert len(host.processes()) == 1
    os.kill(pid, signal.SIGKILL)
    assert await host.next("a") == Exited(KILLED)


async def test_a_launch_that_is_kept_back_reports_nothing_before_its_turn_and_can_be_cancelled(
    host,
):
    host.gate.close(1)
    first = await host.launch("a", "/bin/sleep", "1000")
    host.begin("b", "/bin/sleep", "1000")
    host.begin("c", "/bin/sleep", "1000")
    assert host.reports["b"].empty()
    host.driver.signal("c", StopStage.INTERRUPT)
    assert isinstance(host.reports["c"].get_nowait(), ev.LaunchFailed)
    host.gate.open()
    started = await host.reports["b"].get()
    assert started.launching
    second = await host.next("b")
    assert second.pid != first
    for name in ("a", "b"):
        host.driver.signal(name, 3)
        await host.next(name)
    assert host.reports["c"].empty()
