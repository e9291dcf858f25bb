"""The timeline of the site, of a host, of an agent."""

from typing import Any

from aiohttp import web
from markupsafe import Markup

from hostmanager.client.history.time_range import iso_time
from hostmanager.web.pages import TEMPLATES, render
from hostmanager.web.svg.bands import axis_svg
from hostmanager.web.views.timeline import (
    PastQuery,
    TimelineView,
    read_timeline,
    require_manager,
)

PRESETS = (("1h", "Hour"), ("24h", "Day"), ("7d", "Week"), ("30d", "Month"))

MAX_LIVE_RANGE = 86_400.0
"""Seconds of the longest range that is drawn anew at each change."""

MAX_TABLE_ROWS = 500
"""Bands of an agent that are in the table; the newest."""


async def show_timeline(request: web.Request) -> web.Response:
    """Bands of state, one for each agent."""
    query = PastQuery.of(request)
    require_manager(query)
    view = await read_timeline(query)
    return render(request, "timeline.html", **timeline_context(view))


def timeline_context(view: TimelineView) -> dict[str, Any]:
    """What the template of a timeline gets."""
    query = view.query
    shown_managers = [m for m in view.managers if query.host or not m.is_quiet]
    details = view.agents[0] if query.instance_id and len(view.agents) == 1 else None
    return {
        "view": view,
        "query": query,
        "shown_managers": shown_managers,
        "quiet_managers": len(view.managers) - len(shown_managers),
        "details": details,
        "bands": list(details.lane.bands)[: -MAX_TABLE_ROWS - 1 : -1] if details else (),
        "marks": [m for m in details.lane.marks if m.kind != "start"][::-1] if details else (),
        "max_rows": MAX_TABLE_ROWS,
        "ranges": range_links(query),
        "axis": Markup(axis_svg(view.span)),
        "picture": lambda s: Markup(view.pictures[s.lane.host, s.lane.instance_id]),
        "live_host": query.host if query.host and query.range.seconds <= MAX_LIVE_RANGE else "",
    }


def range_links(query: PastQuery, **extra: Any) -> dict[str, Any]:
    """Links to other ranges of time; further parameters of the page stay as they are."""
    given, moved, zoomed = query.request.query, query.range.moved, query.range.zoomed
    steps = (
        ("earlier", "← Earlier", moved(-0.5)),
        ("later", "Later →", moved(0.5)),
        ("zoom-in", "+ Zoom in", zoomed(0.5)),
        ("zoom-out", "− Zoom out", zoomed(2)),
    )
    kept = {"host": query.host, "id": query.instance_id, **extra}
    return {
        "presets": [
            (
                words,
                query.address(**{"from": f"-{age}", "to": None}, **extra),
                given.get("from", "-24h") == f"-{age}" and given.get("to", "now") == "now",
            )
            for age, words in PRESETS
        ],
        "steps": [(name, words, query.address(**range_, **extra)) for name, words, range_ in steps],
        "hidden": [
            (name, each)
            for name, value in kept.items()
            for each in ([value] if isinstance(value, str) else value)
            if each
        ],
    }


TEMPLATES.filters["iso"] = iso_time

ROUTES = [web.get("/timeline", show_timeline)]
