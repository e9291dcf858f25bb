"""Start and end of the manager, and its memory while it has nothing to do."""

import time
from collections.abc import Callable

from tests.support.processes import alive
from tests.support.waiting import wait_for

from bench.experiment import Experiment
from bench.harness import WAIT_TIMEOUT, Harness, agents, ids
from bench.model import Goal, Row, Samples
from bench.process_watch import ProcessWatch, resident_bytes

SIZES = (10, 50, 100)


def launched(size: int) -> Callable[[Harness, str, Samples], None]:
    """Make the experiment for that many agents: launch a manager, until the last is there."""

    def measure(harness: Harness, kind: str, samples: Samples) -> None:
        repeats = 1 if harness.quick else 5
        for number in range(repeats):
            harness.step(f"{number + 1} of {repeats}")
            entries = agents(size)
            with ProcessWatch() as watcher, harness.running(kind, entries, ready=False) as run:
                pids = run.all_launched(ids(entries)).values()
                last = max(watcher.seen[pid] for pid in pids)
                samples.setdefault(f"launched_{size}", []).append(last - run.started)
                run.manager.wait_ready(WAIT_TIMEOUT)
                run.wait_states(dict.fromkeys(ids(entries), "up"))
                time.sleep(2)
                resident = sum(resident_bytes(pid) for pid in run.manager_pids())
                samples.setdefault(f"resident_{size}", []).append(resident / 1e6)

    return measure


def ended(harness: Harness, kind: str, samples: Samples) -> None:
    """SIGTERM to the manager: it has to end its agents, then itself."""
    repeats = 2 if harness.quick else 5
    for number in range(repeats):
        harness.step(f"{number + 1} of {repeats}")
        entries = agents(10)
        with harness.running(kind, entries) as run, ProcessWatch() as watcher:
            pids = run.all_launched(ids(entries))
            run.wait_states(dict.fromkeys(pids, "up"))
            harness.pause()
            watcher.watch(run.manager.pid, *pids.values())
            started = time.monotonic()
            run.manager.terminate()
            end = watcher.wait_gone(run.manager.pid, WAIT_TIMEOUT)
            left = [name for name, pid in pids.items() if alive(pid)]
            assert not left, f"the manager ended and left running: {left}"
            _wait_for_ends(watcher, len(pids) + 1)
            last = max(watcher.gone[pid] for pid in pids.values())
            samples.setdefault("agents_ended", []).append(last - started)
            samples.setdefault("manager_ended", []).append(end - last)


def _wait_for_ends(watcher: ProcessWatch, count: int) -> None:
    """All are gone already; the watcher needs a moment to have looked at each."""
    wait_for(lambda: len(watcher.gone) == count, 1, f"{count} ends to be seen")


def _rows(size: int) -> tuple[Row, Row]:
    third = Goal(of_reference=1 / 3)
    memory = Goal(median=75) if size == 50 else Goal()
    return (
        Row(f"launched_{size}", f"manager launched → {size} agents exist", third),
        Row(f"resident_{size}", f"memory of the manager, {size} agents", memory, unit="MB"),
    )


EXPERIMENTS = (
    *(Experiment(f"launched_{size}", _rows(size), launched(size)) for size in SIZES),
    Experiment(
        "ended",
        (
            Row("agents_ended", "SIGTERM to the manager → all 10 agents gone"),
            Row("manager_ended", "last agent gone → manager gone", Goal(median=0.3)),
        ),
        ended,
    ),
)
