"""What the manager costs: with 50 agents that do nothing, and with one that writes a lot."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.support.sites import instance
from tests.support.waiting import wait_for

from bench.lab import PATIENCE, Lab, Run, agents, ids
from bench.model import CannotMeasureError, Experiment, Goal, Row, Samples
from bench.watch import cpu_seconds

RATE = 10_000_000  # bytes/s


def idle(lab: Lab, kind: str, samples: Samples) -> None:
    """CPU of the manager and its helpers, router connected, no client asking."""
    window = 10 if lab.quick else 30
    entries = agents(50)
    with lab.running(kind, entries) as run:
        run.wait_states(dict.fromkeys(run.all_launched(ids(entries)), "up"))
        lab.step("settling")
        time.sleep(5)
        for number in range(1 if lab.quick else 3):
            lab.step(f"window {number + 1}, {window} s")
            used = _cpu_over(run, lambda: time.sleep(window))
            samples.setdefault("idle_cpu", []).append(100 * used / window)


def chatty(lab: Lab, kind: str, samples: Samples) -> None:
    """One agent that writes 10 MB/s: CPU of the manager meanwhile, and what became of it."""
    seconds = 4 if lab.quick else 10
    arguments = ("--behave", "chatty", "--rate", RATE, "--total", RATE * seconds)
    entry = instance("loud", *arguments, manage="host/down")
    with lab.running(kind, [entry]) as run:
        run.wait_states({"loud": "down"})
        time.sleep(2)
        note = run.site.working_dir / "chatty" / "loud"
        run.update("loud", "up")
        pid = run.launched("loud", 1)
        lab.step(f"{seconds} s")
        begun = time.monotonic()
        used = _cpu_over(
            run, lambda: wait_for(note.exists, PATIENCE, "all to be written", every=0.02)
        )
        written, _, spent = note.read_text().split()
        samples["chatty_cpu"] = [100 * used / (time.monotonic() - begun)]
        samples["chatty_rate"] = [RATE * seconds / float(spent) / 1e6]
        target = Path(f"/proc/{pid}/fd/1").resolve()
        if not target.is_file():
            msg = "written to a pipe; the manager offers no copy of it to count"
            raise CannotMeasureError(msg)
        samples["chatty_lost"] = [int(written) - _lines_found(target, int(written))]


def _cpu_over(run: Run, act: Callable[[], object]) -> float:
    """CPU seconds of the manager and its helpers while something is done."""
    before = {pid: cpu_seconds(pid) for pid in run.manager_pids()}
    act()
    after = {pid: cpu_seconds(pid) for pid in run.manager_pids()}
    return sum(used - before.get(pid, 0.0) for pid, used in after.items())


def _lines_found(path: Path, written: int) -> int:
    """How many of the numbered lines are in the file, whole."""
    found = bytearray(written)
    with path.open("rb") as file:
        for line in file:
            number = line[:12]
            if number.isdigit() and line.endswith(b".\n"):
                found[int(number)] = 1
    return sum(found)


EXPERIMENTS = (
    Experiment(
        "idle",
        (Row("idle_cpu", "CPU, idle, 50 agents", Goal(median=0.05), unit="%"),),
        idle,
    ),
    Experiment(
        "chatty",
        (
            Row("chatty_cpu", "CPU, one agent writes 10 MB/s", Goal(median=0.2), unit="%"),
            Row("chatty_rate", "… what it could write", unit="MB/s"),
            Row("chatty_lost", "… lines lost", Goal(median=0), unit="lines"),
        ),
        chatty,
    ),
)
