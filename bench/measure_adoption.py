"""The manager is killed and started again: until it has taken up every agent. Ours only.

The agents are brought up once, since each takes a quarter of a second to start; then the
manager is killed several times. They must keep their pids.
"""

import time
from collections.abc import Callable
from typing import BinaryIO

import psutil
from tests.support.managers import Manager

from bench.experiment import Experiment
from bench.harness import WAIT_TIMEOUT, Harness, Run, agents, ids
from bench.model import OURS, CannotMeasureError, Goal, Row, Samples

SIZES = (10, 100, 300)
EACH = 24e6  # bytes of memory that an agent takes
ADOPTED = b"; taken over as it is"


def adopted(size: int) -> Callable[[Harness, str, Samples], None]:
    """Make the experiment for that many agents."""

    def measure(harness: Harness, kind: str, samples: Samples) -> None:
        available = psutil.virtual_memory().available
        if available < size * EACH:
            msg = f"{size} agents take {size * EACH / 1e9:.0f} GB of memory"
            raise CannotMeasureError(f"{msg}; {available / 1e9:.1f} GB are available")
        entries = agents(size)
        harness.step(f"starting {size} agents")
        with harness.running(kind, entries) as run:
            pids = run.all_launched(ids(entries))
            run.wait_states(dict.fromkeys(pids, "up"))
            repeats = 3 if harness.quick else 10
            for number in range(repeats):
                harness.step(f"{number + 1} of {repeats}")
                harness.pause()
                _restart_manager(run, kind, size, pids, samples)

    return measure


def _restart_manager(
    run: Run, kind: str, size: int, pids: dict[str, int], samples: Samples
) -> None:
    """Kill the manager, start the next, and wait until it shows every agent up as it was."""
    run.manager.kill()
    log = run.manager.log_path
    old_size = log.stat().st_size
    started = time.monotonic()
    run.manager = Manager(run.site, kind=kind)
    with log.open("rb") as file:
        file.seek(old_size)
        samples.setdefault(f"adopted_{size}", []).append(_all_reported(run, file, size) - started)
    _all_shown(run, pids)
    samples.setdefault(f"adopted_shown_{size}", []).append(time.monotonic() - started)
    launches = {key: len(run.site.launches(key)) for key in pids}
    assert set(launches.values()) == {1}, f"launched again: {launches}"


def _all_reported(run: Run, file: BinaryIO, size: int) -> float:
    """Return the moment when the log reports the last adoption."""
    text, deadline = b"", time.monotonic() + WAIT_TIMEOUT
    while (reported := text.count(ADOPTED)) < size:
        text += file.read()  # a line may come in two parts
        assert time.monotonic() < deadline, f"{reported} of {size} adopted:\n{run.manager.output()}"
        time.sleep(0.001)
    return time.monotonic()


def _all_shown(run: Run, pids: dict[str, int]) -> None:
    """Return when clients are shown all of them up, with these pids."""
    deadline = time.monotonic() + WAIT_TIMEOUT
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
