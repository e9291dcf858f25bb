"""What only a look at all hosts together shows. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

from hostmanager.client.status.model import AgentStatus, HostStatus, StatusSeverity
from hostmanager.util.grouping import group_pairs
from hostmanager.util.text import join_names


def compare_hosts(hosts: Sequence[HostStatus]) -> list[HostStatus]:
    """Say of each agent who waits for it to be ready, and whether it runs on two hosts."""
    agents = list(chain.from_iterable(host.agents for host in hosts))
    waiting = group_pairs(
        (str(other), (agent.host, agent.instance_id))
        for agent in agents
        if isinstance(others := agent.get("waiting_for"), list | tuple)
        for other in others
    )
    running = group_pairs((agent.instance_id, agent.host) for agent in agents if _has_run(agent))

    def compare(agent: AgentStatus) -> AgentStatus:
        return _doubled(_awaited(agent, waiting), running)

    return [replace(host, agents=tuple(map(compare, host.agents))) for host in hosts]


def _has_run(agent: AgentStatus) -> bool:
    """Whether it runs, as far as is known; a service without an entry may be on any host."""
    is_known = agent.short_class and agent.severity is not StatusSeverity.UNKNOWN
    return bool(is_known and (agent.get("pid") or agent.get("container")))


def _awaited(agent: AgentStatus, waiting: Mapping[str, list[tuple[str, str]]]) -> AgentStatus:
    others = waiting.get(agent.instance_id)
    if not others:
        return agent
    names = [name if host == agent.host else f"{name} (host {host})" for host, name in others]
    text = f"{join_names(names, 5)} {'wait' if len(names) > 1 else 'waits'} for it"
    severity = max(agent.severity, StatusSeverity.INFO)
    return replace(agent, severity=severity, reasons=(*agent.reasons, text))


def _doubled(agent: AgentStatus, running: Mapping[str, list[str]]) -> AgentStatus:
    """An entry that was moved to another host, whose old manager has not read it yet, say."""
    others = [host for host in running.get(agent.instance_id, ()) if host != agent.host]
    if not others or not _has_run(agent):
        return agent
    text = f"it runs on {join_names(others, 5)}, too, and the router takes one agent of an id"
    severity = agent.severity if agent.is_silenced else max(agent.severity, StatusSeverity.WARNING)
    return replace(agent, severity=severity, reasons=(text, *agent.reasons))
