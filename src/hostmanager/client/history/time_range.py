"""A range of time as somebody gives it: from and to, as times or as ages."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from hostmanager.client.history.timeline_model import TimeSpan
from hostmanager.client.manager_time import RelativeTime
from hostmanager.client.text import parse_since
from hostmanager.util.text import format_duration

MAX_RANGE = 400 * 86_400.0
"""Seconds of a range at most."""

MIN_RANGE = 10.0
"""Seconds to which one can zoom in."""

FORMS = (
    "an age such as -24h, -90m or -7d, a time such as 2026-01-31T14:05 (also with a zone: "
    "2026-01-31T14:05:00+01:00) or 14:05, or now"
)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A range of time by the clock here; an end that was given as an age counts from each present.

    Attributes:
        start: Unix time, perhaps as an age.
        end: The same.
        now: The present.
    """

    start: float
    end: float
    now: float

    def by_clock(self, offset: float) -> TimeSpan:
        """The range by a clock that is `offset` seconds ahead of the one here."""
        start, end = (
            float(when) + (offset if isinstance(when, RelativeTime) else 0.0)
            for when in (self.start, self.end)
        )
        return TimeSpan(start, end)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return float(self.end) - float(self.start)

    @property
    def parameters(self) -> dict[str, str]:
        """The same for an address, by the names `from` and `to`."""
        return {"from": _as_text(self.start), "to": _as_text(self.end)}

    def moved(self, share: float) -> dict[str, str]:
        """The parameters of a range so much of its length later; not later than now."""
        step = min(share * self.seconds, self.now - float(self.end))
        return _parameters(float(self.start) + step, float(self.end) + step)

    def zoomed(self, factor: float) -> dict[str, str]:
        """The parameters of a range `factor` times as long, around the same middle, or up to now."""
        length = min(max(MIN_RANGE, self.seconds * factor), MAX_RANGE)
        if isinstance(self.end, RelativeTime) and self.end.age == 0:
            return {"from": _as_text(RelativeTime(round(length), self.now)), "to": "now"}
        end = min((float(self.start) + float(self.end) + length) / 2, self.now)
        return _parameters(end - length, end)


def parse_range(start: str, end: str, now: float | None = None) -> TimeRange:
    """Read a range; empty texts are 24 hours ago, and now.

    Raises:
        ValueError: It makes no sense; the text says what would.
    """
    now = time.time() if now is None else now
    begin = _parse("from", start or "-24h", now)
    until = _parse("to", end or "now", now)
    if begin >= until:
        raise ValueError(f"'from' ({start or '-24h'}) must be before 'to' ({end or 'now'}).")
    if until - begin > MAX_RANGE:
        raise ValueError(
            f"The range from {start} has {format_duration(until - begin)}; at most "
            f"{format_duration(MAX_RANGE)} can be shown at a time."
        )
    return TimeRange(begin, until, now)


def ticks(span: TimeSpan, most: int = 5) -> Iterator[tuple[float, str]]:
    """Round times of a range, by the clock on the wall here, and what to write beside them."""
    steps = (1, 5, 15, 60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200)
    days = (1, 2, 7, 14, 31, 62)
    seconds = span.end - span.start
    step = next((step for step in steps if seconds / step <= most), None)
    midnight = datetime.fromtimestamp(span.start).replace(hour=0, minute=0, second=0, microsecond=0)
    if step is None:
        step = 86_400 * next((day for day in days if seconds / 86_400 / day <= most), 124)
    when = midnight.timestamp()
    when += ((span.start - when) // step) * step
    while when <= span.end:
        if when >= span.start:
            local = datetime.fromtimestamp(when)
            form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86_400 else "%-d %b"
            is_new_day = step < 86_400 and (local.hour, local.minute, local.second) == (0, 0, 0)
            yield when, local.strftime("%-d %b" if is_new_day else form)
        # A day in which clocks change has not 24 hours.
        following = when + step
        if step >= 86_400:
            midday = datetime.fromtimestamp(following + 43_200)
            following = midday.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        when = following


def iso_time(when: float) -> str:
    """A Unix time in the form of ISO 8601, with the zone here."""
    return datetime.fromtimestamp(when).astimezone().isoformat(timespec="seconds")


def _parse(name: str, text: str, now: float) -> float:
    text = text.strip()
    if text == "now":
        return RelativeTime(0.0, now)
    try:
        when = _iso_or_age(text, now)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{name!r} is {text!r:.60}; write {FORMS}.") from None
    if not 0 <= when < 2**34:
        raise ValueError(f"{name!r} is {text!r:.60}, before 1970 or far in the future.")
    return when


def _iso_or_age(text: str, now: float) -> float:
    try:
        # The plus of a zone comes as a blank if somebody wrote the address by hand.
        return datetime.fromisoformat(re.sub(r" (\d\d:\d\d)$", r"+\1", text)).timestamp()
    except ValueError:
        return parse_since(text.removeprefix("-"), now)


def _parameters(start: float, end: float) -> dict[str, str]:
    return {"from": iso_time(start), "to": iso_time(end)}


def _as_text(when: float) -> str:
    if not isinstance(when, RelativeTime):
        return iso_time(when)
    for unit, seconds in (("d", 86_400), ("h", 3600), ("m", 60)):
        if when.age and when.age % seconds == 0:
            return f"-{when.age / seconds:g}{unit}"
    return f"-{when.age:g}s" if when.age else "now"
