"""What the alarm service knows: findings, alerts, incidents, notices. Plain data, kept as JSON.

All times are Unix times by the clock of the service, in seconds.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

FINDING_KINDS: Mapping[str, str] = {
    "router": "the router does not answer",
    "host": "the manager of a host does not answer, was stopped, or cannot use its site config",
    "host-warning": "what else `status` says of a host: orphans, a site config that differs",
    "agent": "an agent is not at its target",
    "health": "an agent is up, and hangs, has not registered, or a process of it has failed",
    "agent-warning": "what else `status` warns of about an agent: stopped by hand, unstable",
}
"""What a rule can be for."""


class AlertSeverity(StrEnum):
    """How bad a rule calls a finding."""

    CRITICAL = "critical"
    WARNING = "warning"
    IGNORE = "ignore"


class Subject(NamedTuple):
    """What a finding is about: an agent of a host, a host (no agent), or the router (neither)."""

    host: str = ""
    agent: str = ""

    def __str__(self) -> str:
        if self.agent:
            return f"{self.agent} on {self.host}"
        return f"host {self.host}" if self.host else "the router"


ROUTER = Subject()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, as the client layer judges it.

    Attributes:
        subject: What it is about.
        kind: One of `FINDING_KINDS`.
        reason: What is wrong, on one line.
        details: More lines: since when, who changed it, the last output.
        agent_class: Of an agent.
        silenced: Whether its manager keeps a silence of it.
    """

    subject: Subject
    kind: str
    reason: str
    details: tuple[str, ...] = ()
    agent_class: str = ""
    silenced: bool = False


@dataclass(frozen=True, slots=True)
class SiteObservation:
    """What is known of the site at one time.

    Attributes:
        findings: All that is wrong.
        unobserved: The hosts of whose agents nothing is known.
        unobserved_hosts: The hosts of which nothing is known at all.
        silenced: Agents that are silenced, wrong or not.
        silences: The silences that managers keep, for people, by subject.
    """

    findings: Collection[Finding] = ()
    unobserved: frozenset[str] = frozenset()
    unobserved_hosts: frozenset[str] = frozenset()
    silenced: frozenset[Subject] = frozenset()
    silences: Mapping[Subject, str] = field(default_factory=dict)

    def is_observed(self, subject: Subject) -> bool:
        """Whether it would be among the findings if something were wrong with it."""
        return subject.host not in (self.unobserved if subject.agent else self.unobserved_hosts)


@dataclass(slots=True)
class Alert:
    """A finding over time.

    Attributes:
        finding: As it was observed last.
        severity: By its rule.
        first_seen: When.
        last_seen: When.
        incident: The number of its incident; 0: it is pending, nobody was notified.
        wait: Seconds that it has to last before somebody is notified.
        over_after: Seconds that it has to be gone to be over.
        gone_since: Since when it is not observed although its subject is; 0: it is observed.
        frozen: Whether it is silenced, or nothing is known of its subject now.
        worse_since: Since when it has a finding of a rule with a higher severity; 0: it has not.
    """

    finding: Finding
    severity: AlertSeverity
    first_seen: float
    last_seen: float
    incident: int = 0
    wait: float = 0.0
    over_after: float = 0.0
    gone_since: float = 0.0
    frozen: bool = False
    worse_since: float = 0.0

    @property
    def firing(self) -> bool:
        """Whether somebody was notified."""
        return self.incident > 0


@dataclass(slots=True)
class Incident:
    """Alerts that fired together, and are reported, acknowledged and over together.

    Attributes:
        number: The id by which people acknowledge it.
        severity: Of all its alerts.
        receivers: Who is notified, in this order, each if nobody acknowledges it.
        opened: When.
        told: How many of the receivers were notified.
        repeats: How often they were notified again.
        next_repeat: When they are notified again.
        next_receiver: When the next receiver is notified.
        repeat_intervals: Seconds; the last one stays.
        escalate_after: Seconds.
        acknowledged_by: Who; empty: nobody.
        acknowledged_reason: Why it needs no more reminders.
        over_at: When its last alert was over; 0: it is not.
        subjects: For people: what it was about, with the reasons that were reported.
    """

    number: int
    severity: AlertSeverity
    receivers: tuple[str, ...]
    opened: float
    told: int = 1
    repeats: int = 0
    next_repeat: float = 0.0
    next_receiver: float = 0.0
    repeat_intervals: tuple[float, ...] = ()
    escalate_after: float = 0.0
    acknowledged_by: str = ""
    acknowledged_reason: str = ""
    over_at: float = 0.0
    subjects: list[str] = field(default_factory=list)


class NoticeKind(StrEnum):
    """Why a receiver is notified."""

    ALARM = "alarm"
    REPEAT = "repeat"
    ESCALATION = "escalation"
    RECOVERY = "recovery"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something of which a receiver is to be notified.

    Attributes:
        kind: Why.
        at: Since when.
        incident: Its number; 0: it is about silences.
        critical: Whether it goes through quiet hours.
        text: Of silences.
        maybe_sent: Whether it may have been sent already.
    """

    kind: NoticeKind
    at: float
    incident: int = 0
    critical: bool = False
    text: str = ""
    maybe_sent: bool = False


@dataclass(frozen=True, slots=True)
class HostSilence:
    """A silence that the service itself keeps: of a host, with its agents, or of some of them.

    Attributes:
        host: The host.
        agents: Their ids; empty: the host and all of its agents.
        until: When it ends.
        requested_by: ``user@host``, the client's word.
        reason: Why.
    """

    host: str
    agents: tuple[str, ...]
    until: float
    requested_by: str = ""
    reason: str = ""

    def covers(self, subject: Subject) -> bool:
        """Whether it silences this."""
        return subject.host == self.host and (not self.agents or subject.agent in self.agents)


def alert_from_data(data: Mapping[str, Any]) -> Alert:
    """Read an alert as `dataclasses.asdict` wrote it."""
    finding = dict(data["finding"])
    finding["subject"] = Subject(*finding["subject"])
    finding["details"] = tuple(finding["details"])
    severity = AlertSeverity(data["severity"])
    return Alert(**{**data, "finding": Finding(**finding), "severity": severity})


def incident_from_data(data: Mapping[str, Any]) -> Incident:
    """Read an incident as `dataclasses.asdict` wrote it."""
    lists = {name: tuple(data[name]) for name in ("receivers", "repeat_intervals")}
    return Incident(**{**data, **lists, "severity": AlertSeverity(data["severity"])})


def notice_from_data(data: Mapping[str, Any]) -> Notice:
    """Read a notice as `dataclasses.asdict` wrote it."""
    return Notice(**{**data, "kind": NoticeKind(data["kind"])})


def silence_from_data(data: Mapping[str, Any]) -> HostSilence:
    """Read a silence as `dataclasses.asdict` wrote it."""
    return HostSilence(**{**data, "agents": tuple(data["agents"])})
