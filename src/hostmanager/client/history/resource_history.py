"""What an agent used of its host in the last hour, from the operation `resources`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.managers.manager_client import ManagerClient
from hostmanager.client.managers.parallel import ask

TimedValue = tuple[float, float | None]
"""Unix time by the manager's clock, and a value; None: it is not known."""


@dataclass(frozen=True, slots=True)
class ResourceHistory:
    """The samples of one agent.

    Attributes:
        interval: Seconds between two samples.
        columns: The samples of `cpu` (cores), `memory` (bytes), `threads` and `open_files`, the
            oldest first.
    """

    interval: float = 30.0
    columns: Mapping[str, tuple[TimedValue, ...]] = field(default_factory=dict)


def read_resources(manager: ManagerClient, instance_id: str, limit: float) -> ResourceHistory:
    """Read what an agent used. Blocks.

    Raises:
        ManagerError: No answer within `limit` seconds, or one that says why there is nothing.
    """
    result = ask(manager, "resources", limit, instance_id=instance_id)
    if not result.ok:
        raise ManagerError(FailureKind.REFUSED, result.text)
    try:
        return parse_resources(result.data, instance_id)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        what = f"its manager sent invalid data ({type(error).__name__}: {error})"
        raise ManagerError(FailureKind.REFUSED, what) from None


def parse_resources(data: Mapping[str, Any], instance_id: str) -> ResourceHistory:
    """Read the data of a reply; any error that wrong data may raise is let through."""
    names = [str(name) for name in data["columns"]]
    rows = [[float(value) for value in row] for row in data["samples"].get(instance_id, ())]
    at = names.index("time")
    columns = {
        name: tuple((row[at], None if row[column] < 0 else row[column]) for row in rows)
        for column, name in enumerate(names)
        if column != at
    }
    return ResourceHistory(float(data["interval"]), columns)
