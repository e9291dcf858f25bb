"""Measure our manager beside the reference, and print the table of goals.

python -m bench --quick
python -m bench --only relaunched --only idle
"""

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import (
    measure_adoption,
    measure_crash_recovery,
    measure_docker,
    measure_health,
    measure_history,
    measure_load,
    measure_page,
    measure_realsize,
    measure_request_latency,
    measure_restart_loop,
    measure_scale,
    measure_start,
    measure_warm,
    report,
)
from bench.experiment import Experiment
from bench.harness import Harness, agents
from bench.model import OURS, REFERENCE, CannotMeasureError, Figures, Measurement, Row, Samples
from hostmanager.testing.crossbar_router import RouterError

EXPERIMENTS: tuple[Experiment, ...] = (
    *measure_request_latency.EXPERIMENTS,
    *measure_crash_recovery.EXPERIMENTS,
    *measure_restart_loop.EXPERIMENTS,
    *measure_start.EXPERIMENTS,
    *measure_load.EXPERIMENTS,
    *measure_health.EXPERIMENTS,
    *measure_history.EXPERIMENTS,
    *measure_scale.EXPERIMENTS,
    *measure_adoption.EXPERIMENTS,
    *measure_docker.EXPERIMENTS,
    *measure_warm.EXPERIMENTS,
    *measure_page.EXPERIMENTS,
    *(measure_realsize.EXPERIMENTS if measure_realsize.ENABLED else ()),
)
RESULTS = Path(__file__).parent / "results"
NOT_QUICK = {
    "many",
    "cold_50",
    "warm_50",
    "cold_heavy_20",
    "warm_heavy_20",
    "launched_100",
    "adoption_100",
    "adoption_300",
}


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few samples; not the largest sizes")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="an experiment or row; repeat"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: bench/results/DATE")
    parser.add_argument("--skip-reference", action="store_true", help="ours alone")
    parser.add_argument("--skip-ours", action="store_true", help="the reference alone")
    parser.add_argument("--list", action="store_true", help="names for --only")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> list[Experiment]:
    """Pick the experiments asked for; an unknown name ends the program."""
    names = {name for each in EXPERIMENTS for name in (each.name, *(row.key for row in each.rows))}
    if unknown := set(options.only) - names:
        sys.exit(f"--only: no {', '.join(unknown)}; there are {', '.join(sorted(names))}")
    if not options.only:
        return [each for each in EXPERIMENTS if not (options.quick and each.name in NOT_QUICK)]
    keys = set(options.only)
    return [each for each in EXPERIMENTS if keys & {each.name, *(row.key for row in each.rows)}]


def run_one(experiment: Experiment, harness: Harness, kind: str) -> dict[str, Measurement]:
    """Do one experiment with one manager; a failure is a result, too."""
    samples: Samples = {}
    error_text, unknown = "", False
    try:
        experiment.measure(harness, kind, samples)
    except CannotMeasureError as error:
        error_text, unknown = str(error), True
    except Exception as error:
        error_text = shortened(f"{type(error).__name__}: {error}")
    if not harness.router.answers(timeout=10):
        msg = f"the router is gone, so {experiment.name} says nothing:\n{harness.router.log_tail()}"
        raise RouterError(msg)
    figures = {}
    for row in experiment.rows:
        values = tuple(samples.get(row.key, ()))
        complete = unknown and values  # what could be measured is not in doubt
        figures[row.key] = Measurement(values, "" if complete else error_text, unknown)
    return figures


def shortened(text: str, half: int = 300) -> str:
    """Keep the beginning and the end of a long text."""
    return text if len(text) <= 2 * half else f"{text[:half]} … {text[-half:]}"


def measure(
    harness: Harness, experiments: list[Experiment], kinds: list[str], progress: Progress
) -> Iterator[tuple[str, dict[str, Measurement]]]:
    """Do all of them, the two managers in turn."""
    total = sum(kind in kinds for each in experiments for kind in each.kinds)
    done, started = 0, time.monotonic()
    bar = progress.add_task("router", total=total, step="")
    harness.step = lambda text: progress.update(bar, step=text)
    for experiment in experiments:
        for kind in (kind for kind in experiment.kinds if kind in kinds):
            progress.update(bar, description=f"{experiment.name}, {kind}", step="starting")
            yield kind, run_one(experiment, harness, kind)
            progress.advance(bar)
            done += 1
            if not progress.console.is_terminal:  # no bar there, and it takes most of an hour
                so_far = f"{done}/{total} after {time.monotonic() - started:.0f} s"
                print(f"{so_far}: {experiment.name}, {kind}", file=sys.stderr, flush=True)


def warm_up(harness: Harness, kinds: list[str]) -> None:
    """Start each once, so that no first sample pays for compiling or a cold disk."""
    for kind in kinds:
        with contextlib.suppress(AssertionError), harness.running(kind, agents(1)) as run:
            run.all_launched(["a0"])


def main() -> int:
    """Measure, print, write; 0 if every goal with a verdict is reached."""
    options = parse()
    if options.list:
        for each in EXPERIMENTS:
            print(each.name, *(row.key for row in each.rows))
        return 0
    experiments = chosen(options)
    kinds = [] if options.skip_reference else [REFERENCE]
    kinds += [] if options.skip_ours else [OURS]
    os.environ["HM_TEST_FRESH"] = "1"  # a manager pays for its imports, as the reference does
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: cleanly
    sys.setswitchinterval(0.0005)
    console, about = Console(), report.machine()
    table: dict[str, dict[str, Measurement]] = {}
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[step]}"),
        TimeElapsedColumn(),
    )
    interrupted = ""
    try:
        # A progress display that redraws often would be measured with the rest.
        with (
            Progress(*columns, console=console, refresh_per_second=2, transient=True) as progress,
            Harness(quick=options.quick, step=lambda _text: None) as harness,
        ):
            warm_up(harness, kinds)
            for kind, figures in measure(harness, experiments, kinds, progress):
                for key, figure in figures.items():
                    table.setdefault(key, {})[kind] = figure
    except KeyboardInterrupt:
        interrupted = "interrupted"
    except RouterError as error:
        interrupted = str(error)
    rows = [row for each in experiments for row in each.rows]
    rows += report.memory_per_agent(table)
    return finish(console, rows, table, {**about, "interrupted": interrupted}, options.json)


def finish(
    console: Console, rows: list[Row], table: dict[str, Figures], about: dict, path: Path | None
) -> int:
    """Show and write what there is: the exit code."""
    if about["interrupted"]:
        console.print(f"Rows are missing: {about['interrupted']}", style="red", markup=False)
    report.show(console, rows, table, about)
    path = path or RESULTS / f"{datetime.now():%Y-%m-%dT%H%M%S}.json"
    report.write_json(path, rows, table, about)
    console.print(f"Each sample is in {path}", highlight=False)
    missed = [row for row in rows if row.goal.reached(table.get(row.key, {}), table) is False]
    return 130 if about["interrupted"] else int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
