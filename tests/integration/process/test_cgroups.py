"""Cgroups of agents, in a real hierarchy of version 2: what there is without its controllers.

No machine of CI has the memory or cpu controller there: what is written for them, and what an OOM
kill looks like, is in tests/unit/drivers, on directories that look like cgroups.
"""

import asyncio
import os
import signal
import threading
from dataclasses import replace

import psutil
import pytest

from hostmanager.core.events import (
    Exited,
    ExitedWithRemnants,
    Launched,
    RemnantsGone,
    StatusChanged,
    StopStage,
)
from hostmanager.core.model import InstanceSettings, InstanceSpec
from hostmanager.drivers.process import ProcessDriver, find_cgroups
from hostmanager.drivers.process.limits.cgroups import AgentCgroups
from hostmanager.util import cgroup
from hostmanager.util.cgroup import MANAGER_SUBGROUP
from tests.integration.process.conftest import LOCK_TIMEOUT, PYTHON, until
from tests.support.cgroups import make_delegated
from tests.support.processes import alive

# A daemon that nothing tells of: a session of its own, no environment, limits or open files of ours.
ESCAPES = """
import os, resource, signal, sys, time
if os.fork() == 0:
    os.setsid()
    resource.prlimit(0, resource.RLIMIT_MSGQUEUE, (1, 1))
    os.closerange(3, 64)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(1000)"
    os.execve(sys.executable, [sys.executable, "-c", script], {})
print("ready", flush=True)
time.sleep(1000)
"""


delegated = pytest.fixture(make_delegated)


@pytest.fixture
async def grouped(host, delegated, tmp_path):
    """The host, with a driver whose manager is where systemd would have started it."""
    mount = await asyncio.to_thread(cgroup.mount_point)
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "mountinfo").symlink_to("/proc/self/mountinfo")
    place = f"/{delegated.relative_to(mount[0])}/{MANAGER_SUBGROUP}"
    (proc / "cgroup").write_text(f"0::{place}\n")
    cgroups = await asyncio.to_thread(find_cgroups, host.owner.identity.values[0], proc)
    assert (cgroups.directory, cgroups.obstacle) == (delegated, "")
    host.owner = replace(host.owner, cgroups=cgroups)
    host.driver.close()
    host.driver = renewed(host)
    return host


def renewed(host) -> ProcessDriver:
    """The driver of the next manager."""
    loop = asyncio.get_running_loop()
    return ProcessDriver(loop, lambda spec: host.commands[spec.instance_id], host.owner)


async def members(host, instance_id: str) -> list[int]:
    """The processes in its cgroup."""
    return await asyncio.to_thread(host.owner.cgroups.processes, instance_id)


async def escaped(host) -> tuple[int, int]:
    """Launch an agent with a daemon: the pids of both."""
    pid = await host.launch("a/1", PYTHON, "-c", ESCAPES)
    await until(lambda: host.has_said("a/1", "ready"), "ready")
    [daemon] = set(await members(host, "a/1")) - {pid}
    await until(lambda: psutil.Process(daemon).environ() == {}, "a daemon without environment")
    return pid, daemon


async def test_what_escaped_from_everything_else_is_found_and_killed_in_the_cgroup(grouped):
    pid, daemon = await escaped(grouped)
    os.kill(pid, signal.SIGKILL)
    end = await grouped.next("a/1")
    assert isinstance(end, ExitedWithRemnants)
    assert end.status.detail == "not from the manager; perhaps out of memory"
    grouped.driver.signal("a/1", StopStage.KILL)
    assert await grouped.next("a/1") == RemnantsGone()
    assert not alive(daemon)
    assert not list(grouped.owner.cgroups.directory.glob("agent-*"))


async def test_the_next_manager_finds_what_only_the_cgroup_tells_of(grouped):
    pid, daemon = await escaped(grouped)
    grouped.driver.close()
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(os.waitpid, pid, 0)
    await asyncio.to_thread(grouped.owner.cgroups.enter, "empty", [])
    grouped.driver = renewed(grouped)
    observed = await asyncio.to_thread(grouped.driver.discover)
    assert observed["a/1"].other_pids == (daemon,)
    assert [path.name for path in grouped.owner.cgroups.directory.glob("agent-*empty")] == []
    spec = InstanceSpec("a/1", "Any")
    grouped.driver.adopt(spec, observed["a/1"], grouped.reports["a/1"].put_nowait)
    await grouped.next("a/1")
    end = await grouped.next("a/1")
    assert isinstance(end, ExitedWithRemnants)
    grouped.driver.signal("a/1", StopStage.KILL)
    assert await grouped.next("a/1") == RemnantsGone()


async def test_an_adopted_agent_gets_a_cgroup_and_what_cannot_be_had_is_named(grouped):
    grouped.commands["a"] = grouped.command("a", "sleep", "1000")
    plain = replace(grouped.owner, cgroups=type(grouped.owner.cgroups)())
    before = ProcessDriver(
        asyncio.get_running_loop(), lambda spec: grouped.commands[spec.instance_id], plain
    )
    settings = InstanceSettings(memory_max=1 << 30, nice=3)
    reports = grouped.reports["a"]
    before.launch(InstanceSpec("a", "Any", settings=settings), reports.put_nowait)
    launched = await grouped.next("a")
    told = await grouped.next("a")
    assert told.notice.startswith("'memory-max' is not applied: no cgroup is delegated")
    before.close()
    observed = (await asyncio.to_thread(grouped.driver.discover))["a"]
    settings = replace(settings, nice=5)
    grouped.driver.adopt(InstanceSpec("a", "Any", settings=settings), observed, reports.put_nowait)
    assert isinstance(await grouped.next("a"), Launched)
    if "memory" not in await asyncio.to_thread(cgroup.controllers, grouped.owner.cgroups.directory):
        assert "has no memory controller" in (await grouped.next("a")).notice
    assert await members(grouped, "a") == [launched.pid]
    assert psutil.Process(launched.pid).nice() == 5
    grouped.driver.update_spec(InstanceSpec("a", "Any", settings=InstanceSettings()))
    assert await grouped.next("a") == StatusChanged()
    assert psutil.Process(launched.pid).nice() == 0
    grouped.driver.signal("a", StopStage.KILL)
    assert isinstance(await grouped.next("a"), Exited)


async def test_a_kill_for_which_no_thread_was_free_does_not_meet_the_next_run(host):
    scanned, killing, free = threading.Event(), threading.Event(), threading.Event()
    killed: list[str] = []

    class Cgroups(AgentCgroups):
        def remove(self, instance_id: str) -> None:
            scanned.set()
            assert killing.wait(LOCK_TIMEOUT)

        def kill(self, instance_id: str) -> None:
            killed.append(instance_id)
            assert free.wait(LOCK_TIMEOUT)

    host.owner = replace(host.owner, cgroups=Cgroups())
    host.driver.close()
    host.driver = renewed(host)
    pids = {n: await host.launch(n, "sleep", "1000") for n in ("a", "b", "c")}
    os.kill(pids["a"], signal.SIGKILL)
    await until(scanned.is_set, "nothing is left of it")
    for name in ("b", "c", "a"):  # the one thread is busy with b, the other one will be with c
        host.driver.signal(name, StopStage.KILL)
    killing.set()
    assert isinstance(await host.next("a"), Exited)
    free.set()
    for name in ("b", "c"):
        assert isinstance(await host.next(name), Exited)
    assert sorted(killed) == ["b", "c"]
