"""The end of a manager: requested, and waited for until it is no longer at the router."""

import time
from collections.abc import Mapping

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.managers.manager_client import ManagerClient, OperationResult

ABSENCE_POLL_INTERVAL = 0.2


def end_manager(
    manager: ManagerClient, timeout: float, answer_timeout: float, params: Mapping[str, bool]
) -> OperationResult:
    """Have a manager end, with the parameters of its operation `die`.

    Args:
        manager: The manager.
        timeout: Seconds for its agents to stop.
        answer_timeout: Seconds after that for itself.
        params: Of the operation.

    Raises:
        ManagerError: It refuses, or is still at the router after that.
    """
    result = OperationResult(True, "ended")
    try:
        result = manager.run("die", timeout, **params)
    except ManagerError as error:
        if error.kind is not FailureKind.NOT_REGISTERED:  # else it ended before it answered
            raise
    deadline = time.monotonic() + answer_timeout
    while time.monotonic() < deadline:
        try:
            manager.session()
        except ManagerError as error:
            if error.kind is FailureKind.NOT_REGISTERED:
                return result
        time.sleep(ABSENCE_POLL_INTERVAL)
    raise ManagerError(FailureKind.REFUSED, f"{manager.instance_id} is still at the router")
