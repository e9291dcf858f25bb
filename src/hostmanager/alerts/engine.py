"""From findings to notices. Pure: the time is a parameter.

An alert is *pending* until its finding has lasted for the time of its rule, then it *fires*; it is
over when the finding has been gone for the rule's `over-after`. A finding that comes and goes faster
than that counts as one that lasts. What is silenced or unobserved is *frozen*: it neither fires nor
ends, and nobody is notified of it again.

Alerts of one host that fire together are one incident: one number to acknowledge, one recovery.
What a receiver is to be notified of at the same time is one message, of any number of incidents (`outbox`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hostmanager.alerts.model import (
    Alert,
    AlertSeverity,
    Finding,
    HostSilence,
    Incident,
    Notice,
    NoticeKind,
    SiteObservation,
    Subject,
)
from hostmanager.alerts.rules import Rule, Rules
from hostmanager.util.text import truncate

_Group = tuple[str, AlertSeverity, tuple[str, ...]]
"""Host, severity, receivers: what one incident has in common."""

Notify = Callable[[str, Notice], None]
"""Called with the name of a receiver and what it is to be notified of."""

JOIN_WINDOW = 10.0
"""Seconds that a pending alert may still have to wait, two thirds of its time at most, to
join one that fires now: managers are not asked at the same instant."""

MAX_GAP = 60.0
"""Seconds between two observations of a pending alert beyond which nobody knows whether it lasted."""

MAX_SILENCES_LISTED = 10


@dataclass(slots=True)
class EngineState:
    """What the engine knows, and what is kept over restarts."""

    alerts: dict[Subject, Alert] = field(default_factory=dict)
    incidents: dict[int, Incident] = field(default_factory=dict)
    silences: list[HostSilence] = field(default_factory=list)
    known_silences: dict[Subject, str] = field(default_factory=dict)
    known_own_silences: dict[Subject, str] = field(default_factory=dict)
    next_number: int = 1


class AlertEngine:
    """Decides who is notified of what.

    Args:
        rules: The rules.
        state: What is known; changed in place.
        notify: Called for each notice.
    """

    def __init__(self, rules: Rules, state: EngineState, notify: Notify) -> None:
        self._rules = rules
        self.state = state
        self._notify = notify

    def step(self, observation: SiteObservation, now: float) -> None:
        """Take what is known of the site now."""
        self._notify_silences(observation, now)
        findings = {finding.subject: finding for finding in observation.findings}
        for finding in findings.values():
            rule = self._rules.rule_for(finding)
            if rule is not None:
                self._observe(
                    finding, rule, now, frozen=self._is_frozen(finding.subject, observation)
                )
        for subject, alert in list(self.state.alerts.items()):
            if subject not in findings or self._rules.rule_for(findings[subject]) is None:
                self._observe_absence(alert, now, frozen=self._is_frozen(subject, observation))
        self._fire(now)
        for incident in self.state.incidents.values():
            self._remind(incident, now)

    def acknowledge(self, number: int, by: str, reason: str) -> Incident | None:
        """Send no more reminders of an incident until it is over; None: there is no such incident."""
        incident = self.state.incidents.get(number)
        if incident is None or incident.over_at:
            return None
        incident.acknowledged_by, incident.acknowledged_reason = by, reason
        return incident

    def silence(self, silence: HostSilence) -> None:
        """Keep a silence, in place of an earlier one of the same host and agents."""
        self.end_silence(silence.host, silence.agents)
        self.state.silences.append(silence)

    def end_silence(self, host: str, agents: tuple[str, ...]) -> bool:
        """End a silence; False: there is none of this host and these agents."""
        before = len(self.state.silences)
        self.state.silences = [
            each for each in self.state.silences if (each.host, each.agents) != (host, agents)
        ]
        return len(self.state.silences) < before

    # --- one alert --------------------------------------------------------------------------

    def _is_frozen(self, subject: Subject, observation: SiteObservation) -> bool:
        is_silenced = subject in observation.silenced or any(
            silence.covers(subject) for silence in self.state.silences
        )
        return is_silenced or not observation.is_observed(subject)

    def _observe(self, finding: Finding, rule: Rule, now: float, *, frozen: bool) -> None:
        alert = self.state.alerts.get(finding.subject)
        if alert is None:
            alert = Alert(finding, rule.severity, now, now)
            self.state.alerts[finding.subject] = alert
        elif not alert.firing:
            if frozen or now - alert.last_seen > max(rule.wait, MAX_GAP):
                alert.first_seen = now
            alert.severity = rule.severity
        elif rule.severity is AlertSeverity.CRITICAL and alert.severity is AlertSeverity.WARNING:
            alert.worse_since = alert.worse_since or now
        else:
            alert.worse_since = 0.0
        alert.wait, alert.over_after = rule.wait, rule.over_after
        alert.finding, alert.last_seen = finding, now
        alert.gone_since, alert.frozen = 0.0, frozen

    def _observe_absence(self, alert: Alert, now: float, *, frozen: bool) -> None:
        alert.frozen = frozen
        if frozen:
            alert.gone_since = 0.0  # for how long it is gone then is not known: counted anew
            return
        alert.gone_since = alert.gone_since or now
        if now - alert.gone_since >= (alert.over_after if alert.firing else alert.wait):
            del self.state.alerts[alert.finding.subject]
            if alert.firing:
                self._end(self.state.incidents[alert.incident], now)

    def _end(self, incident: Incident, now: float) -> None:
        if any(alert.incident == incident.number for alert in self.state.alerts.values()):
            return
        incident.over_at = now
        for receiver in incident.receivers[: incident.told]:
            self._notify(receiver, self._notice(NoticeKind.RECOVERY, incident, now))

    # --- incidents --------------------------------------------------------------------------

    def _fire(self, now: float) -> None:
        alerts = self.state.alerts.values()
        if not any(_is_due(alert, now, alert.wait) for alert in alerts):
            return
        groups: dict[_Group, list[tuple[Alert, Rule]]] = {}
        for alert in alerts:
            least = max(alert.wait / 3, alert.wait - JOIN_WINDOW)
            if _is_due(alert, now, least) and (rule := self._rules.rule_for(alert.finding)):
                group = alert.finding.subject.host, rule.severity, rule.notify
                groups.setdefault(group, []).append((alert, rule))
        for (_, severity, receivers), members in groups.items():
            self._open(severity, receivers, members, now)

    def _open(
        self,
        severity: AlertSeverity,
        receivers: tuple[str, ...],
        members: Iterable[tuple[Alert, Rule]],
        now: float,
    ) -> None:
        members = list(members)
        rule = members[0][1]
        incident = Incident(
            self.state.next_number,
            severity,
            receivers,
            now,
            repeat_intervals=rule.repeat,
            escalate_after=rule.escalate_after,
            next_repeat=now + rule.repeat[0] if rule.repeat else 0.0,
            next_receiver=now + rule.escalate_after,
            subjects=[f"{alert.finding.subject}: {alert.finding.reason}" for alert, _ in members],
        )
        self.state.next_number += 1
        self.state.incidents[incident.number] = incident
        for alert, _ in members:
            earlier = alert.incident
            alert.incident, alert.severity, alert.worse_since = incident.number, severity, 0.0
            if earlier and not self.alerts_of(earlier):
                del self.state.incidents[earlier]  # all of it has become worse: reported as that
        self._notify(receivers[0], self._notice(NoticeKind.ALARM, incident, now))

    def _remind(self, incident: Incident, now: float) -> None:
        alerts = self.alerts_of(incident.number)
        if incident.acknowledged_by or not any(not alert.frozen for alert in alerts):
            return
        notified_before = incident.receivers[: incident.told]
        if now >= incident.next_receiver and incident.told < len(incident.receivers):
            receiver = incident.receivers[incident.told]
            incident.told += 1
            incident.next_receiver = now + incident.escalate_after
            self._notify(receiver, self._notice(NoticeKind.ESCALATION, incident, now))
        if incident.repeat_intervals and now >= incident.next_repeat:
            incident.repeats += 1
            intervals = incident.repeat_intervals
            incident.next_repeat = now + intervals[min(incident.repeats, len(intervals) - 1)]
            for receiver in notified_before:
                self._notify(receiver, self._notice(NoticeKind.REPEAT, incident, now))

    def alerts_of(self, number: int) -> list[Alert]:
        """The alerts of an incident that are not over."""
        return [alert for alert in self.state.alerts.values() if alert.incident == number]

    def forget(self, in_use: Iterable[int]) -> None:
        """Forget incidents that are over, but those of which somebody is yet to be notified."""
        kept = set(in_use)
        for number, incident in list(self.state.incidents.items()):
            if incident.over_at and number not in kept:
                del self.state.incidents[number]

    @staticmethod
    def _notice(kind: NoticeKind, incident: Incident, now: float) -> Notice:
        is_critical = incident.severity is AlertSeverity.CRITICAL
        return Notice(kind, now, incident.number, is_critical)

    # --- silences ---------------------------------------------------------------------------

    def _notify_silences(self, observation: SiteObservation, now: float) -> None:
        self.state.silences = [each for each in self.state.silences if now < each.until]
        # Those of hosts that do not answer are as they were.
        known = self.state.known_silences
        kept = {each: text for each, text in known.items() if not observation.is_observed(each)}
        own = {
            Subject(silence.host, agent): _silence_text(silence)
            for silence in self.state.silences
            for agent in silence.agents or ("",)
        }
        before, after = (
            known | self.state.known_own_silences,
            kept | dict(observation.silences) | own,
        )
        self.state.known_silences, self.state.known_own_silences = (
            kept | dict(observation.silences),
            own,
        )
        begun = [f"silenced: {each}, {after[each]}" for each in after.keys() - before]
        ended = [f"no longer silenced: {each}" for each in before.keys() - after]
        lines = sorted(begun) + sorted(ended)
        if not lines:
            return
        more = len(lines) - MAX_SILENCES_LISTED
        shown = [*lines[:MAX_SILENCES_LISTED], *([f"and {more} more"] if more > 0 else [])]
        for receiver in self._rules.receivers:
            if receiver.silences:
                self._notify(
                    receiver.name,
                    Notice(NoticeKind.SILENCE, now, text=truncate("\n".join(shown), 4000)),
                )


def _is_due(alert: Alert, now: float, least: float) -> bool:
    if alert.frozen or alert.gone_since:
        return False
    since = alert.worse_since if alert.firing else alert.first_seen
    return since > 0 and now - since >= least


def _silence_text(silence: HostSilence) -> str:
    by = f"by {silence.requested_by}" if silence.requested_by else "by somebody"
    return f"{by}: {silence.reason}" if silence.reason else by
