"""python -m tests.faults [--seconds 600] [--seed N] [--only KIND] [--list]"""

import argparse
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from hostmanager.demo.router import Router
from tests.faults.campaign import Campaign
from tests.faults.judge import ViolationError
from tests.faults.kinds import KINDS
from tests.faults.world import World
from tests.support.sites import Site


def main() -> int:
    """Run a campaign; 0: all invariants held. The folder is kept after a violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--only", action="append", default=[], choices=list(KINDS), metavar="KIND")
    parser.add_argument("--list", action="store_true", help="kinds of faults")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    options = parser.parse_args()
    if options.list:
        print("\n".join(KINDS))
        return 0
    print(f"seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="hostmanager-faults-"))
    with Router(folder / "router") as router, World(Site(folder / "site", router), router) as world:
        tell = (lambda _line: None) if options.quiet else _progress
        campaign = Campaign(world, options.seed, options.only, tell)
        problem = ""
        try:
            campaign.run(options.seconds)
        except ViolationError as error:
            problem = campaign.explain(error)
        finally:
            print("\n" + campaign.report())
            if world.router is not router:
                world.router.stop()
    if problem:
        print(f"\n{problem}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _progress(line: str) -> None:
    if sys.stdout.isatty():
        print(f"\r{line}   ", end="", flush=True)
    else:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
