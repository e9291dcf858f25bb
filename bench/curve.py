"""What a manager costs, against the number of its agents: measured, and drawn.

python -m bench.curve measure docs/cost-of-agents.json --sizes 10 100 1000
python -m bench.curve draw docs/cost-of-agents.json docs/cost-of-agents.svg

The agents are the tiny ones of the tests, launched warm: a thousand of them fit into 8 GB. OCS has each of
them read the whole site config three times, a second each with a thousand entries; here they read it with
libyaml, in a fifth of that, as it is not they that are measured. Each point is written when it is measured,
so a run that is ended early leaves what it has.
"""

import argparse
import json
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench import report
from bench.harness import Harness, Run, agents, ids
from bench.model import OURS
from bench.process_watch import ProcessWatch, cpu_seconds, resident_bytes

IDLE = 30.0
"""Seconds of which the CPU time of an idle manager is taken: with one sample of the resources."""

SETTLE = 5.0
"""Seconds after a start that are left out of it."""

SIZES = [10, 50, 100, 200, 500, 1000]

LOOKS, KILLS = 10, 5

START_TIMEOUT = 600.0
"""Seconds until all agents have noted that they run."""

QUICK_YAML = """
import functools, yaml
yaml.safe_load = functools.partial(yaml.load, Loader=yaml.CSafeLoader)
"""
"""A `sitecustomize` for agents."""

PANELS = (
    ("look_ms", "CPU of a look at the status", "ms"),
    ("relaunched_ms", "killed → relaunched", "ms"),
    ("idle_percent", "idle CPU of the manager", "%"),
    ("resident_mb", "memory of the manager", "MB"),
)
"""Key, title and unit of each."""

WIDTH, HEIGHT, LEFT, TOP, GAP, MARGIN = 170, 120, 52, 46, 62, 18


def main() -> int:
    """Measure, or draw."""
    parser = argparse.ArgumentParser(prog="python -m bench.curve")
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("file", type=Path)
    measuring.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    drawing = commands.add_parser("draw")
    drawing.add_argument("file", type=Path)
    drawing.add_argument("picture", type=Path)
    options = parser.parse_args()
    if options.command == "draw":
        options.picture.write_text(drawn(json.loads(options.file.read_text())))
        return 0
    os.environ["HM_TEST_FRESH"] = "1"  # a manager pays for its imports
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: cleanly
    recorded: dict[str, Any] = {"about": report.machine(), "points": []}
    with Harness(quick=True, step=lambda _text: None) as harness:
        (harness.directory / "sitecustomize.py").write_text(QUICK_YAML)
        for size in options.sizes:
            recorded["points"].append(measured(harness, size))
            options.file.write_text(json.dumps(recorded, indent=1) + "\n")
    return 0


def measured(harness: Harness, size: int) -> dict[str, Any]:
    """Run a manager with so many agents: its figures."""
    entries = agents(size)
    point: dict[str, Any] = {"agents": size, "load": round(os.getloadavg()[0], 1)}
    options = ("--warm-launch", "auto")
    surroundings = {"PYTHONPATH": os.fspath(harness.directory)}
    begun = time.monotonic()
    with harness.running(
        OURS, entries, ready=False, options=options, surroundings=surroundings
    ) as run:
        pids = run.all_launched(ids(entries), START_TIMEOUT)
        run.manager.wait_ready(120)
        run.wait_states(dict.fromkeys(pids, "up"))
        manager = run.manager.pid
        time.sleep(SETTLE)
        before = cpu_seconds(manager)
        time.sleep(IDLE)
        point["idle_percent"] = 100 * (cpu_seconds(manager) - before) / IDLE
        point["resident_mb"] = resident_bytes(manager) / 1e6
        before = cpu_seconds(manager)
        for _ in range(LOOKS):
            run.children()
        point["look_ms"] = 1000 * (cpu_seconds(manager) - before) / LOOKS
        # From here on only: to look at thousands of processes all the time takes a processor.
        with ProcessWatch() as seen:
            point["relaunched_ms"] = 1000 * median(_relaunched(run, seen, pids))
        ending = time.monotonic()
    took = f"{ending - begun:.0f} s, and {time.monotonic() - ending:.0f} s to end it"
    print(f"{json.dumps(point)} ({took})", file=sys.stderr, flush=True)
    return point


def _relaunched(run: Run, watch: ProcessWatch, pids: dict[str, int]) -> list[float]:
    times = []
    for name, pid in list(pids.items())[:KILLS]:
        time.sleep(0.5)
        started = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        times.append(watch.seen[run.launched(name, 2)] - started)
    return times


def drawn(recorded: dict[str, Any]) -> str:
    """The picture, as SVG: a panel for each figure, agents on a logarithmic axis."""
    points: Sequence[dict[str, Any]] = recorded["points"]
    total = len(PANELS) * (WIDTH + GAP) + LEFT - GAP + 16
    style = (
        "text{font:11px sans-serif;fill:#888}.t{font-weight:bold}"
        ".a{stroke:#8888;fill:none}.l{stroke:#2a7de1;stroke-width:2;fill:none}.p{fill:#2a7de1}"
    )
    parts = [_panel(points, number, *panel) for number, panel in enumerate(PANELS)]
    size = f'width="{total}" height="{TOP + HEIGHT + 40}" viewBox="0 0 {total} {TOP + HEIGHT + 40}"'
    title = "<title>What a manager costs, against the number of its agents</title>"
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', title, f"<style>{style}</style>"]
    return "\n".join([*lines, *parts, "</svg>"]) + "\n"


def _panel(points: Sequence[dict[str, Any]], number: int, key: str, title: str, unit: str) -> str:
    left, bottom = LEFT + number * (WIDTH + GAP), TOP + HEIGHT
    first, last = (math.log(points[index]["agents"]) for index in (0, -1))
    highest = _round_up(max(point[key] for point in points))

    def at(point: dict[str, Any]) -> tuple[float, float]:
        part = (math.log(point["agents"]) - first) / ((last - first) or 1)
        x = left + MARGIN + (WIDTH - 2 * MARGIN) * part
        return round(x, 1), round(bottom - HEIGHT * point[key] / highest, 1)

    places = [at(point) for point in points]
    line = " ".join(f"{x},{y}" for x, y in places)
    parts = [
        f'<text class="t" x="{left}" y="{TOP - 24}">{title}</text>',
        f'<path class="a" d="M{left},{TOP - 10}V{bottom}H{left + WIDTH}"/>',
        f'<text x="{left - 6}" y="{TOP + 4}" text-anchor="end">{highest:g} {unit}</text>',
        f'<text x="{left - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<polyline class="l" points="{line}"/>',
    ]
    for (x, y), point in zip(places, points, strict=True):
        parts += [
            f'<circle class="p" cx="{x}" cy="{y}" r="3"/>',
            f'<text x="{x}" y="{y - 7}" text-anchor="middle">{point[key]:.3g}</text>',
            f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{point["agents"]}</text>',
        ]
    parts.append(
        f'<text x="{left + WIDTH / 2}" y="{bottom + 30}" text-anchor="middle">agents</text>'
    )
    return "\n".join(parts)


def _round_up(value: float) -> float:
    """The next number that a scale may end at."""
    unit = 10 ** math.floor(math.log10(value))
    return next(step * unit for step in (1.2, 1.5, 2, 3, 5, 8, 12) if step * unit >= value)


if __name__ == "__main__":
    sys.exit(main())
