"""What the view lists: hosts and agents as items, filtered and sorted. Pure.

Each item has a key of its own, so that the selection stays with it, wherever it moves to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from hostmanager.client.status.model import (
    AgentStatus,
    HostStatus,
    StatusSeverity,
    last_exit_text,
    next_attempt,
    severity_counts,
)
from hostmanager.client.status.selection import is_pattern
from hostmanager.util.text import format_duration, pluralize

STALE = 3.0
"""Seconds after which the age of an answer is shown."""

ItemKey = tuple[str, str]
"""Host, and instance-id; that is empty for the host itself."""


class SortOrder(StrEnum):
    """The order of the list. The text is shown."""

    WORST = "wrong first"
    SITE = "as in the site config"
    NAME = "by name"
    NEWEST = "latest started first"
    RESTARTS = "most restarts first"
    CPU = "most CPU first"
    MEMORY = "most memory first"

    @property
    def next(self) -> "SortOrder":
        """The one after this."""
        orders = list(SortOrder)
        return orders[(orders.index(self) + 1) % len(orders)]


@dataclass(frozen=True, slots=True)
class HostSnapshot:
    """A host as it was observed last.

    Attributes:
        host: Its status.
        age: Seconds since that was requested; infinite before the first answer.
    """

    host: HostStatus
    age: float = 0.0

    @property
    def is_stale(self) -> bool:
        """Whether it may have changed since."""
        return self.host.host.manager is not None and self.age > STALE


@dataclass(frozen=True, slots=True)
class ListItem:
    """One line of the list.

    Attributes:
        snapshot: The host.
        agent: The agent; None: this is the host itself.
    """

    snapshot: HostSnapshot
    agent: AgentStatus | None = None

    @property
    def key(self) -> ItemKey:
        """Its key: no two items have the same."""
        return self.host, self.agent.instance_id if self.agent is not None else ""

    @property
    def host(self) -> str:
        """The name of its host."""
        return self.snapshot.host.host.name

    @property
    def name(self) -> str:
        """Its name in sentences."""
        return (
            f"host {self.host}" if self.agent is None else f"{self.agent.instance_id} ({self.host})"
        )

    @property
    def severity(self) -> StatusSeverity:
        """How bad its own status is."""
        return self.snapshot.host.severity if self.agent is None else self.agent.severity

    def manager_time(self, now: float) -> float:
        """Unix time by its manager's clock when it answered; without one, by this clock."""
        return (self.agent.now if self.agent else None) or now

    def note(self, now: float) -> str:
        """What is wrong or worth knowing, the worst first; empty if it is OK."""
        now = self.manager_time(now)
        parts = (
            [*self.snapshot.host.reasons]
            if self.agent is None
            else [*self.agent.reasons, next_attempt(self.agent.child, now)]
        )
        if self.snapshot.is_stale and self.snapshot.host.error is None:
            parts.insert(0, f"{format_duration(self.snapshot.age)} old")
        return "; ".join(part.rstrip(".") for part in parts if part)

    def short_note(self, now: float) -> str:
        """The same for the list, where an agent that is OK shows how it exited last."""
        note, now = self.note(now), self.manager_time(now)
        if note:
            return note
        if self.agent is None:
            agents = [agent for agent in self.snapshot.host.agents if agent.is_managed]
            bad = (words for _, words in severity_counts(agents))
            return ", ".join((pluralize(len(agents), "agent"), *bad))
        cause = last_exit_text(self.agent.child or {})
        when = (self.agent.get("last_exit") or {}).get("time")
        return f"{cause} {format_duration(max(0.0, now - when))} ago" if cause and when else cause


def list_items(
    hosts: Sequence[HostSnapshot], order: SortOrder, words: str = "", *, only_wrong: bool = False
) -> list[ListItem]:
    """Make the list.

    Args:
        hosts: The hosts, in the order of the site config.
        order: What comes first.
        words: Only what matches each of these words.
        only_wrong: Only errors and warnings.
    """
    listed = []
    for snapshot in hosts:
        listed.append(ListItem(snapshot))
        listed += [ListItem(snapshot, agent) for agent in snapshot.host.agents]
    least = StatusSeverity.WARNING if only_wrong else StatusSeverity.OK
    lower_words = words.lower().split()
    chosen = [item for item in listed if item.severity >= least and _matches(item, lower_words)]
    key = _KEYS[order]
    return sorted(chosen, key=key) if key is not None else chosen


def _matches(item: ListItem, words: Sequence[str]) -> bool:
    agent = item.agent
    if agent is None:
        parts = [item.host, item.snapshot.host.host.manager or "", item.severity.word]
    else:
        parts = [item.host, agent.instance_id, agent.agent_class, agent.state_text]
        parts += [agent.state, item.severity.word]
    lower = [part.lower() for part in parts]
    return all(any(_is_in(word, part) for part in lower) for word in words)


def _is_in(word: str, part: str) -> bool:
    """Whether a word occurs as it was typed (``[d]`` of a class), or matches as a pattern."""
    return word in part or (is_pattern(word) and fnmatchcase(part, word))


def _by_age(item: ListItem) -> tuple[bool, float]:
    uptime = item.agent.get("uptime") if item.agent is not None else None
    return uptime is None, uptime or 0.0


def _by_resource(name: str) -> Callable[[ListItem], tuple[object, ...]]:
    """The most first; what has not been measured, and hosts, come last."""

    def key(item: ListItem) -> tuple[bool, float]:
        used = item.agent.get("resources") if item.agent is not None else None
        value = (used or {}).get(name)
        return value is None, -(value or 0.0)

    return key


# A silent host is an error; that its agents are unknown follows from it, and comes later.
_RANKS = (StatusSeverity.ERROR, StatusSeverity.WARNING, StatusSeverity.UNKNOWN, StatusSeverity.INFO)

_KEYS: dict[SortOrder, Callable[[ListItem], tuple[object, ...]] | None] = {
    SortOrder.WORST: lambda item: (_RANKS.index(max(item.severity, StatusSeverity.INFO)),),
    SortOrder.SITE: None,
    SortOrder.NAME: lambda item: (item.agent is None, item.key[1], item.key[0]),
    SortOrder.NEWEST: _by_age,
    SortOrder.RESTARTS: lambda item: (
        item.agent is None,
        -((item.agent.get("restarts") or 0) if item.agent is not None else 0),
    ),
    SortOrder.CPU: _by_resource("cpu"),
    SortOrder.MEMORY: _by_resource("memory"),
}
