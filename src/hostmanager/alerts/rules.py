"""The rules: which finding is reported, how soon, and to whom. Plain data."""

from dataclasses import dataclass
from datetime import datetime, time

from hostmanager.alerts.model import AlertSeverity, Finding
from hostmanager.client.status.selection import matches
from hostmanager.util.secret import Secret

DEFAULT_FOR = 15.0
"""Seconds that a finding has to last: a restart of a manager or of the router is shorter."""

DEFAULT_OVER_AFTER = 60.0
"""Seconds that it has to be gone: an agent that crashes again and again is up in between."""

DEFAULT_REPEAT = (900.0, 3600.0, 14_400.0)
DEFAULT_ESCALATE_AFTER = 900.0
DEFAULT_LIMIT = 10
"""Messages to one receiver in `LIMIT_PERIOD`; what is beyond that is sent together, later."""

LIMIT_PERIOD = 600.0


@dataclass(frozen=True, slots=True)
class QuietHours:
    """The hours of a day, in local time, in which only what is critical is sent."""

    begin: time
    end: time

    def includes(self, when: float) -> bool:
        """Whether a Unix time is in them."""
        now = datetime.fromtimestamp(when).time()
        if self.begin <= self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end


@dataclass(frozen=True, slots=True)
class Receiver:
    """Somebody who is notified.

    Attributes:
        name: By which rules name it.
        urls: Of apprise.
        quiet: Its quiet hours.
        limit: Messages in `LIMIT_PERIOD`.
        silences: Whether the start and the end of silences are reported.
    """

    name: str
    urls: tuple[Secret, ...]
    quiet: QuietHours | None = None
    limit: int = DEFAULT_LIMIT
    silences: bool = False

    @property
    def services(self) -> str:
        """The schemes of its URLs, for people: nothing else of them is shown anywhere."""
        return ", ".join(url.partition("://")[0] for url in self.urls)


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done about findings.

    Attributes:
        findings: Kinds; empty: all.
        agents: Patterns of instance-ids; empty: all, and findings that are not about an agent.
        hosts: Patterns; empty: all.
        classes: Patterns of agent classes; empty: all.
        severity: How bad it is.
        wait: Seconds that it has to last (`for`).
        over_after: Seconds that it has to be gone to be over.
        notify: Names of receivers, in the order in which they are notified.
        repeat: Seconds until they are notified again; the last one stays. Empty: it is not.
        escalate_after: Seconds after which the next receiver is notified, unless it is acknowledged.
    """

    findings: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    severity: AlertSeverity = AlertSeverity.CRITICAL
    wait: float = DEFAULT_FOR
    over_after: float = DEFAULT_OVER_AFTER
    notify: tuple[str, ...] = ()
    repeat: tuple[float, ...] = DEFAULT_REPEAT
    escalate_after: float = DEFAULT_ESCALATE_AFTER

    def fits(self, finding: Finding) -> bool:
        """Whether it is for this finding."""
        subject = finding.subject
        return (
            (not self.findings or finding.kind in self.findings)
            and (not self.agents or (bool(subject.agent) and matches(subject.agent, self.agents)))
            and (not self.hosts or (bool(subject.host) and matches(subject.host, self.hosts)))
            and (not self.classes or matches(finding.agent_class, self.classes))
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules and receivers. The first rule that fits a finding counts."""

    rules: tuple[Rule, ...]
    receivers: tuple[Receiver, ...]

    def rule_for(self, finding: Finding) -> Rule | None:
        """The rule of a finding; None: nobody is notified of it."""
        rule = next((rule for rule in self.rules if rule.fits(finding)), None)
        return None if rule is None or rule.severity is AlertSeverity.IGNORE else rule


DEFAULT_FINDINGS = ("router", "host", "agent", "health")
"""What the rule behind all written ones reports, as critical: what `status` calls wrong."""
