"""A manager whose output nobody takes keeps supervising, and answers."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.integration.conftest import SHORT
from tests.integration.router.steps import send, wait_ready
from tests.support.clients import client
from tests.support.managers import Manager
from tests.support.sites import instance
from tests.support.waiting import wait_for


def pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    return reader, writer


def sockets() -> tuple[int, int]:
    """What systemd gives a service as its output."""
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


@pytest.fixture(params=[pipe, sockets])
def nobody_reads(request) -> Iterator[tuple[int, int]]:
    """An output that nobody reads, full already."""
    reader, writer = request.param()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_a_manager_whose_output_nobody_reads_goes_on(site, nobody_reads):
    _, writer = nobody_reads
    site.write(instance("a"))
    loud = {"LOGLEVEL": "debug"}
    manager = Manager(site, SHORT, output=writer, surroundings=loud)
    try:
        manager.wait_ready(60)
        hm = client(site)
        before = wait_ready(site, "a")
        send(before["a"], signal.SIGKILL)
        wait_for(lambda: wait_ready(site, "a")["a"] != before["a"], 60, "a relaunch")
        for _ in range(20):  # each is said, and logged
            assert hm.update(requests=[("a", "up")]).session["success"]
        assert manager.stop() == 0
    finally:
        manager.stop()


def test_what_was_written_meanwhile_comes_when_somebody_reads(site, nobody_reads):
    reader, writer = nobody_reads
    site.write(instance("a"))
    manager = Manager(site, SHORT, output=writer)
    try:
        manager.wait_ready(60)
        wait_ready(site, "a")
        os.set_blocking(reader, False)
        received = bytearray()

        def read_on() -> bool:
            with suppress(BlockingIOError):
                received.extend(os.read(reader, 65536))
            return b"a: up (pid" in received

        wait_for(read_on, 60, "the log")
    finally:
        manager.stop()
