"""The application: its addresses, and what happens around each request."""

import argparse
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from hostmanager.client.errors import ClientError, ManagerError
from hostmanager.client.live_site import LiveSite
from hostmanager.web import security
from hostmanager.web.context import ARGS, LIVE_SITE, SESSIONS, SETTINGS, known_session, settings_of, url_of
from hostmanager.web.errors import ExpiredFormError, LoginNeededError, NotFoundError, PageError
from hostmanager.web.pages import filled_fields, render, render_again
from hostmanager.web.routes import session, site
from hostmanager.web.sessions import Sessions
from hostmanager.web.settings import WebSettings

log = logging.getLogger(__name__)

ROUTE_MODULES = (
    site,
    session,
)
"""Modules with ``ROUTES``."""

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
    app = web.Application(middlewares=[_answer_errors, _check], client_max_size=MAX_FORM_BYTES)
    app[SETTINGS], app[LIVE_SITE], app[ARGS] = settings, live_site, args
    app[SESSIONS] = Sessions()
    for module in ROUTE_MODULES:
        for route in module.ROUTES:
            path = settings.root_path + route.path
            app.router.add_route(route.method, path, route.handler, **route.kwargs)
    app.router.add_static(f"{settings.root_path}/static/", STATIC)
    app.on_response_prepare.append(_add_headers)
    app.cleanup_ctx.append(site.run_feed)
    return app


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(security.HEADERS)
    # Own scripts and styles may be kept if the server says each time that they are the same.
    is_static = isinstance(response, web.FileResponse)
    response.headers.setdefault("Cache-Control", "no-cache" if is_static else "no-store")
    response.headers.popall("Server", None)


@web.middleware
async def _check(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check where a request comes from, before anything else is done about it."""
    settings = settings_of(request)
    security.check_host(request.headers.get("Host", ""), settings)
    if request.method not in security.SAFE_METHODS:
        security.check_origin(request.headers, settings)
        security.check_form(await request.post(), known_session(request))
    return await handler(request)


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer each error with a page that says what is wrong."""
    try:
        return await handler(request)
    except ExpiredFormError as error:
        return await _expired(request, error)
    except LoginNeededError as error:
        return await session.ask_password(request, str(error))
    except PageError as error:
        return _error_page(request, error.status, str(error), error)
    except (ClientError, ManagerError) as error:
        status = 502 if error.unreachable else 400
        text = error.text_with_hint if isinstance(error, ManagerError) else str(error)
        return _error_page(request, status, text)
    except web.HTTPNotFound:
        return _error_page(request, 404, *_not_found(request))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _error_page(request, error.status, f"{error.reason}.")
    except Exception:
        log.exception("%s %s failed unexpectedly", request.method, request.rel_url.raw_path)
        text = "This page failed unexpectedly; the log of `hostmanager web` says why."
        return _error_page(request, 500, text)


def _not_found(request: web.Request) -> tuple[str, PageError]:
    text = f"There is no page {request.rel_url.path!r:.200} here."
    root = settings_of(request).root_path
    if root and not request.path.startswith(f"{root}/"):
        text += f" All addresses begin with {root}/."
    return text, NotFoundError(text)


def _error_page(
    request: web.Request, status: int, text: str, error: PageError | None = None
) -> web.Response:
    if "text/html" not in request.headers.get("Accept", "text/html") and request.method == "GET":
        return web.Response(text=f"{text}\n", status=status)  # a script, curl with a type of its own
    links = error.links if error else ()
    return render(request, "error.html", status, text=text, links=links)


async def _expired(request: web.Request, error: ExpiredFormError) -> web.Response:
    """Show the form again."""
    path = request.rel_url.raw_path
    fields = filled_fields(await request.post())
    return render_again(request, error.status, str(error), path, fields)
