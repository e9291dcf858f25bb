"""The operation `update`: sets targets, perhaps after reading the site config again."""

from typing import Any

from ocs import ocs_agent

from hostmanager.agent import audit
from hostmanager.agent.operations.operation import (
    ManagedHost,
    TaskResult,
    announce_request,
    operation,
)


@ocs_agent.param("requests", default=[])
@ocs_agent.param("reload_config", default=False, type=bool)
@operation()
async def update(manager: ManagedHost, session: Any, params: dict[str, Any]) -> TaskResult:
    """update(requests=[], reload_config=False)

    **Task** - Set which agents should be up or down. Returns at once;
    watch the state of the agents in the data of the manager process.

    Args:
      requests (list): pairs (instance_id, target_state), carried out in
        order. The instance_id is that of an agent on this host, or
        'all'; the target_state is 'up' or 'down'. If one of them makes
        no sense, none is carried out.
      reload_config (bool): whether to read the site config first. New
        agents are started, those that are gone from it are stopped,
        and all others are left alone.
      reason (str): why, for others to read; at most 200 characters.
      requested_by (str): who, as ``user@host``; nobody proves it.

    Examples:
      All up but one::

        client.update(requests=[('all', 'up'), ('data1', 'down')])

      Read the site config again::

        client.update(reload_config=True)
    """
    await manager.wait_started()
    parts, origin = manager.parts, audit.session_origin(session, params)
    result = await parts.host.update(params["requests"], params["reload_config"], origin)
    if result.lines:
        announce_request(manager, session, params, result.summary)
    not_saved = await parts.target_store.flush()
    session.data = {"not_kept": not_saved}
    return result.ok, " ".join(filter(None, (result.text, not_saved)))
