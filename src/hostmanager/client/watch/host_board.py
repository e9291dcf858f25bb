"""The hosts of a site as they are shown while they are followed: judged, and with what was known last.

Pure but for the clock, which comes as an argument. A host that does not answer keeps its agents as
they were known last; their age says how old that is.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hostmanager.client.site_model import Site
from hostmanager.client.status.findings import build_host_status
from hostmanager.client.status.model import AgentStatus, HostStatus, StatusSeverity
from hostmanager.client.status.site_findings import compare_hosts
from hostmanager.client.watch.poller import NO_ANSWER_YET, SessionOrError

MEASURED_INTERVAL = 30.0
"""Seconds after which a host counts as changed though only measured values have changed."""

MEASURED = frozenset({"uptime", "stability", "heartbeat_age", "resources", "process_state"})
"""Fields of a child state that change all the time."""

ROUNDED = frozenset({"next_attempt_at", "started_at"})
"""Times that a manager computes anew for each answer: they differ by microseconds."""


@dataclass(frozen=True, slots=True)
class HeardAgent:
    """An agent that beats at the router, but belongs to no manager.

    Attributes:
        instance_id: Its id.
        agent_class: As its heartbeat says; empty: it does not.
        host: The host under which it is in the site config; empty: it is in none.
    """

    instance_id: str
    agent_class: str = ""
    host: str = ""


@dataclass(slots=True)
class _KnownHost:
    """What is known of one host.

    Attributes:
        answer: The latest, were it that there is none.
        asked_at: When it was asked for; monotonic, as all times here.
        status: As it is shown, once it was judged.
        last_known: The latest status with an answer; None: there was none.
        last_known_at: When that was asked for.
        content: What was shown when it changed last.
        changed_at: When that was; infinite: never.
    """

    answer: SessionOrError
    asked_at: float
    status: HostStatus
    last_known: HostStatus | None = None
    last_known_at: float = -math.inf
    content: object = None
    changed_at: float = math.inf


class HostBoard:
    """What is known of each host, and in which version it changed last.

    Attributes:
        site: The site config.
        version: Grows with each change.
    """

    def __init__(self, site: Site) -> None:
        self.version = 0
        self._known: dict[str, _KnownHost] = {}
        self._changed_in: dict[str, int] = {}  # by host, also of those that are gone
        self._shown: list[HostStatus] = []
        self.set_site(site, 0.0)

    @property
    def hosts(self) -> list[HostStatus]:
        """All hosts, in the order of the site config."""
        return self._shown

    def age(self, host: str, now: float) -> float:
        """Seconds since the answer that is shown was asked for; infinite: there is none.

        A host without a manager is as the site config says: 0.
        """
        if host not in self._known:
            return math.inf
        return (
            0.0 if self.site.hosts[host].manager is None else now - self._known[host].last_known_at
        )

    def asked_at(self, host: str) -> float:
        """When the latest answer was asked for, were it that there is none; monotonic."""
        return self._known[host].asked_at if host in self._known else -math.inf

    def changed_since(self, version: int) -> set[str]:
        """The hosts that have changed since a version, or are gone."""
        if version > self.version:  # of another server, before this one
            return set(self._changed_in)
        return {host for host, changed in self._changed_in.items() if changed > version}

    def unmanaged(self, heard: Mapping[str, str]) -> list[HeardAgent]:
        """Those that no manager controls, or is to.

        Args:
            heard: The classes of the agents that beat, by id.
        """
        managed, hosts = set(self.site.managers.values()), {}
        for agent in (agent for status in self._shown for agent in status.agents):
            hosts[agent.instance_id] = agent.host
            if agent.child is not None or (
                agent.is_managed and self.site.hosts[agent.host].manager
            ):
                managed.add(agent.instance_id)
        return [
            HeardAgent(name, heard[name], hosts.get(name, ""))
            for name in sorted(heard.keys() - managed)
        ]

    def set_site(self, site: Site, now: float) -> None:
        """Take over a site config: what is known of its hosts stays."""
        self.site = site
        for name in self._known.keys() - site.hosts.keys():
            del self._known[name]
            self._changed_in[name] = self.version + 1
        for name, host in site.hosts.items():
            self._known.setdefault(name, _KnownHost(NO_ANSWER_YET, now, HostStatus(host)))
        self.update({name: (k.answer, k.asked_at) for name, k in self._known.items()}, now)

    def update(self, answers: Mapping[str, tuple[SessionOrError, float]], now: float) -> None:
        """Judge answers.

        Args:
            answers: By host: the answer, and the monotonic time when it was asked for.
            now: Monotonic time.
        """
        for host, (answer, asked_at) in answers.items():
            if host in self._known:
                self._judge(host, answer, asked_at)
        before = {status.host.name: _reasons(status) for status in self._shown}
        self._shown = compare_hosts([self._known[host].status for host in self.site.hosts])
        judged = answers.keys() | {
            status.host.name
            for status in self._shown
            if _reasons(status) != before.get(status.host.name)
        }
        changed = [
            status.host.name
            for status in self._shown
            if status.host.name in judged and self._has_changed(status, now)
        ]
        self.announce(changed, now)

    def _judge(self, host: str, answer: SessionOrError, asked_at: float) -> None:
        known, entry = self._known[host], self.site.hosts[host]
        known.answer, known.asked_at = answer, asked_at
        status = build_host_status(entry, answer if entry.manager is not None else None)
        if status.error is None:
            known.last_known, known.last_known_at = status, asked_at
        known.status = with_last_known(status, known.last_known)

    def _has_changed(self, status: HostStatus, now: float) -> bool:
        known, content = self._known[status.host.name], _content(status)
        has_changed = content != known.content
        known.content = content
        return has_changed or now - known.changed_at >= MEASURED_INTERVAL

    def announce(self, hosts: Iterable[str], now: float) -> None:
        """Begin a version, if it has something new."""
        for host in hosts:
            self._changed_in[host], self._known[host].changed_at = self.version + 1, now
        if any(changed > self.version for changed in self._changed_in.values()):
            self.version += 1


def with_last_known(status: HostStatus, last: HostStatus | None) -> HostStatus:
    """Give a host that does not answer its agents as they were known last; nobody knows how they are."""
    if status.error is None or last is None:
        return status
    known = {agent.instance_id: agent for agent in last.agents}
    agents = [_as_last_known(agent, known.pop(agent.instance_id, None)) for agent in status.agents]
    # What has no entry in the site config, such as unmanaged services.
    nothing = AgentStatus(status.host.name, "", severity=StatusSeverity.UNKNOWN)
    agents += [_as_last_known(replace(nothing, instance_id=name), known[name]) for name in known]
    return replace(status, agents=tuple(agents))


def _as_last_known(agent: AgentStatus, last: AgentStatus | None) -> AgentStatus:
    if last is None or agent.severity is not StatusSeverity.UNKNOWN:
        return agent
    return replace(agent, child=last.child, state=last.state, now=last.now, reasons=last.reasons)


def _reasons(status: HostStatus) -> list[Sequence[str]]:
    """What is said of its agents: an answer of another host may change that (`compare_hosts`)."""
    return [agent.reasons for agent in status.agents]


def _content(status: HostStatus) -> object:
    """What is shown of a host, without what is measured."""
    error = status.error
    data = {key: value for key, value in status.data.items() if key not in ("now", "child_states")}
    agents = [
        (agent.instance_id, agent.state, agent.severity, agent.reasons, _child_content(agent.child))
        for agent in status.agents
    ]
    return status.process, error and error.kind, status.severity, status.reasons, data, agents


def _child_content(child: Mapping[str, Any] | None) -> dict[str, Any]:
    content = {key: value for key, value in (child or {}).items() if key not in MEASURED}
    for key in ROUNDED & content.keys():
        value = content[key]
        content[key] = round(value) if isinstance(value, float) else value
    return content
