"""python -m tests.faults [--seconds 600] [--faults N] [--go-on] [--seed N] [--sites 2] [--only KIND]"""

import argparse
import itertools
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hostmanager.testing.crossbar_router import CrossbarRouter
from tests.faults.campaign import Campaign
from tests.faults.environment import ROUTER, World
from tests.faults.fault_registry import KINDS
from tests.faults.report import report
from tests.support.demos import LIGHT_CROSSBAR
from tests.support.sites import Site

TELL, TELL_A_FILE = 5.0, 60.0
"""Seconds between two lines of progress."""


class Campaigns:
    """All of one run: one after the other at each site number, so many numbers at the same time.

    They have nothing in common but the machine.

    Attributes:
        campaigns: Those that were begun.
        ended: Set to end each after the round that it is in.
    """

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        self._options, self._directory = options, directory
        self._until = time.monotonic() + options.seconds
        self.campaigns: list[Campaign] = []
        self.ended = threading.Event()

    def run(self) -> None:
        """Return when the time is over, or there were so many faults, or a violation, or `ended`."""
        numbers = range(1, self._options.sites + 1)
        threads = [threading.Thread(target=self._run_at, args=(n,), daemon=True) for n in numbers]
        for thread in threads:
            thread.start()
        pause = TELL if sys.stdout.isatty() else TELL_A_FILE
        started = last_report = time.monotonic()
        for thread in threads:
            while thread.is_alive():
                thread.join(1.0)
                if not self._options.quiet and time.monotonic() > last_report + pause:
                    last_report = time.monotonic()
                    _progress(f"{last_report - started:6.1f} s: {self.survived()} faults survived")

    def survived(self) -> int:
        """How many faults were survived so far."""
        return sum(campaign.survived.total() for campaign in self.campaigns)

    def failed(self) -> list[str]:
        """What did not hold."""
        return [campaign.problem for campaign in self.campaigns if campaign.problem]

    def _is_over(self) -> bool:
        enough = self._options.faults and self.survived() >= self._options.faults
        return bool(self.ended.is_set() or enough or (self.failed() and not self._options.go_on))

    def _run_at(self, number: int) -> None:
        """Go on with a fresh site after each violation, if that is wanted."""
        for attempt in itertools.count(1):
            name = f"{number}.{attempt}" if attempt > 1 else f"{number}"
            with _world(self._directory / name) as world:
                campaign = Campaign(
                    world, self._options.seed, self._options.only, self._is_over, name
                )
                self.campaigns.append(campaign)
                campaign.run(self._until - time.monotonic())
                if campaign.problem:
                    print(f"\n{campaign.problem}\n", flush=True)
            if not campaign.problem or self._is_over() or time.monotonic() > self._until:
                return


def main() -> int:
    """Run campaigns; 0: all invariants held. The directory is kept after a violation."""
    CrossbarRouter.environment = {"PYTHONPATH": LIGHT_CROSSBAR}
    options = _options()
    if options.list:
        print("\n".join(KINDS))
        return 0
    print(f"seed {options.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="hostmanager-faults-"))
    campaigns = Campaigns(options, directory)
    _on_signals(campaigns.ended.set)
    campaigns.run()
    print("\n" + report(campaigns.campaigns))
    if campaigns.failed():
        print(f"\nWhat was seen of each violation (above) is kept in {directory}")
        return 1
    if any(campaign.world.late for campaign in campaigns.campaigns):
        print(f"\nsomething was reached very late; what was seen then is kept in {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--faults", type=int, metavar="N", help="end when so many were survived")
    parser.add_argument(
        "--go-on", action="store_true", help="after a violation, with a fresh site in its place"
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--sites", type=int, default=2, help="at the same time (default: 2)")
    parser.add_argument("--only", action="append", default=[], choices=list(KINDS), metavar="KIND")
    parser.add_argument("--list", action="store_true", help="kinds of faults")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser.parse_args()


def _on_signals(end: Callable[[], None]) -> None:
    """The first SIGINT or SIGTERM ends it with its report and leaves nothing, a second one at once."""

    def first(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        print("\nending after this round …", flush=True)
        end()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, first)


@contextmanager
def _world(directory: Path) -> Iterator[World]:
    """A site with a router of its own, which runs."""
    router = CrossbarRouter(directory / "router")
    router.start(ROUTER)
    world = World(Site(directory / "site", router), router)
    try:
        with world:
            yield world
    finally:
        world.router.stop()  # another one, perhaps


def _progress(line: str) -> None:
    if sys.stdout.isatty():
        print(f"\r{line}   ", end="", flush=True)
    else:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
