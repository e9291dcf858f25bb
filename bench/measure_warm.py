"""Real OCS agents: how long until all of them answer, their CPU and memory; warm, cold, reference.

Answering is looked at from outside: a call of each agent over the router's HTTP bridge. CPU and
memory are those of each agent when all answer. Private is what it shares with no other process.
"""

import time
from collections.abc import Callable
from functools import partial

from tests.support.sites import instance
from tests.support.waiting import wait_for

from bench.experiment import Experiment
from bench.harness import WAIT_TIMEOUT, Harness, Run
from bench.model import OURS, Goal, Row, Samples
from bench.process_watch import cpu_seconds
from hostmanager.util import procfs


def launched(size: int, name: str, *options: str) -> Callable[[Harness, str, Samples], None]:
    """Make the experiment: launch a manager of that many agents, until the last one answers."""

    def measure(harness: Harness, kind: str, samples: Samples) -> None:
        names = [f"f{number}" for number in range(size)]
        entries = [instance(each, agent_class="FakeDataAgent") for each in names]
        extra = options if kind == OURS else ()
        for _ in range(1 if harness.quick else 3):
            with harness.running(kind, entries, ready=False, options=extra) as run:
                wait_all_answer(run, names)
                add = partial(_add, samples, f"{name}_{size}")
                add("answers", time.monotonic() - run.started)
                pids = _agent_pids(names)
                add("cpu", sum(map(cpu_seconds, pids)) / size)
                add("private", sum(map(_private_bytes, pids)) / size / 1e6)

    return measure


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


def _rows(size: int, name: str, goals: tuple[Goal, Goal, Goal]) -> tuple[Row, ...]:
    what = f"{size} real agents, {name}"
    return (
        Row(f"{name}_{size}_answers", f"{what}: launched → all answer", goals[0]),
        Row(f"{name}_{size}_cpu", "… CPU of each", goals[1]),
        Row(f"{name}_{size}_private", "… private memory of each", goals[2], unit="MB"),
    )


def _cold_goals(size: int, shares: tuple[float, float, float]) -> tuple[Goal, ...]:
    keys = ("answers", "cpu", "private")
    pairs = zip(keys, shares, strict=True)
    return tuple(Goal(times_row=f"cold_{size}_{key}", times=share) for key, share in pairs)


def _experiments(size: int) -> tuple[Experiment, ...]:
    none = (Goal(), Goal(), Goal())
    warm = _cold_goals(size, (1 / 4, 1 / 7, 1 / 3))
    cold = launched(size, "cold", "--warm-launch", "off")
    return (
        Experiment(f"cold_{size}", _rows(size, "cold", none), cold),
        Experiment(
            f"warm_{size}",
            _rows(size, "warm", warm),
            launched(size, "warm", "--warm-launch", "auto"),
            (OURS,),
        ),
    )


EXPERIMENTS = (*_experiments(20), *_experiments(50))
