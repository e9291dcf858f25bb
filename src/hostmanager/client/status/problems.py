"""What is wrong at a site, in the order and the groups in which every view shows it. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hostmanager.client.status.model import (
    MAX_LAST_LINES,
    AgentStatus,
    HostStatus,
    StatusSeverity,
    next_attempt,
)
from hostmanager.client.text import strip_timestamp
from hostmanager.util.grouping import group_pairs
from hostmanager.util.text import format_duration, join_sentences


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or a note.

    Attributes:
        severity: How bad it is.
        hosts: The names of the hosts.
        agents: The agents; none: it is about the hosts themselves.
        text: State and reason, in one line.
        output: The last output of an agent that died.
    """

    severity: StatusSeverity
    hosts: tuple[str, ...]
    agents: tuple[AgentStatus, ...]
    text: str
    output: tuple[str, ...] = ()


def find_problems(hosts: Sequence[HostStatus], now: float) -> Iterator[Problem]:
    """Yield what is wrong with hosts, then with agents: the worst first, what is alike together."""
    of_hosts = group_pairs(
        ((host.severity, reason), host.host.name)
        for host in worst_first(hosts)
        if host.severity >= StatusSeverity.WARNING
        for reason in host.reasons
    )
    for (severity, reason), names in of_hosts.items():
        yield Problem(severity, tuple(names), (), reason)
    for alike in _alike((agent for host in hosts for agent in host.agents), now):
        agent, text = alike[0], describe(alike[0], now)
        yield Problem(agent.severity, (agent.host,), tuple(alike), text, last_output(agent))


def find_notes(agents: Iterable[AgentStatus]) -> Iterator[Problem]:
    """Yield notes about agents that are at their target, those of the same words together."""
    notes = group_pairs(
        (join_sentences(agent.reasons), agent)
        for agent in agents
        if agent.severity is StatusSeverity.INFO and agent.is_managed
    )
    for text, alike in notes.items():
        names = dict.fromkeys(agent.host for agent in alike)
        yield Problem(StatusSeverity.INFO, tuple(names), tuple(alike), text)


def worst_first(hosts: Iterable[HostStatus]) -> list[HostStatus]:
    """Order hosts: the worst first, else as they come."""
    return sorted(hosts, key=lambda host: -host.worst)


def _alike(agents: Iterable[AgentStatus], now: float) -> list[list[AgentStatus]]:
    """Agents that are not OK, the worst first; those of a host with the same warning together."""
    groups: dict[tuple[str, ...], list[AgentStatus]] = {}
    for agent in sorted(agents, key=lambda agent: -agent.severity):
        if agent.severity not in (StatusSeverity.WARNING, StatusSeverity.ERROR):
            continue
        is_warning = agent.severity is StatusSeverity.WARNING
        key = describe(agent, now) if is_warning else agent.instance_id
        groups.setdefault((agent.severity.word, agent.host, key), []).append(agent)
    return list(groups.values())


def describe(agent: AgentStatus, now: float) -> str:
    """The state of an agent and the reason, in one line."""
    now = agent.now or now  # times in a child state are its manager's
    at = agent.get("next_attempt_at")
    state = agent.state_text
    if agent.state == "start_at" and at is not None:
        state += f" in {format_duration(max(0.0, at - now))}"
    if agent.target not in ("", agent.state):
        state += " (manual)" if agent.target_text == "manual" else f" (target {agent.target})"
    parts = [*agent.reasons, "" if agent.state == "start_at" else next_attempt(agent.child, now)]
    reason = "; ".join(part.rstrip(".") for part in parts if part)
    return f"{state}: {reason}" if reason else state


def last_output(agent: AgentStatus) -> tuple[str, ...]:
    """The last output of an agent that is not up because it died."""
    last_exit = agent.get("last_exit")
    if not last_exit or last_exit.get("expected") or agent.severity is not StatusSeverity.ERROR:
        return ()
    return tuple(
        strip_timestamp(line) for line in (last_exit.get("output") or [])[-MAX_LAST_LINES:]
    )
