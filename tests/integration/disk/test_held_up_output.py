"""Output on a full disk: the manager says so, and when it is over."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults import disks
from tests.integration.logd.conftest import LogEnvironment

from hostmanager.drivers.process.output import held_up, log_daemon_sink
from hostmanager.drivers.process.output.held_up import HeldUpOutput
from hostmanager.drivers.process.output.log_daemon_sink import LogDaemonSink
from hostmanager.logd.client import LogDaemonClient


@pytest.fixture
def env(tmp_path, monkeypatch) -> Iterator[LogEnvironment]:
    monkeypatch.setattr(log_daemon_sink, "UNREAD_INTERVAL", 0.1)
    monkeypatch.setattr(held_up, "HELD_UP_AFTER", 0.3)
    environment = LogEnvironment(tmp_path)
    yield environment
    environment.close()


async def wait_on_loop(predicate: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not predicate():  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("gone", [False, True], ids=["", "of an instance that is gone"])
def test_output_that_a_full_disk_does_not_take_is_reported_until_it_does(env, monkeypatch, gone):
    files = env.directory / "disk"
    if not disks.mount(files, "64k"):
        pytest.skip("whoever runs the tests may not mount a file system")
    env.client, env.files = LogDaemonClient(env.state, files), files
    messages: list[tuple[str, bool]] = []
    looks: list[None] = []
    filler, advertise = files / "filler", env.client.advertise_unread
    monkeypatch.setattr(env.client, "advertise_unread", lambda: looks.append(advertise()))
    fault = (
        f"The output of a cannot be written into {files}: its disk is full. Until it can be, "
        "all but the latest kilobytes are lost."
    )

    async def fill_and_make_room(pipe: int) -> None:
        sink = LogDaemonSink(
            asyncio.get_running_loop(),
            env.client,
            files,
            lambda text: messages.append((text, filler.exists())),
        )
        sink.start()
        os.write(pipe, b"one\n")
        await wait_on_loop(lambda: sink.faults(lambda _: True) == [fault])
        if gone:
            sink.remove("a")
            seen = len(looks)
            await wait_on_loop(lambda: len(looks) > seen + 2)
        filler.unlink()
        await wait_on_loop(lambda: not sink.faults(lambda _: True))
        sink.close(end=True)

    try:
        disks.fill(filler)
        pipe = env.client.open_pipe("a")
        asyncio.run(fill_and_make_room(pipe))
        os.close(pipe)
        assert messages == [
            (fault, True),
            (f"Output is written into {files} again.", False),
        ]
        assert Path(files / "a.out").read_bytes() == b"one\n"
    finally:
        disks.unmount(files)


def test_output_that_waits_while_its_file_grows_is_not_held_up(env, monkeypatch):
    monkeypatch.setattr(held_up, "HELD_UP_AFTER", 0.0)
    output = HeldUpOutput(env.client, env.files)  # without a log daemon: the test is it
    env.files.mkdir()
    pipe = env.client.open_pipe("a")
    os.write(pipe, b"one\n")
    assert output.fault() == ""
    (env.files / "a.out").write_bytes(b"one\n")
    assert output.fault() == ""
    assert f"The output of a cannot be written into {env.files}: scribe.log" in output.fault()
    env.client.remove("a")
    os.close(pipe)


def test_a_disk_that_hangs_is_reported_meanwhile(env, monkeypatch):
    monkeypatch.setattr(held_up, "HANGS_AFTER", 0.0)
    output, seen = HeldUpOutput(env.client, env.files), []
    monkeypatch.setattr(env.client, "instances", lambda: seen.append(output.hang()) or [])
    assert output.hang() == output.fault() == output.hang() == ""
    assert seen == [f"The disk of {env.files}, for the output of agents, does not respond."]
