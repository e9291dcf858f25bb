"""Bands of state over time, as SVG. Pure: a lane to a picture, by classes of hm.css only.

Positions are shares of the width, so that a picture fits any screen without being distorted. States
differ in height, not only in colour. What would be thinner than a dot is drawn as one, the worst on
top: no fault is lost at a month's width.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from hostmanager.client.history.time_range import ticks
from hostmanager.client.history.timeline_model import ABSENT, Band, Lane, Mark, TimeSpan
from hostmanager.client.status.model import StatusSeverity
from hostmanager.client.text import format_time, sanitize
from hostmanager.util.text import format_duration

DOTS = 600
"""Parts into which the width is divided; a narrower band shares one with its neighbours."""

MARK_DOTS = 6
"""Marks so near to each other share a sign."""

MAX_TITLE_LINES = 6

_HEIGHTS = {
    StatusSeverity.OK: (13, 7),
    StatusSeverity.INFO: (17, 3),
    StatusSeverity.WARNING: (10, 10),
    StatusSeverity.UNKNOWN: (10, 10),
    StatusSeverity.ERROR: (6, 16),
}
"""Where a band begins from above, and its height, in pixels of 26."""

_SIGNS = {
    "request": '<path class="sign-request" d="M-4 0h8l-4 6z"/>',
    "failure": '<path class="sign-failure" d="M-4 0h8l-4 6z"/>',
    "crash": '<path class="sign-crash" d="M-3 0l6 6m0-6l-6 6"/>',
    "reload": '<circle class="sign-request" r="2.5" cy="3"/>',
}
"""Of marks; others are only in the table."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is drawn as one: a band, or many that are narrower than a dot."""

    start: float
    end: float
    worst: Band
    count: int = 1

    def joined(self, band: Band) -> "_Piece":
        worst = band if band.severity > self.worst.severity else self.worst
        return _Piece(self.start, band.end, worst, self.count + 1)


def lane_svg(lane: Lane, span: TimeSpan, label: str) -> str:
    """Draw a lane; the label says the same in words."""
    dot = (span.end - span.start) / DOTS
    wide, narrow = _pieces(lane.bands, dot)
    parts = [
        *(_rect(piece, span) for piece in wide),
        *(_rect(piece, span) for piece in sorted(narrow, key=lambda piece: piece.worst.severity)),
        *(_silence(band, span) for band in lane.silences),
        *_signs(lane.marks, span, dot * MARK_DOTS),
    ]
    return f'<svg class="lane" role="img" aria-label="{_text(label)}">{"".join(parts)}</svg>'


def axis_svg(span: TimeSpan) -> str:
    """Draw the axis: round times by the clock on the wall. Its ends are given in words elsewhere."""
    parts = []
    for when, text in ticks(span):
        x = _share(when, span)
        anchor = "start" if x < 5 else "end" if x > 95 else "middle"
        parts.append(
            f'<line x1="{x:g}%" x2="{x:g}%" y1="15" y2="20"/>'
            f'<text x="{x:g}%" y="12" text-anchor="{anchor}">{escape(text)}</text>'
        )
    return f'<svg class="axis" aria-hidden="true">{"".join(parts)}</svg>'


def band_text(band: Band, now: float) -> str:
    """Say a band in words."""
    state = band.state or "not managed"
    text = f"{state} for {format_duration(band.seconds)} from {format_time(band.start, now)}"
    return f"{text}: {band.text}" if band.text and band.text != band.state else text


def _pieces(bands: Iterable[Band], dot: float) -> tuple[list[_Piece], list[_Piece]]:
    """What is wider than a dot, and what is narrower, gathered."""
    wide: list[_Piece] = []
    narrow: list[_Piece] = []
    for band in bands:
        if band.state == ABSENT:
            continue
        if band.seconds >= dot:
            wide.append(_Piece(band.start, band.end, band))
        elif narrow and band.end - narrow[-1].start < dot:
            narrow[-1] = narrow[-1].joined(band)
        else:
            narrow.append(_Piece(band.start, band.end, band))
    return wide, narrow


def _rect(piece: _Piece, span: TimeSpan) -> str:
    x, end = _share(piece.start, span), _share(piece.end, span)
    y, height = _HEIGHTS[piece.worst.severity]
    dot = 100 / DOTS
    width = f"{end - x:.3f}%" if end - x >= 2 * dot else "2"
    title = band_text(piece.worst, span.end)
    if piece.count > 1:
        title = f"{piece.count} changes of state here, the worst: {title}"
    return (
        f'<rect class="band-{piece.worst.severity.word}" x="{x:.3f}%" width="{width}" y="{y}" '
        f'height="{height}"><title>{_text(title)}</title></rect>'
    )


def _silence(band: Band, span: TimeSpan) -> str:
    x, end = _share(band.start, span), _share(band.end, span)
    title = f"silenced from {format_time(band.start, span.end)}: {band.text}"
    return (
        f'<rect class="band-silenced" x="{x:.3f}%" width="{end - x:.3f}%" y="23" height="3">'
        f"<title>{_text(title)}</title></rect>"
    )


def _signs(marks: Iterable[Mark], span: TimeSpan, near: float) -> Iterator[str]:
    groups: list[list[Mark]] = []
    last: dict[str, list[Mark]] = {}
    for mark in marks:
        if mark.kind not in _SIGNS:
            continue
        group = last.get(mark.kind)
        if group is None or mark.time - group[0].time >= near:
            group = last[mark.kind] = []
            groups.append(group)
        group.append(mark)
    for group in groups:
        x = _share(group[0].time, span)
        yield (
            f'<svg x="{x:.3f}%" overflow="visible"><g>{_SIGNS[group[0].kind]}'
            f"<title>{_text(_signs_text(group, span.end))}</title></g></svg>"
        )


def _signs_text(marks: Sequence[Mark], now: float) -> str:
    lines = [f"{format_time(mark.time, now)} {mark.text or mark.kind}" for mark in marks]
    more = [f"and {len(lines) - MAX_TITLE_LINES} more"] if len(lines) > MAX_TITLE_LINES else []
    return "\n".join([*lines[:MAX_TITLE_LINES], *more])


def _share(when: float, span: TimeSpan) -> float:
    return 100 * (when - span.start) / (span.end - span.start)


def _text(text: str) -> str:
    return escape(sanitize(text))
