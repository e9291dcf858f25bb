"""Reads what a manager answered to a request: whom it refuses, whether its process has started."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hostmanager.client.errors import ManagerError
from hostmanager.client.managers.manager_client import ManagerClient, OperationResult
from hostmanager.core.requests import ALL

START_CHECK_TIMEOUT = 0.5
"""Seconds in which a `manager` process that cannot start has failed."""

START_CHECK_INTERVAL = 0.1
"""Seconds between two requests for its status."""

ChangeResult = OperationResult | ManagerError


def refusals_by_id(result: ChangeResult) -> Mapping[str, str]:
    """Why a manager does not do what was requested, by instance-id, or for `ALL`."""
    if isinstance(result, ManagerError):
        return {ALL: str(result)}
    if "restarting" in result.data:  # the result of a restart names each agent
        return {**result.data.get("left", {}), **result.data.get("refused", {})}
    return {} if result.ok else {ALL: result.text}


def wait_started(manager: ManagerClient) -> OperationResult:
    """Wait for a moment: a `manager` process that cannot start ends at once, with the reason."""
    deadline = time.monotonic() + START_CHECK_TIMEOUT
    session: dict[str, Any] = {}
    while time.monotonic() < deadline and session.get("status") != "running":
        session = manager.session()
        if session.get("status") == "done":
            result = OperationResult.of_session(session)
            return replace(result, text=result.text or "it ended")
        time.sleep(START_CHECK_INTERVAL)
    return OperationResult(True, "started")
