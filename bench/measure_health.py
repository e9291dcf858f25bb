"""What following the heartbeats of 50 real agents costs, and how soon a hang is shown. Ours only.

The agents and the manager are the same all the time; a reload switches the following off and on,
window by window, so that a machine that is busier for a while cannot favour one of them.
"""

import os
import signal
import time

from tests.support.sites import Site, instance
from tests.support.waiting import wait_for

from bench.experiment import Experiment
from bench.harness import WAIT_TIMEOUT, Harness, Run, ids
from bench.model import OURS, Goal, Row, Samples
from bench.process_watch import cpu_seconds
from hostmanager.agent.monitoring.resource_usage import INTERVAL, UsageReader

COUNT = 50
SETTLE = 12.0  # seconds: more than what is between two windows of the manager


def health(harness: Harness, kind: str, samples: Samples) -> None:
    """CPU of the manager, with heartbeats followed and not, in turn; then agents are stopped."""
    window, pairs = (10.0, 1) if harness.quick else (60.0, 4)
    entries = [
        instance(f"fake{n}", "--mode", "acq", "--sample-rate", "1", agent_class="FakeDataAgent")
        for n in range(3 if harness.quick else COUNT)
    ]

    def follow(site: Site, follows: bool) -> None:
        site.follows_health = follows
        site.write(*entries, crossbar_timeout=0)

    with harness.running(kind, entries, prepare=lambda site: follow(site, True)) as run:
        harness.step("starting the agents")
        wait_all_ok(run, ids(entries))
        time.sleep(SETTLE)
        _sampling(run, samples)
        for number in range(pairs):
            for follows in (True, False) if number % 2 else (False, True):
                follow(run.site, follows)
                run.reload()
                time.sleep(SETTLE)
                harness.step(f"pair {number + 1} of {pairs}, followed: {follows}")
                used = _manager_cpu(run, window)
                samples.setdefault(f"followed_{'on' if follows else 'off'}", []).append(used)
        on, off = samples["followed_on"], samples["followed_off"]
        samples["followed_more"] = [more - less for more, less in zip(on, off, strict=True)]
        follow(run.site, True)
        run.reload()
        for instance_id in ids(entries)[:3]:
            wait_all_ok(run, ids(entries))
            harness.pause()
            harness.step(f"{instance_id} hangs")
            samples.setdefault("hang_shown", []).append(_hang(run, instance_id))


def wait_all_ok(run: Run, instance_ids: list[str]) -> None:
    """Wait until all of these are heard."""

    def all_ok() -> bool:
        shown = run.children()
        return all(shown.get(each, {}).get("health") == "ok" for each in instance_ids)

    wait_for(all_ok, 4 * WAIT_TIMEOUT, "all agents to be heard", every=0.5)


def _manager_cpu(run: Run, seconds: float) -> float:
    """Per cent of a core that the manager and its helpers use."""
    pids = run.manager_pids()
    started, before = time.monotonic(), [cpu_seconds(pid) for pid in pids]
    time.sleep(seconds)
    used = sum(cpu_seconds(pid) for pid in pids) - sum(before)
    return 100 * used / (time.monotonic() - started)


def _sampling(run: Run, samples: Samples) -> None:
    """Per cent of a core that samples of resources cost: their code, measured in this process."""
    leaders = {name: child["pid"] for name, child in run.children().items()}
    reader = UsageReader()
    for _ in range(10):
        before = time.thread_time()
        assert reader.measure(leaders, time.time()).keys() == leaders.keys()
        samples.setdefault("sampling", []).append(100 * (time.thread_time() - before) / INTERVAL)


def _hang(run: Run, instance_id: str) -> float:
    """Seconds from the moment that an agent is stopped until it is shown without heartbeat."""
    pid = run.children()[instance_id]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        wait_for(
            lambda: run.children()[instance_id]["health"] == "no_heartbeat",
            WAIT_TIMEOUT,
            f"{instance_id} to be shown without heartbeat",
            every=0.1,
        )
        return time.monotonic() - started
    finally:
        os.kill(pid, signal.SIGCONT)


EXPERIMENTS = (
    Experiment(
        "health",
        (
            Row("followed_on", "CPU, 50 real agents, heartbeats followed", unit="%"),
            Row("followed_off", "… not followed", unit="%"),
            Row("followed_more", "… difference of each pair", Goal(median=0.15), unit="%"),
            Row("sampling", "CPU of sampling their resources every 30 s", unit="%"),
            Row("hang_shown", "an agent is stopped → shown without heartbeat", Goal(median=26.0)),
        ),
        health,
        kinds=(OURS,),
    ),
)
