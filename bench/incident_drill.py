"""A drill for people on call: a real site with twelve faults, repaired with the command line alone.

python -m bench.incident_drill
python -m bench.incident_drill --agents 24
python -m bench.incident_drill --hold        # break it, then leave it to a person

Twelve managers and 150 OCS agents run on one machine (7 GB of memory, two minutes until all are
up). Eleven things are broken: ten each on a host of its own, one at the operators' desk. Then one
`hostmanager status` has to name every one of them, and the commands of the table have to put them
right. Then the twelfth: the router, a compose service that the last host runs, cannot start. That
takes a Docker Engine (docs/docker-tests.md); without one it is left out, and the end says so.
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
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench import incident_drill_faults as faults
from bench.engine import engine
from bench.incident_drill_site import WAIT_TIMEOUT, DrillSite
from bench.model import CannotMeasureError

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
    least = len(faults.ALL) + 1
    parser.add_argument("--hosts", type=int, default=12, help="default: 12, at least as faults")
    parser.add_argument("--agents", type=int, default=150, help="in all (default: 150)")
    parser.add_argument("--count", type=int, default=5, help="runs of `status` (default: 5)")
    parser.add_argument("--hold", action="store_true", help="leave it broken until Ctrl-C")
    options = parser.parse_args()
    if options.hosts < least or options.agents < options.hosts:
        parser.error(f"it takes {least} hosts, and an agent on each, for a fault on each host")
    return options


class Operator:
    """Somebody at a terminal, with the site config and the command."""

    def __init__(self, site: DrillSite) -> None:
        proxies = {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}
        self.environ = {key: value for key, value in os.environ.items() if key not in proxies}
        self.environ |= {"OCS_CONFIG_DIR": str(site.directory), "COLUMNS": "80"}

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


@dataclass
class Row:
    """What became of a fault.

    Attributes:
        fault: The fault.
        by: What put it right.
        seconds: How long the command took.
        code: Its exit status.
        output: What it printed.
        reported: Whether `status` named it.
    """

    fault: faults.Fault
    by: str
    seconds: float = 0.0
    code: int = 0
    output: str = ""
    reported: bool = False

    def __str__(self) -> str:
        reported = "yes" if self.reported else "**no**"
        took = f"{self.seconds:.2f} s" if self.fault.command else "–"
        return f"| {self.fault.what} | {reported} | {self.by} | {took} | {self.code} |"


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


def repair(operator: Operator, fault: faults.Fault) -> Row:
    """Put one right as an operator would."""
    fault.undo()
    if not fault.command:
        return Row(fault, fault.manual_step)
    seconds, code, output = operator.type(*fault.command, *(["--yes"] if fault.asks else []))
    by = f"`hostmanager {' '.join(fault.command)}`"
    by = f"{fault.manual_step}; {by}" if fault.manual_step else by
    return Row(fault, by, seconds, code, output)


def main() -> int:
    """Run the drill; 0 if `status` reported every fault and each was repaired."""
    options = parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        try:
            its_engine, skipped = stack.enter_context(engine()), ""
        except CannotMeasureError as error:
            its_engine, skipped = None, str(error)
        log(f"starting {options.hosts} hosts with {options.agents} agents")
        site = stack.enter_context(DrillSite(options.hosts, options.agents, its_engine))
        rows = drill(site, options)
        print("\n| fault | reported | repaired by | time | exit |")
        print("| --- | --- | --- | --- | --- |")
        for row in rows:
            print(row)
        if skipped:
            print(f"\nskipped: the router as a compose service ({skipped})")
        for row in rows:
            if row.code:
                print(f"--- {row.by}: exit {row.code}\n{row.output}")
        good = all(row.reported and not row.code for row in rows)
        print(json.dumps({"good": good}))
        return 0 if good else 1
    return 130


def drill(site: DrillSite, options: argparse.Namespace) -> list[Row]:
    """Break it, look, repair it: eleven faults at a time, then the router."""
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
    runs = [operator.type("status") for _ in range(options.count)]
    print(f"`status`, no fault: {_times(healthy_seconds)}")
    print(f"`status`, one host frozen: {_times([run[0] for run in runs])}")
    rows = look_and_repair(operator, broken)
    if site.router_service is not None:
        router = faults.router_service(site, site.names[-1])
        time.sleep(FAULT_DELAY)
        rows += look_and_repair(operator, [router])
    return rows


def look_and_repair(operator: Operator, broken: list[faults.Fault]) -> list[Row]:
    """Check that one `status` reports each fault, and repair them, the last one first."""
    shown = operator.type("status")[2]
    print(shown)
    started = time.monotonic()
    rows = [repair(operator, fault) for fault in reversed(broken)][::-1]
    took = time.monotonic() - started
    back = wait_all_up(operator)
    print(f"all repaired in {took:.1f} s, one after the other; all up {back:.1f} s later")
    for row in rows:
        row.reported = is_reported(shown, row.fault)
    return rows


def _times(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s (worst {max(seconds):.2f} s, n {len(seconds)})"


if __name__ == "__main__":
    sys.exit(main())
