"""What a run cost is told with its end: its CPU time, and that of the children it waited for."""

import os
import subprocess
import sys

from hostmanager.util import procfs as proc
from tests.integration.process.conftest import PYTHON

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
IN_A_CHILD = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', sys.argv[1]])\n"


async def cost(host, *argv: str) -> float:
    await host.launch("a", PYTHON, "-c", *argv)
    end = await host.next("a")
    assert end.cpu is not None
    return end.cpu


async def test_a_run_costs_what_it_computed(host):
    assert 0.29 <= await cost(host, BURN) < 5.0


async def test_what_its_children_computed_counts(host):
    assert 0.29 <= await cost(host, IN_A_CHILD, BURN) < 5.0


async def test_one_that_waits_costs_next_to_nothing(host):
    assert await cost(host, "import time; time.sleep(0.5)") < 0.29


async def test_it_is_told_with_what_it_leaves_behind(host):
    left = "import subprocess\nsubprocess.Popen(['/bin/sleep', '1000'])\n"
    assert 0.29 <= await cost(host, left + BURN) < 5.0
    host.driver.signal("a", 3)
    await host.next("a")


def test_a_zombie_tells_it_whoever_its_parent_is_until_somebody_has_waited_for_it():
    process = subprocess.Popen([sys.executable, "-c", BURN])
    pidfd = os.pidfd_open(process.pid)
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        reported = proc.cpu_seconds(process.pid, pidfd)
        assert reported is not None and 0.29 <= reported < 5.0
        process.wait()
        assert proc.cpu_seconds(process.pid, pidfd) is None
    finally:
        os.close(pidfd)
