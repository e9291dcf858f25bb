"""A drill for people on call: a real site with eleven faults, repaired with the command line alone.

python -m bench.incident_drill
python -m bench.incident_drill --hosts 4 --agents 12
python -m bench.incident_drill --hold        # break it, then leave it to a person

Twelve managers and 150 OCS agents run on one machine (7 GB of memory, two minutes until all are
up). Eleven things are broken: ten each on a host of its own, one at the operators' desk. Then
`hostmanager status` has to name every one of them, and the commands of the table have to put them
right.
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

from bench import incident_drill_faults as faults
from bench.incident_drill_site import WAIT_TIMEOUT, DrillSite

COMMAND = Path(sys.executable).parent / "hostmanager"
FAULT_DELAY = 6.0
"""Seconds for the faults to show: an agent takes one to start, the flapping one four to die."""

REPAIR_TIMEOUT = 90.0
"""Seconds that one repair command may take; it waits for the agents that it changes."""


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.incident_drill",
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

    def type(self, *arguments: str) -> tuple[float, int, str]:
        """Run the command: seconds, exit status, output."""
        started = time.monotonic()
        done = subprocess.run(
            [str(COMMAND), *arguments],
            capture_output=True,
            text=True,
            env=self.environ,
            check=False,
            timeout=2 * REPAIR_TIMEOUT,
        )
        return time.monotonic() - started, done.returncode, done.stdout + done.stderr


def log(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} load {os.getloadavg()[0]:.1f}  {text}", flush=True)


def all_up(operator: Operator) -> bool:
    return operator.type("status")[1] == 0


def wait_all_up(operator: Operator) -> float:
    """Wait until `status` finds everything as it is wanted: how long that took."""
    started = time.monotonic()
    while not all_up(operator):
        if time.monotonic() - started > WAIT_TIMEOUT:
            sys.exit(f"the site did not come up:\n{operator.type('status', '--wrong')[2]}")
        time.sleep(1)
    return time.monotonic() - started


def is_reported(text: str, fault: faults.Fault) -> bool:
    """Whether a line of `status` names the subject of a fault together with the expected text."""
    return any(fault.subject in line and fault.expected_text in line for line in text.splitlines())


def repair(operator: Operator, fault: faults.Fault) -> dict[str, Any]:
    """Put one right as an operator would."""
    fault.undo()
    if not fault.command:
        return {
            "what": fault.what,
            "by": fault.manual_step,
            "seconds": 0.0,
            "code": 0,
            "output": "",
        }
    needs_confirmation = fault.command[0] != "reload"
    seconds, code, output = operator.type(
        *fault.command, *(["--yes"] if needs_confirmation else [])
    )
    by = f"`hostmanager {' '.join(fault.command)}`"
    by = f"{fault.manual_step}; {by}" if fault.manual_step else by
    return {"what": fault.what, "by": by, "seconds": seconds, "code": code, "output": output}


def main() -> int:
    """Run the drill; 0 if `status` reported every fault and each was repaired."""
    options = parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    log(f"starting {options.hosts} hosts with {options.agents} agents")
    with contextlib.suppress(KeyboardInterrupt), DrillSite(options.hosts, options.agents) as site:
        operator = Operator(site)
        log(f"all managers answer; all agents are up {wait_all_up(operator):.0f} s later")
        healthy_seconds = [operator.type("status")[0] for _ in range(options.count)]
        broken = []
        for make, host in zip(faults.ALL, site.names, strict=False):
            operator.type("status")  # they look now and then, and so has the command a good copy
            broken.append(make(site, host))
        time.sleep(FAULT_DELAY)
        if options.hold:
            log(f"broken. Try: OCS_CONFIG_DIR={site.directory} {COMMAND} status; Ctrl-C ends it")
            signal.pause()
        return verify_and_repair(operator, healthy_seconds, broken, options.count)
    return 130


def verify_and_repair(
    operator: Operator, healthy_seconds: list[float], broken: list[faults.Fault], count: int
) -> int:
    """Check that `status` reports every fault, repair each, and print the table."""
    runs = [operator.type("status") for _ in range(count)]
    shown = runs[-1][2]
    print(shown)
    reported = {fault.what: is_reported(shown, fault) for fault in broken}
    started = time.monotonic()
    repaired = [repair(operator, fault) for fault in reversed(broken)][::-1]
    repair_seconds = time.monotonic() - started
    back = wait_all_up(operator)
    print(f"`status`, no fault: {_times(healthy_seconds)}")
    print(f"`status`, one host frozen: {_times([run[0] for run in runs])}")
    print("\n| fault | reported | repaired by | time | exit |")
    print("| --- | --- | --- | --- | --- |")
    for fault, row in zip(broken, repaired, strict=True):
        yes_no = "yes" if reported[fault.what] else "**no**"
        print(f"| {fault.what} | {yes_no} | {row['by']} | {row['seconds']:.2f} s | {row['code']} |")
    print(
        f"\nall repaired in {repair_seconds:.1f} s, one after the other; all up {back:.1f} s later"
    )
    for row in repaired:
        if row["code"]:
            print(f"--- {row['by']}: exit {row['code']}\n{row['output']}")
    good = all(reported.values()) and not any(row["code"] for row in repaired)
    print(json.dumps({"good": good}))
    return 0 if good else 1


def _times(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s (worst {max(seconds):.2f} s, n {len(seconds)})"


if __name__ == "__main__":
    sys.exit(main())
