"""Bands and marks of a timeline. Plain data, and how bad a state is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from hostmanager.client.status.findings import BROKEN
from hostmanager.client.status.model import StatusSeverity

UNKNOWN, ABSENT, RUNNING = "unknown", "", "running"
"""States of bands beside those of agents: nobody watched; it is not managed; the manager runs."""

NOT_RUNNING, ROUTER_AWAY = "not running", "router away"

_WORDS = {
    "waiting": "restarting",
    "given_up": "given up",
    "terminating": "stopping",
    "killing": "stopping",
}
"""What faces call the states of the journal, as far as that differs."""

_SEVERITIES = {
    ABSENT: StatusSeverity.OK,
    RUNNING: StatusSeverity.OK,
    NOT_RUNNING: StatusSeverity.ERROR,
    ROUTER_AWAY: StatusSeverity.WARNING,
    UNKNOWN: StatusSeverity.UNKNOWN,
    "unseen": StatusSeverity.UNKNOWN,
    "waiting": StatusSeverity.ERROR,
    "given_up": StatusSeverity.ERROR,
    "down": StatusSeverity.INFO,
}
"""How bad states are that are always equally bad; others are changes on their way."""


class TimeSpan(NamedTuple):
    """From when to when, Unix times."""

    start: float
    end: float


class Band(NamedTuple):
    """A time in which a state did not change.

    Attributes:
        start: Unix time.
        end: The same.
        state: In the words of `status`; `UNKNOWN`, or `ABSENT` if it was not managed.
        severity: How bad that is.
        text: What began it, for people; it may be empty.
    """

    start: float
    end: float
    state: str
    severity: StatusSeverity = StatusSeverity.OK
    text: str = ""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


class Mark(NamedTuple):
    """A moment: ``crash``, ``start``, ``request``, ``failure`` (of a request), or a kind of entry."""

    time: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One agent, or (`instance_id` empty) one manager, over the time of a range.

    Attributes:
        host: The host.
        instance_id: The agent.
        bands: They tile the range, as far as it is not in the future.
        marks: In their order.
        silences: When it was silenced, and by whom.
    """

    host: str
    instance_id: str
    bands: Sequence[Band]
    marks: Sequence[Mark] = ()
    silences: Sequence[Band] = ()


@lru_cache(maxsize=1000)
def judge_state(
    state: str, target: str | None, health: str | None, *, failing: bool
) -> tuple[str, StatusSeverity]:
    """The word for a state of the journal, and how bad it is; as `client.status.findings` judges.

    Args:
        state: As in the journal.
        target: What it should be; None: that is not known.
        health: As in the journal.
        failing: Whether it exited unexpectedly, and is not up again since.
    """
    word = _WORDS.get(state, state)
    if state == "up":
        return _judge_up(target, health)
    if (failing and state in {"down", "starting"}) or state == "blocked":
        return word, StatusSeverity.ERROR if target == "up" else StatusSeverity.WARNING
    return word, _SEVERITIES.get(state, StatusSeverity.WARNING)


def _judge_up(target: str | None, health: str | None) -> tuple[str, StatusSeverity]:
    if health in BROKEN:  # a process that exists is not an agent that works
        return f"up, {str(health).replace('_', ' ')}", StatusSeverity.ERROR
    if health == "degraded":
        return "up, degraded", StatusSeverity.WARNING
    return "up", StatusSeverity.WARNING if target == "down" else StatusSeverity.OK


def clip(bands: Iterable[Band], span: TimeSpan) -> list[Band]:
    """The parts of bands that are in a range."""
    start, end = span
    clipped = []
    for band in bands:
        if band.start < start or band.end > end:
            band = band._replace(start=max(band.start, start), end=min(band.end, end))  # noqa: PLW2901
        if band.end > band.start:
            clipped.append(band)
    return clipped


def joined(bands: Iterable[Band]) -> list[Band]:
    """Bands that follow each other and are the same state, as one; with the text of the first."""
    merged: list[Band] = []
    for band in bands:
        last = merged[-1] if merged else None
        if last is not None and (last.state, last.severity) == (band.state, band.severity):
            merged[-1] = last._replace(end=band.end)
        else:
            merged.append(band)
    return merged
