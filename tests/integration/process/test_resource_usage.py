"""What instances use, as it is read from /proc, beside what psutil reads of the same processes."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from hostmanager.agent.monitoring.resource_usage import KEPT_SAMPLES, ResourceSampler, UsageReader
from tests.support.waiting import wait_for
from tests.unit.core.fakes import World, spec

CHILD = "import time; held = bytearray(30_000_000); held[::4096] = b'x' * len(held[::4096]); "
PARENT = f"""
import subprocess, sys, threading, time
child = subprocess.Popen([sys.executable, "-c", {CHILD + "print('held', flush=True); time.sleep(600)"!r}])
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
files = [open("/dev/null") for _ in range(10)]
end = time.process_time() + 0.3
while time.process_time() < end:
    pass
time.sleep(600)
"""


@pytest.fixture
def family():
    """A process that leads a session, has a child, a thread, files, and has used the CPU."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    wait_for(lambda: sum(psutil.Process(process.pid).cpu_times()[:2]) >= 0.3, 60, "its CPU time")
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    process.stdout.close()


def test_all_processes_of_an_instance_are_counted_as_psutil_counts_them(family):
    usage = UsageReader().measure({"a": family.pid}, 5.0)["a"]
    parent = psutil.Process(family.pid)
    both = [parent, *parent.children(recursive=True)]
    assert (usage.time, usage.processes, usage.cpu) == (5.0, 2, None)
    assert usage.memory == pytest.approx(sum(p.memory_info().rss for p in both), rel=0.1)
    assert usage.memory > 30_000_000
    assert usage.memory_peak >= usage.memory * 0.9
    assert usage.threads == sum(p.num_threads() for p in both) == 3
    assert usage.open_files == sum(p.num_fds() for p in both)
    assert usage.cpu_seconds == pytest.approx(sum(sum(p.cpu_times()[:2]) for p in both), abs=0.2)
    assert usage.written_bytes == sum(p.io_counters().write_bytes for p in both)


def test_a_process_that_leaves_the_session_is_still_its_own_and_so_is_the_most_memory_it_had():
    script = """
import os, sys, time
sys.stdin.readline()
if os.fork() == 0:
    os.setsid()
    held = b"x" * 50_000_000
    del held
time.sleep(600)
"""
    reader = UsageReader()
    with subprocess.Popen(
        [sys.executable, "-c", script], start_new_session=True, stdin=subprocess.PIPE
    ) as process:
        try:
            before = reader.measure({"a": process.pid}, 0.0)["a"]
            assert before.processes == 1
            process.stdin.write(b"\n")
            process.stdin.flush()

            def both() -> bool:
                usage = reader.measure({"a": process.pid}, 0.0)["a"]
                return usage.processes == 2 and usage.memory_peak - before.memory_peak > 40_000_000

            wait_for(both, 60, "both, and what the second one had in memory")
        finally:
            for child in psutil.Process(process.pid).children():
                child.kill()
            process.kill()


def test_what_is_gone_is_not_measured():
    process = subprocess.Popen(["true"])
    process.wait(60)
    assert UsageReader().measure({"a": process.pid}, 0.0) == {}


async def test_the_cpu_of_an_interval_is_kept_for_an_hour_and_forgotten_with_the_instance(family):
    world = World()
    world.supervisor.add(spec("a"))
    world.supervisor.snapshot.put("a", _with_pid(world, family.pid))
    sampler = ResourceSampler(world.snapshot, world.clock, world.supervisor.guard)
    assert sampler.usage("a") is None
    await sampler.measure_now()
    assert sampler.usage("a").cpu is None
    world.clock.wall += 10.0
    await sampler.measure_now()
    first, second = sampler.samples(["a", "nobody"])["a"]
    assert first[1] == -1.0
    assert 0.0 <= second[1] < 1.0
    assert second[0] - first[0] == pytest.approx(10.0)
    for _ in range(KEPT_SAMPLES):
        await sampler.measure_now()
    assert len(sampler.samples(["a"])["a"]) == KEPT_SAMPLES
    world.supervisor.snapshot.put("a", None)
    await sampler.measure_now()
    assert sampler.samples(["a"]) == {}


async def test_another_run_has_not_used_what_the_one_before_did(family):
    world = World()
    world.supervisor.add(spec("a"))
    sampler = ResourceSampler(world.snapshot, world.clock, world.supervisor.guard)
    world.supervisor.snapshot.put("a", _with_pid(world, family.pid))
    await sampler.measure_now()
    assert sampler.usage("a") is not None
    world.supervisor.snapshot.put("a", _with_pid(world, family.pid + 1))
    assert sampler.usage("a") is None


def _with_pid(world: World, pid: int):
    record = world.snapshot["a"]
    return replace(record, run=replace(record.run, pid=pid))
