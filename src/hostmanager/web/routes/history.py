"""What happened, as a table; and the report of a time."""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from hostmanager.client.history.crash_loops import JournalEntry
from hostmanager.client.history.incident_report import (
    MAX_OUTPUTS,
    IncidentReport,
    make_report,
    report_markdown,
)
from hostmanager.client.history.journal_reader import (
    ENTRY_KINDS,
    JournalQuery,
    SiteJournals,
    read_journals,
)
from hostmanager.client.history.time_range import iso_time
from hostmanager.client.manager_time import RelativeTime
from hostmanager.web.errors import PageError
from hostmanager.web.pages import render
from hostmanager.web.routes.timeline import range_links, timeline_context
from hostmanager.web.views.timeline import (
    PastQuery,
    TimelineView,
    read_timeline,
    require_manager,
)

PAGE_LENGTH = 200
"""Entries on one page."""

OUTPUTS_READ = 5 * MAX_OUTPUTS
"""Ends of output that are read of each host for a report: in a crash loop most are the same."""

MAX_QUIET_LANES = 30
"""Agents without a fault that a report draws."""


@dataclass(frozen=True, slots=True)
class EntriesView:
    """Entries of journals.

    Attributes:
        entries: The newest first, each with its host.
        older_until: What to give as the end of the range for older ones; empty: there are none.
        notes: What is missing, and why.
    """

    entries: Sequence[JournalEntry]
    older_until: str
    notes: Sequence[str]


async def show_history(request: web.Request) -> web.Response:
    """The entries of journals."""
    query = PastQuery.of(request)
    require_manager(query)
    kinds, folds = _kinds(request), request.query.get("fold") != "0"
    view = await asyncio.to_thread(_read_entries, query, kinds, folds)
    query.require_known([str(entry["instance_id"]) for entry in view.entries])
    extra = {"kind": kinds, "fold": "" if folds else "0"}
    return render(
        request,
        "history.html",
        query=query,
        view=view,
        kinds=ENTRY_KINDS,
        chosen=kinds,
        folds=folds,
        extra=extra,
        ranges=range_links(query, **extra),
    )


def _kinds(request: web.Request) -> list[str]:
    kinds = list(dict.fromkeys(request.query.getall("kind", [])))
    unknown = [kind for kind in kinds if kind not in ENTRY_KINDS]
    if unknown:
        raise PageError(
            f"'kind' is {unknown[0]!r:.60}; it must be one of {', '.join(ENTRY_KINDS)}."
        )
    return kinds


def _query(query: PastQuery, kinds: Sequence[str], limit: int) -> JournalQuery:
    patterns = [query.instance_id] if query.instance_id else []
    end = query.range.end
    until = None if isinstance(end, RelativeTime) and end.age == 0 else float(end)
    return JournalQuery(patterns, kinds, query.range.start, limit, until=until)


def _read_entries(query: PastQuery, kinds: Sequence[str], folds: bool) -> EntriesView:
    wanted = _query(query, kinds, PAGE_LENGTH)
    journals = read_journals(query.readers(), wanted, query.answer_time, folds=folds)
    entries = sorted(journals.lines(), key=lambda entry: (entry["time"], entry["id"]))
    shown, omitted = entries[-PAGE_LENGTH:], entries[:-PAGE_LENGTH]
    has_older = bool(omitted) or journals.has_older
    # The next page ends before the oldest time here: all entries of that time go together.
    if omitted and omitted[-1]["time"] < shown[-1]["time"]:
        shown = [entry for entry in shown if entry["time"] > omitted[-1]["time"]]
    older = f"{shown[0]['time']:.6f}" if shown and has_older else ""
    return EntriesView(shown[::-1], older, _notes(journals))


def _notes(journals: SiteJournals) -> list[str]:
    """Why entries are missing."""
    notes = [f"{host}: {error}." for host, error in journals.errors.items()]
    return notes + [f"{host}: {part.error}" for host, part in journals.parts if part.error]


async def show_report(request: web.Request) -> web.Response:
    """The report of a time: a page to print, or Markdown for an electronic log."""
    form = request.query.get("as", "page")
    if form not in {"page", "markdown"}:
        raise PageError(f"'as' is {form!r:.60}; it must be page or markdown.")
    query = PastQuery.of(request)
    require_manager(query)
    view = await read_timeline(query)
    report = await asyncio.to_thread(_make_report, view)
    if form == "markdown":
        name = re.sub(
            r"[^A-Za-z0-9.-]+", "-", f"report {query.subject} {iso_time(view.span.start)}"
        )
        headers = {"Content-Disposition": f'attachment; filename="{name}.md"'}
        text = report_markdown(report)
        return web.Response(text=text, content_type="text/markdown", headers=headers)
    drawn = [agent for agent in view.agents if not agent.is_quiet]
    if not drawn or len(view.agents) <= MAX_QUIET_LANES:
        drawn = list(view.agents[:MAX_QUIET_LANES])
    context = {**timeline_context(view), "report": report, "drawn": drawn, "made_at": time.time()}
    return render(request, "report.html", **context)


def _make_report(view: TimelineView) -> IncidentReport:
    query, notes = view.query, list(view.notes)
    entries: list[JournalEntry] = []
    if any(agent.crashes for agent in view.agents):
        readers = query.readers()
        crashed = {agent.lane.host for agent in view.agents if agent.crashes}
        asked = {host: reader for host, reader in readers.items() if host in crashed}
        wanted = _query(query, ["output"], OUTPUTS_READ)
        journals = read_journals(asked, wanted, query.answer_time)
        entries = journals.lines()
        notes += [note for note in _notes(journals) if note not in notes]
    return make_report(
        query.subject,
        view.span,
        managers=view.managers,
        agents=view.agents,
        outputs=entries,
        notes=notes,
    )


ROUTES = [web.get("/history", show_history), web.get("/report", show_report)]
