"""Calls over the router's HTTP bridge.

OCS's client makes them with `requests`, whose import takes more processor time than all else that
a command does with the answer. So what nearly every site has, plain HTTP without a proxy, goes
through Python's own client, and OCS's is used where `requests` does more.
"""

import json
import os
import socket
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

CONNECTION_ERROR = "client_http.error.connection_error"
REQUEST_ERROR = "client_http.error.request_error"
"""What OCS's client calls them."""

HTTP_OK = 200

REDIRECTS = range(300, 400)

KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""Has who waits for an answer notice, after 25 s, that the router was unplugged: nothing else limits
the wait."""

PROXIES = ("http_proxy", "all_proxy")
"""Variables that `requests` reads for plain HTTP."""


class BridgeError(Exception):
    """A call that the router, or what stands in its place, did not answer with a result.

    Attributes:
        name: One of those above, or the router's (``wamp.error.…``).
        message: What else there is to say.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


def call(url: str, realm: str, procedure: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call a procedure. It blocks: for ever, if nobody answers.

    Args:
        url: Of the bridge.
        realm: The router's; the bridge knows its own.
        procedure: Its name.
        *args: Its arguments.
        **kwargs: The same.

    Raises:
        BridgeError: There is no result.
        Exception: What answers is no bridge; of many classes.
    """
    if needs_requests(url):
        return _call_with_requests(url, realm, procedure, *args, **kwargs)
    job = json.dumps({"procedure": procedure, "args": args, "kwargs": kwargs})
    status, text = _post(url, job.encode())
    if status in REDIRECTS:
        return _call_with_requests(url, realm, procedure, *args, **kwargs)
    if status != HTTP_OK:
        raise BridgeError(REQUEST_ERROR, f"Server replied with code {status}")
    reply = json.loads(text)
    if "error" in reply:
        raise BridgeError(str(reply["error"]), " ".join(map(str, reply["args"])))
    return reply["args"][0]


def _post(url: str, body: bytes) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.connect()
        for option in KEEPALIVE:
            connection.sock.setsockopt(*option)
        connection.request("POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException) as error:
        raise BridgeError(CONNECTION_ERROR, f"Failed to connect to {url}") from error
    finally:
        connection.close()


def needs_requests(url: str) -> bool:
    """Whether `requests` may do more than to post: TLS, a proxy, user names, names in other scripts."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.username is not None or not url.isascii():
        return True
    if any(value and name.lower() in PROXIES for name, value in os.environ.items()):
        return True
    files = (os.environ.get("NETRC") or "~/.netrc", "~/_netrc")
    return any(os.path.exists(os.path.expanduser(file)) for file in files)  # noqa: PTH110, PTH111


def _call_with_requests(url: str, realm: str, procedure: str, *args: Any, **kwargs: Any) -> Any:
    from ocs.client_http import ControlClient, ControlClientError  # noqa: PLC0415 - see above

    try:
        return ControlClient(procedure, url=url, realm=realm).call(procedure, *args, **kwargs)
    except ControlClientError as error:
        details = error.args[0] if error.args else []
        name = str(details[4]) if len(details) > 4 else ""
        message = " ".join(map(str, details[5])) if len(details) > 5 else str(error)
        raise BridgeError(name, message) from error
