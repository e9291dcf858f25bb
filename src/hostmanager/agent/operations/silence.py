"""The operation `silence`: nobody is warned of agents for a time."""

from typing import Any

from ocs import ocs_agent

from hostmanager.agent import audit
from hostmanager.agent.operations.operation import (
    ManagedHost,
    TaskResult,
    announce_request,
    operation,
)
from hostmanager.agent.targets.silences import make_silence
from hostmanager.util.text import format_duration, join_names


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
    parts, origin = manager.parts, audit.session_origin(session, params)
    ids = parts.host.chosen_instances(params["instances"])
    if params["end"]:
        parts.target_store.save_silences(ids, None)
        text = f"No longer silenced: {join_names(ids)}."
    else:
        silence = make_silence(params["seconds"], origin, parts.clock.now().wall)
        parts.target_store.save_silences(ids, silence)
        duration = format_duration(silence.until - silence.since)
        text = f"Silenced for {duration}: {join_names(ids)}."
    announce_request(manager, session, params, text)
    return True, " ".join(filter(None, (text, await parts.target_store.flush())))
