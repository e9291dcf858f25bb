"""Who somebody is, and their password for the managers: kept in the session, nowhere else."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from hostmanager.core.request_origin import text_problem
from hostmanager.web.context import (
    SESSION,
    known_session,
    session_of,
    settings_of,
    shared_of,
    url_of,
)
from hostmanager.web.errors import PageError
from hostmanager.web.pages import filled_fields, render, render_again, set_cookie

MAX_USER_CHARS = 60
MAX_PASSWORD_CHARS = 200

RESUMED = "resumed."
"""Before the names of the fields of a form that waits for the login."""


async def show_login(request: web.Request) -> web.Response:
    """The login."""
    return _login_page(request, 200, "", ("next", _checked_path(request, "next", request.query)))


async def ask_password(request: web.Request, text: str) -> web.Response:
    """The login, in the middle of something: afterwards it goes on, when somebody says so."""
    if request.method != "POST":
        return _login_page(request, 403, text, ("next", request.rel_url.raw_path_qs))
    fields = [(f"{RESUMED}{name}", value) for name, value in filled_fields(await request.post())]
    return _login_page(request, 403, text, ("resume", request.rel_url.raw_path), *fields)


def _login_page(
    request: web.Request, status: int, text: str, *hidden: tuple[str, str]
) -> web.Response:
    session = known_session(request)
    name = session.name if session else ""
    return render(request, "login.html", status, text=text, given=hidden, name=name)


async def log_in(request: web.Request) -> web.StreamResponse:
    """Keep name and password, in a session with a new cookie."""
    form = await request.post()
    name, password = str(form.get("name", "")).strip(), str(form.get("password", ""))
    if problem := text_problem(name, MAX_USER_CHARS):
        raise PageError(f"The name {problem}. Nothing was kept.")
    if problem := text_problem(password, MAX_PASSWORD_CHARS):
        raise PageError(f"The password {problem}. Nothing was kept.")
    request[SESSION] = shared_of(request).sessions.renew(session_of(request), name, password)
    if "resume" in form:
        fields = [
            (key.removeprefix(RESUMED), str(value))
            for key, value in form.items()
            if key.startswith(RESUMED)
        ]
        action = _checked_path(request, "resume", form)
        return render_again(request, 200, "This is what you were about to send:", action, fields)
    return _redirect(request, _checked_path(request, "next", form))


async def log_out(request: web.Request) -> web.StreamResponse:
    """Forget the session."""
    shared_of(request).sessions.end(session_of(request))
    del request[SESSION]
    return _redirect(request, url_of(request, ""))


def _redirect(request: web.Request, location: str) -> web.Response:
    response = web.Response(status=303, headers={"Location": location})
    set_cookie(request, response)
    return response


def _checked_path(request: web.Request, name: str, fields: Mapping[str, Any]) -> str:
    """A path of this server that a field names; anything else leads to its first page."""
    root = settings_of(request).root_path
    text = str(fields.get(name, ""))
    is_ours = (
        text.startswith(f"{root}/") and not text.startswith(("//", "/\\")) and text.isprintable()
    )
    return text if is_ours else url_of(request, "")


ROUTES = [
    web.get("/login", show_login),
    web.post("/login", log_in),
    web.post("/logout", log_out),
]
