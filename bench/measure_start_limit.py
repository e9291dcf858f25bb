"""Whether a limit of simultaneous starts pays: launched until OCS's own agents have registered.

python -m bench.measure_start_limit --agents 20 --rounds 3 --limits 0 4

Managers with and without the limit (0) take turns, so that what else the machine does meets both.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support import clients
from tests.support.processes import kill_all
from tests.support.sites import Site, instance
from tests.support.waiting import wait_for

from hostmanager.testing.crossbar_router import CrossbarRouter

TIMEOUT = 600.0
ARGUMENTS = ("--mode", "acq", "--sample-rate", "1")


def measure(router: CrossbarRouter, directory: Path, agents: int, limit: int) -> list[float]:
    """Seconds from the launch of the manager until each agent was ready, ascending."""
    site = Site(directory, router, follows_health=True)
    ids = [f"fake{number}" for number in range(agents)]
    site.write(
        *(instance(name, *ARGUMENTS, agent_class="FakeDataAgent") for name in ids),
        crossbar_timeout=0,
    )
    module = ["bench.limited_manager", str(limit)] if limit else ["hostmanager.agent"]
    options = ["--instance-id", site.manager_id, *site.args, "--state-dir", str(site.state_dir)]
    options += ["--working-dir", str(site.working_dir)]
    started = time.time()
    with (directory / "manager.log").open("wb") as log:
        manager = subprocess.Popen(
            [sys.executable, "-m", *module, *options],
            env={**os.environ, "HM_TEST_MARK": site.mark},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        shown = wait_for(lambda: ready_times(site, agents), TIMEOUT, "all to be ready", every=2.0)
        return sorted(at - started for at in shown)
    finally:
        manager.kill()
        manager.wait()
        kill_all(site)


def ready_times(site: Site, agents: int) -> list[float] | None:
    """When each was ready; None until all are."""
    try:
        children = clients.children(clients.client(site, timeout=30.0)).values()
    except Exception:
        return None  # it does not answer yet
    found = [child["ready_at"] for child in children if child.get("ready_at")]
    return found if len(found) == agents else None


def main() -> None:
    """Measure, and print each round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limits", type=int, nargs="+", default=[0, 4])
    args = parser.parse_args()
    means: dict[int, list[float]] = {limit: [] for limit in args.limits}
    lasts: dict[int, list[float]] = {limit: [] for limit in args.limits}
    with TemporaryDirectory(prefix="hostmanager-bench-") as name:
        router = CrossbarRouter(Path(name) / "router")
        router.start()
        try:
            for number in range(args.rounds):
                for limit in args.limits if number % 2 == 0 else args.limits[::-1]:
                    directory = Path(name) / f"site{number}-{limit}"
                    directory.mkdir()
                    times = measure(router, directory, args.agents, limit)
                    means[limit].append(statistics.mean(times))
                    lasts[limit].append(times[-1])
                    print(
                        f"round {number + 1}, limit {limit}: first {times[0]:.1f} s, "
                        f"mean {means[limit][-1]:.1f} s, last {times[-1]:.1f} s",
                        flush=True,
                    )
        finally:
            router.stop()
    for limit in args.limits:
        print(
            f"limit {limit}: median of means {statistics.median(means[limit]):.1f} s, "
            f"of lasts {statistics.median(lasts[limit]):.1f} s"
        )


if __name__ == "__main__":
    main()
