"""The text of messages: what, where, since when, the last output, and what to type. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hostmanager.alerts.engine import AlertEngine
from hostmanager.alerts.model import Alert, Incident, Notice, NoticeKind
from hostmanager.alerts.outbox import fold
from hostmanager.util.text import format_duration, pluralize, truncate

MAX_IN_FULL = 5
"""Alerts of an incident that are shown with all their lines; of more, one line each."""

MAX_LINES = 40
"""Alerts of an incident that are shown at all; of the rest, the number."""

MAX_TITLE_CHARS = 120
MAX_BODY_CHARS = 12_000


@dataclass(frozen=True, slots=True)
class AlertMessage:
    """A message, in plain text."""

    title: str
    body: str


def compose(notices: Sequence[Notice], engine: AlertEngine, now: float) -> AlertMessage | None:
    """Write one message of all that a receiver is to be notified of, as it is now; None: nothing is left.

    Args:
        notices: What it is to be notified of.
        engine: Knows the incidents.
        now: Unix time.
    """
    titles: list[str] = []
    parts: list[str] = []
    over: list[str] = []
    for number, kinds in fold(list(notices)).items():
        incident = engine.state.incidents.get(number)
        if incident is None:
            continue
        if incident.over_at:
            over.append(_over_text(incident, kinds, now))
            titles.append(f"[over] {_summary(incident.subjects)}")
            continue
        if incident.acknowledged_by and kinds <= {NoticeKind.REPEAT, NoticeKind.ESCALATION}:
            continue  # while it waited
        alerts = engine.alerts_of(number)
        again = "" if NoticeKind.ALARM in kinds else ", again"
        if NoticeKind.ESCALATION in kinds:
            again = ", nobody has acknowledged it"
        shown = [f"{alert.finding.subject}: {alert.finding.reason}" for alert in alerts]
        titles.append(f"[{incident.severity}{again}] {_summary(shown)}")
        parts.append(_incident_text(incident, alerts, again, now))
    silences = [notice.text for notice in notices if notice.kind is NoticeKind.SILENCE]
    titles += [text.partition("\n")[0] for text in silences]
    if not titles:
        return None
    body = "\n\n".join([*parts, *over, *silences])
    if any(notice.maybe_sent for notice in notices):
        body = f"This may have been sent already: sending it was interrupted.\n\n{body}"
    more = f" and {len(titles) - 1} more" if len(titles) > 1 else ""
    # On one line: many services send it in a header, and what a manager says is not ours.
    first = " ".join(titles[0].split())
    title = first if len(first) <= MAX_TITLE_CHARS else f"{first[:MAX_TITLE_CHARS]}…"
    title += more
    return AlertMessage(printable(title), printable(truncate(body, MAX_BODY_CHARS)))


def _summary(lines: Sequence[str]) -> str:
    if len(lines) == 1:
        return lines[0]
    names = ", ".join(line.partition(":")[0] for line in lines[:3])
    return f"{pluralize(len(lines), 'finding')}: {names}{', …' if len(lines) > 3 else ''}"


def _over_text(incident: Incident, kinds: set[NoticeKind], now: float) -> str:
    lines = list(incident.subjects[:MAX_LINES])
    if len(incident.subjects) > MAX_LINES:
        lines.append(f"and {len(incident.subjects) - MAX_LINES} more")
    what = "\n".join(f"  {line}" for line in lines)
    lasted = format_duration(incident.over_at - incident.opened)
    late = format_duration(now - incident.over_at)
    if NoticeKind.ALARM in kinds:  # nobody here has heard of it
        return (
            f"Incident {incident.number} began and ended before this message: it lasted {lasted}, "
            f"and was over {late} ago. It was:\n{what}"
        )
    return f"Incident {incident.number} is over after {lasted}. It was:\n{what}"


def _incident_text(incident: Incident, alerts: Sequence[Alert], again: str, now: float) -> str:
    lines = [f"Incident {incident.number} ({incident.severity}{again}):"]
    if again:
        lines[0] += f" for {format_duration(now - incident.opened)}"
    for alert in alerts[:MAX_LINES]:
        lines.append(f"{alert.finding.subject}: {alert.finding.reason}")
        if len(alerts) <= MAX_IN_FULL:
            if not alert.finding.subject.agent:  # no manager can say since when
                observed = datetime.fromtimestamp(alert.first_seen).astimezone()
                lines.append(
                    f"  observed since {observed:%Y-%m-%d %H:%M:%S %Z} by the alarm service"
                )
            lines += [f"  {line}" for line in alert.finding.details]
    if len(alerts) > MAX_LINES:
        lines.append(f"and {len(alerts) - MAX_LINES} more")
    if len(alerts) > MAX_IN_FULL:
        lines.append("Look first: hostmanager status --wrong")
    if incident.acknowledged_by:
        lines.append(f"Acknowledged by {incident.acknowledged_by}: {incident.acknowledged_reason}")
    else:
        lines.append(f"Acknowledge: hostmanager ack {incident.number} --reason 'WHY'")
    return "\n".join(lines)


def printable(text: str) -> str:
    """Replace what is not for eyes: agents may print anything."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)
