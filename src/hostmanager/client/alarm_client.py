"""The client of the alarm service, which is an agent of the site without a host."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from hostmanager.client.errors import ClientError, FailureKind, ManagerError
from hostmanager.client.managers.credentials import make_agent_client
from hostmanager.client.managers.manager_client import OperationResult
from hostmanager.client.managers.parallel import ask, run_with_limit
from hostmanager.client.site_model import Site

ALERTS_CLASS = "HostManagerAlerts"

MISSING_TEXT = (
    "no alarm service '{id}' is at the router. `hostmanager alerts` runs one on a host of the site."
)


class AlarmClient:
    """Asks the alarm service. All methods block for the answer time at most."""

    def __init__(self, site: Site, args: argparse.Namespace) -> None:
        """Make a client.

        Raises:
            ClientError: There is no password for the requested privileges.
        """
        self._id = str(args.alerts_id)
        self._client = make_agent_client(site, args, self._id, ALERTS_CLASS)
        self._limit = float(args.answer_time)

    def status(self) -> Mapping[str, Any]:
        """What is wrong, who was notified, and how the receivers are.

        Raises:
            ClientError: No answer.
        """
        return self._run("alerts").data

    def acknowledge(self, number: int) -> OperationResult:
        """Acknowledge an incident.

        Raises:
            ClientError: No answer.
        """
        return self._run("ack", incident=number, **self._origin())

    def silence(
        self, host: str, agents: Sequence[str], seconds: float | None, *, end: bool
    ) -> OperationResult:
        """Begin or end a silence of a host (no agents), or of some of its agents.

        Raises:
            ClientError: No answer.
        """
        return self._run(
            "silence", host=host, agents=list(agents), seconds=seconds, end=end, **self._origin()
        )

    def is_there(self) -> bool:
        """Whether it is at the router."""
        try:
            run_with_limit(self._limit, lambda: self._client.session("alerts"))
        except ManagerError:
            return False
        return True

    def _origin(self) -> dict[str, str]:
        origin = self._client.origin
        return {"requested_by": origin.requested_by, "reason": origin.reason}

    def _run(self, operation: str, **params: Any) -> OperationResult:
        try:
            return ask(self._client, operation, self._limit, **params)
        except ManagerError as error:
            text = error.text_with_hint
            if error.kind is FailureKind.NOT_REGISTERED:
                text = MISSING_TEXT.format(id=self._id)
            raise ClientError(text, unreachable=error.unreachable) from None
