"""Kill a manager before each of its calls, one after the other, and look at what follows."""

import json
from collections import Counter
from collections.abc import Iterator

from tests.crashpoints.library import KINDS
from tests.crashpoints.scenarios import BEGIN, KEPT, Scenario
from tests.crashpoints.subject import Subject, ViolationError

HOLD = 1000
"""Milliseconds that a thread is held before a call, so that answers which do not wait get out."""

Point = tuple[int, int, int]
"""A kind of call, the how manieth of that kind, and how long its thread is held before it."""


def begin(subject: Subject) -> None:
    """Have everything as each scenario begins."""
    subject.control.disarm()
    subject.write()
    if not subject.alive():
        subject.start()
    subject.wait("the manager to answer", subject.children)
    subject.update(reload_config=True)
    subject.update(requests=[["a", "up"], ["b", "down"]])
    if not subject.wait_settled(BEGIN):
        raise ViolationError(f"the manager ended by itself: {subject.describe()}")
    subject.wait_quiet()


def points(scenario: Scenario, counts: Counter[int]) -> Iterator[Point]:
    """All points of a scenario in which so many calls were made."""
    for hold in (0,) if scenario.before is None else (0, HOLD):
        for kind, count in sorted(counts.items()):
            for number in range(1, count + 1):
                yield kind, number, hold


def count(subject: Subject, scenario: Scenario) -> Counter[int]:
    """Do it once without killing; how many calls of each kind there were.

    Raises:
        ViolationError: Something that must not be.
    """
    try:
        _do(subject, scenario, None)
    except ViolationError as error:
        raise ViolationError(f"{scenario.name}: not killed, and nevertheless: {error}") from error
    return subject.control.counts


def kill_at(subject: Subject, scenario: Scenario, point: Point) -> bool:
    """Do it, kill the manager there, start it again, and look; False: it did not get there.

    Raises:
        ViolationError: Something that must not be.
    """
    try:
        return _do(subject, scenario, point)
    except ViolationError as error:
        raise ViolationError(
            f"{scenario.name}, killed before {name(point)} ({subject.control.where}): {error}"
        ) from error


def name(point: Point) -> str:
    """A point for people."""
    kind, number, hold = point
    return f"{KINDS[kind]} {number}{', held' if hold else ''}"


def _do(subject: Subject, scenario: Scenario, point: Point | None) -> bool:
    begin(subject)
    scenario.prepare(subject)
    pids = subject.process_observer.leaders()
    subject.wait_quiet()
    subject.control.arm(*point or ())
    answered = scenario.act(subject)
    subject.wait_quiet()
    hit = subject.control.hit
    subject.control.disarm()
    if subject.alive():
        assert subject.manager is not None
        subject.manager.kill()
        if point is not None and not hit:
            return False  # its process may be stopped: the next one begins anew
    subject.start()
    allowed = [scenario.after]
    if scenario.before is not None and (point is not None and not answered):
        allowed.append(scenario.before)
    if not subject.wait_settled(*allowed):
        raise ViolationError(f"the next manager ended by itself: {subject.describe()}")
    if scenario.new_pids and answered:
        subject.wait(
            f"none of {pids}", lambda: not subject.process_observer.leaders().items() & pids.items()
        )
        subject.wait_settled(*allowed)
    if scenario.keeps_pids and subject.process_observer.leaders() != pids:
        raise ViolationError(f"agents were {pids} and are {subject.process_observer.leaders()}")
    if unread := subject.pipes_without_reader():
        raise ViolationError(f"nobody reads the output of {unread}")
    subject.wait("the fork servers of before to end", lambda: not subject.left_fork_servers())
    _check_kept(subject, scenario)
    return hit


def _check_kept(subject: Subject, scenario: Scenario) -> None:
    """Nothing is kept that nobody asked for, nor of what has gone."""
    kept = json.loads((subject.site.state_dir / "wanted.json").read_text())["targets"]
    shown = {name: child["target_state"] for name, child in subject.children().items()}
    named = {*KEPT, "c"}
    if not kept.items() <= shown.items() or not kept.keys() <= named:
        raise ViolationError(f"{kept} is kept, {shown} is in force")
