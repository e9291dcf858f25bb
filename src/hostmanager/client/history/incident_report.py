"""A report of a range of time: what did not work, for how long, and what was done. Pure.

One report for all forms: pages show its parts, and `report_markdown` writes it for an electronic log.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hostmanager.client.history.time_range import iso_time
from hostmanager.client.history.timeline_model import ROUTER_AWAY, Band, TimeSpan
from hostmanager.client.history.timeline_summary import LaneSummary
from hostmanager.client.status.model import StatusSeverity
from hostmanager.client.text import sanitize
from hostmanager.util.text import format_duration, pluralize

MAX_ROWS = 500
"""Faults, and requests, that a report lists; the newest."""

MAX_OUTPUTS = 50
"""Ends of output that a report has; the newest."""

OUTPUT_TIME = 5.0
"""Seconds after an exit within which the journal has the last output of that run."""

_TIME_ERROR = 0.01
"""Seconds by which the time of an event may differ from that of its entry."""

_REQUESTS = frozenset({"request", "failure"})


@dataclass(frozen=True, slots=True)
class ReportRow:
    """Something that happened.

    Attributes:
        time: When it began, Unix time.
        host: Where.
        instance_id: Of which agent; empty: of the host.
        text: What, for people.
        lines: The last lines of output.
        seconds: For how long.
        count: How often, one like the other.
    """

    time: float
    host: str
    instance_id: str
    text: str = ""
    lines: tuple[str, ...] = ()
    seconds: float = 0.0
    count: int = 1

    @property
    def subject(self) -> str:
        """What it happened to."""
        return f"{self.instance_id} on {self.host}" if self.instance_id else self.host


@dataclass(frozen=True, slots=True)
class IncidentReport:
    """A report.

    Attributes:
        subject: What it is about.
        span: Of which time.
        sentences: The summary.
        faults: When agents did not work, the oldest first.
        outages: When managers and the router were away.
        requests: What was requested, by whom, and why.
        outputs: The last lines of output before unexpected exits.
        notes: What is missing or not certain.
    """

    subject: str
    span: TimeSpan
    sentences: Sequence[str]
    faults: Sequence[ReportRow]
    outages: Sequence[ReportRow]
    requests: Sequence[ReportRow]
    outputs: Sequence[ReportRow]
    notes: Sequence[str]


def make_report(
    subject: str,
    span: TimeSpan,
    *,
    managers: Sequence[LaneSummary],
    agents: Sequence[LaneSummary],
    outputs: Iterable[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
) -> IncidentReport:
    """Make a report.

    Args:
        subject: What it is about.
        span: Of which time.
        managers: The lanes of the managers.
        agents: Those of the agents, the worst first.
        outputs: Entries of journals of the kind ``output``, each with its host.
        notes: What is missing or not certain.
    """
    both = (*managers, *agents)
    faults = [_band_row(agent, fault, fault.state) for agent in agents for fault in agent.faults]
    outages = [_band_row(m, band, band.state) for m in managers for band in _outages(m.lane.bands)]
    requests = [
        ReportRow(mark.time, each.lane.host, each.lane.instance_id, mark.text or mark.kind)
        for each in both
        for mark in each.lane.marks
        if mark.kind in _REQUESTS
    ]
    lists = {"faults": faults, "requests": requests, "manager and router outages": outages}
    cut = [
        f"Only the newest {MAX_ROWS} of {len(rows)} {name} are listed."
        for name, rows in lists.items()
        if len(rows) > MAX_ROWS
    ]
    return IncidentReport(
        subject,
        span,
        [*_sentences(managers, agents)],
        _newest(faults, MAX_ROWS),
        _newest(outages, MAX_ROWS),
        _newest(requests, MAX_ROWS),
        _newest(_last_outputs(agents, outputs), MAX_OUTPUTS),
        [*notes, *cut],
    )


def _newest(rows: Iterable[ReportRow], most: int) -> list[ReportRow]:
    return sorted(rows, key=lambda row: row.time)[-most:]


def _band_row(summary: LaneSummary, band: Band, state: str) -> ReportRow:
    why = f": {band.text}" if band.text and band.text != state else ""
    lane = summary.lane
    return ReportRow(band.start, lane.host, lane.instance_id, f"{state}{why}", seconds=band.seconds)


def _outages(bands: Iterable[Band]) -> Iterator[Band]:
    for band in bands:
        if band.severity is StatusSeverity.ERROR or band.state == ROUTER_AWAY:
            yield band


def _sentences(managers: Sequence[LaneSummary], agents: Sequence[LaneSummary]) -> Iterator[str]:
    faulty = [agent for agent in agents if agent.faults]
    gaps = sum(bool(agent.unknown) for agent in agents)
    number = pluralize(len(agents), "agent")
    if len(agents) > 1:
        yield f"Of {number}, {len(faulty) or 'none'} did not work at some time." + (
            f" Of {gaps}, this is not known for the whole time." if gaps else ""
        )
    for agent in agents:
        if not agent.is_quiet and (agent.faults or len(agents) == 1):
            yield f"{agent.lane.instance_id} on {agent.lane.host}: {agent.text}."
    if len(agents) == 1 and agents[0].is_quiet:
        yield f"{agents[0].lane.instance_id} on {agents[0].lane.host} had no fault."
    for manager in managers:
        if manager.faults:
            yield f"The manager of {manager.lane.host}: {manager.text}."
        away = [band for band in manager.lane.bands if band.state == ROUTER_AWAY]
        if away:
            total = format_duration(sum(band.seconds for band in away))
            times = pluralize(len(away), "time")
            yield f"The manager of {manager.lane.host} had no router {times}, for {total} in all."


def _last_outputs(
    agents: Sequence[LaneSummary], outputs: Iterable[Mapping[str, Any]]
) -> Iterator[ReportRow]:
    """The output before unexpected exits; what is the same as the time before is counted."""
    crashes = {
        (agent.lane.host, agent.lane.instance_id): [
            mark.time for mark in agent.lane.marks if mark.kind == "crash"
        ]
        for agent in agents
    }
    latest: dict[tuple[str, str], ReportRow] = {}
    for entry in outputs:
        key = str(entry["host"]), str(entry["instance_id"])
        when, lines = float(entry["time"]), tuple(map(str, entry["data"].get("lines", ())))
        times = crashes.get(key, [])
        last = bisect_right(times, when + _TIME_ERROR) - 1
        if last < 0 or when - times[last] > OUTPUT_TIME:
            continue
        before = latest.get(key)
        if before is not None and before.lines == lines:
            latest[key] = replace(before, count=before.count + 1)
            continue
        if before is not None:
            yield before
        latest[key] = ReportRow(when, *key, lines=lines)
    yield from latest.values()


def report_markdown(report: IncidentReport) -> str:
    """Write a report as Markdown; whatever agents wrote is text in it."""
    parts = [
        f"# Report: {_plain(report.subject)}",
        f"From {iso_time(report.span.start)} to {iso_time(report.span.end)}.",
        *_section("Summary", [_plain(text) for text in report.sentences]),
        *_section("Not certain", [_plain(note) for note in report.notes]),
        *_section("Faults", map(_markdown_row, report.faults)),
        *_section("Outages of managers and the router", map(_markdown_row, report.outages)),
        *_section("Requests", map(_markdown_row, report.requests)),
    ]
    if report.outputs:
        parts.append("## Last output before unexpected exits")
    for row in report.outputs:
        often = f", {row.count} times" if row.count > 1 else ""
        parts.append(f"{iso_time(row.time)} {_plain(row.subject)}{often}:")
        lines = [part for line in row.lines for part in sanitize(line).splitlines()]
        parts.append("\n".join(f"    {line}" for line in lines))
    return "\n\n".join(parts) + "\n"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    items = "\n".join(f"- {line}" for line in lines)
    return [f"## {title}", items] if items else []


def _markdown_row(row: ReportRow) -> str:
    length = f" for {format_duration(row.seconds)}" if row.seconds else ""
    return f"{iso_time(row.time)} {_plain(row.subject)}{length}: {_plain(row.text)}"


def _plain(text: str) -> str:
    """Text in which Markdown sees nothing, on one line."""
    line = " ".join(sanitize(text).split())
    return "".join(f"\\{char}" if char in "\\`*_[]<>#|!&" else char for char in line)
