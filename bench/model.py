"""The table: its rows, what is measured for each of them, and the goals."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

OURS = "ours"
REFERENCE = "reference"


class CannotMeasureError(Exception):
    """A figure that cannot be had, and why: shown as unknown, never as reached."""


@dataclass(frozen=True)
class Measurement:
    """What was measured for one row and one manager.

    Attributes:
        samples: All of them; none is ever dropped.
        problem: Why there are none, or not as many as planned.
        unknown: The problem is one of measuring, not a failure of the manager.
    """

    samples: tuple[float, ...] = ()
    problem: str = ""
    unknown: bool = False

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.samples)

    @property
    def p99(self) -> float:
        """Nearest rank: the worst one, with fewer than 100 samples."""
        return sorted(self.samples)[math.ceil(0.99 * len(self.samples)) - 1]


Figures = Mapping[str, Measurement]  # of one row, by manager


@dataclass(frozen=True)
class Goal:
    """What ours has to reach; all limits that are set must hold.

    Attributes:
        median: At most, in the row's unit.
        p99: At most, in the row's unit.
        of_reference: Median at most this part of the reference's.
        times_row: Median at most `times` that of ours in this other row.
        times: See `times_row`.
    """

    median: float | None = None
    p99: float | None = None
    of_reference: float | None = None
    times_row: str = ""
    times: float = 2.0

    def reached(self, row: Figures, table: Mapping[str, Figures]) -> bool | None:
        """Whether ours reached it; None if that cannot be said."""
        ours = row.get(OURS)
        if ours is None or ours.unknown:
            return None
        if ours.problem or not ours.samples:
            return False
        verdicts: list[bool | None] = []
        if self.median is not None:
            verdicts.append(ours.median <= self.median)
        if self.p99 is not None:
            verdicts.append(ours.p99 <= self.p99)
        if self.of_reference is not None:
            verdicts.append(_within(ours, row.get(REFERENCE), self.of_reference))
        if self.times_row:
            other = table.get(self.times_row, {}).get(OURS)
            verdicts.append(_within(ours, other, self.times))
        if False in verdicts:
            return False
        return None if None in verdicts or not verdicts else True


def _within(ours: Measurement, other: Measurement | None, factor: float) -> bool | None:
    if other is None or not other.samples:
        return None
    return ours.median <= factor * other.median


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        key: Its name, for ``--only`` and the JSON.
        what: What it says, for people.
        goal: For ours.
        unit: ``s`` is shown as ms or s as fits; others as they are.
        show_p99: The 99th percentile is shown beside the median.
    """

    key: str
    what: str
    goal: Goal = field(default_factory=Goal)
    unit: str = "s"
    show_p99: bool = False


Samples = dict[str, list[float]]  # by the key of the row
