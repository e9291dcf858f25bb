"""A Docker Engine for the bench, and what it tells of containers, each with its moment."""

import contextlib
import http.client
import json
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import yaml
from tests.support.engine import Engine, MissingError
from tests.support.private_engine.daemon import DaemonError
from tests.support.private_engine.image import IMAGE

from bench.harness import WAIT_TIMEOUT
from bench.model import CannotMeasureError

FILE = "compose.yaml"


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """An engine of the bench's own, with nothing else in it.

    Raises:
        CannotMeasureError: There is none to be had; says why.
    """
    directory = Path(tempfile.mkdtemp(prefix="hmb-"))  # short: a socket's path has 107 characters
    try:
        try:
            made = Engine.private(directory / "engine")
        except (MissingError, DaemonError) as error:
            raise CannotMeasureError(f"no Docker Engine: {error}") from None
        try:
            yield made
        finally:
            made.remove()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def write_services(directory: Path, names: list[str]) -> Path:
    """Write a compose file of services that sleep, and end at once when asked to."""
    command = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $$!; done"]
    service = {
        "image": IMAGE,
        "network_mode": "none",
        "stop_grace_period": "5s",
        "command": command,
    }
    file = directory / FILE
    file.write_text(yaml.safe_dump({"services": dict.fromkeys(names, service)}))
    return file


class Event(NamedTuple):
    """An event of the engine, and when it arrived, on the monotonic clock."""

    at: float
    action: str
    service: str
    signal: str


class Events:
    """A context manager that takes down what the engine tells of compose services."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: list[Event] = []
        self._changed = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> Self:
        self._socket.connect(str(self._path))
        filters = quote(json.dumps({"type": ["container"]}))
        request = f"GET /events?filters={filters} HTTP/1.1\r\nHost: engine\r\n\r\n"
        self._socket.sendall(request.encode())
        answer = http.client.HTTPResponse(self._socket)
        answer.begin()
        threading.Thread(target=self._read, args=(answer,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read(self, answer: http.client.HTTPResponse) -> None:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while line := answer.readline():
                at = time.monotonic()
                message: dict[str, Any] = json.loads(line)
                about = message["Actor"]["Attributes"]
                service = about.get("com.docker.compose.service", "")
                event = Event(at, message["Action"], service, about.get("signal", ""))
                with self._changed:
                    self._seen.append(event)
                    self._changed.notify_all()

    def wait(self, action: str, service: str, since: float) -> Event:
        """The first event of that kind about a service after a moment."""

        def matching_event() -> Event | None:
            matching = (e for e in self._seen if (e.action, e.service) == (action, service))
            return next((e for e in matching if e.at >= since), None)

        with self._changed:
            event = self._changed.wait_for(matching_event, WAIT_TIMEOUT)
        if event is None:
            msg = f"no '{action}' of {service} within {WAIT_TIMEOUT:g} s"
            raise AssertionError(msg)
        return event
