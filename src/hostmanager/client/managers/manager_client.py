"""The client of one manager: its operations, over the router's HTTP bridge, and errors for people."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ocs

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.managers import http_bridge
from hostmanager.client.managers.request_origin import (
    CHANGING_OPERATIONS,
    origin_params,
    taken_parameters,
)
from hostmanager.client.site_model import Site
from hostmanager.core.request_origin import RequestOrigin

NOBODY = RequestOrigin()

MAX_ATTEMPTS = 3
"""Attempts at a read-only operation whose answer went to another client."""

READ_ONLY_OPERATIONS = frozenset({"history", "output", "resources"})

NO_ROUTER_HINT = (
    "Is the router running? Agents and managers go on without it. If it is a compose service, the "
    "manager of its host starts it again, and logs why it cannot: `journalctl -u 'hostmanager-*'` "
    "on that host."
)

MIN_WAIT = 0.2
"""Seconds that an operation may take at least."""


@dataclass(frozen=True, slots=True)
class OperationResult:
    """The result of an operation.

    Attributes:
        ok: Whether it succeeded.
        text: The last message of the manager.
        data: The session's data.
    """

    ok: bool
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_session(cls, session: Mapping[str, Any]) -> "OperationResult":
        """Read the result from the session of an operation that has ended."""
        texts = [str(text) for _, text in session.get("messages") or []]
        messages = [text for text in texts if not text.startswith("Status is now")]
        data = session.get("data")
        return cls(
            bool(session.get("success")),
            messages[-1] if messages else "",
            data if isinstance(data, dict) else {},
        )


class ManagerClient:
    """The manager of one host. All methods block.

    Attributes:
        host: Its host.
        instance_id: Its instance-id.
        origin: Who makes the requests, and why.
    """

    def __init__(
        self,
        site: Site,
        host: str,
        instance_id: str,
        password: str | None,
        origin: RequestOrigin = NOBODY,
    ) -> None:
        self.host = host
        self.instance_id = instance_id
        self.origin = origin
        self._taken: frozenset[str] | None = None
        self._router = site.router
        hub = site.config.hub.data
        self._operations = f"{hub['address_root']}.{instance_id}.ops"
        self._realm = str(hub["wamp_realm"])
        # Managers without access control accept no password argument.
        self._credentials = {"password": password} if password else {}

    def session(self, operation: str = "manager") -> dict[str, Any]:
        """Get the latest session of an operation; empty if it never ran.

        Raises:
            ManagerError: No answer.
        """
        session = self._request("status", operation)[2] or {}
        if operation == "manager":
            self._taken = taken_parameters(session)
        return session

    @property
    def loses_reason(self) -> bool:
        """Whether there is a reason that this manager does not keep; as far as is known."""
        taken = self._taken
        return bool(self.origin.reason) and taken is not None and "reason" not in taken

    def run(self, operation: str, limit: float, /, **params: Any) -> OperationResult:
        """Run a task and wait for its end.

        Args:
            operation: The task.
            limit: Seconds that it may take.
            params: Its parameters.

        Raises:
            ManagerError: No answer, or none in time.
        """
        deadline = time.monotonic() + limit
        for _ in range(MAX_ATTEMPTS if operation in READ_ONLY_OPERATIONS else 1):
            session = self.start(operation, **params)
            session_id = session.get("session_id")
            if session.get("status") != "done":
                session = self._wait(operation, session_id, deadline, limit)
            if session.get("session_id") == session_id:
                return OperationResult.of_session(session)
        raise self._superseded(operation)

    def refresh_session(self, operation: str, session: dict[str, Any]) -> dict[str, Any]:
        """Get the present session of one run, even if another client has started another run since.

        Raises:
            ManagerError: No answer, or only one about another run.
        """
        session_id = session.get("session_id")
        latest = self.session(operation)
        if latest.get("session_id") == session_id:
            return latest
        ended = self._wait(operation, session_id, 0.0, 0.0)
        if ended.get("session_id") != session_id:
            raise self._superseded(operation)
        return ended

    def _superseded(self, operation: str) -> ManagerError:
        return ManagerError(
            FailureKind.TIMEOUT,
            f"{self.instance_id} answered another client, which requested '{operation}' a moment "
            "later. `hostmanager history` shows the result of this request.",
        )

    def start(self, operation: str, /, **params: Any) -> dict[str, Any]:
        """Start an operation; returns its session at that moment.

        Raises:
            ManagerError: No answer, or it refuses.
        """
        if operation in CHANGING_OPERATIONS:
            if self._taken is None:
                self.session()
            params |= origin_params(self.origin, self._taken or ())
        status, text, session = self._request("start", operation, params=params)
        if status != ocs.OK and "No task or process called" in str(text):
            raise ManagerError(
                FailureKind.REFUSED,
                f"{self.instance_id} has no operation '{operation}': is it an older version, or "
                "the HostManager inside ocs?",
            )
        return self._accepted(status, operation, text, session)

    def _wait(
        self, operation: str, session_id: Any, deadline: float, limit: float
    ) -> dict[str, Any]:
        # A manager that keeps no ended sessions ignores the parameter.
        status, text, session = self._request(
            "wait",
            operation,
            params={"session_id": session_id},
            timeout=max(MIN_WAIT, deadline - time.monotonic()),
        )
        if status == ocs.TIMEOUT:
            raise ManagerError(
                FailureKind.TIMEOUT,
                f"{self.instance_id} has not finished '{operation}' within {limit:g} s; "
                "it continues.",
            )
        return self._accepted(status, operation, text, session)

    def _accepted(
        self, status: int, operation: str, text: str, session: dict[str, Any] | None
    ) -> dict[str, Any]:
        if status != ocs.OK:
            raise ManagerError(
                FailureKind.REFUSED, f"{self.instance_id} refuses '{operation}': {text}"
            )
        return session or {}

    def _request(
        self, action: str, operation: str, params: Mapping[str, Any] | None = None, **options: Any
    ) -> tuple[int, str, Any]:
        try:
            status, text, session = http_bridge.call(
                *(self._router, self._realm, self._operations, action, operation, params or {}),
                **options,
                **self._credentials,
            )
        except http_bridge.BridgeError as error:
            raise self._explain(error) from None
        except Exception as error:  # requests and json raise errors of many classes
            raise ManagerError(
                FailureKind.ROUTER,
                f"{self._router} is not an OCS router ({type(error).__name__}: {error})",
            ) from None
        return status, text, session

    def _explain(self, error: http_bridge.BridgeError) -> ManagerError:
        name, message = error.name, error.message
        if name == http_bridge.CONNECTION_ERROR:
            from hostmanager.util.network.tls import tls_failure  # noqa: PLC0415 - imports ssl

            failure = tls_failure(error)
            if failure is not None:
                text = f"no encrypted connection to {self._router} can be made: {failure.text}"
                return ManagerError(FailureKind.ROUTER, text, failure.hint)
            text = f"no router answers at {self._router}"
            return ManagerError(FailureKind.ROUTER, text, NO_ROUTER_HINT)
        if name == http_bridge.REQUEST_ERROR:
            return ManagerError(
                FailureKind.ROUTER,
                f"the server at {self._router} is not the HTTP bridge of a router ({message})",
            )
        if name == "wamp.error.no_such_procedure":
            return ManagerError(
                FailureKind.NOT_REGISTERED,
                f"{self.instance_id} is not at the router: it is not running, or its host is off or "
                f"cut off. On that host, see `systemctl status 'hostmanager-*'`",
            )
        return ManagerError(
            FailureKind.REFUSED, f"the router refuses the request: {name}: {message}"
        )
