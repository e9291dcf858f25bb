"""Agents that run on this host already, started by something that is no manager of ours.

A manager takes over what an earlier one of ours has launched; it knows nothing of what the
HostManager inside `ocs`, or a person, has started. To start it beside those would start each a
second time.
"""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from hostmanager.util.numbers import parse_number

PROCESS_TITLE = "ocs-agent:"
"""What `ocs-agent-cli` calls its process, with the instance-id after it."""

MANAGED_MARK = b"OCS_HOSTMANAGER="
"""Variable that marks what a manager of ours has launched."""


class UnmanagedAgent(NamedTuple):
    """One that runs."""

    instance_id: str
    pid: int


def find_unmanaged(instance_ids: Collection[str]) -> list[UnmanagedAgent]:
    """Look for them, as far as we may look."""
    found = []
    for process in Path("/proc").iterdir():
        if parse_number(process.name):
            stray = _unmanaged_agent(process)
            if stray is not None and stray.instance_id in instance_ids:
                found.append(stray)
    return sorted(found)


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
