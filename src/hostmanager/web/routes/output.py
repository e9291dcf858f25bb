"""The output of an agent: as a page, live, as a file, as JSON lines."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict, dataclass
from urllib.parse import quote

from aiohttp import web

from hostmanager.client.errors import ManagerError
from hostmanager.client.logs.log_filter import LEVELS, LogLine
from hostmanager.web.agent_reader import LATE, PAGE_TIME, AgentReader
from hostmanager.web.errors import PageError
from hostmanager.web.event_stream import send_events
from hostmanager.web.feeds.output import Batch
from hostmanager.web.pages import render
from hostmanager.web.views.output import (
    MAX_DOWNLOAD_LINES,
    LiveSelection,
    OutputQuery,
    OutputView,
    line_data,
    read_selected,
    search,
    text_lines,
)

AGENT_LINES = 100
"""Lines on the page of an agent."""

STREAM_PAUSE = 5.0
"""Seconds after which a stream without news says that it is there."""


@dataclass(frozen=True, slots=True)
class ShownOutput:
    """The output on a page.

    Attributes:
        lines: As `line_data` gives them.
        position: Where the live part begins; empty: with all that there is; None: nothing comes.
        notes: What is not shown, and why.
    """

    lines: Sequence[Mapping[str, str]] = ()
    position: str | None = None
    notes: Sequence[str] = ()


def _shown(lines: Sequence[LogLine], position: str | None, notes: Sequence[str]) -> ShownOutput:
    now = time.time()
    return ShownOutput([line_data(line, now) for line in lines], position, notes)


async def live_output(reader: AgentReader) -> ShownOutput:
    """The newest lines of an agent."""
    try:
        feed = reader.feed
        async with asyncio.timeout(PAGE_TIME):
            kept = await feed.all()
    except TimeoutError:
        return ShownOutput(position="", notes=[LATE])
    except (ManagerError, PageError) as error:
        return ShownOutput(position="" if reader.is_kept else None, notes=[str(error)])
    lines = list(kept.lines)[-AGENT_LINES:]
    return _shown(lines, kept.position, [kept.error] if kept.error else [])


async def show_output(request: web.Request) -> web.StreamResponse:
    """The output that the query selects, in the form that it asks for."""
    reader, form = AgentReader.of(request), request.query.get("as", "page")
    if form not in _FORMS:
        raise PageError(f"'as' is {form!r:.60}; it must be one of {', '.join(_FORMS)}.")
    return await _FORMS[form](reader)


async def _page(reader: AgentReader) -> web.StreamResponse:
    query = OutputQuery.of(reader.request.query)
    try:
        output = await _selected(reader, query)
    except ManagerError as error:
        comes = reader.is_kept and query.is_live
        output = ShownOutput(position="" if comes else None, notes=[str(error)])
    return render(
        reader.request,
        "output.html",
        agent=reader.status,
        query=query,
        levels=list(LEVELS),
        output=output,
    )


async def _selected(reader: AgentReader, query: OutputQuery) -> ShownOutput:
    if not query.is_live:
        view = await asyncio.to_thread(read_selected, query, reader.source, reader.limit)
        return _shown(view.lines, None, view.notes)
    kept = await reader.feed.all()
    view = await asyncio.to_thread(search, query, kept.lines, reader.source, reader.limit)
    return _shown(view.lines, kept.position, [*view.notes, *filter(None, [kept.error])])


async def _stream(reader: AgentReader) -> web.StreamResponse:
    """What is new, as it comes; each message names the position behind it."""
    request, query = reader.request, OutputQuery.of(reader.request.query)
    position = request.headers.get("Last-Event-ID") or request.query.get("from", "")
    return await send_events(request, "output", _messages(reader, query, position))


async def _messages(
    reader: AgentReader, query: OutputQuery, position: str
) -> AsyncGenerator[str, None]:
    try:
        feed = reader.feed
        await feed.all()  # a new feed has nothing before its first answer
    except ManagerError as error:  # the browser asks again after a while
        yield _event(Batch((), position, False, str(error)), LiveSelection(query, ()))
        return
    selection = LiveSelection(query, feed.before(position))
    async for batch in feed.follow(position, STREAM_PAUSE):
        yield _event(batch, selection)


def _event(batch: Batch, selection: LiveSelection) -> str:
    data = json.dumps(selection.data(batch, time.time()))
    return f"id: {batch.position}\ndata: {data}\n\n"


async def _text(reader: AgentReader) -> web.StreamResponse:
    view = await _read_all(reader)
    text = await asyncio.to_thread(text_lines, view, time.time())
    return _file(reader, text, "text/plain", "log")


async def _json_lines(reader: AgentReader) -> web.StreamResponse:
    view = await _read_all(reader)
    text = "".join(f"{json.dumps(asdict(line))}\n" for line in view.lines)
    return _file(reader, text, "application/jsonl", "jsonl")


async def _read_all(reader: AgentReader) -> OutputView:
    query = OutputQuery.of(reader.request.query, MAX_DOWNLOAD_LINES, MAX_DOWNLOAD_LINES)
    return await asyncio.to_thread(read_selected, query, reader.source, reader.limit)


def _file(reader: AgentReader, text: str, content_type: str, ending: str) -> web.Response:
    """An answer that the browser keeps as a file, whatever the id has in it."""
    name = quote(f"{reader.status.instance_id.replace('/', '_')}.{ending}", safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return web.Response(
        body=text.encode("utf-8", "replace"),
        content_type=content_type,
        charset="utf-8",
        headers=headers,
    )


_FORMS = {"page": _page, "stream": _stream, "text": _text, "jsonl": _json_lines}


ROUTES = [web.get("/output/{host}/{id:.+}", show_output, allow_head=False)]
