"""Told up or down: until the process is there or gone, and until clients are shown it."""

import time

from bench.lab import PATIENCE, Harness, Run, agents, ids
from bench.model import Experiment, Goal, Row, Samples
from bench.watch import Watcher

AGENTS = 10


def told_process(lab: Harness, kind: str, samples: Samples) -> None:
    """update(up) to the process, update(down) to its end; ten agents, in turn."""
    entries = agents(AGENTS, manage="host/down")
    with lab.running(kind, entries) as run, Watcher() as watcher:
        run.wait_states(dict.fromkeys(ids(entries), "down"))
        process_cycles(lab, run, watcher, ids(entries), lab.count(kind), samples)


def process_cycles(
    lab: Harness,
    run: Run,
    watcher: Watcher,
    names: list[str],
    count: int,
    samples: Samples,
    suffix: str = "",
) -> None:
    """Go up and down that many times, over the named instances in turn."""
    for number in range(count):
        lab.step(f"{number + 1} of {count}")
        name = names[number % len(names)]
        up, pid = up_exists(lab, run, watcher, name, number // len(names) + 1)
        samples.setdefault(f"up_exists{suffix}", []).append(up)
        run.wait_states({name: "up"})
        samples.setdefault(f"down_gone{suffix}", []).append(down_gone(lab, run, watcher, name, pid))
        run.wait_states({name: "down"})


def up_exists(lab: Harness, run: Run, watcher: Watcher, name: str, times: int) -> tuple[float, int]:
    """Seconds from update(up) to the process, and its pid."""
    lab.pause()
    begun = time.monotonic()
    run.update(name, "up")
    pid = run.launched(name, times)
    return watcher.seen[pid] - begun, pid


def down_gone(lab: Harness, run: Run, watcher: Watcher, name: str, pid: int) -> float:
    """Seconds from update(down) to the end of the process."""
    lab.pause()
    watcher.watch(pid)
    begun = time.monotonic()
    run.update(name, "down")
    return watcher.wait_gone(pid, PATIENCE) - begun


def told_shown(lab: Harness, kind: str, samples: Samples) -> None:
    """Update to `child_states`, for a client that asks without a pause."""
    entries = agents(AGENTS, manage="host/down")
    with lab.running(kind, entries) as run:
        run.wait_states(dict.fromkeys(ids(entries), "down"))
        shown_cycles(lab, run, ids(entries), lab.count(kind), samples)


def shown_cycles(
    lab: Harness, run: Run, names: list[str], count: int, samples: Samples, suffix: str = ""
) -> None:
    """Go up and down that many times, over the named instances in turn."""
    for number in range(count):
        lab.step(f"{number + 1} of {count}")
        name = names[number % len(names)]
        samples.setdefault(f"up_shown{suffix}", []).append(shown(lab, run, name, "up"))
        run.launched(name, number // len(names) + 1)
        samples.setdefault(f"down_shown{suffix}", []).append(shown(lab, run, name, "down"))


def shown(lab: Harness, run: Run, name: str, target: str) -> float:
    """Seconds from the update to the state's being shown."""
    lab.pause()
    begun = time.monotonic()
    run.update(name, target)
    return run.time_until(name, lambda child: child["next_action"] == target) - begun


EXPERIMENTS = (
    Experiment(
        "told_process",
        (
            Row("up_exists", "update(up) → process exists", Goal(median=0.015), show_p99=True),
            Row("down_gone", "update(down) → process gone", Goal(median=0.015), show_p99=True),
        ),
        told_process,
    ),
    Experiment(
        "told_shown",
        (
            Row("up_shown", "told up → shown up", Goal(median=0.020), show_p99=True),
            Row("down_shown", "told down → shown down", Goal(median=0.020), show_p99=True),
        ),
        told_shown,
    ),
)
