"""Clients at the router, each run as a process of its own.

It prints a line once it is joined, works for so many seconds, and prints what it saw as JSON.

python -m bench.scale_client URL REALM listen SECONDS
python -m bench.scale_client URL REALM browse SECONDS ADDRESS...
python -m bench.scale_client URL REALM crowd SECONDS AGENTS

`listen` counts the heartbeats of the whole site, as the registry of OCS does. `browse` asks for
the status of every operation of every address each second, as a page of ocs-web does for one.
`crowd` is at the router as so many agents of a real site would be, each with its connection and
its heartbeat each second.
"""

import asyncio
import json
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from autobahn.asyncio.wamp import ApplicationSession
from autobahn.asyncio.websocket import WampWebSocketClientFactory
from autobahn.wamp.serializer import JsonSerializer
from autobahn.wamp.types import ComponentConfig, SubscribeOptions

ROUND = 1.0  # seconds from one look to the next
TIMEOUT = 30.0
JOINING = 20  # at a time


async def join(url: str, realm: str) -> Any:
    """Open a session at the router."""
    loop = asyncio.get_running_loop()
    joined: asyncio.Future[Any] = loop.create_future()

    class Session(ApplicationSession):
        def onJoin(self, details: Any) -> None:  # noqa: N802 - autobahn's name
            joined.set_result(self)

    session = Session(ComponentConfig(realm))
    factory = WampWebSocketClientFactory(
        lambda: session, url=url, serializers=[JsonSerializer()], loop=loop
    )
    factory.setProtocolOptions(tcpNoDelay=True)
    where = urlsplit(url)
    await loop.create_connection(factory, where.hostname, where.port)
    return await asyncio.wait_for(joined, TIMEOUT)


async def listen(session: Any, seconds: float) -> dict[str, Any]:
    """Count heartbeats."""
    count = 0

    def heard(*_: object) -> None:
        nonlocal count
        count += 1

    await session.subscribe(
        heard, "observatory..feeds.heartbeat", SubscribeOptions(match="wildcard")
    )
    ready()
    begun = time.monotonic()
    count = 0
    await asyncio.sleep(seconds)
    return {"events_per_second": count / (time.monotonic() - begun)}


async def browse(session: Any, seconds: float, addresses: list[str]) -> dict[str, Any]:
    """Ask for every status, each second; a round that takes longer delays the next."""
    calls = [(f"{a}.ops", op) for a in addresses for op in await _operations(session, a)]
    waits: list[float] = []
    errors: list[str] = []

    async def ask(procedure: str, operation: str) -> None:
        begun = time.monotonic()
        try:
            await asyncio.wait_for(session.call(procedure, "status", operation, {}), TIMEOUT)
        except Exception as error:
            errors.append(repr(error))
        else:
            waits.append(time.monotonic() - begun)

    rounds: list[float] = []
    ready()
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        start = time.monotonic()
        await asyncio.gather(*(ask(*call) for call in calls))
        rounds.append(time.monotonic() - start)
        await asyncio.sleep(max(0.0, ROUND - rounds[-1]))
    took = time.monotonic() - begun
    return {
        "calls_per_second": len(waits) / took,
        "calls_per_round": len(calls),
        "waits": waits,
        "rounds": rounds,
        "errors": len(errors),
        "first_error": errors[0] if errors else None,
    }


async def _operations(session: Any, address: str) -> list[str]:
    api = await session.call(address, "get_api")
    return [name for kind in ("processes", "tasks") for name, *_ in api[kind]]


async def crowd(url: str, realm: str, seconds: float, agents: int) -> dict[str, Any]:
    """Be many agents; their heartbeats are spread evenly over the second."""
    sessions: list[Any] = []
    while len(sessions) < agents:
        some = min(JOINING, agents - len(sessions))
        sessions += await asyncio.gather(*(join(url, realm) for _ in range(some)))
    ready()
    codes = {"acq": 3, "init": 5, "set": 1}
    sent = 0
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        number = sent % agents
        address = f"observatory.crowd{number}"
        feed = {"agent_address": address, "agg_params": {}, "feed_name": "heartbeat"}
        feed |= {"address": f"{address}.feeds.heartbeat", "record": False, "session_id": "0"}
        feed |= {"agent_class": "FakeDataAgent"}
        sessions[number].publish(f"{address}.feeds.heartbeat", (codes, feed))
        sent += 1
        await asyncio.sleep(max(0.0, begun + sent / agents - time.monotonic()))
    return {"publishes_per_second": sent / (time.monotonic() - begun)}


def ready() -> None:
    """Tell who measures that it may begin."""
    print("ready", flush=True)


async def main(url: str, realm: str, what: str, seconds: float, rest: list[str]) -> dict[str, Any]:
    if what == "crowd":
        return await crowd(url, realm, seconds, int(rest[0]))
    session = await join(url, realm)
    if what == "listen":
        return await listen(session, seconds)
    return await browse(session, seconds, rest)


if __name__ == "__main__":
    _, url, realm, what, seconds, *rest = sys.argv
    print(json.dumps(asyncio.run(main(url, realm, what, float(seconds), rest))))
