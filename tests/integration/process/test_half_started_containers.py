"""Shims of containers: real processes that look like one."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from hostmanager.drivers.compose.host_processes import has_no_process

ID = "0123456789abcdef" * 4
SHIM = ["containerd-shim-runc-v2", "-namespace", "moby", "-id"]
ALONE = "echo ready; read it"
WITH_CHILD = "sleep 1000 & echo ready; read it"


@pytest.fixture
def shim() -> Iterator[Callable[[str, str], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(container_id: str, code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [SHIM[0], "-c", code, *SHIM[1:], container_id],
            executable="/bin/sh",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_shim_without_a_child_leaves_nothing_to_be_doubted(shim):
    shim(ID, ALONE)
    assert has_no_process(ID)


def test_a_shim_with_a_child_is_a_container_that_runs(shim):
    shim(ID, WITH_CHILD)
    assert not has_no_process(ID)


def test_without_a_shim_nothing_is_certain(shim):
    shim("f" * 64, ALONE)
    assert not has_no_process(ID)


def test_one_of_two_shims_with_a_child_is_enough(shim):
    shim(ID, ALONE)
    shim(ID, WITH_CHILD)
    assert not has_no_process(ID)


def test_a_shim_that_has_ended_says_nothing(shim):
    process = shim(ID, ALONE)
    process.kill()
    process.wait()
    assert not has_no_process(ID)
