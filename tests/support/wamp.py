"""A client at the router by websocket, as a browser is one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from autobahn.asyncio.wamp import ApplicationSession
from autobahn.asyncio.websocket import WampWebSocketClientFactory
from autobahn.wamp.serializer import JsonSerializer
from autobahn.wamp.types import ComponentConfig

from tests.support.sites import Site
from tests.support.waiting import BUSY_MACHINE

ANSWER_TIME = 4.0 * BUSY_MACHINE


class Page:
    """What a browser does: calls, and subscriptions.

    Args:
        site: Whose agents it talks to.
        session: Its session at the router.
    """

    def __init__(self, site: Site, session: ApplicationSession) -> None:
        self.root = site.address_root
        self.session = session

    async def call(self, instance_id: str, *args: Any, **kwargs: Any) -> Any:
        """Call an agent: ``call("fake1", "get_api")``, ``call("fake1", "status", "acq", [])``."""
        address = f"{self.root}.{instance_id}" + (".ops" if len(args) > 1 else "")
        return await self.procedure(address, *args, **kwargs)

    async def procedure(self, address: str, *args: Any, **kwargs: Any) -> Any:
        """Call what is registered under this address."""
        return await asyncio.wait_for(self.session.call(address, *args, **kwargs), ANSWER_TIME)


@asynccontextmanager
async def page(site: Site) -> AsyncIterator[Page]:
    """A session of its own at the router of the site."""
    loop = asyncio.get_running_loop()
    joined: asyncio.Future[ApplicationSession] = loop.create_future()

    class Session(ApplicationSession):
        def onJoin(self, details: Any) -> None:  # noqa: N802 - autobahn's name
            joined.set_result(self)

    session = Session(ComponentConfig(site.router.realm))
    factory = WampWebSocketClientFactory(
        lambda: session, url=site.router.url, serializers=[JsonSerializer()], loop=loop
    )
    transport, _ = await loop.create_connection(factory, "127.0.0.1", site.router.port)
    try:
        yield Page(site, await asyncio.wait_for(joined, ANSWER_TIME))
    finally:
        transport.abort()
