"""500 agents on one host: the same latencies as with 10? Ours only; it takes 10 GB."""

import psutil

from bench.lab import Harness, agents, ids
from bench.measure_killed import relaunch_each
from bench.measure_told import process_cycles, shown_cycles
from bench.model import OURS, CannotMeasureError, Experiment, Goal, Row, Samples
from bench.watch import Watcher

MANY = 500
SPARE = 10  # agents more, that are told up and down
NEEDED = 12e9  # bytes of memory


def many(lab: Harness, kind: str, samples: Samples) -> None:
    """All the latencies, with one manager."""
    available = psutil.virtual_memory().available
    if available < NEEDED:
        msg = f"it takes {NEEDED / 1e9:.0f} GB of memory; {available / 1e9:.1f} GB are available"
        raise CannotMeasureError(msg)
    steady, told, asked = agents(MANY), agents(SPARE, name="b"), agents(SPARE, name="c")
    for entry in told + asked:
        entry["manage"] = "host/down"
    count = 10 if lab.quick else 40
    lab.step(f"starting {MANY} agents")
    with (
        Watcher() as watcher,
        lab.running(kind, [*steady, *told, *asked], ready=False) as run,
    ):
        pids = run.all_launched(ids(steady))
        last = max(watcher.seen[pid] for pid in pids.values())
        samples["launched_500"] = [last - run.begun]
        run.manager.wait_ready()
        run.wait_states(dict.fromkeys(pids, "up"))
        process_cycles(lab, run, watcher, ids(told), count, samples, "_500")
        some = dict(list(pids.items())[:count])
        relaunch_each(lab, run, watcher, some, samples.setdefault("relaunched_500", []))
        shown_cycles(lab, run, ids(asked), count, samples, "_500")


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
            _row("up_shown", "told up → shown up"),
            _row("down_shown", "told down → shown down"),
        ),
        many,
        kinds=(OURS,),
    ),
)
