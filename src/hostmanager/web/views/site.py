"""Which agents the page of the site shows, and in which order: filter, search, sort, groups. Pure.

Judgement is `client/status`; this only selects.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from hostmanager.client.status.model import (
    AgentStatus,
    HostStatus,
    StatusSeverity,
    are_ok,
    host_severity_counts,
    severity_counts,
)
from hostmanager.client.status.problems import worst_first
from hostmanager.util.text import pluralize

MAX_QUERY_CHARS = 200
"""Characters of a search."""

OLD_AFTER = 15.0
"""Seconds after which what is known of a host is old: its manager is asked every 5 s, and has 5 s."""

_NEVER = float("inf")

SHOWN: Mapping[str, tuple[str, Callable[[AgentStatus], bool]]] = {
    "all": ("all", lambda agent: True),
    "problems": ("all problems", lambda agent: agent.severity >= StatusSeverity.WARNING),
    "wrong": ("wrong", lambda agent: agent.severity is StatusSeverity.ERROR),
    "unknown": ("unknown", lambda agent: agent.severity is StatusSeverity.UNKNOWN),
    "warning": ("warnings", lambda agent: agent.severity is StatusSeverity.WARNING),
    "ok": ("OK", lambda agent: bool(are_ok([agent]))),
    "silenced": ("silenced", lambda agent: agent.is_silenced),
    "unmanaged": ("not managed", lambda agent: not agent.is_managed),
}
"""By the word in the address: words for people, and which agents it selects."""

SORTED: Mapping[str, tuple[str, Callable[[AgentStatus], Any]]] = {
    "problems": ("problems first", lambda agent: -agent.severity),
    "site": ("as in the site config", lambda agent: 0),
    "name": ("name", lambda agent: agent.instance_id),
    "uptime": ("shortest uptime first", lambda agent: _number(agent.get("uptime"), _NEVER)),
    "restarts": ("most restarts first", lambda agent: -_number(agent.get("restarts"), -1.0)),
}

GROUPED: Mapping[str, str] = {
    "host": "host",
    "class": "class",
    "state": "state",
    "none": "nothing",
}


@dataclass(frozen=True, slots=True)
class SiteQuery:
    """What the address of the page selects.

    Attributes:
        q: Words that the id, host, class, state or reason of an agent has in it.
        show: A key of `SHOWN`.
        sort: A key of `SORTED`.
        group: A key of `GROUPED`.
    """

    q: str = ""
    show: str = "all"
    sort: str = "problems"
    group: str = "host"

    @property
    def is_plain(self) -> bool:
        """Whether it is the page without any query."""
        return self == SiteQuery()

    @property
    def selects_all(self) -> bool:
        """Whether it shows all agents, in whatever order."""
        return not self.q and self.show == "all"

    def parameters(self, **changed: str) -> dict[str, str]:
        """The parameters of an address, without those that are as they are by default."""
        query, usual = replace(self, **changed), SiteQuery()
        names = [field.name for field in fields(SiteQuery)]
        return {
            name: value for name in names if (value := getattr(query, name)) != getattr(usual, name)
        }


@dataclass(frozen=True, slots=True)
class AgentGroup:
    """Agents that stand in one table.

    Attributes:
        key: What makes it different from others.
        title: Its name for people.
        agents: Its agents.
        host: Their host; None: they are of several.
    """

    key: str
    title: str
    agents: tuple[AgentStatus, ...]
    host: HostStatus | None = None

    @property
    def managed(self) -> list[AgentStatus]:
        """Those that are managed, or are to be."""
        return [agent for agent in self.agents if agent.is_managed]


def read_query(parameters: Mapping[str, str]) -> SiteQuery:
    """Read the parameters of an address; what makes no sense counts as not given."""
    usual = SiteQuery()
    return SiteQuery(
        parameters.get("q", "").strip()[:MAX_QUERY_CHARS],
        _known(parameters.get("show"), SHOWN, usual.show),
        _known(parameters.get("sort"), SORTED, usual.sort),
        _known(parameters.get("group"), GROUPED, usual.group),
    )


def _known(value: str | None, known: Iterable[str], usual: str) -> str:
    return value if value in set(known) else usual


def groups_of(hosts: Sequence[HostStatus], query: SiteQuery) -> list[AgentGroup]:
    """The tables that the page shows, the worst first unless another order is asked for."""
    groups = list(_by_host(hosts, query) if query.group == "host" else _others(hosts, query))
    if query.sort == "problems" and query.group != "host":
        groups.sort(key=lambda group: -max(agent.severity for agent in group.agents))
    return groups


def _by_host(hosts: Sequence[HostStatus], query: SiteQuery) -> Iterable[AgentGroup]:
    for host in worst_first(hosts) if query.sort == "problems" else hosts:
        agents = _select(host.agents, query)
        if agents or query.selects_all:
            yield AgentGroup(host.host.name, host.host.name, agents, host)


def _others(hosts: Sequence[HostStatus], query: SiteQuery) -> Iterable[AgentGroup]:
    agents = _select((agent for host in hosts for agent in host.agents), query)
    if query.group == "none":
        return [AgentGroup("", "All agents", agents)] if agents else []
    groups: dict[str, list[AgentStatus]] = {}
    for agent in agents:
        key = agent.short_class if query.group == "class" else agent.state_text
        groups.setdefault(key, []).append(agent)
    titles = {"": "no class", "-": "not managed", "?": "unknown"}
    return [AgentGroup(key, titles.get(key, key), tuple(groups[key])) for key in sorted(groups)]


def _select(agents: Iterable[AgentStatus], query: SiteQuery) -> tuple[AgentStatus, ...]:
    words = query.q.casefold().split()
    fits, order = SHOWN[query.show][1], SORTED[query.sort][1]
    found = (agent for agent in agents if fits(agent) and _has_words(agent, words))
    return tuple(sorted(found, key=order))


def _has_words(agent: AgentStatus, words: Sequence[str]) -> bool:
    if not words:
        return True
    text = " ".join(
        (agent.instance_id, agent.host, agent.agent_class, agent.state_text, *agent.reasons)
    ).casefold()
    return all(word in text for word in words)


def _number(value: object, missing: float) -> float:
    return float(value) if isinstance(value, int | float) else missing


@dataclass(frozen=True, slots=True)
class SiteCounts:
    """How many hosts and agents there are, and how many are not as they should be.

    Attributes:
        hosts: All hosts.
        of_hosts: Those that are not OK themselves, in words.
        agents: Managed agents.
        wrong: Not at their targets.
        unknown: Of hosts that do not answer.
        warnings: At their targets, but something is not as it should be.
        ok: All others.
        silenced: Of whom nobody wants to hear now.
        title: The whole in a few words.
        worst: The worst of all.
    """

    hosts: int
    of_hosts: tuple[str, ...]
    agents: int
    wrong: int
    unknown: int
    warnings: int
    ok: int
    silenced: int
    title: str
    worst: StatusSeverity


def _of_hosts(words: str) -> str:
    """Say ``1 silent`` of hosts beside agents: ``1 host silent``."""
    number, _, what = words.partition(" ")
    return f"{pluralize(int(number), 'host')} {what}"


def count_site(hosts: Sequence[HostStatus]) -> SiteCounts:
    """Count hosts and agents, as `hostmanager status` does."""
    managed = [agent for host in hosts for agent in host.agents if agent.is_managed]
    by_severity = Counter(agent.severity for agent in managed)
    of_hosts = tuple(words for _, words in host_severity_counts(hosts))
    words = [words for _, words in severity_counts(managed)]
    title = ", ".join([*map(_of_hosts, of_hosts[:1]), *words])
    return SiteCounts(
        len(hosts),
        of_hosts,
        len(managed),
        by_severity[StatusSeverity.ERROR],
        by_severity[StatusSeverity.UNKNOWN],
        by_severity[StatusSeverity.WARNING],
        len(are_ok(managed)),
        sum(agent.is_silenced for agent in managed),
        title or "all OK",
        max((host.worst for host in hosts), default=StatusSeverity.OK),
    )
