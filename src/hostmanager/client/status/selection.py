"""Selects hosts and agents by names and patterns, and suggests names if none matches."""

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from hostmanager.client.errors import ClientError, require_router
from hostmanager.client.managers.credentials import make_clients
from hostmanager.client.managers.parallel import fetch_sessions
from hostmanager.client.site_model import Site
from hostmanager.client.status.findings import build_host_status
from hostmanager.client.status.model import AgentStatus, HostStatus
from hostmanager.client.status.site_findings import compare_hosts
from hostmanager.util.text import did_you_mean, join_names

_WILDCARDS = frozenset("*?[")


def is_pattern(text: str) -> bool:
    """Whether a word has wildcards in it."""
    return bool(_WILDCARDS & set(text))


def matches(name: str, patterns: Iterable[str] | None) -> bool:
    """Whether a name is one of these, or matches one that is a pattern; all match no patterns."""
    if not patterns:
        return True
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def suggestions(word: str, known: Iterable[str]) -> str:
    """Name what was probably meant: `` Did you mean 'fake1' or 'fake2'?``; or nothing."""
    return f" {did_you_mean(word.strip('*?'), known, 3)}".rstrip()


def select_hosts(site: Site, patterns: Sequence[str] | None) -> list[str]:
    """The hosts that `--host` names, in the order of the file.

    Raises:
        ClientError: A pattern matches no host.
    """
    for pattern in patterns or ():
        if not any(matches(name, [pattern]) for name in site.hosts):
            raise ClientError(
                f"--host {pattern}: the site config has no such host."
                f"{suggestions(pattern, site.hosts)} Its hosts are: {join_names(list(site.hosts))}."
            )
    return [name for name in site.hosts if matches(name, patterns)]


def hosts_to_query(site: Site, args: argparse.Namespace) -> list[str]:
    """The hosts to query: if all agents are named without patterns, only theirs.

    Raises:
        ClientError: `--host` matches none.
    """
    hosts = select_hosts(site, args.host)
    needed: set[str] = set()
    for word in args.pattern:
        with_agent = [name for name in hosts if word in site.hosts[name].entries]
        if is_pattern(word) or not with_agent:
            return hosts
        needed.update(with_agent)
    return [name for name in hosts if name in needed] if needed else hosts


def fetch_status(site: Site, args: argparse.Namespace, hosts: Sequence[str]) -> list[HostStatus]:
    """Get the status of these hosts from their managers, all at the same time.

    Raises:
        ClientError: There is no router.
    """
    sessions = fetch_sessions(make_clients(site, args, hosts), args.answer_time)
    require_router(list(sessions.values()))
    return compare_hosts(
        [build_host_status(site.hosts[host], sessions.get(host)) for host in hosts]
    )


def select_agents(hosts: Sequence[HostStatus], args: argparse.Namespace) -> list[AgentStatus]:
    """The agents that the command line names, in the order of the file.

    Raises:
        ClientError: A word matches none of them.
    """
    agents = [agent for host in hosts for agent in host.agents]
    for word in args.pattern:
        if not any(matches(agent.instance_id, [word]) for agent in agents):
            raise ClientError(_no_such_agent(word, hosts, agents, args))
    for word in args.agent_class or ():
        if not any(_has_class(agent, [word]) for agent in agents):
            classes = sorted({agent.short_class for agent in agents if agent.short_class})
            raise ClientError(
                f"--class {word}: no agent {_on_hosts(args)}has this class."
                f"{suggestions(word, classes)} The classes are: {join_names(classes) or 'none'}."
            )
    selected = [
        agent
        for agent in agents
        if matches(agent.instance_id, args.pattern) and _has_class(agent, args.agent_class)
    ]
    if not selected and agents and (args.pattern or args.agent_class):
        raise ClientError("No agent matches both the names and the classes that were given.")
    return selected


def filter_hosts(hosts: Sequence[HostStatus], args: argparse.Namespace) -> list[HostStatus]:
    """Keep of each host the agents that the command line names, the worst first.

    Raises:
        ClientError: A word matches none of them.
    """
    selected = {(agent.host, agent.instance_id) for agent in select_agents(hosts, args)}
    kept = []
    for host in hosts:
        agents = [agent for agent in host.agents if (agent.host, agent.instance_id) in selected]
        if agents or not (args.pattern or args.agent_class):
            agents.sort(key=lambda agent: -agent.severity)  # stable: else as in the file
            kept.append(dataclasses.replace(host, agents=tuple(agents)))
    return kept


def _has_class(agent: AgentStatus, classes: Sequence[str] | None) -> bool:
    return matches(agent.short_class, classes) or matches(agent.agent_class, classes)


def _no_such_agent(
    word: str,
    hosts: Sequence[HostStatus],
    agents: Sequence[AgentStatus],
    args: argparse.Namespace,
) -> str:
    for host in hosts:
        name = host.host.name
        if host.host.manager == word:
            return (
                f"{word} is the manager of host {name}, not one of its agents. "
                f"Use --host {name} for all of its agents."
            )
        if name == word and not args.host:
            return f"{word} is a host. Use --host {word} for all of its agents."
    if not is_pattern(word) and any(_has_class(agent, [word]) for agent in agents):
        return f"{word} is a class of agents. Use --class {word} for all of them."
    silent = [host.host.name for host in hosts if host.error is not None]
    note = f" (Hosts that did not answer may have more: {join_names(silent, 5)}.)" if silent else ""
    hint = suggestions(word, (agent.instance_id for agent in agents))
    subject = "no agent matches" if is_pattern(word) else "there is no agent"
    return f"{subject} {word!r} {_on_hosts(args)}".rstrip() + f".{hint}{note}"


def _on_hosts(args: argparse.Namespace) -> str:
    return f"on {', '.join(args.host)} " if args.host else ""
