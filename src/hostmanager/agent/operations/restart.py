"""The operation `restart`."""

from dataclasses import asdict
from typing import Any

from ocs import ocs_agent

from hostmanager.agent.operations.operation import (
    ManagedHost,
    TaskResult,
    announce_request,
    operation,
)


@ocs_agent.param("instances", default=[])
@operation()
async def restart(manager: ManagedHost, session: Any, params: dict[str, Any]) -> TaskResult:
    """restart(instances=[])

    **Task** - Restart agents: each whose target is up is ended, and
    started again as soon as it has ended. Returns once they are on their
    way. The manager completes it, whatever happens to its client, to the router,
    or to itself; only ``update`` to 'down' cancels it.

    Args:
      instances (list): the instance_ids of agents on this host, or ['all'].
        If one of them makes no sense, none is restarted.
      reason (str): why, for others to read; at most 200 characters.
      requested_by (str): who, as ``user@host``; nobody proves it.

    Notes:
      An agent whose target is down is left so; one that waits to be started
      again is started at once. A compose service is ended only once its
      image is here; if that is not available, it goes on, and the result says
      why. The service that runs the router is restarted last, alone.

      ``session.data`` shows what became of each: ``restarting`` and
      ``preparing`` (whose image is being pulled first) are lists of ids,
      ``left`` and ``refused`` have the reason for each id, ``router`` is
      the one that runs the router, or null. In ``child_states`` of the
      manager process, ``restarting`` is true until the new run exists.

    Examples:
      ::

        client.restart(instances=['fake1', 'acu1'])
    """
    await manager.wait_started()
    host = manager.parts.host
    outcome = await manager.parts.restarts.request(host.chosen_instances(params["instances"]))
    host.require_running()  # it may have been stopped while an image was pulled
    session.data = asdict(outcome)
    announce_request(manager, session, params, " ".join(outcome.lines))
    return not outcome.refused, " ".join(outcome.lines)
