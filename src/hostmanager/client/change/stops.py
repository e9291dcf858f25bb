"""What a command would stop: for the question before it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hostmanager.util.text import pluralize

MAX_HOSTS_NAMED = 5
"""Hosts that a question names."""


@dataclass(frozen=True, slots=True)
class Stops:
    """What would be stopped. More than one agent, or a manager, needs a confirmation.

    Attributes:
        verb: What is done to the agents: ``stop`` or ``restart``.
        agents: The agents, by host.
        managers: The hosts whose manager would end.
        noun: What the agents are called.
        asks_from: The number of agents from which on somebody has to confirm it.
        left: The number of agents that are left running while their manager ends.
    """

    verb: str
    agents: Mapping[str, Sequence[str]] = field(default_factory=dict)
    managers: tuple[str, ...] = ()
    noun: str = "agent"
    asks_from: int = 2
    left: int = 0

    @property
    def count(self) -> int:
        """The number of agents."""
        return sum(map(len, self.agents.values()))

    @property
    def needs_confirmation(self) -> bool:
        """Whether somebody has to confirm it."""
        return bool(self.managers) or self.count >= self.asks_from

    @property
    def action(self) -> str:
        """In words, with number and hosts: ``stop 13 agents on daq2 and daq3``."""
        if self.managers:
            return self._end_of_managers()
        hosts = [host for host, names in self.agents.items() if names]
        return f"{self.verb} {pluralize(self.count, self.noun)} on {list_hosts(hosts)}"

    def _end_of_managers(self) -> str:
        one = len(self.managers) == 1
        text = f"end the manager{'' if one else 's'} of {list_hosts(self.managers)}"
        whose = "its" if one else "their"
        if self.count:
            text += f" and {self.verb} {whose} {_agents(self.count)}"
        if self.left:
            text += (
                f" and leave {whose} {'other ' if self.count else ''}{_agents(self.left)} running"
            )
        return text

    def as_json(self) -> dict[str, Any]:
        """As programs get it."""
        return {
            "agents": {host: list(names) for host, names in self.agents.items() if names},
            "managers": list(self.managers),
            "needs_yes": self.needs_confirmation,
        }


def list_hosts(hosts: Sequence[str]) -> str:
    """Name hosts: ``daq1``, ``daq1 and daq2``, ``daq1, daq2 and 7 more hosts``."""
    if len(hosts) > MAX_HOSTS_NAMED:
        named = [*hosts[: MAX_HOSTS_NAMED - 1], f"{len(hosts) - MAX_HOSTS_NAMED + 1} more hosts"]
    else:
        named = list(hosts)
    *before, last = named or [""]
    return f"{', '.join(before)} and {last}" if before else last


def lost_reason_text(hosts: Sequence[str]) -> str:
    """Say that managers have done something without keeping the reason."""
    subject = "manager" if len(hosts) == 1 else "managers"
    verb = "does" if len(hosts) == 1 else "do"
    return (
        f"the {subject} of {list_hosts(hosts)} {verb} not keep reasons (an older version, or the "
        "HostManager inside ocs), so yours was not kept."
    )


def _agents(count: int) -> str:
    return "agent" if count == 1 else f"{count} agents"
