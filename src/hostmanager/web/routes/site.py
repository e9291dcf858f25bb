"""The site, a host of it, and the changes as they come."""

import asyncio
import logging
from typing import cast

from aiohttp import web

from hostmanager.web.context import FEED, LIVE_SITE, known_host, site_of
from hostmanager.web.feeds.site import SiteFeed, site_context
from hostmanager.web.pages import TEMPLATES, common_context, render
from hostmanager.web.views.site import GROUPED, SHOWN, SORTED, AgentGroup, groups_of, read_query

log = logging.getLogger(__name__)

MAX_BROWSERS = 500
"""Browsers that are told of changes at a time."""

BROWSERS = web.AppKey("browsers", set[asyncio.Task[object]])
"""The tasks that tell them."""


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


async def send_events(request: web.Request) -> web.StreamResponse:
    """Tell a browser what changes, as server-sent events, until it goes."""
    browsers = request.app[BROWSERS]
    if len(browsers) >= MAX_BROWSERS:
        raise web.HTTPServiceUnavailable(reason="too many browsers look at this page")
    response = web.StreamResponse()
    response.content_type = "text/event-stream"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would gather messages
    since = request.headers.get("Last-Event-ID") or request.query.get("since", "")
    task = cast(asyncio.Task[object], asyncio.current_task())
    browsers.add(task)
    try:
        await response.prepare(request)
        messages = request.app[FEED].messages(since, full=bool(request.query.get("full")))
        async for message in messages:
            await response.write(message.encode())
    except (ConnectionResetError, asyncio.CancelledError):
        pass  # it is gone; or the server ends, and the browser is told that this is all
    except Exception:  # the answer has begun: there is no page for an error any more
        log.exception("a message for browsers failed unexpectedly")
    finally:
        browsers.discard(task)
    return response


async def _end_events(app: web.Application) -> None:
    for task in app[BROWSERS]:
        task.cancel()


def setup(app: web.Application) -> None:
    """Make the messages for browsers."""
    template = TEMPLATES.get_template("site_parts.html")
    app[FEED] = SiteFeed(app[LIVE_SITE], template.make_module(common_context(app)))
    app[BROWSERS] = set()
    app.on_shutdown.append(_end_events)


ROUTES = [
    web.get("/", show_site),
    web.get("/host/{host}", show_host),
    web.get("/events", send_events, allow_head=False),
]
