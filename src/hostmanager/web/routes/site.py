"""The site, a host of it, and the changes as they come."""

from collections.abc import AsyncIterator

from aiohttp import web

from hostmanager.web.context import known_host, site_of
from hostmanager.web.pages import render


async def show_site(request: web.Request) -> web.Response:
    """The whole site."""
    hosts = sorted(site_of(request).hosts(), key=lambda host: -host.worst)
    return render(request, "site.html", hosts=hosts)


async def show_host(request: web.Request) -> web.Response:
    """One host."""
    return render(request, "site.html", hosts=[known_host(request, request.match_info["host"])])


async def run_feed(app: web.Application) -> AsyncIterator[None]:
    """Follow the changes of the site while the server runs."""
    yield


def setup(app: web.Application) -> None:
    """Follow the changes of the site while the server runs."""
    app.cleanup_ctx.append(run_feed)


ROUTES = [web.get("/", show_site), web.get("/host/{host}", show_host)]
