"""python -m tests.faults [--seconds 600] [--seed N] [--sites 2] [--only KIND] [--list]"""

import argparse
import secrets
import shutil
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from hostmanager.testing.crossbar_router import CrossbarRouter
from tests.faults.campaign import Campaign
from tests.faults.environment import ROUTER, World
from tests.faults.fault_registry import KINDS
from tests.faults.report import report
from tests.support.sites import Site

TELL = 5.0
"""Seconds between two lines of progress."""


def main() -> int:
    """Run campaigns; 0: all invariants held. The directory is kept after a violation."""
    options = _options()
    if options.list:
        print("\n".join(KINDS))
        return 0
    print(f"seed {options.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="hostmanager-faults-"))
    campaigns: list[Campaign] = []
    with ExitStack() as stack:
        for number in range(1, options.sites + 1):
            world = stack.enter_context(_world(directory / str(number)))
            stack.callback(lambda world=world: world.router.stop())
            campaigns.append(
                Campaign(world, options.seed, options.only, lambda: _failed(campaigns), number)
            )
        _run(campaigns, options.seconds, options.quiet)
        print("\n" + report(campaigns))
    if _failed(campaigns):
        print("\n" + "\n\n".join(c.problem for c in campaigns if c.problem))
        return 1
    if any(campaign.world.late for campaign in campaigns):
        print(f"\nsomething was reached very late; what was seen then is kept in {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--sites", type=int, default=2, help="at the same time (default: 2)")
    parser.add_argument("--only", action="append", default=[], choices=list(KINDS), metavar="KIND")
    parser.add_argument("--list", action="store_true", help="kinds of faults")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser.parse_args()


def _world(directory: Path) -> World:
    """A site with a router of its own, which runs."""
    router = CrossbarRouter(directory / "router")
    router.start(ROUTER)
    return World(Site(directory / "site", router), router)


def _failed(campaigns: list[Campaign]) -> bool:
    return any(campaign.problem for campaign in campaigns)


def _run(campaigns: list[Campaign], seconds: float, quiet: bool) -> None:
    """All at the same time; they have nothing in common but the machine."""
    threads = [threading.Thread(target=c.run, args=(seconds,), daemon=True) for c in campaigns]
    for thread in threads:
        thread.start()
    started = last_report = time.monotonic()
    for thread in threads:
        while thread.is_alive():
            thread.join(1.0)
            if not quiet and time.monotonic() > last_report + TELL:
                last_report = time.monotonic()
                survived = sum(campaign.survived.total() for campaign in campaigns)
                _progress(f"{last_report - started:6.1f} s: {survived} faults survived")


def _progress(line: str) -> None:
    if sys.stdout.isatty():
        print(f"\r{line}   ", end="", flush=True)
    else:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
