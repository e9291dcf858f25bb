"""What `status` gives to programs: its exit status and its JSON."""

from collections.abc import Sequence
from typing import Any

from hostmanager.cli.exit_codes import FAILED, OK, UNREACHABLE
from hostmanager.client.site_model import Site
from hostmanager.client.status.findings import BROKEN, is_coming_back
from hostmanager.client.status.model import AgentStatus, HostStatus, StatusSeverity, unreachable


def status_exit_code(hosts: Sequence[HostStatus]) -> int:
    """The exit status for the status of these hosts."""
    if unreachable(hosts):
        return UNREACHABLE
    if any(host.severity is StatusSeverity.ERROR for host in hosts):
        return FAILED
    agents = [agent for host in hosts for agent in host.agents if agent.child is not None]
    return OK if all(is_well(agent) or agent.is_silenced for agent in agents) else FAILED


def is_well(agent: AgentStatus) -> bool:
    """Whether an agent is at its target, and works as far as is known."""
    works = agent.get("health") not in BROKEN and not is_coming_back(agent.child or {})
    return agent.is_at_target and works


def status_json(
    site: Site, hosts: Sequence[HostStatus], least: StatusSeverity = StatusSeverity.OK
) -> dict[str, Any]:
    """What programs get; docs/cli.md describes it.

    Args:
        site: The site.
        hosts: Their status; the summary counts all agents.
        least: Agents that are listed are at least as bad as this.
    """
    managed = [agent for host in hosts for agent in host.agents if agent.is_managed]
    return {
        "site_file": site.path,
        "summary": {
            "hosts": len(hosts),
            "hosts_silent": len(unreachable(hosts)),
            "agents": len(managed),
            "silenced": sum(agent.is_silenced for agent in managed),
            **{level.word: sum(a.severity is level for a in managed) for level in StatusSeverity},
        },
        "hosts": [_host_json(host, least) for host in hosts],
    }


def _host_json(host: HostStatus, least: StatusSeverity) -> dict[str, Any]:
    data = host.data
    return {
        "host": host.host.name,
        "manager": host.host.manager,
        "answers": host.host.manager is not None and host.error is None,
        "trouble": None if host.error is None else host.error.kind.value,
        "process": host.process or None,
        "severity": host.severity.word,
        "reasons": list(host.reasons),
        "config_parse_status": data.get("config_parse_status") or {},
        "orphans": data.get("orphans") or {},
        "new_tags": data.get("new_tags") or {},
        "agents": [_agent_json(agent) for agent in host.agents if agent.severity >= least],
    }


def _agent_json(agent: AgentStatus) -> dict[str, Any]:
    return {
        **(agent.child or {}),
        "host": agent.host,
        "instance_id": agent.instance_id,
        "agent_class": agent.agent_class,
        "state": agent.state,
        "target": agent.target or None,
        "severity": agent.severity.word,
        "reasons": list(agent.reasons),
        "manage": agent.entry.manage if agent.entry is not None else None,
        "in_site_config": agent.entry is not None,
        "known_to_manager": agent.child is not None,
    }
