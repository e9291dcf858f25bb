"""An agent dies of SIGKILL, for the first time: until it is back, and until it is shown."""

import os
import signal
import time
from typing import Any

from bench.experiment import Experiment
from bench.harness import Harness, Run, agents, ids
from bench.model import Goal, Row, Samples
from bench.process_watch import ProcessWatch


def relaunched(harness: Harness, kind: str, samples: Samples) -> None:
    """Kill a fresh instance for each sample: only the first crash is relaunched at once."""
    entries = agents(harness.count(kind))
    with harness.running(kind, entries) as run, ProcessWatch() as watcher:
        pids = run.all_launched(ids(entries))
        run.wait_states(dict.fromkeys(pids, "up"))
        relaunch_each(harness, run, watcher, pids, samples.setdefault("relaunched", []))


def relaunch_each(
    harness: Harness, run: Run, watcher: ProcessWatch, pids: dict[str, int], samples: list[float]
) -> None:
    """Kill each once, one after the other."""
    for number, (name, pid) in enumerate(pids.items(), 1):
        harness.step(f"{number} of {len(pids)}")
        harness.pause()
        started = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        samples.append(watcher.seen[run.launched(name, 2)] - started)


def killed_shown(harness: Harness, kind: str, samples: Samples) -> None:
    """Ask without a pause, as a client; a fresh instance for each sample."""
    entries = agents(harness.count(kind))
    with harness.running(kind, entries) as run:
        pids = run.all_launched(ids(entries))
        run.wait_states(dict.fromkeys(pids, "up"))
        for number, (name, pid) in enumerate(pids.items(), 1):
            harness.step(f"{number} of {len(pids)}")
            harness.pause()
            started = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            samples.setdefault("killed_shown", []).append(run.time_until(name, crashed) - started)


def crashed(child: dict[str, Any]) -> bool:
    """Whether the crash shows.

    A manager that relaunches at once may be up again before a client can ask: then the
    stability tells of the crash.
    """
    return bool(child["next_action"] != "up" or child["stability"] < 1)


EXPERIMENTS = (
    Experiment(
        "relaunched",
        (
            Row(
                "relaunched",
                "killed −9 → relaunched, first time",
                Goal(median=0.020, p99=0.050),
                show_p99=True,
            ),
        ),
        relaunched,
    ),
    Experiment(
        "killed_shown",
        (
            Row(
                "killed_shown",
                "killed −9 → shown (not up, or stability < 1)",
                Goal(median=0.020),
                show_p99=True,
            ),
        ),
        killed_shown,
    ),
)
