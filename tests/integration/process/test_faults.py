"""Whatever raises in the process driver, on the loop or in a thread: each end is told of.

The faults are those of a host that is at its limits, and any other: what raises is put in the
place of the real call, once or some times.
"""

import asyncio
import os

import pytest

from hostmanager.core import events as ev
from hostmanager.core.events import ExitStatus, StopStage
from hostmanager.core.model import InstanceSpec
from hostmanager.drivers.process import driver as driving
from hostmanager.drivers.process import launch_queue
from hostmanager.drivers.process import spawn as spawning
from hostmanager.drivers.process.ownership.descendants import Descendants
from tests.integration.process.conftest import Host, until


class Fault(Exception):  # noqa: N818
    """What nobody expects."""


def failing(call, times=3, error=Fault):
    """Make a call that fails so many times, and then does as ever."""
    left = [times]

    def called(*args, **more):
        if left[0]:
            left[0] -= 1
            raise error
        return call(*args, **more)

    return called


@pytest.fixture(autouse=True)
def logged(caplog):
    """The log of each fault is as wanted here; `host` looks at what is left of it."""
    yield
    caplog.clear()


@pytest.mark.parametrize("error", [Fault, OSError, MemoryError])
async def test_an_end_is_reported_although_it_could_not_be_watched_at_first(
    host: Host, error, caplog
):
    host.loop.calls["add_reader"] = failing(host.loop.add_reader, error=error)
    await host.launch("a", "/bin/sh", "-c", "exit 7")
    assert await host.next("a") == ev.Exited(ExitStatus(code=7))
    caplog.clear()


@pytest.mark.parametrize("error", [Fault, OSError, MemoryError])
async def test_an_end_is_reported_although_it_could_not_be_looked_into(
    host: Host, monkeypatch, error, caplog
):
    monkeypatch.setattr(os, "waitid", failing(os.waitid, error=error))
    await host.launch("a", "/bin/sh", "-c", "exit 7")
    assert await host.next("a") == ev.Exited(ExitStatus(code=7))
    caplog.clear()


@pytest.mark.parametrize("error", [Fault, OSError, MemoryError])
async def test_an_end_is_reported_although_its_remnants_could_not_be_seen(
    host: Host, monkeypatch, error, caplog
):
    monkeypatch.setattr(Descendants, "open_all", failing(Descendants.open_all, error=error))
    await host.launch("a", "/bin/sh", "-c", "sleep 600 & exit 7")
    left = await host.next("a")
    assert isinstance(left, ev.ExitedWithRemnants)
    assert left.status == ExitStatus(code=7)
    host.driver.signal("a", StopStage.KILL)
    assert await host.next("a") == ev.RemnantsGone()
    caplog.clear()


async def test_remnants_are_ended_although_they_could_not_be_watched_at_first(host: Host, caplog):
    await host.launch("a", "/bin/sh", "-c", "sleep 600 & read x < /dev/null; exit 7")
    host.loop.calls["add_reader"] = failing(host.loop.add_reader, 2)
    while not isinstance(await host.next("a"), ev.ExitedWithRemnants):
        pass
    host.driver.signal("a", StopStage.KILL)
    assert await host.next("a") == ev.RemnantsGone()
    caplog.clear()


async def test_an_end_is_reported_although_its_output_cannot_be_read(
    host: Host, monkeypatch, caplog
):
    monkeypatch.setattr(host.sink, "last_lines", failing(None, 1))
    await host.launch("a", "/bin/sh", "-c", "echo hi; exit 7")
    assert await host.next("a") == ev.Exited(ExitStatus(code=7))
    assert await host.next("a", output=True) == ev.LastOutput(())
    caplog.clear()


async def test_a_thread_whose_begin_fails_launches_all_the_same(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(launch_queue, "inherit_manager_priority", failing(None, 1000))
    host = Host(tmp_path)
    try:
        await host.launch("a", "/bin/sh", "-c", "exit 7")
        assert await host.next("a") == ev.Exited(ExitStatus(code=7))
    finally:
        host.driver.close()
    caplog.clear()


async def test_what_is_taken_over_again_after_a_fault_is_the_same_process(
    host: Host, monkeypatch, caplog
):
    pid = await host.launch("a", "/bin/sleep", "600")
    heir = Host(host.directory, host.owner)
    run = (await asyncio.to_thread(heir.driver.discover))["a"]
    assert run.pid == pid
    heir.commands["a"] = heir.command("a", "/bin/true")
    monkeypatch.setattr(driving.rlimit_tag, "read", failing(lambda _pid: None, 1))
    spec, report = InstanceSpec("a", "Any"), heir.reports["a"].put_nowait
    with pytest.raises(Fault):
        heir.driver.adopt(spec, run, report)
    heir.driver.adopt(spec, run, report)
    assert await heir.next("a") == ev.Launched(pid, run)
    heir.driver.signal("a", StopStage.KILL)
    ended = await heir.next("a")
    assert isinstance(ended, ev.Exited | ev.ExitedWithRemnants)
    heir.driver.close()
    await host.next("a")
    caplog.clear()


async def test_an_instance_can_be_let_go_of_although_its_pipe_cannot(
    host: Host, monkeypatch, caplog
):
    gone = []
    monkeypatch.setattr(host.sink, "remove", failing(gone.append))
    host.driver.release("a")
    await until(lambda: gone == ["a"], "it is tried again")
    caplog.clear()


async def test_a_launch_that_fails_in_a_way_nobody_foresaw_is_a_failed_launch(
    host: Host, monkeypatch, caplog
):
    monkeypatch.setattr(spawning.process_limits, "apply_limits", failing(None, 1))
    failure = await host.failure("a", "/bin/true")
    assert failure == ev.LaunchFailed("launcher", "Fault: ")
    caplog.clear()
