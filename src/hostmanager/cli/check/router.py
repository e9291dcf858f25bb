"""Checking the router, by doing what agents and clients do.

Agents join a realm by websocket and register below the address root; clients call them over the
HTTP bridge. So a procedure of a random name is registered there, and called through the bridge:
when the call comes back, address, realm, address root and permissions are right, of both. It is
gone with the connection; no agent is called.
"""

import asyncio
import contextlib
import os
import secrets
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hostmanager.agent.framework.event_loop import skip_optional_imports
from hostmanager.cli.check.report import Category, CheckReport
from hostmanager.siteconfig.diagnostics import Severity
from hostmanager.siteconfig.yaml_nodes import YamlNode
from hostmanager.util.text import quote_value
from hostmanager.util.tls import tls_failure

if TYPE_CHECKING:
    from autobahn.asyncio.wamp import ApplicationSession

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class RouterEndpoint:
    """A way to the router.

    Attributes:
        websocket: Its websocket.
        bridge: Its HTTP bridge; None if there is none.
        realm: The realm.
        address_root: The address root.
        locations: Where each of them (by these names) is said; one that is not, on a command line.
        host: The host whose way this is; None: all that have no other.
    """

    websocket: str
    bridge: str | None
    realm: str
    address_root: str
    locations: dict[str, YamlNode]
    host: str | None = None


class RouterCheckError(Exception):
    """Something is not as it should be.

    Args:
        part: Which part of the access is to be blamed.
        text: What is wrong.
        hint: What to do.
        unreachable: Whether nothing answers at all there.
    """

    def __init__(self, part: str, text: str, remedy: str = "", *, away: bool = False) -> None:
        super().__init__(text)
        self.part, self.text, self.hint, self.unreachable = part, text, remedy, away


def check_router(endpoint: RouterEndpoint, limit: float, report: CheckReport) -> bool:
    """Check it; returns whether anything answers at all.

    Args:
        endpoint: The way to it.
        limit: Seconds for each step.
        report: Gets what is wrong.
    """
    errors = asyncio.run(_try_all(endpoint, limit))
    for trouble in errors:
        report.add(
            Category.ROUTER,
            Severity.ERROR,
            endpoint.locations.get(trouble.part),
            trouble.text,
            trouble.hint,
            host=endpoint.host,
        )
    if not errors and endpoint.bridge:
        report.confirmed.append(
            f"the router at {endpoint.websocket} and {endpoint.bridge} takes agents and calls below "
            f"{endpoint.address_root} in realm {endpoint.realm}"
        )
    away = sum(trouble.unreachable for trouble in errors)
    return away < (2 if endpoint.bridge else 1)


async def _try_all(endpoint: RouterEndpoint, limit: float) -> list[RouterCheckError]:
    """Every trouble that can be told apart; the bridge is tried even without the websocket."""
    errors: list[RouterCheckError] = []
    name = f"{endpoint.address_root}.hostmanager-check-{secrets.token_hex(6)}"
    session = None
    try:
        session = await _join(endpoint, limit)
        await _register(session, name, endpoint, limit)
    except RouterCheckError as trouble:
        errors.append(trouble)
    registered = session is not None and not errors
    if endpoint.bridge:
        try:
            await _call(endpoint.bridge, name, endpoint, registered, limit)
        except RouterCheckError as trouble:
            errors.append(trouble)
    if session is not None:
        with contextlib.suppress(Exception):
            session.leave()
            async with asyncio.timeout(1.0):
                await session.left
    return errors


async def _join(endpoint: RouterEndpoint, limit: float) -> Any:
    """Join the realm by websocket."""
    try:
        url = urlsplit(endpoint.websocket)
        port = url.port or (443 if url.scheme == "wss" else 80)
        if url.scheme not in ("ws", "wss") or not url.hostname:
            raise ValueError
    except ValueError:
        text = f"{quote_value(endpoint.websocket)} is no address of a websocket."
        raise RouterCheckError("wamp_server", text, "Write ws://HOST:8001/ws.") from None
    with skip_optional_imports():
        from autobahn.asyncio.websocket import WampWebSocketClientFactory  # noqa: PLC0415
        from autobahn.wamp.serializer import JsonSerializer  # noqa: PLC0415
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()
    session = _session(endpoint, outcome)
    factory = WampWebSocketClientFactory(
        lambda: session, url=endpoint.websocket, serializers=[JsonSerializer()]
    )
    factory.protocol = _protocol(endpoint, outcome)
    try:
        async with asyncio.timeout(limit):
            await loop.create_connection(
                factory, url.hostname, port, ssl=True if url.scheme == "wss" else None
            )
            return await outcome
    except TimeoutError:
        text = f"the router at {endpoint.websocket} does not answer within {limit:g} s."
        remedy = "Is there TLS on this port? Else write ws://." if url.scheme == "wss" else ""
        raise RouterCheckError("wamp_server", text, remedy, away=True) from None
    except ssl.SSLError as error:
        raise _tls_error("wamp_server", endpoint.websocket, error) from None
    except OSError as error:
        text = f"no router answers at {endpoint.websocket}: {_reason(error)}."
        remedy = "Is crossbar running, and does this machine reach its port?"
        raise RouterCheckError("wamp_server", text, remedy, away=True) from None


def _tls_error(part: str, url: str, error: Exception) -> RouterCheckError:
    found = tls_failure(error)
    text, remedy = (found.text, found.remedy) if found else (str(error), "")
    return RouterCheckError(part, f"no encrypted connection to {url} can be made: {text}.", remedy)


def _reason(error: OSError) -> str:
    known = isinstance(error.errno, int) and error.errno > 0
    return (
        os.strerror(error.errno)
        if known and error.errno is not None
        else error.strerror or str(error)
    )


def _protocol(endpoint: RouterEndpoint, outcome: "asyncio.Future[Any]") -> type:
    from autobahn.asyncio.websocket import WampWebSocketClientProtocol  # noqa: PLC0415

    class Protocol(WampWebSocketClientProtocol):  # type: ignore[misc] # autobahn is untyped
        """Tells why a connection came to nothing."""

        def onClose(self, was_clean: bool, code: int | None, reason: str | None) -> None:  # noqa: N802
            if not outcome.done():
                text = f"what answers at {endpoint.websocket} is no WAMP router ({reason})."
                remedy = "Check port and path; OCS's usual path is /ws."
                outcome.set_exception(RouterCheckError("wamp_server", text, remedy))
            super().onClose(was_clean, code, reason)

    return Protocol


def _session(endpoint: RouterEndpoint, outcome: "asyncio.Future[Any]") -> "ApplicationSession":
    with skip_optional_imports():
        from autobahn.asyncio.wamp import ApplicationSession  # noqa: PLC0415
        from autobahn.wamp.types import ComponentConfig  # noqa: PLC0415

    class Session(ApplicationSession):  # type: ignore[misc] # autobahn is untyped
        """Joins, and tells what became of it."""

        def __init__(self) -> None:
            super().__init__(ComponentConfig(realm=endpoint.realm))
            self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def onJoin(self, details: Any) -> None:  # noqa: N802
            if not outcome.done():
                outcome.set_result(self)

        def onLeave(self, details: Any) -> None:  # noqa: N802
            if not outcome.done():
                outcome.set_exception(_join_error(endpoint, details.reason, details.message))
            if not self.left.done():
                self.left.set_result(None)
            self.disconnect()

    return Session()


def _join_error(endpoint: RouterEndpoint, reason: str, message: str | None) -> RouterCheckError:
    if reason == "wamp.error.no_such_realm":
        text = f"the router at {endpoint.websocket} has no realm {quote_value(endpoint.realm)}."
        return RouterCheckError(
            "wamp_realm", text, "Use the name of a realm in crossbar's config.json."
        )
    said = f"{reason}: {message}" if message else reason
    text = f"the router at {endpoint.websocket} lets no agent into realm {quote_value(endpoint.realm)} ({said})."
    return RouterCheckError(
        "wamp_realm", text, "OCS's agents log in anonymously: crossbar must allow it."
    )


async def _register(session: Any, name: str, endpoint: RouterEndpoint, limit: float) -> None:
    try:
        async with asyncio.timeout(limit):
            await session.register(lambda: "here", name)
    except TimeoutError:
        text = f"the router at {endpoint.websocket} does not answer within {limit:g} s."
        raise RouterCheckError("wamp_server", text) from None
    except Exception as error:  # autobahn has many
        reason = str(getattr(error, "error", type(error).__name__))
        text = f"the router lets no agent register below {quote_value(endpoint.address_root)} ({reason})."
        if reason == "wamp.error.not_authorized":
            raise RouterCheckError(
                "address_root", text, _permissions("register", endpoint)
            ) from None
        raise RouterCheckError("address_root", text) from None


def _permissions(what: str, endpoint: RouterEndpoint) -> str:
    return f"crossbar's config.json must allow '{what}' for the prefix '{endpoint.address_root}.'."


async def _call(
    url: str, name: str, endpoint: RouterEndpoint, registered: bool, limit: float
) -> None:
    """Call our procedure through the bridge."""
    from ocs.client_http import ControlClient, ControlClientError  # noqa: PLC0415 - imports requests

    client = ControlClient(name, url=url, realm=endpoint.realm)
    try:
        async with asyncio.timeout(limit):
            await _in_thread(lambda: client.call(name))
    except TimeoutError:
        text = f"the HTTP bridge at {url} does not answer within {limit:g} s."
        raise RouterCheckError("wamp_http", text, away=True) from None
    except ControlClientError as error:
        if tls_failure(error) is not None:
            raise _tls_error("wamp_http", url, error) from None
        details = error.args[0] if error.args else []
        told = str(details[4]) if len(details) > 4 else error.strerror or str(error)
        said = " ".join(map(str, details[5])) if len(details) > 5 else ""
        found = _bridge_error(url, told, said, endpoint, registered)
        if found is not None:
            raise found from None
    except Exception as error:  # requests and json have many ways to say it
        text = f"what answers at {url} is no HTTP bridge of a router ({type(error).__name__})."
        raise RouterCheckError("wamp_http", text, "Write http://HOST:8001/call.") from None


def _bridge_error(
    url: str, told: str, said: str, endpoint: RouterEndpoint, registered: bool
) -> RouterCheckError | None:
    if told == "client_http.error.connection_error":
        text = f"no HTTP bridge answers at {url}."
        return RouterCheckError("wamp_http", text, "Check host and port.", away=True)
    if told == "client_http.error.request_error":
        text = f"what answers at {url} is not the HTTP bridge of a router ({said})."
        return RouterCheckError("wamp_http", text, "Check the path; OCS's usual path is /call.")
    if told == "wamp.error.no_such_procedure":
        if not registered:
            return None  # as it should be: there was nothing to be called
        text = f"the HTTP bridge at {url} does not see what is registered at {endpoint.websocket}."
        remedy = (
            f"Its 'realm' in crossbar's config.json must be {quote_value(endpoint.realm)}, too."
        )
        return RouterCheckError("wamp_http", text, f"{remedy} Or it is another router.")
    if told == "wamp.error.not_authorized":
        text = (
            f"the HTTP bridge at {url} may call nothing below {quote_value(endpoint.address_root)}."
        )
        return RouterCheckError("address_root", text, _permissions("call", endpoint))
    return RouterCheckError("wamp_http", f"the HTTP bridge at {url} fails: {told}: {said}.")


async def _in_thread(work: Callable[[], Any]) -> Any:
    """Do it in a thread that nobody has to wait for."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()

    def finish(set_it: Callable[[Any], None], value: Any) -> None:
        if not outcome.done():
            set_it(value)

    def go() -> None:
        try:
            result = (outcome.set_result, work())
        except BaseException as error:
            result = (outcome.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, *result)

    threading.Thread(target=go, daemon=True).start()
    return await outcome
