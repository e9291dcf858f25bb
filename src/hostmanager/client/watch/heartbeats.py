"""Who has been heard at the router: of the managers, and of all agents of the site. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

SILENT_AFTER = 3.0
"""Seconds without a heartbeat after which a manager is asked whether it is there."""

MAX_HEARD = 100_000
"""Agents that are remembered."""


class ManagerHeartbeats:
    """When each manager was heard last.

    Args:
        hosts: Those of the managers.
        now: Monotonic time, from which on they are listened to.
    """

    def __init__(self, hosts: Iterable[str], now: float) -> None:
        self._heard_at = dict.fromkeys(hosts, now)
        self._silent: set[str] = set()

    def hear(self, host: str, now: float) -> bool:
        """Take a heartbeat; returns whether it is the first one after a silence."""
        self._heard_at[host] = now
        was_silent = host in self._silent
        self._silent.discard(host)
        return was_silent

    def fallen_silent(self, now: float) -> list[str]:
        """The hosts whose managers have been silent for too long, each once in a silence."""
        silent = {host for host, at in self._heard_at.items() if now - at > SILENT_AFTER}
        new = sorted(silent - self._silent)
        self._silent |= silent
        return new


class HeardAgents:
    """The agents whose heartbeats are heard; anybody may publish anything.

    Args:
        address_root: Of the site.

    Attributes:
        classes: The class of each, by instance-id; empty if its heartbeat names none.
    """

    def __init__(self, address_root: str) -> None:
        self._root = address_root
        self.classes: dict[str, str] = {}

    def hear(self, topic: str, message: Sequence[Any]) -> None:
        """Take a heartbeat."""
        instance_id = topic.removeprefix(f"{self._root}.").removesuffix(".feeds.heartbeat")
        if len(self.classes) < MAX_HEARD:
            self.classes[instance_id] = _agent_class(message)


def _agent_class(message: Sequence[Any]) -> str:
    data = message[0] if message else None
    if isinstance(data, list | tuple) and len(data) == 2 and isinstance(data[1], dict):
        return str(data[1].get("agent_class", ""))
    return ""
