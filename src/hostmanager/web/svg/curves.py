"""Small curves of what an agent used of its host. Pure: numbers to SVG, by classes of hm.css only."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from hostmanager.client.history.resource_history import ResourceHistory, TimedValue
from hostmanager.util.text import format_bytes, format_duration

WIDTH, HEIGHT = 240.0, 48.0
"""Units of the picture; hm.css gives it its real size."""

SPAN = 3600.0
"""Seconds that a curve covers."""

GAP = 2.5
"""So many intervals without a sample are a gap of the curve."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a curve shows.

    Attributes:
        column: The column of the operation `resources`.
        name: The same for people.
        text: Says a value with its unit.
        top: The least value at the upper edge: noise of an idle agent is no mountain.
    """

    column: str
    name: str
    text: Callable[[float], str]
    top: float


def _percent(cores: float) -> str:
    return f"{cores * 100:.1f} %"


def _count(value: float) -> str:
    return f"{value:.0f}"


QUANTITIES = (
    Quantity("cpu", "CPU, of one core", _percent, 0.1),
    Quantity("memory", "memory", lambda value: format_bytes(int(value)), 10e6),
    Quantity("threads", "threads", _count, 5.0),
    Quantity("open_files", "open files", _count, 10.0),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """A picture, and the same in words.

    Attributes:
        name: What it shows.
        now: The newest value; empty: it is not known.
        text: All of it in one sentence.
        top: The value at the upper edge of the picture.
        svg: The picture.
    """

    name: str
    now: str
    text: str
    top: str
    svg: str


def curves(history: ResourceHistory) -> list[Curve]:
    """The curves of one agent: those of which at least one value is known."""
    times = [time for samples in history.columns.values() for time, _ in samples]
    end = max(times, default=0.0)
    drawn = []
    for quantity in QUANTITIES:
        samples = history.columns.get(quantity.column, ())
        known = [(time, value) for time, value in samples if value is not None]
        if known:
            drawn.append(_curve(quantity, samples, known, end, history.interval))
    return drawn


def _curve(
    quantity: Quantity,
    samples: Sequence[TimedValue],
    known: Sequence[tuple[float, float]],
    end: float,
    interval: float,
) -> Curve:
    values = [value for _, value in known]
    newest = samples[-1][1]
    now = "" if newest is None else quantity.text(newest)
    least, most = quantity.text(min(values)), quantity.text(max(values))
    span = format_duration(end - known[0][0])
    text = f"{quantity.name}: {f'{now} now' if now else 'not known now'}; "
    text += f"{most} all the time" if least == most else f"{least} to {most}"
    text += f", in the last {span}" if end > known[0][0] else ""
    top = nice_ceiling(max(quantity.top, *values))
    pieces = list(split_at_gaps(samples, GAP * interval))
    return Curve(quantity.name, now, text, quantity.text(top), _svg(text, pieces, end, top))


def nice_ceiling(value: float) -> float:
    """The least of 1, 2, 5, 10, 20 … (and 0.5, 0.2 …) that is not below a value above 0."""
    power = 10.0 ** math.floor(math.log10(value))
    # A hair of rounding must not double the scale.
    return next(step * power for step in (1, 2, 5, 10) if value <= step * power * (1 + 1e-9))


def split_at_gaps(samples: Sequence[TimedValue], gap: float) -> Iterator[list[tuple[float, float]]]:
    """The parts of a curve that are drawn in one line: an unknown value, or a pause, ends one."""
    piece: list[tuple[float, float]] = []
    for time, value in samples:
        if piece and (value is None or time - piece[-1][0] > gap):
            yield piece
            piece = []
        if value is not None:
            piece.append((time, value))
    if piece:
        yield piece


def _svg(text: str, pieces: Sequence[Sequence[tuple[float, float]]], end: float, top: float) -> str:
    """Make the picture; what is older than its left edge is cut off by it."""
    parts = [
        f'<svg class="curve" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" '
        f'preserveAspectRatio="none" aria-label="{escape(text)}">',
        f'<line class="curve-top" x1="0" y1="0.5" x2="{WIDTH:g}" y2="0.5"/>',
        f'<line class="curve-base" x1="0" y1="{HEIGHT:g}" x2="{WIDTH:g}" y2="{HEIGHT:g}"/>',
    ]
    for piece in pieces:
        points = [_point(time, value, end, top) for time, value in piece]
        if len(points) == 1:  # a line of one point would not be seen
            points.append((points[0][0] + 1.0, points[0][1]))
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        area = f"{points[0][0]:.1f},{HEIGHT:g} {line} {points[-1][0]:.1f},{HEIGHT:g}"
        parts.append(f'<polygon class="curve-area" points="{area}"/>')
        parts.append(
            f'<polyline class="curve-line" vector-effect="non-scaling-stroke" points="{line}"/>'
        )
    return "".join((*parts, "</svg>"))


def _point(time: float, value: float, end: float, top: float) -> tuple[float, float]:
    x = WIDTH * (1 - (end - time) / SPAN)
    return x, (HEIGHT - 1) * (1 - value / top) + 0.5
