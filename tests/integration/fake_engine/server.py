"""An engine of a few answers on a unix socket, for what a real one cannot be made to do."""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from hostmanager.drivers.compose import container as names

STARTED = "2026-11-25T02:03:04.5Z"
FILES = {
    names.CONFIG_FILES_LABEL: "/site/compose.yaml",
    names.WORKING_DIR_LABEL: "/site",
    names.CONFIG_HASH_LABEL: "digest",
}


def inspected(
    container_id: str, service: str, *, status: str = "running", project: str = "p", **state: Any
) -> dict[str, Any]:
    """What an engine says of a container of a service."""
    labels = {
        names.PROJECT_LABEL: project,
        names.SERVICE_LABEL: service,
        names.NUMBER_LABEL: "1",
        **FILES,
    }
    state = {"Status": status, "Pid": 4242, "StartedAt": STARTED, "ExitCode": 0, **state}
    return {
        "Id": container_id,
        "Name": f"/{project}-{service}-1",
        "Image": "sha256:1",
        "Config": {"Image": "thing:1", "Labels": labels},
        "State": state,
    }


class FakeEngine:
    """Answers what it is told to.

    Attributes:
        known: What it says of each container.
        silent: Containers about which it says nothing, as if it hung, though it lists them.
        gone: Containers that are gone when they are asked about.
        answers: Raw answers in the place of others, by what their path ends with.
        request_counts: How often each path was requested.
        followers: How many streams of events are open.
    """

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "engine.sock"
        self.known: dict[str, dict[str, Any]] = {}
        self.silent: set[str] = set()
        self.gone: set[str] = set()
        self.answers: dict[str, bytes] = {}
        self.request_counts: Counter[str] = Counter()
        self._streams: set[asyncio.Queue[bytes | None]] = set()
        self._stopping = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    @property
    def followers(self) -> int:
        return len(self._streams)

    async def start(self) -> None:
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.socket)).start()

    async def stop(self) -> None:
        self._stopping.set()
        self.send(None)
        await self._runner.cleanup()

    def put(self, *containers: dict[str, Any]) -> None:
        """It has these containers now."""
        self.known.update({c["Id"]: c for c in containers})

    def emit_event(self, action: str, container_id: str, **attributes: str) -> None:
        """Send an event."""
        labels = self.known[container_id]["Config"]["Labels"]
        actor = {"ID": container_id, "Attributes": {**labels, **attributes}}
        event = {"Type": "container", "Action": action, "Actor": actor, "time": 1795572694}
        self.send(json.dumps(event).encode() + b"\n")

    def send(self, data: bytes | None) -> None:
        """Send bytes as events; None ends the streams."""
        for stream in self._streams:
            stream.put_nowait(data)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = "/" + request.path.strip("/").removeprefix("v1.41/")
        self.request_counts[path] += 1
        for ending, raw in self.answers.items():
            if path.endswith(ending):
                return web.Response(body=raw, content_type="application/json")
        if path == "/events":
            return await self._follow(request)
        if path.startswith("/containers/") and path != "/containers/json":
            return await self._inspect(path.split("/")[2])
        if path == "/containers/json":
            expected = json.loads(request.query["filters"]).get("id")
            return web.json_response(
                [_listed(c) for c in self.known.values() if expected in (None, [c["Id"]])]
            )
        plain = {"/version": {"ApiVersion": "1.41"}, "/info": {"SystemTime": STARTED}}
        return web.json_response(plain.get(path, []))

    async def _inspect(self, container_id: str) -> web.Response:
        if container_id in self.silent:
            with suppress(TimeoutError):
                async with asyncio.timeout(60):
                    await self._stopping.wait()
        known = self.known.get(container_id)
        if known is None or container_id in self.gone:
            return web.json_response({"message": "No such container"}, status=404)
        return web.json_response(known)

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        stream: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._streams.add(stream)
        try:
            while (data := await stream.get()) is not None:
                await response.write(data)
        finally:
            self._streams.discard(stream)
        return response


def _listed(container: dict[str, Any]) -> dict[str, Any]:
    state = container["State"]
    text = f"Exited ({state['ExitCode']}) 2 s ago" if state["Status"] == "exited" else "Up 3 s"
    return {
        "Id": container["Id"],
        "Names": [container["Name"]],
        "Image": container["Config"]["Image"],
        "ImageID": container["Image"],
        "Labels": container["Config"]["Labels"],
        "Created": 1795572000,
        "State": state["Status"],
        "Status": text,
    }
