"""Real OCS agents: how long until all of them answer, their CPU and memory; warm, cold, reference.

Answering is looked at from outside: a call of each agent over the router's HTTP bridge. CPU and
memory are those of each agent when all answer. Private is what it shares with no other process.

The heavy ones import numpy and scipy, as agents that compute do. Where scipy is not installed it is
put into a directory of the bench, for the time of the measurement.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from tests.support.sites import instance
from tests.support.waiting import wait_for

from bench.experiment import Experiment
from bench.harness import WAIT_TIMEOUT, Harness, Run
from bench.model import OURS, CannotMeasureError, Goal, Row, Samples
from bench.process_watch import cpu_seconds
from hostmanager.util import procfs

HEAVY = "HeavyOCSAgent"

NO_GOALS = (Goal(), Goal(), Goal())


def launched(
    size: int, name: str, *options: str, agent_class: str = "FakeDataAgent"
) -> Callable[[Harness, str, Samples], None]:
    """Make the experiment: launch a manager of that many agents, until the last one answers."""

    def measure(harness: Harness, kind: str, samples: Samples) -> None:
        names = [f"f{number}" for number in range(size)]
        entries = [instance(each, agent_class=agent_class) for each in names]
        extra = options if kind == OURS else ()
        imports = _with_scipy(harness) if agent_class == HEAVY else {}
        for _ in range(1 if harness.quick else 3):
            with harness.running(
                kind, entries, ready=False, options=extra, surroundings=imports
            ) as run:
                wait_all_answer(run, names)
                add = partial(_add, samples, f"{name}_{size}")
                add("answers", time.monotonic() - run.started)
                pids = _agent_pids(names)
                add("cpu", sum(map(cpu_seconds, pids)) / size)
                add("private", sum(map(_private_bytes, pids)) / size / 1e6)

    return measure


def _with_scipy(harness: Harness) -> dict[str, str]:
    """Variables with which agents can import scipy.

    Raises:
        CannotMeasureError: It is not installed, and cannot be.
    """
    if find_spec("scipy") is not None:
        return {}
    directory = harness.directory / "scipy"
    if not directory.exists():
        harness.step("installing scipy")
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps")
        target = ("--only-binary", ":all:", "--target", str(directory), "scipy")
        done = subprocess.run([*pip, *target], check=False, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.splitlines() or ["no reason given"])[-1]
            raise CannotMeasureError(f"skipped: scipy is not installed, and cannot be: {last}")
    return {"PYTHONPATH": str(directory)}


def _add(samples: Samples, name: str, key: str, value: float) -> None:
    samples.setdefault(f"{name}_{key}", []).append(value)


def wait_all_answer(run: Run, names: list[str]) -> None:
    """Return when each agent has answered a call."""
    waiting = set(names)

    def all_answer() -> bool:
        waiting.difference_update([each for each in sorted(waiting) if run.answers(each)])
        return not waiting

    wait_for(all_answer, 2 * WAIT_TIMEOUT, "answers", lambda: sorted(waiting), every=0.05)


def _agent_pids(names: list[str]) -> list[int]:
    titles = {f"ocs-agent:{each}".encode() for each in names}
    pids = [
        pid
        for pid in procfs.list_pids()
        if (procfs.read_file(pid, "cmdline", 200) or b"").partition(b"\0")[0] in titles
    ]
    assert len(pids) == len(names), f"{len(pids)} of {len(names)} agents"
    return pids


def _private_bytes(pid: int) -> int:
    text = (procfs.read_file(pid, "smaps_rollup") or b"").decode()
    lines = [line.split() for line in text.splitlines() if line.startswith("Private_")]
    return sum(int(line[1]) for line in lines) * 1024


def _rows(size: int, name: str, goals: tuple[Goal, ...]) -> tuple[Row, ...]:
    what = f"{size} real agents, {name.replace('_', ', ')}"
    return (
        Row(f"{name}_{size}_answers", f"{what}: launched → all answer", goals[0]),
        Row(f"{name}_{size}_cpu", "… CPU of each", goals[1]),
        Row(f"{name}_{size}_private", "… private memory of each", goals[2], unit="MB"),
    )


def _goals(size: int, shares: tuple[float, float, float]) -> tuple[Goal, ...]:
    """As parts of a cold launch."""
    pairs = zip(("answers", "cpu", "private"), shares, strict=True)
    return tuple(Goal(times_row=f"cold_{size}_{key}", times=share) for key, share in pairs)


def _experiments(
    size: int, suffix: str, agent_class: str, warm_goals: tuple[Goal, ...]
) -> tuple[Experiment, ...]:
    """Cold, beside the reference, and warm."""
    cold, warm = f"cold{suffix}", f"warm{suffix}"
    return (
        Experiment(
            f"{cold}_{size}",
            _rows(size, cold, NO_GOALS),
            launched(size, cold, "--warm-launch", "off", agent_class=agent_class),
        ),
        Experiment(
            f"{warm}_{size}",
            _rows(size, warm, warm_goals),
            launched(size, warm, "--warm-launch", "auto", agent_class=agent_class),
            (OURS,),
        ),
    )


WARM_SHARES = (1 / 4, 1 / 7, 1 / 3)

EXPERIMENTS = (
    *_experiments(20, "", "FakeDataAgent", _goals(20, WARM_SHARES)),
    *_experiments(50, "", "FakeDataAgent", _goals(50, WARM_SHARES)),
    *_experiments(20, "_heavy", HEAVY, NO_GOALS),
)
