"""One request to a Docker Engine over its Unix socket: what the tests look at it with."""

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """An answer of the engine: its HTTP status, and what it said (from JSON where it is JSON)."""

    status: int
    body: Any


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("engine", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def request(
    path: Path, method: str, target: str, body: Mapping[str, Any] | None = None, timeout: float = 30
) -> Answer:
    """Ask once, on a connection of its own.

    Raises:
        OSError: The engine cannot be reached, or does not answer within the timeout (seconds).
    """
    connection = _Connection(path, timeout)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, target, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        raw = response.read()
    except http.client.HTTPException as error:
        msg = f"{path}: {error!r}"
        raise ConnectionError(msg) from error
    finally:
        connection.close()
    is_json = response.headers.get_content_type() == "application/json"
    return Answer(response.status, json.loads(raw) if is_json and raw else raw.decode())


def why_not(path: Path, timeout: float = 5) -> str:
    """Why no engine answers there; empty if one does."""
    try:
        status = request(path, "GET", "/_ping", timeout=timeout).status
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return "" if status == 200 else f"it answers with HTTP status {status}"
