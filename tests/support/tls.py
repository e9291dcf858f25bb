"""TLS before a router, as many sites have it, with certificates of an authority of our own."""

import asyncio
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from hostmanager.testing.crossbar_router import CrossbarRouter

HOST = "localhost"


class Authority:
    """An authority that nobody knows unless told so; `surroundings` tells a process."""

    def __init__(self, directory: Path) -> None:
        self.ca = trustme.CA()
        self.file = directory / "authority.pem"
        self.ca.cert_pem.write_to_path(str(self.file))

    @property
    def surroundings(self) -> dict[str, str]:
        """Variables that make OpenSSL, and requests, take its certificates."""
        return {"SSL_CERT_FILE": str(self.file), "REQUESTS_CA_BUNDLE": str(self.file)}

    def certificate(self, *names: str, **given: object) -> ssl.SSLContext:
        """A server's context with a certificate of these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*(names or (HOST, "127.0.0.1")), **given).configure_cert(context)
        return context


class TlsFront:
    """Takes TLS at a port of its own, and passes on to the router what it reads there.

    It has what a `Site` wants of a router. The certificate may be changed: `context`.
    """

    def __init__(self, router: CrossbarRouter, context: ssl.SSLContext) -> None:
        self.router, self.context = router, context
        self.realm, self.address_root = router.realm, router.address_root
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"wss://{HOST}:{self.port}/ws"

    @property
    def http(self) -> str:
        return f"https://{HOST}:{self.port}/call"

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self, context: ssl.SSLContext | None = None) -> None:
        """Listen; at the port of before, if there was one."""
        self.context = context or self.context
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)

    def close(self) -> None:
        """Listen no more, and drop every connection."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self.context
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.router.port)
            try:
                passing = [_passing(reader, back), _passing(there, writer)]
                await asyncio.wait(
                    [asyncio.ensure_future(one) for one in passing],
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                back.close()
        except OSError:
            pass  # no router: the client sees that the connection ends
        finally:
            self._tasks.discard(task)
            writer.close()


async def _passing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
