"""Told up or down: until the process is there or gone, and until clients are shown it."""

import time

from bench.experiment import Experiment
from bench.harness import WAIT_TIMEOUT, Harness, Run, agents, ids
from bench.model import Goal, Row, Samples
from bench.process_watch import ProcessWatch

AGENTS = 10


def request_to_process(harness: Harness, kind: str, samples: Samples) -> None:
    """update(up) to the process, update(down) to its end; ten agents, in turn."""
    entries = agents(AGENTS, manage="host/down")
    with harness.running(kind, entries) as run, ProcessWatch() as watcher:
        run.wait_states(dict.fromkeys(ids(entries), "down"))
        process_cycles(harness, run, watcher, ids(entries), harness.count(kind), samples)


def process_cycles(
    harness: Harness,
    run: Run,
    watcher: ProcessWatch,
    names: list[str],
    count: int,
    samples: Samples,
    suffix: str = "",
) -> None:
    """Go up and down that many times, over the named instances in turn."""
    for number in range(count):
        harness.step(f"{number + 1} of {count}")
        name = names[number % len(names)]
        up, pid = up_exists(harness, run, watcher, name, number // len(names) + 1)
        samples.setdefault(f"up_exists{suffix}", []).append(up)
        run.wait_states({name: "up"})
        samples.setdefault(f"down_gone{suffix}", []).append(
            down_gone(harness, run, watcher, name, pid)
        )
        run.wait_states({name: "down"})


def up_exists(
    harness: Harness, run: Run, watcher: ProcessWatch, name: str, times: int
) -> tuple[float, int]:
    """Seconds from update(up) to the process, and its pid."""
    harness.pause()
    started = time.monotonic()
    run.update(name, "up")
    pid = run.launched(name, times)
    return watcher.seen[pid] - started, pid


def down_gone(harness: Harness, run: Run, watcher: ProcessWatch, name: str, pid: int) -> float:
    """Seconds from update(down) to the end of the process."""
    harness.pause()
    watcher.watch(pid)
    started = time.monotonic()
    run.update(name, "down")
    return watcher.wait_gone(pid, WAIT_TIMEOUT) - started


def request_to_status(harness: Harness, kind: str, samples: Samples) -> None:
    """Update to `child_states`, for a client that asks without a pause."""
    entries = agents(AGENTS, manage="host/down")
    with harness.running(kind, entries) as run:
        run.wait_states(dict.fromkeys(ids(entries), "down"))
        shown_cycles(harness, run, ids(entries), harness.count(kind), samples)


def shown_cycles(
    harness: Harness, run: Run, names: list[str], count: int, samples: Samples, suffix: str = ""
) -> None:
    """Go up and down that many times, over the named instances in turn."""
    for number in range(count):
        harness.step(f"{number + 1} of {count}")
        name = names[number % len(names)]
        samples.setdefault(f"up_shown{suffix}", []).append(shown(harness, run, name, "up"))
        run.launched(name, number // len(names) + 1)
        samples.setdefault(f"down_shown{suffix}", []).append(shown(harness, run, name, "down"))


def shown(harness: Harness, run: Run, name: str, target: str) -> float:
    """Seconds from the update to the state's being shown."""
    harness.pause()
    started = time.monotonic()
    run.update(name, target)
    return run.time_until(name, lambda child: child["next_action"] == target) - started


EXPERIMENTS = (
    Experiment(
        "request_to_process",
        (
            Row("up_exists", "update(up) → process exists", Goal(median=0.015), show_p99=True),
            Row("down_gone", "update(down) → process gone", Goal(median=0.015), show_p99=True),
        ),
        request_to_process,
    ),
    Experiment(
        "request_to_status",
        (
            Row("up_shown", "update(up) → shown up", Goal(median=0.020), show_p99=True),
            Row("down_shown", "update(down) → shown down", Goal(median=0.020), show_p99=True),
        ),
        request_to_status,
    ),
)
