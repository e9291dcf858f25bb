"""The site, a host of it, and the changes as they come."""

from aiohttp import web

from hostmanager.web.context import known_host, shared_of, site_of
from hostmanager.web.event_stream import send_events
from hostmanager.web.feeds.site import site_context
from hostmanager.web.pages import render
from hostmanager.web.views.site import GROUPED, SHOWN, SORTED, AgentGroup, groups_of, read_query


async def show_site(request: web.Request) -> web.Response:
    """The whole site, or what the query selects of it."""
    live, query = site_of(request), read_query(request.query)
    hosts = live.hosts()
    return render(
        request,
        "site.html",
        query=query,
        hosts=hosts,
        groups=groups_of(hosts, query),
        shown=SHOWN,
        sorted_by=SORTED,
        grouped=GROUPED,
        **site_context(live),
    )


async def show_host(request: web.Request) -> web.Response:
    """One host."""
    host = known_host(request, request.match_info["host"])
    group = AgentGroup(host.host.name, host.host.name, host.agents, host)
    return render(request, "host.html", host=host, group=group)


async def send_changes(request: web.Request) -> web.StreamResponse:
    """Tell a browser what changes, until it goes."""
    since = request.headers.get("Last-Event-ID") or request.query.get("since", "")
    messages = shared_of(request).feed.messages(since, full=bool(request.query.get("full")))
    return await send_events(request, "site", messages)


ROUTES = [
    web.get("/", show_site),
    web.get("/host/{host}", show_host),
    web.get("/events", send_changes, allow_head=False),
]
