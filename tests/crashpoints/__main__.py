"""python -m tests.crashpoints [--only SCENARIO] [--kind CALL] [--sites 2] [--every N]"""

import argparse
import queue
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from hostmanager.testing.crossbar_router import CrossbarRouter
from tests.crashpoints import campaign, library
from tests.crashpoints.library import KINDS
from tests.crashpoints.scenarios import SCENARIOS, Scenario
from tests.crashpoints.subject import Subject
from tests.support.demos import LIGHT_CROSSBAR
from tests.support.sites import Site

Job = tuple[Scenario, campaign.Point]


class Result:
    """What came of all points so far."""

    def __init__(self) -> None:
        self.calls: dict[str, Counter[int]] = {}
        self.points: Counter[str] = Counter()
        self.survived: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self.violations: list[str] = []


def main() -> int:
    """Kill at all points; 0: all was as it had to be after each."""
    CrossbarRouter.environment = {"PYTHONPATH": LIGHT_CROSSBAR}
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="hostmanager-crashpoints-"))
    built = library.built(directory)
    chosen = [s for s in SCENARIOS if not options.only or s.name in options.only]
    result, started = Result(), time.monotonic()
    jobs: queue.SimpleQueue[Job | Scenario] = queue.SimpleQueue()
    for scenario in chosen:
        jobs.put(scenario)
    with ExitStack() as stack:
        router = CrossbarRouter(directory / "router")
        router.start(120)
        stack.callback(router.stop)

        def subject(name: str) -> Subject:
            return Subject(Site(directory / name, router), built)

        workers = [
            threading.Thread(target=_work, args=(subject, number, jobs, result, options))
            for number in range(options.sites)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    _report(chosen, result, time.monotonic() - started)
    if result.violations:
        print(f"\n{directory} is kept")
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crashpoints")
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--only", action="append", choices=names, metavar="SCENARIO")
    parser.add_argument("--kind", action="append", choices=KINDS, metavar="CALL")
    parser.add_argument("--sites", type=int, default=2, help="at the same time (default: 2)")
    parser.add_argument("--every", type=int, default=1, help="only every Nth point")
    return parser.parse_args()


def _work(
    make: Callable[[str], Subject],
    number: int,
    jobs: "queue.SimpleQueue[Job | Scenario]",
    result: Result,
    options: argparse.Namespace,
) -> None:
    """Count the calls of scenarios, and kill at their points, on a site of its own."""
    for attempt in range(1000):
        with make(f"site-{number}-{attempt}") as subject:
            try:
                while True:
                    _do(subject, jobs.get_nowait(), jobs, result, options)
            except queue.Empty:
                return
            except Exception as error:  # a violation: told, and on with a fresh site
                result.violations.append(f"{error or error!r}")
                print(f"\n{error!r}\n", flush=True)


def _do(
    subject: Subject,
    job: Job | Scenario,
    jobs: "queue.SimpleQueue[Job | Scenario]",
    result: Result,
    options: argparse.Namespace,
) -> None:
    if isinstance(job, Scenario):
        counts = result.calls[job.name] = campaign.count(subject, job)
        points = [
            point
            for point in campaign.points(job, counts)
            if options.kind is None or KINDS[point[0]] in options.kind
        ][:: options.every]
        result.points[job.name] = len(points)
        for point in points:
            jobs.put((job, point))
        print(f"{job.name}: {len(points)} points", flush=True)
        return
    scenario, point = job
    started = time.monotonic()
    if campaign.kill_at(subject, scenario, point):
        result.survived[scenario.name] += 1
        word = f"survived ({subject.control.where})"
    else:
        result.missed[scenario.name] += 1
        word = "not reached this time"
    seconds = time.monotonic() - started
    print(f"{scenario.name}: {campaign.name(point)}: {word}, {seconds:.1f} s", flush=True)


def _report(chosen: list[Scenario], result: Result, seconds: float) -> None:
    print(f"\n{'scenario':34}{'points':>8}{'killed':>8}{'survived':>10}{'not reached':>13}")
    for scenario in chosen:
        points = result.points[scenario.name]
        survived, missed = result.survived[scenario.name], result.missed[scenario.name]
        failed = sum(text.startswith(f"{scenario.name}, ") for text in result.violations)
        print(f"{scenario.name:34}{points:8}{survived + failed:8}{survived:10}{missed:13}")
    kinds = sum(result.calls.values(), Counter())
    print(
        "\n" + ", ".join(f"{KINDS[kind]} {count}" for kind, count in sorted(kinds.items()) if count)
    )
    print(f"{len(result.violations)} violations, {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
