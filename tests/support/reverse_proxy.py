"""A small reverse proxy in a thread, as a web server in front of the page: it says who the user is."""

import asyncio
import threading
from typing import Self

from aiohttp import ClientSession, ClientTimeout, web
from multidict import CIMultiDict

HOP_BY_HOP = ("Connection", "Transfer-Encoding", "Content-Length", "Keep-Alive", "Content-Encoding")


class ReverseProxy:
    """Passes everything on to a server of this host, paths as they are, and streams the answers.

    Attributes:
        port: Where it listens, on 127.0.0.1.
    """

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self.port = 0
        self._backend = f"http://127.0.0.1:{port}"
        self._headers = headers
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(60)
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        async with ClientSession(timeout=ClientTimeout(total=None)) as self._client:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await self._ended.wait()
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        headers = CIMultiDict(request.headers)
        headers.update(self._headers)
        url = self._backend + request.raw_path
        body = await request.read()
        asked = self._client.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        )
        async with asked as answer:
            response = web.StreamResponse(status=answer.status, headers=answer.headers)
            for name in HOP_BY_HOP:
                response.headers.popall(name, None)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response
