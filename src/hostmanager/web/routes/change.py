"""Changes: what will happen, the confirmation, the progress. docs/web.md, "What you can do"."""

import asyncio
import time
from urllib.parse import urlencode

from aiohttp import web

from hostmanager.client.change.plan import Selection
from hostmanager.client.change.prepared import PreparedChange
from hostmanager.client.change.site_change import prepare_change
from hostmanager.client.errors import ClientError
from hostmanager.client.site_model import read_site
from hostmanager.util.text import end_sentence
from hostmanager.web.context import (
    args_of,
    requester_of,
    session_of,
    settings_of,
    shared_of,
    site_of,
    url_of,
)
from hostmanager.web.errors import (
    LoginNeededError,
    PageError,
)
from hostmanager.web.jobs import Job, TooManyJobsError
from hostmanager.web.pages import TEMPLATES, render
from hostmanager.web.security import check_read_only
from hostmanager.web.sessions import Session
from hostmanager.web.views.change_query import (
    ACTION_TEXTS,
    AGENT_ACTIONS,
    HOST_ACTIONS,
    ChangeQuery,
    read_change,
)

FIRST_ANSWER = 1.5
"""Seconds in which managers have refused for want of a password, if they do."""

PROGRESS_INTERVAL = 0.2
"""Seconds between two checks of a job that somebody watches."""

RESULT_TIMEOUT = 30.0
"""Seconds that a form that was sent twice waits for what the first one leads to."""


class BusyError(PageError):
    """The server cannot take it now."""

    status = 503


async def show_change(request: web.Request) -> web.StreamResponse:
    """What will happen, and the form that confirms it; or the form that asks what is wanted."""
    query = read_change(request.query)
    if not query.is_complete:
        return _choose(request, query)
    try:
        change = await _prepare(request, query)
    except ClientError as error:
        return _choose(request, query, str(error), 502 if error.unreachable else 400)
    return _show(request, query, change)


def _choose(
    request: web.Request, query: ChangeQuery, problem: str = "", status: int = 200
) -> web.Response:
    """The form that asks for an action, and for which agents."""
    return render(
        request,
        "change_choose.html",
        status,
        query=query,
        problem=problem,
        again=_address(request, query) if query.is_complete else "",
        hosts=list(site_of(request).site.hosts),
    )


def _show(
    request: web.Request,
    query: ChangeQuery,
    change: PreparedChange,
    problem: str = "",
    status: int = 200,
) -> web.Response:
    return render(request, "change.html", status, query=query, change=change, problem=problem)


async def _prepare(request: web.Request, query: ChangeQuery) -> PreparedChange:
    args = args_of(request, **query.options())
    known = site_of(request).site

    def prepare() -> PreparedChange:
        # What a file says must be what it says now.
        by_file = query.action == "reload" or query.selection is Selection.NOT_AS_CONFIGURED
        return prepare_change(query.action, read_site(args) if by_file else known, args)

    return await asyncio.to_thread(prepare)


async def confirm_change(request: web.Request) -> web.StreamResponse:
    """Carry out what was confirmed, once; or say what has changed since it was shown."""
    check_read_only(settings_of(request))
    form, session = await request.post(), session_of(request)
    query = read_change(form)
    if not query.is_complete:
        raise PageError("This form does not say what is to be done. Nothing was sent.")
    claimed = session.claim(form)
    if claimed is not None:
        return await _first_result(request, session, query)
    location = ""
    try:
        change = await _prepare(request, query)
        problem = _objection(query, change)
        if problem:
            return _show(request, query, change, problem, 409)
        job = await _submit(request, query, change)
        location = url_of(request, "change", job.id)
        site_of(request).show_again(job.hosts)
        await asyncio.to_thread(job.answered.wait, FIRST_ANSWER)
        if job.needs_password:
            await asyncio.to_thread(job.finished.wait, FIRST_ANSWER)
        if job.was_refused:
            location = ""
            # What follows is for programs.
            raise LoginNeededError(job.needs_password.partition(" Give a password:")[0])
        raise web.HTTPSeeOther(location)
    except ClientError as error:
        text = f"{end_sentence(str(error))} Nothing was sent."
        return _choose(request, query, text, 502 if error.unreachable else 400)
    finally:
        if location:
            session.finish(form, location)
        else:
            session.release(form)


async def _first_result(
    request: web.Request, session: Session, query: ChangeQuery
) -> web.StreamResponse:
    """Of a form that was sent before: where that led to; it may be under way still."""
    form = await request.post()
    until = time.monotonic() + RESULT_TIMEOUT
    while (location := session.claim(form)) == "":
        if time.monotonic() > until:
            raise BusyError("This form was sent before, and is still being worked on.")
        await asyncio.sleep(PROGRESS_INTERVAL)
    if location is None:  # nothing came of it
        session.release(form)
        location = _address(request, query)
    raise web.HTTPSeeOther(location)


def _address(request: web.Request, query: ChangeQuery) -> str:
    """Of the form, as it was filled."""
    return f"{url_of(request, 'change')}?{urlencode(query.fields() + query.typed())}"


def _objection(query: ChangeQuery, change: PreparedChange) -> str:
    """Why a change is shown again instead of being carried out; empty: it is carried out."""
    if problem := query.problem():
        return f"{problem} Nothing was sent."
    if query.shown != change.shown:
        return (
            "What this would do has changed since it was shown. Nothing was sent. This is what would "
            "happen now:"
        )
    if change.start is None:
        return "There is nothing to do. Nothing was sent."
    if change.stops.needs_confirmation and not query.confirmed:
        return f"Confirm that this will {change.stops.action}. Nothing was sent."
    return ""


async def _submit(request: web.Request, query: ChangeQuery, change: PreparedChange) -> Job:
    assert change.start is not None
    running = await asyncio.to_thread(change.start)
    try:
        return shared_of(request).jobs.submit(
            change,
            running,
            requester=requester_of(request),
            reason=query.reason,
            owner=session_of(request).csrf,
            address=_address(request, query),
        )
    except TooManyJobsError:
        raise BusyError(
            "Too many changes are under way. Nothing was sent; try again when some have ended."
        ) from None


ROUTES = [
    web.get("/change", show_change),
    web.post("/change", confirm_change),
]

TEMPLATES.globals |= {
    "action_texts": ACTION_TEXTS,
    "agent_actions": AGENT_ACTIONS,
    "host_actions": HOST_ACTIONS,
}
