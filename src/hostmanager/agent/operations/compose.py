"""The operations on compose services."""

from typing import Any

from hostmanager.agent.operations.operation import ManagedHost, TaskResult, add_message, operation


@operation()
async def remove_orphans(manager: ManagedHost, session: Any, params: dict[str, Any]) -> TaskResult:
    """remove_orphans()

    **Task** - Stop and remove orphaned containers: those that run for a
    service which is no longer in its compose file. They are listed in
    ``session.data['orphans']`` of the manager process. Containers of
    other compose files are left alone.

    Args:
      reason (str): why, for others to read; at most 200 characters.
      requested_by (str): who, as ``user@host``; nobody proves it.
    """
    return await manager.parts.compose.remove_orphans(lambda text: add_message(session, text))


@operation()
async def docker_pull(manager: ManagedHost, session: Any, params: dict[str, Any]) -> TaskResult:
    """docker_pull()

    **Task** - Pull the images that the compose files name. Containers
    that run are left as they are: the manager process shows for each
    whether a newer image is there now (``restart_required``). An image
    that cannot be pulled keeps no other from being pulled.

    Args:
      reason (str): why, for others to read; at most 200 characters.
      requested_by (str): who, as ``user@host``; nobody proves it.
    """
    return await manager.parts.compose.pull(lambda text: add_message(session, text))
