"""A drill for people on call: a real site, a night's faults, and only the command to mend them.

python -m bench.drill
python -m bench.drill --hosts 4 --agents 12
python -m bench.drill --hold        # break it, then leave it to a person

Twelve managers and 150 OCS agents run on one machine (7 GB of memory, two minutes until all are
up). Ten things are broken, each on a host of its own. Then `hostmanager status` has to name
every one of them, and the commands of the table have to put them right.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from bench import drill_faults as faults
from bench.drill_site import PATIENCE, DrillSite

COMMAND = Path(sys.executable).parent / "hostmanager"
SETTLE = 6.0
"""Seconds for the faults to show: an agent takes one to start, the flapping one four to die."""

MENDING = 90.0
"""Seconds that one remedy may take; it waits for what it told."""


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.drill",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    least = len(faults.ALL)
    parser.add_argument("--hosts", type=int, default=12, help="default: 12, at least as faults")
    parser.add_argument("--agents", type=int, default=150, help="in all (default: 150)")
    parser.add_argument("--count", type=int, default=5, help="runs of `status` (default: 5)")
    parser.add_argument("--hold", action="store_true", help="leave it broken until Ctrl-C")
    options = parser.parse_args()
    if options.hosts < least or options.agents < options.hosts * 6:
        parser.error(f"it takes {least} hosts, and 6 agents on each, for a fault on each host")
    return options


class Operator:
    """Somebody at a terminal, with the site config and the command."""

    def __init__(self, site: DrillSite) -> None:
        proxies = {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}
        self.environ = {key: value for key, value in os.environ.items() if key not in proxies}
        self.environ |= {"OCS_CONFIG_DIR": str(site.directory), "COLUMNS": "100"}

    def type(self, *words: str) -> tuple[float, int, str]:
        """Run the command: seconds, exit status, what was said."""
        begun = time.monotonic()
        done = subprocess.run(
            [str(COMMAND), *words],
            capture_output=True,
            text=True,
            env=self.environ,
            check=False,
            timeout=2 * MENDING,
        )
        return time.monotonic() - begun, done.returncode, done.stdout + done.stderr


def say(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} load {os.getloadavg()[0]:.1f}  {text}", flush=True)


def all_up(operator: Operator) -> bool:
    return operator.type("status")[1] == 0


def wait_all_up(operator: Operator) -> float:
    """Wait until `status` finds everything as it is wanted: how long that took."""
    begun = time.monotonic()
    while not all_up(operator):
        if time.monotonic() - begun > PATIENCE:
            sys.exit(f"the site did not come up:\n{operator.type('status', '--wrong')[2]}")
        time.sleep(1)
    return time.monotonic() - begun


def said_of(text: str, fault: faults.Fault) -> bool:
    """Whether a line of `status` names the place of a fault beside the words for it."""
    return any(fault.where in line and fault.says in line for line in text.splitlines())


def mend(operator: Operator, fault: faults.Fault) -> dict[str, Any]:
    """Put one right as an operator would."""
    fault.undo()
    if not fault.remedy:
        return {"what": fault.what, "by": fault.repair, "seconds": 0.0, "code": 0, "said": ""}
    asks = fault.remedy[0] != "reload"
    took, code, said = operator.type(*fault.remedy, *(["--yes"] if asks else []))
    by = f"`hostmanager {' '.join(fault.remedy)}`"
    by = f"{fault.repair}; {by}" if fault.repair else by
    return {"what": fault.what, "by": by, "seconds": took, "code": code, "said": said}


def main() -> int:
    """Run the drill; 0 if everything was found and mended."""
    options = parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    say(f"starting {options.hosts} hosts with {options.agents} agents")
    with contextlib.suppress(KeyboardInterrupt), DrillSite(options.hosts, options.agents) as site:
        operator = Operator(site)
        say(f"all managers answer; all agents are up {wait_all_up(operator):.0f} s later")
        well = [operator.type("status")[0] for _ in range(options.count)]
        broken = [make(site, host) for make, host in zip(faults.ALL, site.names, strict=False)]
        time.sleep(SETTLE)
        if options.hold:
            say(f"broken. Try: OCS_CONFIG_DIR={site.directory} {COMMAND} status; Ctrl-C ends it")
            signal.pause()
        return judge(operator, well, broken, options.count)
    return 130


def judge(operator: Operator, well: list[float], broken: list[faults.Fault], count: int) -> int:
    """See that everything is found, mend it, and print the table."""
    runs = [operator.type("status") for _ in range(count)]
    shown = runs[-1][2]
    print(shown)
    found = {fault.what: said_of(shown, fault) for fault in broken}
    begun = time.monotonic()
    mended = [mend(operator, fault) for fault in broken]
    mending = time.monotonic() - begun
    back = wait_all_up(operator)
    print(f"`status`, all well: {_times(well)}")
    print(f"`status`, one host frozen: {_times([run[0] for run in runs])}")
    print("\n| what is wrong | found | put right by | that took | exit |")
    print("| --- | --- | --- | --- | --- |")
    for fault, row in zip(broken, mended, strict=True):
        seen = "yes" if found[fault.what] else "**no**"
        print(f"| {fault.what} | {seen} | {row['by']} | {row['seconds']:.2f} s | {row['code']} |")
    print(f"\nall put right in {mending:.1f} s, one after the other; all well {back:.1f} s later")
    for row in mended:
        if row["code"]:
            print(f"--- {row['by']}: exit {row['code']}\n{row['said']}")
    good = all(found.values()) and not any(row["code"] for row in mended)
    print(json.dumps({"good": good}))
    return 0 if good else 1


def _times(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s (worst {max(seconds):.2f} s, n {len(seconds)})"


if __name__ == "__main__":
    sys.exit(main())
