"""Compose services on a real engine: latencies after its events, idle cost, a frozen engine."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.engine import Engine
from tests.support.sites import instance

from bench.engine import FILE, Events, engine, write_services
from bench.experiment import Experiment
from bench.harness import Harness, Run
from bench.measure_crash_recovery import crashed
from bench.model import OURS, Goal, Row, Samples
from bench.process_watch import ProcessWatch, cpu_seconds

SERVICES = 10
PASSIVE = "by-hand"
FORKS = Path("/proc/stat")
FROZEN_FOR = 30.0  # seconds


def _names() -> list[str]:
    return [f"d{number}" for number in range(SERVICES)]


@contextlib.contextmanager
def _running(
    harness: Harness, kind: str, target: str, made: Engine, *, host_agent: bool = False
) -> Iterator[tuple[Run, Path]]:
    """A manager with ten services of its own and one that is nobody's."""
    entries = [instance(name, manage=f"docker/{target}") for name in _names()]
    entries += [instance("a0")] if host_agent else []
    services = [f"ocs-{name}" for name in _names()]
    files: list[Path] = []
    with harness.running(
        kind,
        entries,
        options=("--docker-compose", FILE),
        surroundings=made.environment,
        prepare=lambda site: files.append(write_services(site.working_dir, [*services, PASSIVE])),
    ) as run:
        run.wait_states(dict.fromkeys(_names(), target))
        try:
            yield run, files[0]
        finally:
            run.manager.kill()
            _remove_containers(made)


def _remove_containers(made: Engine) -> None:
    ids = made.docker("ps", "--all", "--quiet").split()
    if ids:
        made.docker("rm", "--force", *ids)


def _count(harness: Harness, kind: str) -> int:
    few, many = (3, 10) if kind == OURS else (2, 6)
    return few if harness.quick else many


def died(harness: Harness, kind: str, samples: Samples) -> None:
    """Kill a container that has not died before, as only a first death is answered at once."""
    with (
        engine() as made,
        Events(made.socket) as events,
        _running(harness, kind, "up", made) as (run, file),
    ):
        for number, name in enumerate(_names()[: _count(harness, kind)]):
            harness.step(f"{number + 1} of {_count(harness, kind)}")
            service = f"ocs-{name}"
            harness.pause()
            pid = made.container_pid(f"{file.parent.name}-{service}-1")
            started = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            shown = run.time_until(name, crashed)
            death = events.wait("die", service, started)
            samples.setdefault("container_died_shown", []).append(shown - death.at)
            again = events.wait("start", service, death.at)
            samples.setdefault("container_again", []).append(again.at - death.at)
            run.wait_states({name: "up"})


def requested(harness: Harness, kind: str, samples: Samples) -> None:
    """update(down) to the stop signal, update(up) to the start."""
    with (
        engine() as made,
        Events(made.socket) as events,
        _running(harness, kind, "up", made) as (run, _),
    ):
        for number, name in enumerate(_names()[: _count(harness, kind)]):
            harness.step(f"{number + 1} of {_count(harness, kind)}")
            harness.pause()
            started = time.monotonic()
            run.update(name, "down")
            stop_signal = events.wait("kill", f"ocs-{name}", started)
            samples.setdefault("container_stop", []).append(stop_signal.at - started)
            run.wait_states({name: "down"})
            harness.pause()
            started = time.monotonic()
            run.update(name, "up")
            up = events.wait("start", f"ocs-{name}", started)
            samples.setdefault("container_up", []).append(up.at - started)
            run.wait_states({name: "up"})


def passive(harness: Harness, kind: str, samples: Samples) -> None:
    """Start and stop a service that nobody manages, by hand."""
    with (
        engine() as made,
        Events(made.socket) as events,
        _running(harness, kind, "down", made) as (run, file),
    ):
        made.compose("-f", str(file), "up", "--detach", "--no-deps", PASSIVE)
        container = f"{file.parent.name}-{PASSIVE}-1"
        run.time_until(PASSIVE, lambda child: child["next_action"] == "up")
        for number in range(_count(harness, kind)):
            harness.step(f"{number + 1} of {_count(harness, kind)}")
            for action, event, state in (("kill", "die", "down"), ("start", "start", "up")):
                harness.pause()
                started = time.monotonic()
                made.api("POST", f"/containers/{container}/{action}")
                shown = run.time_until(PASSIVE, lambda c, s=state: c["next_action"] == s)
                at = events.wait(event, PASSIVE, started).at
                samples.setdefault("passive_shown", []).append(max(0.0, shown - at))


def idle(harness: Harness, kind: str, samples: Samples) -> None:
    """CPU with ten services that do nothing, and how many processes come to be meanwhile."""
    window = 10 if harness.quick else 30
    with engine() as made:
        harness.step("counting processes without a manager")
        before = _processes_over(window)
        with _running(harness, kind, "up", made) as (run, _):
            harness.step("settling")
            time.sleep(5)
            for number in range(1 if harness.quick else 3):
                harness.step(f"window {number + 1}, {window} s")
                pids = run.manager_pids()
                used = {pid: cpu_seconds(pid) for pid in pids}
                forks = _processes_over(window)
                spent = sum(
                    cpu_seconds(pid) - used[pid] for pid in run.manager_pids() if pid in used
                )
                samples.setdefault("docker_idle_cpu", []).append(100 * spent / window)
                per_minute = max(0, forks - before) * 60 / window
                samples.setdefault("docker_idle_processes", []).append(per_minute)


def _processes_over(window: float) -> int:
    """How many processes and threads come to be on the whole machine."""

    def forks_since_boot() -> int:
        lines = FORKS.read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("processes")))

    started = forks_since_boot()
    time.sleep(window)
    return forks_since_boot() - started


def frozen(harness: Harness, kind: str, samples: Samples) -> None:
    """Freeze the engine; kill a host agent, and see how long it takes to be relaunched."""
    with (
        engine() as made,
        ProcessWatch() as watcher,
        _running(harness, kind, "up", made, host_agent=True) as (run, _),
    ):
        pid = run.launched("a0", 1)
        made.freeze()
        try:
            if kind == OURS:
                started = time.monotonic()
                shown = run.time_until("d0", lambda child: child["next_action"] != "up")
                samples.setdefault("frozen_shown", []).append(shown - started)
            time.sleep(3)
            started = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            while len(run.site.launches("a0")) < 2 and time.monotonic() - started < FROZEN_FOR:
                time.sleep(0.005)
            if len(run.site.launches("a0")) < 2:
                msg = f"not relaunched within {FROZEN_FOR:g} s, while the engine was frozen"
                raise AssertionError(msg)
            relaunched_at = watcher.seen[run.launched("a0", 2)]
            samples.setdefault("frozen_relaunched", []).append(relaunched_at - started)
        finally:
            made.thaw()


EXPERIMENTS = (
    Experiment(
        "docker_died",
        (
            Row("container_died_shown", "container dies → shown", Goal(median=0.050)),
            Row("container_again", "container dies → runs again", Goal(median=0.6)),
        ),
        died,
    ),
    Experiment(
        "docker_requests",
        (
            Row("container_stop", "update(down) → stop signal at container", Goal(median=0.2)),
            Row("container_up", "update(up) → container runs", Goal(median=0.6)),
        ),
        requested,
    ),
    Experiment(
        "docker_passive",
        (Row("passive_shown", "passive service by hand → shown", Goal(median=0.050)),),
        passive,
    ),
    Experiment(
        "docker_idle",
        (
            Row("docker_idle_cpu", "CPU, idle, 10 services", Goal(median=0.1), unit="%"),
            Row(
                "docker_idle_processes", "… processes a minute", Goal(median=0.0), unit="processes"
            ),
        ),
        idle,
    ),
    Experiment(
        "docker_frozen",
        (
            Row("frozen_shown", "engine frozen → shown", Goal(median=5.0)),
            Row("frozen_relaunched", "engine frozen: agent killed → relaunched", Goal(median=0.05)),
        ),
        frozen,
    ),
)
