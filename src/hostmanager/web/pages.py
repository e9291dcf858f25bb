"""Makes pages of templates, and gives each template what all of them need."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hostmanager import __version__
from hostmanager.client.status.model import severity_counts
from hostmanager.client.text import ago, format_time, sanitize
from hostmanager.util.names import encode_id
from hostmanager.util.text import format_duration, join_sentences, pluralize
from hostmanager.web.context import (
    SESSION,
    SHARED,
    cookie_name,
    known_session,
    session_of,
    settings_of,
    user_of,
)
from hostmanager.web.sessions import CSRF_FIELD, FORM_FIELD, NEVER_SHOWN, new_form_token
from hostmanager.web.urls import make_url
from hostmanager.web.views.site import OLD_AFTER, count_site

TEMPLATES = Environment(
    loader=PackageLoader("hostmanager.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(
    request: web.Request, template: str, /, status: int = 200, **context: Any
) -> web.Response:
    """Make a page.

    Args:
        request: What it answers.
        template: Its file.
        status: Of the answer.
        context: What the template gets beside what all get.
    """
    text = TEMPLATES.get_template(template).render({**_common(request), **context})
    response = web.Response(text=text, content_type="text/html", status=status)
    if f'name="{CSRF_FIELD}"' not in text:  # how well it compresses would tell of the secret in it
        response.enable_compression()
    set_cookie(request, response)
    return response


def set_cookie(request: web.Request, response: web.StreamResponse) -> None:
    """Set the cookie of the session if one was begun for this answer."""
    settings, session = settings_of(request), request.get(SESSION)
    if session is None or request.cookies.get(cookie_name(settings)) == session.token:
        return
    response.set_cookie(
        cookie_name(settings),
        session.token,
        path=settings.root_path or "/",
        httponly=True,
        samesite="Strict",
        secure=is_encrypted(request),
    )


def is_encrypted(request: web.Request) -> bool:
    """Whether the browser asks by https: of us, or of a proxy that is trusted."""
    forwarded = settings_of(request).trusts(request.remote)
    return request.secure or (forwarded and request.headers.get("X-Forwarded-Proto") == "https")


def common_context(app: web.Application) -> dict[str, Any]:
    """What all templates get, and what messages for browsers are made with: nothing of a request."""
    shared = app[SHARED]
    settings = shared.settings
    url = partial(make_url, settings.root_path)
    return {
        "job_about": shared.jobs.about,
        "live": shared.live,
        "pages": shared.pages,
        "read_only": settings.read_only,
        "settings": settings,
        "static": partial(url, "static"),
        "url": url,
        "version": __version__,
    }


def _common(request: web.Request) -> Mapping[str, Any]:
    session = known_session(request)
    return {
        **common_context(request.app),
        "epoch_version": request.app[SHARED].feed.version,
        "form_fields": lambda: _form_fields(request),
        "has_password": bool(session and session.password),
        "here": request.rel_url.raw_path_qs if request.method == "GET" else "",
        "path": request.path,
        "user": user_of(request),
    }


def _form_fields(request: web.Request) -> Markup:
    """The hidden fields of each form that is sent by POST."""
    return hidden_fields([(CSRF_FIELD, session_of(request).csrf), (FORM_FIELD, new_form_token())])


def hidden_fields(fields: Iterable[tuple[str, str]]) -> Markup:
    """Fields of a form that nobody sees; names may be repeated."""
    field = Markup('<input type="hidden" name="{}" value="{}">')
    return Markup("").join(field.format(*each) for each in fields)


def filled_fields(form: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What somebody filled into a form, without what must not be written into a page again."""
    return [
        (name, value)
        for name, value in form.items()
        if name not in NEVER_SHOWN and isinstance(value, str)
    ]


def render_again(
    request: web.Request, status: int, text: str, action: str, fields: list[tuple[str, str]]
) -> web.Response:
    """Show what a form was filled with: it is sent when somebody says so, never by itself."""
    return render(request, "send_again.html", status, text=text, action=action, fields=fields)


TEMPLATES.globals |= {
    # The target of an agent that goes there is shown by its state.
    "GOING": {"start": "up", "wait_start": "up", "start_at": "up", "wait_dead": "down"},
    "count_site": count_site,
    "old_after": OLD_AFTER,
    "severity_counts": severity_counts,
}
TEMPLATES.filters |= {
    "ago": ago,
    "hidden_fields": hidden_fields,
    "duration": format_duration,
    "moment": format_time,
    "plural": pluralize,
    "sentences": join_sentences,
    "dom_id": encode_id,
    "visible": sanitize,
}
