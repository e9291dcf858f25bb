"""The compose command: found, run with limits, ended with all that it started."""

import asyncio
import os
import time
from pathlib import Path

import psutil
import pytest

from hostmanager.composefile import command
from hostmanager.composefile.command import (
    CompletedCommand,
    Compose,
    ComposeError,
    execute,
    find_compose,
)
from tests.support.waiting import wait_for


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def test_the_plugin_goes_before_the_stand_alone_binary(environ, tmp_path):
    script(tmp_path / "docker", 'test "$1" = compose && echo 2.26.1')
    script(tmp_path / "docker-compose", "echo 1.29.2")
    compose = await find_compose(None, {**environ, "PATH": str(tmp_path)}, tmp_path)
    assert compose.argv == (str(tmp_path / "docker"), "compose")
    assert compose.version == (2, 26, 1)
    assert not compose.is_v1


async def test_without_the_plugin_the_stand_alone_binary_is_used(environ, tmp_path):
    script(tmp_path / "docker", "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1")
    script(tmp_path / "docker-compose", "echo docker-compose version 1.29.2, build unknown")
    compose = await find_compose(None, {**environ, "PATH": str(tmp_path)}, tmp_path)
    assert compose.argv == (str(tmp_path / "docker-compose"),)
    assert compose.is_v1
    assert str(compose).endswith("docker-compose 1.29.2")


async def test_nothing_at_all_says_what_to_install(environ, tmp_path):
    with pytest.raises(ComposeError, match=r"No compose command was found\. Install"):
        await find_compose(None, {**environ, "PATH": str(tmp_path)}, tmp_path)


async def test_what_was_tried_and_did_not_answer_is_reported(environ, tmp_path):
    script(tmp_path / "docker", "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1")
    with pytest.raises(ComposeError, match=r"docker compose: .*is not a docker command"):
        await find_compose(None, {**environ, "PATH": str(tmp_path)}, tmp_path)


async def test_a_named_binary_that_does_not_work_is_named(environ, tmp_path):
    broken = script(tmp_path / "mine", "echo cannot open shared object file >&2; exit 127")
    with pytest.raises(ComposeError, match=r"--docker-compose-bin.*mine: cannot open shared"):
        await find_compose(broken, environ, tmp_path)
    broken.write_bytes(b"\x7fELF nonsense")
    with pytest.raises(ComposeError, match=r"--docker-compose-bin.*mine: .*cannot be executed"):
        await find_compose(broken, environ, tmp_path)


async def test_a_named_docker_means_its_plugin(environ, tmp_path):
    docker = script(tmp_path / "docker", 'test "$1" = compose && echo v2.30.0-desktop.1')
    compose = await find_compose(docker, environ, tmp_path)
    assert compose.argv == (str(docker), "compose")
    assert compose.version == (2, 30, 0)


async def test_every_real_one_is_found(compose):
    assert compose.version >= (1, 20)


async def test_too_long_is_stopped_and_reported(tmp_path):
    slow = script(tmp_path / "slow", "exec sleep 1000")
    with pytest.raises(ComposeError, match=r"`slow pull a` did not finish within 0\.2 s"):
        await execute((str(slow), "--ansi", "pull", "a"), dict(os.environ), tmp_path, 0.2)


async def test_cancelled_nothing_of_it_is_left(tmp_path):
    text = "trap '' INT; sleep 1000 & echo $! > child; echo $$ > self; wait; wait"
    stubborn = script(tmp_path / "stubborn", text)
    task = asyncio.ensure_future(execute((str(stubborn),), dict(os.environ), tmp_path, None))
    pids = await asyncio.to_thread(
        wait_for, lambda: [int((tmp_path / n).read_text()) for n in ("child", "self")]
    )
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for pid in pids:
        await asyncio.to_thread(wait_for, lambda p=pid: not alive(p), 30, f"{pid} to be gone")


@pytest.mark.parametrize("after", [0.0, 0.001, 0.003, 0.01, 0.03])
async def test_cancelled_while_it_is_started_nothing_of_it_is_left(tmp_path, after):
    forks = script(tmp_path / "forks", f"sleep 1000{os.getpid()} & sleep 1000{os.getpid()}")
    task = asyncio.ensure_future(execute((str(forks),), dict(os.environ), tmp_path, None))
    await asyncio.sleep(after)  # the moment is the point
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    left = lambda: [p.pid for p in psutil.process_iter() if f"1000{os.getpid()}" in words(p)]  # noqa: E731
    await asyncio.to_thread(wait_for, lambda: left() == [], 30, "nothing to be left", left)


def words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return "Z" not in text.rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


async def test_only_a_few_run_at_a_time(environ, tmp_path):
    text = "echo x >> begun; while [ ! -e go ]; do sleep 0.05; done; echo 2.0.0"
    compose = Compose((str(script(tmp_path / "one", text)),), (2,), environ, tmp_path)
    work = [asyncio.ensure_future(compose.run("config")) for _ in range(9)]
    started = tmp_path / "begun"
    await asyncio.to_thread(wait_for, lambda: len(started.read_text().splitlines()) == 4, 20)
    await asyncio.sleep(0.3)  # no fifth begins: only time shows it
    assert len(started.read_text().splitlines()) == 4
    (tmp_path / "go").touch()
    await asyncio.gather(*work)
    assert len(started.read_text().splitlines()) == 9


async def test_those_that_wait_for_a_network_hold_up_no_other(environ, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "SLOT_TIMEOUT", 0.1)
    text = 'test "$1" = hang && exec sleep 1000; echo there'
    compose = Compose((str(script(tmp_path / "one", text)),), (2,), environ, tmp_path)
    hanging = [asyncio.ensure_future(compose.run("hang")) for _ in range(9)]
    assert (await asyncio.wait_for(compose.run("config"), 60)).stdout == "there\n"
    assert not any(task.done() for task in hanging)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert all(task.cancelled() for task in hanging)


async def test_megabytes_of_messages_do_not_stop_it(environ, tmp_path):
    text = "yes progress | head -c 9000000 >&2; echo the reason >&2; exit 3"
    compose = Compose((str(script(tmp_path / "loud", text)),), (2,), environ, tmp_path)
    started = time.monotonic()
    result = await compose.run("pull")
    assert (result.exit_code, result.reason) == (3, "the reason")
    assert len(result.stderr) <= 64 * 1024
    assert time.monotonic() - started < 60


async def test_colours_and_broken_bytes_are_made_readable(environ, tmp_path):
    text = r"printf '\033[31mred\033[0m \377 words\r\n' >&2; exit 1"
    compose = Compose((str(script(tmp_path / "red", text)),), (2,), environ, tmp_path)
    assert (await compose.run("up")).reason == "red \ufffd words"


@pytest.mark.parametrize(
    ("err", "reason"),
    [
        ("", "it exited with code 1 and no message"),
        (" a Pulling \n a Error \nError response from daemon: no such image\n", "no such image"),
        ("ERROR: for ocs-a  Cannot start service: no such file\nEncountered errors.\n", "no such"),
        ('reason\ntime="x" level=warning msg="The TAG variable is not set"\n', "reason"),
        ('time="x" level=warning msg="only this"\n', "only this"),
    ],
)
def test_the_reason_of_a_failure_is_its_last_informative_line(err, reason):
    assert reason in CompletedCommand(1, "", err).reason


def test_a_complaint_is_one_line_of_bearable_length():
    complaint = CompletedCommand(1, "", "first\n" + "word " * 500).error_summary
    assert complaint.startswith("first word")
    assert len(complaint) == 400
    assert complaint.endswith("…")
