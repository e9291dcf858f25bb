"""Agents that already run on this host, started by something other than one of our managers.

A manager adopts what an earlier one of ours has launched; it does not know what the HostManager
inside `ocs`, or a person, has started. Beside those it would start each agent a second time.
"""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from hostmanager.util.numbers import parse_number

PROCESS_TITLE = "ocs-agent:"
"""What `ocs-agent-cli` calls its process, with the instance-id after it."""

MANAGED_MARK = b"OCS_HOSTMANAGER="
"""Variable in the environment of what one of our managers has launched."""


class UnmanagedAgent(NamedTuple):
    """An agent that runs without a manager of ours."""

    instance_id: str
    pid: int


def find_unmanaged(instance_ids: Collection[str]) -> list[UnmanagedAgent]:
    """Find such agents, as far as this user may read `/proc`."""
    agents = (_unmanaged_agent(path) for path in Path("/proc").iterdir() if parse_number(path.name))
    return sorted(
        agent for agent in agents if agent is not None and agent.instance_id in instance_ids
    )


def _unmanaged_agent(process: Path) -> UnmanagedAgent | None:
    try:
        title = (process / "cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
        if not title.startswith(PROCESS_TITLE):
            return None
        environ = (process / "environ").read_bytes().split(b"\0")
    except OSError:  # gone in the meantime, or somebody else's
        return None
    if any(entry.startswith(MANAGED_MARK) for entry in environ):
        return None
    return UnmanagedAgent(title.removeprefix(PROCESS_TITLE).strip(), int(process.name))
