"""The application: its addresses, and what happens around each request."""

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from hostmanager.client.errors import ClientError, ManagerError
from hostmanager.client.watch.live_site import LiveSite
from hostmanager.web import security
from hostmanager.web.context import SHARED, Shared, known_session, settings_of, url_of
from hostmanager.web.errors import ExpiredFormError, LoginNeededError, PageError, PageLink
from hostmanager.web.event_stream import end_streams
from hostmanager.web.feeds.site import SiteFeed
from hostmanager.web.jobs import Job
from hostmanager.web.pages import (
    TEMPLATES,
    common_context,
    filled_fields,
    is_encrypted,
    render,
    render_again,
)
from hostmanager.web.routes import (
    agent,
    change,
    config,
    history,
    job,
    output,
    session,
    site,
    timeline,
)
from hostmanager.web.sessions import Sessions
from hostmanager.web.settings import WebSettings, host_of, is_loopback

log = logging.getLogger(__name__)

ROUTE_MODULES = (site, agent, output, timeline, config, history, session, change, job)
STATIC = Path(__file__).parent / "static"

MAX_FORM_BYTES = 1024 * 1024
"""Of a form: ids of a thousand agents fit."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(
    settings: WebSettings, live_site: LiveSite, args: argparse.Namespace
) -> web.Application:
    """Make the application.

    Args:
        settings: How the server was started.
        live_site: The site; whoever calls this starts and closes it.
        args: The options that the client layer reads.
    """
    app = web.Application(
        middlewares=[_check_host, _answer_errors, _check_form], client_max_size=MAX_FORM_BYTES
    )
    routes = [route for module in ROUTE_MODULES for route in module.ROUTES]
    pages = frozenset(route.path.split("/")[1] for route in routes)
    shared = app[SHARED] = Shared(settings, live_site, args, pages)
    shared.sessions = Sessions(on_end=shared.forget_password)
    templates = TEMPLATES.get_template("site_parts.html")
    shared.feed = SiteFeed(live_site, templates.make_module(common_context(app)))
    app.add_routes(
        web.RouteDef(route.method, settings.root_path + route.path, route.handler, route.kwargs)
        for route in routes
    )
    app.router.add_static(f"{settings.root_path}/static/", STATIC)
    app.on_response_prepare.append(_add_headers)
    app.cleanup_ctx.append(_run_jobs)
    app.on_shutdown.extend([end_streams, _end_feeds])
    return app


async def _end_feeds(app: web.Application) -> None:
    await app[SHARED].outputs.close()


async def _run_jobs(app: web.Application) -> AsyncIterator[None]:
    """Carry out changes; the hosts that they concern are asked at once when they end."""
    loop, shared = asyncio.get_running_loop(), app[SHARED]
    tasks: set[asyncio.Task[None]] = set()

    async def refresh(hosts: Sequence[str]) -> None:
        shared.live.show_again(hosts)
        for host in hosts:
            await shared.live.refresh(host)

    def start(ended: Job) -> None:
        task = loop.create_task(refresh(ended.hosts))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def on_end(ended: Job) -> None:
        with suppress(RuntimeError):  # the server has ended
            loop.call_soon_threadsafe(start, ended)

    shared.jobs.on_end = on_end
    yield
    await asyncio.to_thread(shared.jobs.close, 2 * shared.args.answer_time)
    for task in tasks:
        task.cancel()


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(security.HEADERS)
    if not (is_encrypted(request) or is_loopback(host_of(request.host))):
        # Browsers ignore it there, and say so in their console.
        del response.headers["Cross-Origin-Opener-Policy"]
    # Own scripts and styles may be kept if the server says each time that they are the same.
    is_static = isinstance(response, web.FileResponse)
    response.headers.setdefault("Cache-Control", "no-cache" if is_static else "no-store")
    response.headers.popall("Server", None)


@web.middleware
async def _check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    problem = security.host_problem(request.headers.get("Host", ""), settings_of(request))
    return web.Response(text=problem, status=421) if problem else await handler(request)


@web.middleware
async def _check_form(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check where a form comes from, before anything else is done about it."""
    if request.method not in security.SAFE_METHODS:
        settings = settings_of(request)
        security.check_origin(request.headers, settings)
        if request.path not in (url_of(request, "login"), url_of(request, "logout")):
            security.check_read_only(settings)
        security.check_form(await request.post(), known_session(request))
    return await handler(request)


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer each error with a page that says what is wrong."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _error_page(request, error.status, _http_error_text(request, error))
    except Exception as error:
        return await _answer_error(request, error)


async def _answer_error(request: web.Request, error: Exception) -> web.StreamResponse:
    match error:
        case ExpiredFormError():
            fields = filled_fields(await request.post())
            return render_again(request, error.status, str(error), request.rel_url.raw_path, fields)
        case LoginNeededError():
            return await session.ask_password(request, str(error))
        case PageError():
            return _error_page(request, error.status, str(error), error.links)
        case ManagerError():
            return _error_page(request, 502 if error.unreachable else 400, error.text_with_hint)
        case ClientError():
            return _error_page(request, 502 if error.unreachable else 400, str(error))
    log.error("%s %s failed", request.method, request.rel_url.raw_path, exc_info=error)
    text = "This page failed unexpectedly; the log of `hostmanager web` says why."
    return _error_page(request, 500, text)


def _http_error_text(request: web.Request, error: web.HTTPException) -> str:
    if error.status != 404:
        return f"{error.reason}."
    text = f"There is no page {request.rel_url.path!r:.200} here."
    root = settings_of(request).root_path
    if root and not request.path.startswith(f"{root}/"):
        text += f" All addresses begin with {root}/."
    return text


def _error_page(
    request: web.Request, status: int, text: str, links: Sequence[PageLink] = ()
) -> web.Response:
    return render(request, "error.html", status, text=text, links=links)
