"""What the view lists: hosts and agents as items, filtered, in the order that was asked for. Pure.

Each item can be told from all others by its key, so that the selection stays with what was
selected, wherever it moves to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from hostmanager.client.status.model import (
    AgentStatus,
    HostStatus,
    Severity,
    last_exit_text,
    next_attempt,
    severity_counts,
)
from hostmanager.client.status.selection import is_pattern
from hostmanager.util.text import format_duration, pluralize

STALE = 3.0
"""Seconds after which it is said how old an answer is."""

ItemKey = tuple[str, str]
"""Host, and instance-id; that is empty for the host itself."""


class SortOrder(StrEnum):
    """What comes first. The text is what is shown."""

    WORST = "wrong first"
    SITE = "as in the site config"
    NAME = "by name"
    NEWEST = "latest started first"
    RESTARTS = "most restarts first"

    @property
    def next(self) -> "SortOrder":
        """The one after this."""
        orders = list(SortOrder)
        return orders[(orders.index(self) + 1) % len(orders)]


@dataclass(frozen=True, slots=True)
class HostSnapshot:
    """A host as it was seen last.

    Attributes:
        host: What is known of it.
        age: Seconds since that was asked for; infinite: nothing was heard yet.
    """

    host: HostStatus
    age: float = 0.0

    @property
    def is_stale(self) -> bool:
        """Whether it may be different by now."""
        return self.host.host.manager is not None and self.age > STALE


@dataclass(frozen=True, slots=True)
class ListItem:
    """One line of the list.

    Attributes:
        snapshot: The host.
        row: The agent; None: this is the host itself.
    """

    snapshot: HostSnapshot
    row: AgentStatus | None = None

    @property
    def key(self) -> ItemKey:
        """Tells it from all others."""
        return self.host, self.row.instance_id if self.row is not None else ""

    @property
    def host(self) -> str:
        """The name of its host."""
        return self.snapshot.host.host.name

    @property
    def name(self) -> str:
        """What it is called in sentences."""
        return f"host {self.host}" if self.row is None else f"{self.row.instance_id} ({self.host})"

    @property
    def severity(self) -> Severity:
        """How bad it is with itself."""
        return self.snapshot.host.severity if self.row is None else self.row.severity

    def remark(self, now: float) -> str:
        """What there is to say, the worst first; empty if it is as it should be."""
        parts = (
            [*self.snapshot.host.reasons]
            if self.row is None
            else [*self.row.reasons, next_attempt(self.row.child, now)]
        )
        if self.snapshot.is_stale and self.snapshot.host.error is None:
            parts.insert(0, f"{format_duration(self.snapshot.age)} old")
        return "; ".join(part.rstrip(".") for part in parts if part)

    def short_remark(self, now: float) -> str:
        """The same for the list, where a quiet agent shows how it ended last."""
        said = self.remark(now)
        if said:
            return said
        if self.row is None:
            agents = [row for row in self.snapshot.host.agents if row.is_managed]
            bad = (words for _, words in severity_counts(agents))
            return ", ".join((pluralize(len(agents), "agent"), *bad))
        how = last_exit_text(self.row.child or {})
        when = (self.row.get("last_exit") or {}).get("time")
        return f"{how} {format_duration(max(0.0, now - when))} ago" if how and when else how


def list_items(
    found: Sequence[HostSnapshot], order: SortOrder, words: str = "", *, only_wrong: bool = False
) -> list[ListItem]:
    """Make the list.

    Args:
        found: The hosts, in the order of the site config.
        order: What comes first.
        words: Only what fits each of these words.
        only_wrong: Only what is wrong or to be looked at.
    """
    listed = []
    for seen in found:
        listed.append(ListItem(seen))
        listed += [ListItem(seen, row) for row in seen.host.agents]
    least = Severity.WARNING if only_wrong else Severity.OK
    asked = words.lower().split()
    chosen = [item for item in listed if item.severity >= least and _fits(item, asked)]
    key = _KEYS[order]
    return sorted(chosen, key=key) if key is not None else chosen


def _fits(item: ListItem, words: Sequence[str]) -> bool:
    row = item.row
    if row is None:
        parts = [item.host, item.snapshot.host.host.manager or "", item.severity.word]
    else:
        parts = [item.host, row.instance_id, row.agent_class, row.state, item.severity.word]
    told = [part.lower() for part in parts]
    return all(any(_is_in(word, part) for part in told) for word in words)


def _is_in(word: str, part: str) -> bool:
    """Whether it is there as it was typed (``[d]`` of a class), or fits as a pattern."""
    return word in part or (is_pattern(word) and fnmatchcase(part, word))


def _by_age(item: ListItem) -> tuple[bool, float]:
    uptime = item.row.get("uptime") if item.row is not None else None
    return uptime is None, uptime or 0.0


# A host that is silent is wrong; that its agents are unknown follows from it, and comes later.
_RANKS = (Severity.ERROR, Severity.WARNING, Severity.UNKNOWN, Severity.INFO)

_KEYS: dict[SortOrder, Callable[[ListItem], tuple[object, ...]] | None] = {
    SortOrder.WORST: lambda item: (_RANKS.index(max(item.severity, Severity.INFO)),),
    SortOrder.SITE: None,
    SortOrder.NAME: lambda item: (item.row is None, item.key[1], item.key[0]),
    SortOrder.NEWEST: _by_age,
    SortOrder.RESTARTS: lambda item: (
        item.row is None,
        -((item.row.get("restarts") or 0) if item.row is not None else 0),
    ),
}
