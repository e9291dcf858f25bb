"""The operation `resources`: what agents used of the host in the last hour."""

from typing import Any

from ocs import ocs_agent

from hostmanager.agent.monitoring.resource_usage import COLUMNS, INTERVAL
from hostmanager.agent.operations.operation import ManagedHost, TaskResult, operation
from hostmanager.util.text import quote_value


@ocs_agent.param("instance_id", default=None)
@operation(journaled=False)
async def resources(manager: ManagedHost, session: Any, params: dict[str, Any]) -> TaskResult:
    """resources(instance_id=None)

    **Task** - What agents used of the host in the last hour. What they use
    now is in ``child_states`` of the manager process.

    Args:
      instance_id (str): whose. Default: all, as much as fits into a reply.

    Notes:
      The result is in ``session.data``: ``columns`` are the names of the
      values of a sample, ``interval`` is the seconds between two of them,
      ``samples`` is a list of samples for each instance_id, the oldest
      first. ``time`` is Unix seconds, ``cpu`` is in cores, ``memory`` in
      bytes; -1 is a value that is not known.
    """
    parts, instance_id = manager.parts, params["instance_id"]
    if instance_id is not None and instance_id not in list(parts.snapshot):
        return False, f"{quote_value(instance_id)} is not an instance of this host."
    ids = list(parts.snapshot) if instance_id is None else [instance_id]
    samples = parts.resources.samples(ids)
    session.data = {"columns": list(COLUMNS), "interval": INTERVAL, "samples": samples}
    return True, f"{sum(map(len, samples.values()))} samples."
