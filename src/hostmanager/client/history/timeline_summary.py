"""What a timeline comes to: how often, and how long, an agent did not work. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hostmanager.client.history.timeline_model import ABSENT, Band, Lane
from hostmanager.client.status.model import StatusSeverity
from hostmanager.util.text import format_duration, pluralize

STEADY_TIME = 60.0
"""Seconds without a fault after which the next fault is another one; as managers count
(`off_target_since`): an agent in a crash loop is up for a moment again and again."""


@dataclass(frozen=True, slots=True)
class LaneSummary:
    """What a lane comes to.

    Attributes:
        lane: The lane.
        faults: The times in which it did not work, each with its first cause.
        crashes: How often it exited unexpectedly.
        unknown: Seconds in which nobody watched.
        severity: That of the newest band.
    """

    lane: Lane
    faults: Sequence[Band]
    crashes: int
    unknown: float
    severity: StatusSeverity

    @property
    def seconds(self) -> float:
        """How long it did not work in all."""
        return sum(fault.seconds for fault in self.faults)

    @property
    def is_quiet(self) -> bool:
        """Whether it worked all the time, as far as is known of all the time."""
        return not self.faults and not self.unknown

    @property
    def text(self) -> str:
        """The same as one sentence, without its subject and full stop."""
        what = "did not work" if self.lane.instance_id else "did not run"
        parts = [f"{what} {_faults_text(self.faults)}"] if self.faults else []
        if self.crashes:
            parts.append(f"exited unexpectedly {_times(self.crashes)}")
        if self.unknown:
            parts.append(f"not known for {format_duration(self.unknown)}")
        return "; ".join(parts) or "no fault"

    @property
    def brief(self) -> str:
        """The same for a cell of a table."""
        parts = []
        if self.faults:
            longest = max(fault.seconds for fault in self.faults)
            more = f" (longest {format_duration(longest)})" if len(self.faults) > 1 else ""
            number = pluralize(len(self.faults), "fault")
            parts.append(f"{number}, {format_duration(self.seconds)}{more}")
        if self.crashes:
            parts.append(pluralize(self.crashes, "unexpected exit"))
        if self.unknown:
            parts.append(f"not known for {format_duration(self.unknown)}")
        return "; ".join(parts) or "no fault"

    @property
    def order(self) -> tuple[float, float, str, str]:
        """Sorts the worst first."""
        return -self.seconds, -self.unknown, self.lane.host, self.lane.instance_id


def summarize_lane(lane: Lane) -> LaneSummary:
    """Sum up a lane."""
    crashes = sum(mark.kind == "crash" for mark in lane.marks)
    unknown = sum(b.seconds for b in lane.bands if b.severity is StatusSeverity.UNKNOWN)
    severity = lane.bands[-1].severity if lane.bands else StatusSeverity.OK
    return LaneSummary(lane, faults_of(lane.bands), crashes, unknown, severity)


def faults_of(bands: Iterable[Band]) -> list[Band]:
    """The times in which something did not work; what follows within a minute is the same one."""
    faults: list[Band] = []
    for band in bands:
        if band.severity is StatusSeverity.UNKNOWN or band.state == ABSENT:
            faults.append(band)  # what follows is another fault: keeps them apart
        elif band.severity is StatusSeverity.ERROR:
            last = faults[-1] if faults else None
            if (
                last is not None
                and last.severity is StatusSeverity.ERROR
                and band.start - last.end < STEADY_TIME
            ):
                faults[-1] = last._replace(end=band.end)
            else:
                faults.append(band)
    return [fault for fault in faults if fault.severity is StatusSeverity.ERROR]


def _faults_text(faults: Sequence[Band]) -> str:
    longest = max(faults, key=lambda fault: fault.seconds)
    total = format_duration(sum(fault.seconds for fault in faults))
    if len(faults) == 1:
        return f"once, for {total}"
    return (
        f"{_times(len(faults))}, for {total} in all, "
        f"at most {format_duration(longest.seconds)} at a time"
    )


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number) or pluralize(number, "time")
