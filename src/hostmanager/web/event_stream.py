"""Server-sent events: messages for a browser until it goes, and how many browsers get them."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from aiohttp import web

from hostmanager.web.context import SHARED, shared_of

log = logging.getLogger(__name__)

MAX_STREAMS = 500
"""Streams of one kind that are open at the same time."""


async def send_events(
    request: web.Request, kind: str, messages: AsyncGenerator[str, None]
) -> web.StreamResponse:
    """Answer with messages until there are no more, the browser goes, or the server ends.

    An error before the first message has a page of its own, as in any other request.

    Args:
        request: What is answered.
        kind: What the messages are about; each kind has its own limit.
        messages: Made by `event`.

    Raises:
        HTTPServiceUnavailable: As many browsers as are allowed get these already; scripts try again.
    """
    streams = shared_of(request).streams
    if sum(each == kind for each, _ in streams) >= MAX_STREAMS:
        raise web.HTTPServiceUnavailable(reason="too many browsers look at this page")
    # nginx would gather messages.
    response = web.StreamResponse(headers={"X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    stream = kind, cast(asyncio.Task[object], asyncio.current_task())
    streams.add(stream)
    try:
        async with aclosing(messages):
            async for message in messages:
                if not response.prepared:
                    await response.prepare(request)
                await response.write(message.encode())
    except (ConnectionError, asyncio.CancelledError):
        pass  # it is gone; or the server ends, and the browser is told that this is all
    except Exception:
        if not response.prepared:
            raise
        log.exception("a message for browsers failed unexpectedly")  # the answer has begun
    finally:
        streams.discard(stream)
    return response


async def end_streams(app: web.Application) -> None:
    """End all streams: they do not end by themselves, and the server would wait for them."""
    for _, task in list(app[SHARED].streams):
        task.cancel()
