"""Agents that die at once, again and again: what each new launch costs the manager.

Counted is the CPU time of the manager itself, without that of the agents, above what it has when it
is idle. How often it tries is its own decision: see the row of that.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from tests.support.waiting import wait_for

from bench.experiment import Experiment
from bench.harness import WAIT_TIMEOUT, Harness, Run, agents, ids
from bench.model import Goal, Row, Samples

AGENTS = 10


def restart_loop(harness: Harness, kind: str, samples: Samples) -> None:
    """Have ten agents told up that end at once with an error; the reference waits 21 s between."""
    idle, window = (5, 30) if harness.quick else (20, 90)
    entries = agents(AGENTS, "--behave", "exit-at-once", "--code", 1, manage="host/down")
    with harness.running(kind, entries) as run:
        run.wait_states(dict.fromkeys(ids(entries), "down"))
        time.sleep(3)
        harness.step(f"idle, {idle} s")
        idle_rate = _cpu_over(run, idle) / idle
        run.update("all", "up")
        wait_for(lambda: all(_launches(run)), WAIT_TIMEOUT, "the first launches")
        harness.step(f"restarts, {window} s")
        before = sum(_launches(run))
        used = _cpu_over(run, window)
        count = sum(_launches(run)) - before
    assert count, "none was launched again"
    samples["restart_loop_cpu"] = [(used - idle_rate * window) / count]
    samples["restart_loop_rate"] = [60 * count / window / AGENTS]


def _launches(run: Run) -> list[int]:
    return [len(run.site.launches(f"a{number}")) for number in range(AGENTS)]


def _cpu_over(run: Run, seconds: float) -> float:
    before = _own_cpu(run)
    time.sleep(seconds)
    return _own_cpu(run) - before


def _own_cpu(run: Run) -> float:
    """CPU seconds of the manager and its helpers, without children that they waited for."""
    total = 0
    for pid in run.manager_pids():
        with suppress(FileNotFoundError, ProcessLookupError):  # a helper has ended just now
            text = Path(f"/proc/{pid}/stat").read_text()
            total += sum(map(int, text.rpartition(")")[2].split()[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


EXPERIMENTS = (
    Experiment(
        "restart_loop",
        (
            Row(
                "restart_loop_cpu",
                "10 agents die at once: CPU of the manager for each launch",
                Goal(of_reference=1.0),
            ),
            Row("restart_loop_rate", "… launches of each", unit="/min"),
        ),
        restart_loop,
    ),
)
