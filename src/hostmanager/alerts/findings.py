"""What the client layer reports of a site, as findings for the engine. Pure.

Nothing is judged here: severities and reasons are those of `hostmanager status`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from hostmanager.alerts.model import ROUTER, Finding, SiteObservation, Subject
from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.site_model import Site, SiteHost
from hostmanager.client.status.findings import BROKEN, build_host_status
from hostmanager.client.status.model import (
    MAX_LAST_LINES,
    AgentStatus,
    HostStatus,
    StatusSeverity,
    last_exit_text,
    silence_text,
)
from hostmanager.client.watch.poller import SessionOrError
from hostmanager.util.text import format_age, format_duration, join_sentences, truncate

MAX_FINDING_CHARS = 300
MAX_OUTPUT_CHARS = 200


def observe(
    site: Site, sessions: Mapping[str, SessionOrError | None], router: ManagerError | None
) -> SiteObservation:
    """Say what is wrong with a site.

    Args:
        site: The site.
        sessions: By host; None: it has had no time to answer yet.
        router: Why the router does not answer; None: it does.
    """
    managed = frozenset(site.managers)
    if router is not None:
        hint = "Look first: is crossbar running? `hostmanager check` tries the router."
        reason = truncate(router.text_with_hint, MAX_FINDING_CHARS)
        return SiteObservation((Finding(ROUTER, "router", reason, (hint,)),), managed, managed)
    hosts = {name: _observe_host(host, sessions.get(name)) for name, host in site.hosts.items()}
    silences = {subject: text for seen in hosts.values() for subject, text in seen.silences.items()}
    return SiteObservation(
        [finding for seen in hosts.values() for finding in seen.findings],
        frozenset(name for name, seen in hosts.items() if not seen.are_agents_known),
        frozenset(name for name, seen in hosts.items() if seen.is_silent),
        frozenset(silences),
        silences,
    )


class _HostObservation(NamedTuple):
    findings: Sequence[Finding] = ()
    silences: Mapping[Subject, str] = {}
    are_agents_known: bool = False
    is_silent: bool = False


def _observe_host(host: SiteHost, session: SessionOrError | None) -> _HostObservation:
    has_no_answer = session is None or (
        isinstance(session, ManagerError) and session.kind is FailureKind.ROUTER
    )
    if host.manager is not None and has_no_answer:
        return _HostObservation(is_silent=True)
    try:
        status = build_host_status(host, session)
        return _HostObservation(
            [*_host_findings(status), *chain(*map(_agent_findings, status.agents))],
            {
                Subject(host.name, agent.instance_id): _silence(agent)
                for agent in status.agents
                if agent.is_silenced
            },
            are_agents_known=status.error is None and not (host.manager and not status.data),
        )
    except Exception as error:  # anybody may be its manager: that costs this host only
        return _HostObservation([_invalid_data(host, error)])


def _invalid_data(host: SiteHost, error: Exception) -> Finding:
    reason = f"Its manager sent invalid data ({type(error).__name__}: {error})."
    hint = f"Look first: `hostmanager history --host {host.name}`: is it a manager of this version?"
    return Finding(Subject(host.name), "host", truncate(reason, MAX_FINDING_CHARS), (hint,))


def _host_findings(status: HostStatus) -> list[Finding]:
    if status.severity < StatusSeverity.WARNING:
        return []
    name = status.host.name
    kind = "host" if status.severity is StatusSeverity.ERROR else "host-warning"
    details = (f"Look first: hostmanager status --host {name}",)
    reason = truncate(join_sentences(status.reasons), MAX_FINDING_CHARS)
    return [Finding(Subject(name), kind, reason, details)]


def _agent_findings(agent: AgentStatus) -> list[Finding]:
    severity = agent.severity_unsilenced
    if severity not in (StatusSeverity.WARNING, StatusSeverity.ERROR):
        return []
    kind = "agent-warning"
    if severity is StatusSeverity.ERROR:
        kind = "health" if agent.state == "up" and agent.get("health") in BROKEN else "agent"
    reasons = [each for each in agent.reasons if each] or ["something is wrong"]
    return [
        Finding(
            Subject(agent.host, agent.instance_id),
            kind,
            truncate(join_sentences(reasons[:3]), MAX_FINDING_CHARS),
            tuple(_details(agent)),
            agent.short_class,
        )
    ]


def _details(agent: AgentStatus) -> Sequence[str]:
    """Since when, who changed it last, the last output, and what to type."""
    name, host, now = agent.instance_id, agent.host, agent.now
    lines = []
    since = agent.get("off_target_since")
    age = agent.get("heartbeat_age") if agent.state == "up" else None
    if since is None and age is not None and now is not None:
        since = now - age
    if since is not None and now is not None:
        at = datetime.fromtimestamp(since).astimezone()
        lasted = format_duration(now - since)
        lines.append(f"since {at:%Y-%m-%d %H:%M:%S %Z} by the clock of {host}, {lasted} ago")
    lines.append(f"target {agent.target or 'unknown'}{_origin(agent)}")
    if agent.child is not None and (exit_text := last_exit_text(agent.child)):
        lines.append(f"its last exit: {exit_text}")
    output = (agent.get("last_exit") or {}).get("output") or []
    if output:
        lines.append("its last output:")
        lines += [f"  {truncate(str(line), MAX_OUTPUT_CHARS)}" for line in output[-MAX_LAST_LINES:]]
    lines.append(f"Look first: hostmanager logs {name} --host {host}")
    lines.append(f"Then, perhaps: hostmanager restart {name} --host {host}")
    return lines


def _origin(agent: AgentStatus) -> str:
    """Who changed its target last, and why."""
    by, since, reason = (agent.get(f"target_{key}") for key in ("by", "since", "reason"))
    if agent.get("target_source") != "request":
        return ", as configured"
    who = f", requested by {by}" if by else ", requested"
    when = f" {format_age(agent.now - since)} ago" if since and agent.now else ""
    return f"{who}{when}" + (f": {reason}" if reason else "")


def _silence(agent: AgentStatus) -> str:
    text = silence_text(agent.get("silenced"), agent.now)
    return (text.partition(" by ")[2] and f"by {text.partition(' by ')[2]}") or "by somebody"
