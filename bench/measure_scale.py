"""500 agents on one host: the same latencies as with 10? Ours only; it takes 10 GB."""

import psutil

from bench.experiment import Experiment
from bench.harness import Harness, agents, ids
from bench.measure_crash_recovery import relaunch_each
from bench.measure_request_latency import process_cycles, shown_cycles
from bench.model import OURS, CannotMeasureError, Goal, Row, Samples
from bench.process_watch import ProcessWatch

MANY = 500
SPARE = 10  # further agents, which are started and stopped
NEEDED = 12e9  # bytes of memory


def many(harness: Harness, kind: str, samples: Samples) -> None:
    """All the latencies, with one manager."""
    available = psutil.virtual_memory().available
    if available < NEEDED:
        msg = f"it takes {NEEDED / 1e9:.0f} GB of memory; {available / 1e9:.1f} GB are available"
        raise CannotMeasureError(msg)
    steady, for_processes, for_status = (
        agents(MANY),
        agents(SPARE, name="b"),
        agents(SPARE, name="c"),
    )
    for entry in for_processes + for_status:
        entry["manage"] = "host/down"
    count = 10 if harness.quick else 40
    harness.step(f"starting {MANY} agents")
    with (
        ProcessWatch() as watcher,
        harness.running(kind, [*steady, *for_processes, *for_status], ready=False) as run,
    ):
        pids = run.all_launched(ids(steady))
        last = max(watcher.seen[pid] for pid in pids.values())
        samples["launched_500"] = [last - run.started]
        run.manager.wait_ready()
        run.wait_states(dict.fromkeys(pids, "up"))
        process_cycles(harness, run, watcher, ids(for_processes), count, samples, "_500")
        some = dict(list(pids.items())[:count])
        relaunch_each(harness, run, watcher, some, samples.setdefault("relaunched_500", []))
        shown_cycles(harness, run, ids(for_status), count, samples, "_500")


def _row(key: str, what: str) -> Row:
    goal = Goal(times_row=key, times=2)
    return Row(f"{key}_500", f"500 agents: {what}", goal, show_p99=True)


EXPERIMENTS = (
    Experiment(
        "many",
        (
            Row("launched_500", "500 agents: manager launched → all exist"),
            _row("up_exists", "update(up) → process exists"),
            _row("down_gone", "update(down) → process gone"),
            _row("relaunched", "killed −9 → relaunched"),
            _row("up_shown", "update(up) → shown up"),
            _row("down_shown", "update(down) → shown down"),
        ),
        many,
        kinds=(OURS,),
    ),
)
