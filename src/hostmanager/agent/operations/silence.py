"""The operation `silence`: nobody is warned of agents for a time."""

from typing import Any

from ocs import ocs_agent

from hostmanager.agent import audit
from hostmanager.agent.operations.coroutine_operation import (
    ManagedHost,
    TaskResult,
    operation,
    takes_origin,
)


@takes_origin
@ocs_agent.param("instances", default=[])
@ocs_agent.param("seconds", default=None)
@ocs_agent.param("end", default=False, type=bool)
@operation()
async def silence(manager: ManagedHost, session: Any, params: dict[str, Any]) -> TaskResult:
    """silence(instances=[], seconds=None, end=False)

    **Task** - Do not warn of agents for a time: they are shown as
    silenced, and nothing about them counts as wrong. It stops nothing,
    ends by itself, and holds over the death of the manager.

    Args:
      instances (list): the instance_ids of agents on this host, or ['all'].
      seconds (float): how long, from 1 s to 90 days.
      end (bool): end their silences instead.
      reason (str): why, for others to read; at most 200 characters.
      requested_by (str): who, as ``user@host``; nobody proves it.
    """
    origin = audit.session_origin(session, params)
    text = manager.host.silence(params["instances"], params["seconds"], params["end"], origin)
    manager.host.emit_message(audit.request_message(text, origin))
    return True, " ".join(filter(None, (text, await manager.host.target_store.flush())))
