"""A change that was confirmed: how far it is, what came of it, and its end before that."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator

from aiohttp import web

from hostmanager.web.context import session_of, settings_of, shared_of, url_of
from hostmanager.web.errors import ForbiddenError, NotFoundError, PageLink
from hostmanager.web.event_stream import send_events
from hostmanager.web.jobs import Job, JobState
from hostmanager.web.pages import TEMPLATES, render
from hostmanager.web.security import check_read_only


def capitalize(text: str) -> str:
    """Make a clause the begin of a sentence."""
    return text[:1].upper() + text[1:]


STATE_TEXTS = {
    JobState.PENDING: "waits for its turn",
    JobState.RUNNING: "under way",
    JobState.DONE: "done",
    JobState.FAILED: "not all of it was done",
    JobState.CANCELLED: "cancelled; what was requested goes on",
}

PROGRESS_INTERVAL = 0.2
"""Seconds between two checks of a job that somebody watches."""

QUIET_INTERVAL = 5.0
"""Seconds without a change after which a browser hears that the server is there."""


def _job(request: web.Request) -> Job:
    job = shared_of(request).jobs.find(request.match_info["job"])
    if job is None:
        raise NotFoundError(
            "There is no such change here (any more). Changes are kept for a day, and until the "
            "server ends. The history has what was requested, by whom and why.",
            [PageLink("History", url_of(request, "history"))],
        )
    return job


async def show_job(request: web.Request) -> web.StreamResponse:
    """How far a change is, or what came of it."""
    job = _job(request)
    is_own = job.owner == session_of(request).csrf
    return render(
        request, "change_job.html", job=job, is_own=is_own, summary=_summary(job), now=time.time()
    )


def _summary(job: Job) -> str:
    """How far it is at all places together."""
    counts = {"done": "done", "failed": "failed", "pending": "under way", "left": "not waited for"}
    parts = [f"{job.count(state)} {text}" for state, text in counts.items() if job.count(state)]
    return f"Of {len(job.rows)}: {', '.join(parts)}." if len(job.rows) > 1 else ""


async def send_progress(request: web.Request) -> web.StreamResponse:
    """How far a change is, as it comes."""
    return await send_events(request, "change", _progress(request, _job(request)))


async def _progress(request: web.Request, job: Job) -> AsyncGenerator[str, None]:
    """Messages until the job is over."""
    version, sent_at = -1, 0.0
    while True:
        is_finished = job.is_finished  # read first: what is sent then is the end
        if job.version != version:
            version, sent_at = job.version, time.monotonic()
            yield _event(request, job, is_finished=is_finished)
        elif time.monotonic() - sent_at > QUIET_INTERVAL:
            sent_at = time.monotonic()
            yield ":\n\n"
        if is_finished:
            return
        await asyncio.sleep(PROGRESS_INTERVAL)


def _event(request: web.Request, job: Job, *, is_finished: bool) -> str:
    page = render(request, "change_progress.html", job=job)
    data = {
        "html": page.text,
        "heading": f"{capitalize(job.title)}: {STATE_TEXTS[job.state]}",
        "summary": _summary(job),
        "over": is_finished,
    }
    return f"data: {json.dumps(data)}\n\n"


async def cancel_job(request: web.Request) -> web.StreamResponse:
    """Wait no longer for a change."""
    check_read_only(settings_of(request))
    job = _job(request)
    if job.owner != session_of(request).csrf:
        raise ForbiddenError("Only the browser that confirmed this change can cancel it.")
    await asyncio.to_thread(shared_of(request).jobs.cancel, job)
    raise web.HTTPSeeOther(url_of(request, "change", job.id))


ROUTES = [
    web.get("/change/{job}", show_job),
    web.get("/change/{job}/events", send_progress),
    web.post("/change/{job}/cancel", cancel_job),
]

TEMPLATES.globals["job_states"] = STATE_TEXTS
TEMPLATES.filters["capitalized"] = capitalize
