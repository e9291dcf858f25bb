"""Checking the router, by doing what agents and clients do.

Agents join a realm by websocket and register below the address root; clients call them through
the HTTP bridge. So a procedure of a random name is registered there and called through the
bridge: if the call succeeds, address, realm, address root and permissions are right for both.
The procedure disappears with the connection; no agent is called.
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
from hostmanager.siteconfig.checks.addresses import url_problem
from hostmanager.siteconfig.yaml.nodes import YamlNode
from hostmanager.util.network.tls import tls_failure
from hostmanager.util.text import quote_value

if TYPE_CHECKING:
    from autobahn.asyncio.wamp import ApplicationSession

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class RouterEndpoint:
    """How to reach the router.

    Attributes:
        websocket: The address of its websocket.
        bridge: The address of its HTTP bridge; None if there is none.
        realm: The realm.
        address_root: The address root.
        locations: Where each of them stands in the site config, by key; without those from the
            command line.
        host: The only host that uses it; None: all that have no other.
    """

    websocket: str
    bridge: str | None
    realm: str
    address_root: str
    locations: dict[str, YamlNode]
    host: str | None = None


class RouterCheckError(Exception):
    """Something is wrong with the router or its address.

    Args:
        key: The key of the site config that it is about.
        text: What is wrong.
        hint: What to do.
        unreachable: Whether nothing answers there at all.
    """

    def __init__(self, key: str, text: str, hint: str = "", *, unreachable: bool = False) -> None:
        super().__init__(text)
        self.key, self.text, self.hint, self.unreachable = key, text, hint, unreachable


def check_router(endpoint: RouterEndpoint, timeout: float, report: CheckReport) -> bool:
    """Check the router.

    Args:
        endpoint: How to reach it.
        timeout: Seconds for each step.
        report: Gets what is wrong.

    Returns:
        Whether anything answers at all.
    """
    errors = asyncio.run(_RouterCheck(endpoint, timeout).run())
    for error in errors:
        location = endpoint.locations.get(error.key)
        report.error(Category.ROUTER, location, error.text, error.hint, host=endpoint.host)
    if not errors and endpoint.bridge:
        report.confirmed.append(
            f"the router at {endpoint.websocket} and {endpoint.bridge} accepts agents and calls "
            f"below {endpoint.address_root} in realm {endpoint.realm}"
        )
    unreachable = sum(error.unreachable for error in errors)
    return unreachable < (2 if endpoint.bridge else 1)


class _RouterCheck:
    def __init__(self, endpoint: RouterEndpoint, timeout: float) -> None:
        self._endpoint, self._timeout = endpoint, timeout
        self._realm = quote_value(endpoint.realm)
        self._procedure = f"{endpoint.address_root}.hostmanager-check-{secrets.token_hex(6)}"

    async def run(self) -> list[RouterCheckError]:
        """Find every error; the bridge is tried even without the websocket."""
        errors: list[RouterCheckError] = []
        session = None
        try:
            session = await self._join()
            await self._register(session)
        except RouterCheckError as error:
            errors.append(error)
        is_registered = session is not None and not errors
        if self._endpoint.bridge:
            try:
                await self._call(self._endpoint.bridge, is_registered)
            except RouterCheckError as error:
                errors.append(error)
        if session is not None:
            with contextlib.suppress(Exception):
                session.leave()
                async with asyncio.timeout(1.0):
                    await session.left
        return errors

    async def _join(self) -> Any:
        """Join the realm by websocket."""
        address = self._endpoint.websocket
        host, port, is_tls = _parse_websocket(address)
        with skip_optional_imports():
            from autobahn.asyncio.websocket import WampWebSocketClientFactory  # noqa: PLC0415
            from autobahn.wamp.serializer import JsonSerializer  # noqa: PLC0415
        loop = asyncio.get_running_loop()
        joined: asyncio.Future[Any] = loop.create_future()
        session = _make_session(self._endpoint, joined)
        factory = WampWebSocketClientFactory(
            lambda: session, url=address, serializers=[JsonSerializer()]
        )
        factory.protocol = _protocol_class(address, joined)
        try:
            async with asyncio.timeout(self._timeout):
                await loop.create_connection(factory, host, port, ssl=True if is_tls else None)
                return await joined
        except TimeoutError:
            hint = "Is there TLS on this port? Else write ws://." if is_tls else ""
            raise RouterCheckError(
                "wamp_server", self._no_reply(), hint, unreachable=True
            ) from None
        except ssl.SSLError as error:
            raise _tls_error("wamp_server", address, error) from None
        except OSError as error:
            text = f"no router answers at {address}: {_reason(error)}."
            hint = "Is crossbar running, and does this machine reach its port?"
            raise RouterCheckError("wamp_server", text, hint, unreachable=True) from None

    def _no_reply(self) -> str:
        address = self._endpoint.websocket
        return f"the router at {address} does not answer within {self._timeout:g} s."

    async def _register(self, session: Any) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await session.register(lambda: "here", self._procedure)
        except TimeoutError:
            raise RouterCheckError("wamp_server", self._no_reply()) from None
        except Exception as error:  # autobahn has many
            reason = str(getattr(error, "error", type(error).__name__))
            root = quote_value(self._endpoint.address_root)
            text = f"the router lets no agent register below {root} ({reason})."
            is_denied = reason == "wamp.error.not_authorized"
            hint = self._permission_hint("register") if is_denied else ""
            raise RouterCheckError("address_root", text, hint) from None

    def _permission_hint(self, act: str) -> str:
        root = self._endpoint.address_root
        return f"crossbar's config.json must allow '{act}' for the prefix '{root}.'."

    async def _call(self, url: str, is_registered: bool) -> None:
        """Call the procedure through the bridge."""
        from ocs.client_http import ControlClient, ControlClientError  # noqa: PLC0415 - requests

        client = ControlClient(self._procedure, url=url, realm=self._endpoint.realm)
        try:
            async with asyncio.timeout(self._timeout):
                await _run_in_thread(lambda: client.call(self._procedure))
        except TimeoutError:
            text = f"the HTTP bridge at {url} does not answer within {self._timeout:g} s."
            raise RouterCheckError("wamp_http", text, unreachable=True) from None
        except ControlClientError as error:
            if tls_failure(error) is not None:
                raise _tls_error("wamp_http", url, error) from None
            details = error.args[0] if error.args else []
            code = str(details[4]) if len(details) > 4 else error.strerror or str(error)
            message = " ".join(map(str, details[5])) if len(details) > 5 else ""
            if (wrong := self._bridge_error(url, code, message, is_registered)) is not None:
                raise wrong from None
        except Exception as error:  # requests and json raise many types
            text = f"what answers at {url} is no HTTP bridge of a router ({type(error).__name__})."
            raise RouterCheckError("wamp_http", text, "Write http://HOST:8001/call.") from None

    def _bridge_error(
        self, url: str, code: str, message: str, is_registered: bool
    ) -> RouterCheckError | None:
        if code == "client_http.error.connection_error":
            text = f"no HTTP bridge answers at {url}."
            return RouterCheckError("wamp_http", text, "Check host and port.", unreachable=True)
        if code == "client_http.error.request_error":
            text = f"what answers at {url} is not the HTTP bridge of a router ({message})."
            return RouterCheckError("wamp_http", text, "Check the path; OCS's usual path is /call.")
        if code == "wamp.error.no_such_procedure":
            if not is_registered:
                return None  # as expected: there was nothing to call
            address = self._endpoint.websocket
            text = f"the HTTP bridge at {url} does not see what is registered at {address}."
            hint = f"Its 'realm' in crossbar's config.json must be {self._realm}, too."
            return RouterCheckError("wamp_http", text, f"{hint} Or it is another router.")
        if code == "wamp.error.not_authorized":
            root = quote_value(self._endpoint.address_root)
            text = f"the HTTP bridge at {url} may call nothing below {root}."
            return RouterCheckError("address_root", text, self._permission_hint("call"))
        return RouterCheckError("wamp_http", f"the HTTP bridge at {url} fails: {code}: {message}.")


def _parse_websocket(address: str) -> tuple[str, int, bool]:
    if problem := url_problem("wamp_server", address):
        raise RouterCheckError("wamp_server", *problem)
    url, is_tls = urlsplit(address), address.startswith("wss")
    return url.hostname or "", url.port or (443 if is_tls else 80), is_tls


def _tls_error(key: str, url: str, error: Exception) -> RouterCheckError:
    failure = tls_failure(error)
    text, hint = (failure.text, failure.hint) if failure else (str(error), "")
    return RouterCheckError(key, f"no encrypted connection to {url} can be made: {text}.", hint)


def _reason(error: OSError) -> str:
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


def _protocol_class(address: str, joined: "asyncio.Future[Any]") -> type:
    from autobahn.asyncio.websocket import WampWebSocketClientProtocol  # noqa: PLC0415

    class Protocol(WampWebSocketClientProtocol):  # type: ignore[misc] # autobahn is untyped
        """Reports why a connection failed."""

        def onClose(self, was_clean: bool, code: int | None, reason: str | None) -> None:  # noqa: N802
            if not joined.done():
                text = f"what answers at {address} is not a WAMP router ({reason})."
                hint = "Check port and path; OCS's usual path is /ws."
                joined.set_exception(RouterCheckError("wamp_server", text, hint))
            super().onClose(was_clean, code, reason)

    return Protocol


def _make_session(endpoint: RouterEndpoint, joined: "asyncio.Future[Any]") -> "ApplicationSession":
    with skip_optional_imports():
        from autobahn.asyncio.wamp import ApplicationSession  # noqa: PLC0415
        from autobahn.wamp.types import ComponentConfig  # noqa: PLC0415

    class Session(ApplicationSession):  # type: ignore[misc] # autobahn is untyped
        """Joins, and reports the result."""

        def __init__(self) -> None:
            super().__init__(ComponentConfig(realm=endpoint.realm))
            self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def onJoin(self, details: Any) -> None:  # noqa: N802
            if not joined.done():
                joined.set_result(self)

        def onLeave(self, details: Any) -> None:  # noqa: N802
            if not joined.done():
                joined.set_exception(_join_error(endpoint, details.reason, details.message))
            if not self.left.done():
                self.left.set_result(None)
            self.disconnect()

    return Session()


def _join_error(endpoint: RouterEndpoint, reason: str, message: str | None) -> RouterCheckError:
    address, realm = endpoint.websocket, quote_value(endpoint.realm)
    if reason == "wamp.error.no_such_realm":
        text = f"the router at {address} has no realm {realm}."
        hint = "Use the name of a realm in crossbar's config.json."
        return RouterCheckError("wamp_realm", text, hint)
    full_reason = f"{reason}: {message}" if message else reason
    text = f"the router at {address} lets no agent into realm {realm} ({full_reason})."
    hint = "OCS's agents log in anonymously: crossbar must allow it."
    return RouterCheckError("wamp_realm", text, hint)


async def _run_in_thread(call: Callable[[], Any]) -> Any:
    """Call it in a daemon thread, which is not waited for at exit."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()

    def finish(setter: Callable[[Any], None], value: Any) -> None:
        if not outcome.done():
            setter(value)

    def work() -> None:
        try:
            result = (outcome.set_result, call())
        except BaseException as error:
            result = (outcome.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, *result)

    threading.Thread(target=work, daemon=True).start()
    return await outcome
