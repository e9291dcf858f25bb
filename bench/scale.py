"""Measure a simulated site of growing size: the commands, the router, the managers.

python -m bench.scale
python -m bench.scale --hosts 5 10 --agents 20 --seconds 5 --count 3

The managers are ours, each a process; their agents are simulated (`bench.scale_driver`); the
router is a real crossbar. docs/scale.md says how to read it.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from bench import scale_measure as measure
from bench.scale_report import print_tables
from bench.scale_site import SimulatedSite

RESULTS = Path(__file__).parent / "results"


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--hosts", type=int, nargs="+", default=[5, 10, 25, 50])
    parser.add_argument("--agents", type=int, default=20, help="on each host (default: 20)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load (default: 8)")
    parser.add_argument("--count", type=int, default=5, help="runs of `status` (default: 5)")
    parser.add_argument("--operators", type=int, nargs="*", default=[1, 5], help="who watch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: in bench/results")
    return parser.parse_args()


def say(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} load {os.getloadavg()[0]:.1f}  {text}", file=sys.stderr)


def views(options: argparse.Namespace) -> list[tuple[str, list[str], int]]:
    """What shows the site live, and for how many."""
    many = [("status --watch", ["status", "--watch"], number) for number in options.operators]
    return [*many, ("top", ["top"], 1)]


def measure_size(site: SimulatedSite, hosts: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything at one size."""
    say(f"{hosts} hosts: starting")
    more, begun = hosts - site.hosts, time.monotonic()
    site_file = site.grow(hosts)
    figures: dict[str, Any] = {"hosts": hosts, "agents": hosts * site.agents}
    figures["start"] = {"managers": more, "seconds": time.monotonic() - begun}
    figures["begun"] = datetime.now().isoformat(timespec="seconds")
    figures["load_before"] = os.getloadavg()[0]
    say(f"{hosts} hosts: idle")
    figures["memory"] = measure.memory(site)
    figures["idle"] = measure.idle(site, options.seconds)
    figures["listened"] = measure.listened(site, options.seconds)
    say(f"{hosts} hosts: commands")
    figures |= measure.commanded(site, site_file, options.count)
    say(f"{hosts} hosts: a browser")
    figures["browsed"] = measure.browsed(site, options.seconds)
    for name, command, operators in views(options):
        say(f"{hosts} hosts: {name} × {operators}")
        watched = measure.watched(site, site_file, command, operators, options.seconds)
        figures[f"watched_{name} × {operators}"] = watched
    say(f"{hosts} hosts: the heartbeats of {hosts * site.agents} agents")
    figures["crowded"] = measure.crowded(site, options.seconds, hosts * site.agents)
    say(f"{hosts} hosts: the router is restarted")
    figures["restarted"] = measure.router_restarted(site)
    figures["memory_after"] = measure.memory(site)
    return figures


def main() -> None:
    options = parse()
    results: dict[str, Any] = {"begun": datetime.now().isoformat(), "sizes": []}
    path = options.json or RESULTS / f"scale-{datetime.now():%Y-%m-%dT%H%M%S}.json"
    path.parent.mkdir(exist_ok=True, parents=True)
    say("rendering")
    command = [sys.executable, "-W", "ignore", "-m", "bench.scale_render", "20", "100", "500"]
    looks = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=100)
    results["rendering"] = json.loads(looks.stdout)
    with SimulatedSite(max(options.hosts), options.agents) as site:
        for hosts in sorted(options.hosts):
            results["sizes"].append(measure_size(site, hosts, options))
            path.write_text(json.dumps(results, indent=1))  # what is known is kept, come what may
    print_tables(results)
    print(f"\nall figures: {path}; load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
