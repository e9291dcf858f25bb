"""What the manager costs: with 50 agents that do nothing, and with one that writes a lot."""

import gzip
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.support.processes import processes
from tests.support.sites import instance
from tests.support.waiting import wait_for

from bench.experiment import Experiment
from bench.harness import WAIT_TIMEOUT, Harness, Run, agents, ids
from bench.model import OURS, CannotMeasureError, Goal, Row, Samples
from bench.process_watch import cpu_seconds

RATE = 10_000_000  # bytes/s


def idle(harness: Harness, kind: str, samples: Samples) -> None:
    """CPU of the manager and its helpers, router connected, no client asking."""
    window = 10 if harness.quick else 30
    entries = agents(50)
    with harness.running(kind, entries) as run:
        run.wait_states(dict.fromkeys(run.all_launched(ids(entries)), "up"))
        harness.step("settling")
        time.sleep(5)
        for number in range(1 if harness.quick else 3):
            harness.step(f"window {number + 1}, {window} s")
            used = _cpu_over(run, lambda: time.sleep(window))
            samples.setdefault("idle_cpu", []).append(100 * used / window)


def idle_bare(harness: Harness, kind: str, samples: Samples) -> None:
    """CPU of an agent of OCS that does nothing but send its heartbeat: nobody has less."""
    window = 10 if harness.quick else 30
    entry = instance("bare", "--mode", "idle", agent_class="FakeDataAgent")
    with harness.running(kind, [entry]) as run:
        wait_for(lambda: run.answers("bare"), WAIT_TIMEOUT, "an answer of the agent")
        pid = run.children()["bare"]["pid"]
        harness.step("settling")
        time.sleep(5)
        for _ in range(1 if harness.quick else 3):
            before = cpu_seconds(pid)
            time.sleep(window)
            used = cpu_seconds(pid) - before
            samples.setdefault("idle_bare_cpu", []).append(100 * used / window)


def chatty(harness: Harness, kind: str, samples: Samples) -> None:
    """One agent that writes 10 MB/s: CPU of the manager meanwhile, and what became of it."""
    # No more than what is kept: 6 files of 10 MiB, each ended up to 1 MiB before that.
    seconds = 4 if harness.quick else 5
    arguments = ("--behave", "chatty", "--rate", RATE, "--total", RATE * seconds)
    entry = instance("loud", *arguments, manage="host/down")
    for number in range(3):
        with harness.running(kind, [entry]) as run:
            run.wait_states({"loud": "down"})
            time.sleep(2)
            harness.step(f"{number + 1} of 3, {seconds} s")
            try:
                _one_chatty(run, seconds, samples)
            except CannotMeasureError:
                if number == 2:  # what can be measured is worth all three
                    raise


def _one_chatty(run: Run, seconds: int, samples: Samples) -> None:
    note = run.site.working_dir / "chatty" / "loud"
    log_daemons = {process.pid for process in processes(run.site) if process.kind == "log daemon"}
    run.update("loud", "up")
    pid = run.launched("loud", 1)
    started = time.monotonic()
    used = _each_cpu_over(
        run, lambda: wait_for(note.exists, WAIT_TIMEOUT, "all to be written", every=0.02)
    )
    share = 100 / (time.monotonic() - started)
    written, _, spent = note.read_text().split()

    def add(row: str, value: float) -> None:
        samples.setdefault(row, []).append(value)

    add("chatty_cpu", share * sum(cpu for pid, cpu in used.items() if pid not in log_daemons))
    if log_daemons:
        add("chatty_logd_cpu", share * sum(cpu for pid, cpu in used.items() if pid in log_daemons))
    add("chatty_rate", RATE * seconds / float(spent) / 1e6)
    add("chatty_lost", int(written) - _lines_kept(run, pid, int(written)))


def _lines_kept(run: Run, pid: int, written: int) -> int:
    """How many of the numbered lines are in files, when they do not become more."""
    output = run.children()["loud"].get("output")
    target = Path(output or f"/proc/{pid}/fd/1").resolve()
    if output is None and not target.is_file():
        msg = "written to a pipe; the manager offers no copy of it to count"
        raise CannotMeasureError(msg)
    kept = -1
    while (now := _lines_found(target, written)) != kept:
        kept = now
        time.sleep(1)
    return kept


def _cpu_over(run: Run, act: Callable[[], object]) -> float:
    """CPU seconds of the manager and its helpers while something is done."""
    return sum(_each_cpu_over(run, act).values())


def _each_cpu_over(run: Run, act: Callable[[], object]) -> dict[int, float]:
    """The same for each of these processes."""
    before = _cpu_of_each(run)
    act()
    return {pid: used - before.get(pid, 0.0) for pid, used in _cpu_of_each(run).items()}


def _cpu_of_each(run: Run) -> dict[int, float]:
    used = {}
    for pid in run.manager_pids():
        with suppress(FileNotFoundError, ProcessLookupError):  # a helper has ended just now
            used[pid] = cpu_seconds(pid)
    return used


def _lines_found(path: Path, written: int) -> int:
    """How many of the numbered lines are in the file and the older ones, whole."""
    seen_lines = bytearray(written)
    for file in (path, *path.parent.glob(f"{path.name}.[0-9]*")):
        if file.suffix == ".times":
            continue
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            continue  # it was compressed meanwhile; the next count reads it
        for line in (gzip.decompress(data) if file.suffix == ".gz" else data).splitlines(True):
            number = line[:12]
            if number.isdigit() and line.endswith(b".\n"):
                seen_lines[int(number)] = 1
    return sum(seen_lines)


EXPERIMENTS = (
    Experiment(
        "idle",
        (Row("idle_cpu", "CPU, idle, 50 agents", Goal(median=0.05), unit="%"),),
        idle,
    ),
    Experiment(
        "idle_bare",
        (Row("idle_bare_cpu", "CPU, idle, an OCS agent that does nothing", unit="%"),),
        idle_bare,
        kinds=(OURS,),
    ),
    Experiment(
        "chatty",
        (
            Row("chatty_cpu", "CPU, one agent writes 10 MB/s", Goal(median=0.2), unit="%"),
            Row("chatty_logd_cpu", "… of its log daemon", unit="%"),
            Row("chatty_rate", "… what it could write", unit="MB/s"),
            Row("chatty_lost", "… lines lost", Goal(median=0), unit="lines"),
        ),
        chatty,
    ),
)
