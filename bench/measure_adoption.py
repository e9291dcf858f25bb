"""The manager is killed and started again: until it has taken up every agent. Ours only.

The agents are brought up once, since each takes a quarter of a second to start; then the
manager is killed several times. They must keep their pids.
"""

import time
from collections.abc import Callable
from typing import BinaryIO

import psutil
from tests.support.managers import Manager

from bench.lab import PATIENCE, Harness, Run, agents, ids
from bench.model import OURS, CannotMeasureError, Experiment, Goal, Row, Samples

SIZES = (10, 100, 300)
EACH = 24e6  # bytes of memory that an agent takes
TAKEN_OVER = b"; taken over as it is"


def adopted(size: int) -> Callable[[Harness, str, Samples], None]:
    """Make the experiment for that many agents."""

    def measure(lab: Harness, kind: str, samples: Samples) -> None:
        available = psutil.virtual_memory().available
        if available < size * EACH:
            msg = f"{size} agents take {size * EACH / 1e9:.0f} GB of memory"
            raise CannotMeasureError(f"{msg}; {available / 1e9:.1f} GB are available")
        entries = agents(size)
        lab.step(f"starting {size} agents")
        with lab.running(kind, entries) as run:
            pids = run.all_launched(ids(entries))
            run.wait_states(dict.fromkeys(pids, "up"))
            repeats = 3 if lab.quick else 10
            for number in range(repeats):
                lab.step(f"{number + 1} of {repeats}")
                lab.pause()
                _again(run, kind, size, pids, samples)

    return measure


def _again(run: Run, kind: str, size: int, pids: dict[str, int], samples: Samples) -> None:
    """Kill the manager, start the next, and wait until it shows every agent up as it was."""
    run.manager.kill()
    log = run.manager.log_path
    already = log.stat().st_size
    begun = time.monotonic()
    run.manager = Manager(run.site, kind=kind)
    with log.open("rb") as file:
        file.seek(already)
        samples.setdefault(f"adopted_{size}", []).append(_all_said(run, file, size) - begun)
    _all_shown(run, pids)
    samples.setdefault(f"adopted_shown_{size}", []).append(time.monotonic() - begun)
    launches = {key: len(run.site.launches(key)) for key in pids}
    assert set(launches.values()) == {1}, f"launched again: {launches}"


def _all_said(run: Run, file: BinaryIO, size: int) -> float:
    """Return the moment when the log tells of the last one."""
    text, deadline = b"", time.monotonic() + PATIENCE
    while (said := text.count(TAKEN_OVER)) < size:
        text += file.read()  # a line may come in two parts
        assert time.monotonic() < deadline, f"{said} of {size} adopted:\n{run.manager.output()}"
        time.sleep(0.001)
    return time.monotonic()


def _all_shown(run: Run, pids: dict[str, int]) -> None:
    """Return when clients are shown all of them up, with these pids."""
    deadline = time.monotonic() + PATIENCE
    shown: dict[str, object] = {}
    while shown != pids:
        assert time.monotonic() < deadline, f"not shown as they are: {shown}"
        time.sleep(0.005)
        try:
            children = run.children()
        except AssertionError:  # not registered yet
            continue
        shown = {
            key: child["pid"] for key, child in children.items() if child["next_action"] == "up"
        }


def _rows(size: int) -> tuple[Row, Row]:
    within = Goal(median=1.0) if size == 100 else Goal()
    return (
        Row(f"adopted_{size}", f"manager started → {size} agents adopted", within, show_p99=True),
        Row(
            f"adopted_shown_{size}",
            f"manager started → {size} agents shown up, same pids",
            show_p99=True,
        ),
    )


EXPERIMENTS = tuple(
    Experiment(f"adoption_{size}", _rows(size), adopted(size), kinds=(OURS,)) for size in SIZES
)
