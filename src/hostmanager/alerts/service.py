"""The alarm service: observes the site, decides, keeps what it knows, and sends.

Each message is written into the state file as being sent before it is sent: after a death in
between, it is sent again, and says that it may have been sent before.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hostmanager.alerts.engine import AlertEngine
from hostmanager.alerts.message import AlertMessage, compose
from hostmanager.alerts.model import Alert, HostSilence, Notice, SiteObservation
from hostmanager.alerts.outbox import Outbox
from hostmanager.alerts.rules import Receiver, Rules
from hostmanager.alerts.sender import SendResult
from hostmanager.alerts.state_file import FILE_NAME, read_state, write_state
from hostmanager.core.request_origin import text_problem
from hostmanager.util.grouping import group_pairs
from hostmanager.util.secret import Secret

log = logging.getLogger(__name__)

SAVE_INTERVAL = 30.0
"""Seconds after which the state is written although nothing has changed but the time."""

MAX_SILENCED = 20_000
"""Agents, and whole hosts, in all silences together: clients may name what is not there."""

MAX_SUBJECT_CHARS = 255
"""Characters of the name of a host or an agent in one of them."""

Send = Callable[[Secret, AlertMessage], SendResult]


class ForwardClock:
    """Unix time that never goes back, over a restart neither: what is pending would wait for it."""

    def __init__(self, not_before: float) -> None:
        self._latest, self._monotonic = not_before, time.monotonic()

    def now(self) -> float:
        """The time; while the clock of the machine is behind it, it goes on by itself."""
        monotonic = time.monotonic()
        self._latest = max(time.time(), self._latest + monotonic - self._monotonic)
        self._monotonic = monotonic
        return self._latest


class AlarmService:
    """The service, without its connection to the router. Its methods may be called by any thread.

    Args:
        rules: The rules.
        directory: Where its state is kept.
        send: Sends a message; blocks.
    """

    def __init__(self, rules: Rules, directory: Path, send: Send) -> None:
        self._rules = rules
        self._path = directory / FILE_NAME
        self._send = send
        self._lock = threading.RLock()
        state, kept, at = read_state(self._path)
        self._clock = ForwardClock(at)
        self._receivers = {
            key: (receiver, url) for receiver in rules.receivers for key, url in _keys(receiver)
        }
        self._outboxes = {key: kept.pop(key, Outbox()) for key in self._receivers}
        self._engine = AlertEngine(rules, state, self._notify)
        for outbox in kept.values():  # of receivers that are no longer in the rules
            for notice in outbox.waiting:
                self._notify("", notice)
        self._save_error = self._saved = ""
        self._saved_at = 0.0
        self._last_step = 0.0

    def _notify(self, receiver: str, notice: Notice) -> None:
        known = {each.name: each for each in self._rules.receivers}
        for key, _ in _keys(known.get(receiver, self._rules.receivers[0])):
            self._outboxes[key].add(notice)

    def step(self, observation: SiteObservation) -> None:
        """Take what is known of the site now, and send what is due."""
        with self._lock:
            now = self._clock.now()
            self._engine.step(observation, now)
            self._last_step = now
            self._send_due(now)

    def _send_due(self, now: float) -> None:
        messages = []
        for key, (receiver, _) in self._receivers.items():
            outbox = self._outboxes[key]
            notices = outbox.take(receiver, now)
            message = compose(notices, self._engine, now) if notices else None
            if message is not None:
                messages.append((key, message))
            elif notices:
                outbox.sending = []
        self._engine.forget({n for box in self._outboxes.values() for n in box.incidents()})
        self._save(now, if_changed=True)
        for key, message in messages:
            try:
                threading.Thread(target=self._deliver, args=(key, message), daemon=True).start()
            except RuntimeError:  # none left; what is never sent must not count as being sent
                error = "this host or user is at its limit of threads (see `ulimit -u`)"
                log.warning("%s: not sent, will be tried again: %s", key, error)
                self._outboxes[key].failed(error, now, maybe_sent=False)

    def _deliver(self, key: str, message: AlertMessage) -> None:
        try:
            result = self._send(self._receivers[key][1], message)
        except Exception as error:  # it is tried again
            result = SendResult(f"sending failed: {type(error).__name__}", maybe_sent=True)
        with self._lock:
            now, outbox = self._clock.now(), self._outboxes[key]
            if result.error:
                if outbox.last_error != result.error:
                    log.warning("%s: not sent, will be tried again: %s", key, result.error)
                outbox.failed(result.error, now, maybe_sent=result.maybe_sent)
            else:
                log.info("%s: sent: %s", key, message.title)
                outbox.sent(now)
            self._save(now)

    def _save(self, now: float, *, if_changed: bool = False) -> None:
        """Keep the state; while nothing but the time of the last observation changes, seldom."""
        state = self._engine.state
        observed = {
            subject: (alert.incident, alert.gone_since, alert.frozen, alert.worse_since)
            for subject, alert in state.alerts.items()
        }
        image = repr(
            (observed, state.incidents, state.silences, state.known_silences, self._outboxes)
        )
        if if_changed and image == self._saved and now - self._saved_at < SAVE_INTERVAL:
            return
        error = ""
        try:
            write_state(self._path, state, self._outboxes, now)
            self._saved, self._saved_at = image, now
        except OSError as failure:
            error = f"{self._path}: {failure.strerror}"
        if error and error != self._save_error:
            log.error("the state cannot be saved; alarms go on without it: %s", error)
        self._save_error = error

    # --- what people ask for ----------------------------------------------------------------

    def acknowledge(self, number: Any, by: str, reason: str) -> tuple[bool, str]:
        """Acknowledge an incident; returns whether there is one, and a sentence."""
        with self._lock:
            incident = None
            if type(number) is int:
                incident = self._engine.acknowledge(number, by or "somebody", reason)
            if incident is None:
                numbers = ", ".join(map(str, self._open_numbers())) or "none"
                return False, f"There is no open incident {number!r:.20}; open: {numbers}."
            self._save(self._clock.now())
        log.info("incident %d was acknowledged by %s: %s", number, by or "somebody", reason)
        return True, f"Incident {number} is acknowledged; its end will still be reported."

    def silence(
        self, host: str, agents: Iterable[str], seconds: float, by: str, reason: str
    ) -> tuple[bool, str]:
        """Keep a silence of a host, or of some of its agents; returns whether it is, a sentence."""
        names = host, *agents
        problem = next(filter(None, (text_problem(each, MAX_SUBJECT_CHARS) for each in names)), "")
        if problem:
            return False, f"A name {problem}. Nothing was changed."
        with self._lock:
            now = self._clock.now()
            silence = HostSilence(host, names[1:], now + seconds, by, reason)
            kept = (*self._engine.state.silences, silence)
            if sum(len(each.agents) or 1 for each in kept) > MAX_SILENCED:
                text = f"The alarm service keeps silences of at most {MAX_SILENCED:,} agents."
                return False, f"{text} End some first. Nothing was changed."
            self._engine.silence(silence)
            self._save(now)
        return True, f"No alarms for {_silenced_text(silence)}."

    def end_silence(self, host: str, agents: Iterable[str]) -> tuple[bool, str]:
        """End a silence; returns whether there was one, and a sentence."""
        ended = HostSilence(host, tuple(agents), 0.0)
        with self._lock:
            known = self._engine.end_silence(host, ended.agents)
            self._save(self._clock.now())
        state = "Alarms again" if known else "There was no silence"
        return known, f"{state} for {_silenced_text(ended)}."

    def _open_numbers(self) -> list[int]:
        incidents = self._engine.state.incidents.values()
        return [incident.number for incident in incidents if not incident.over_at]

    @property
    def open_incidents(self) -> int:
        """How many incidents are not over."""
        with self._lock:
            return len(self._open_numbers())

    @property
    def is_settled(self) -> bool:
        """Whether nothing is pending, and nothing waits that could be sent now."""
        with self._lock:
            pending = [
                alert
                for alert in self._engine.state.alerts.values()
                if not (alert.firing or alert.frozen)
            ]
            boxes = self._outboxes.values()
            return not pending and not any(
                box.sending or (box.waiting and not box.failures) for box in boxes
            )

    def status(self) -> dict[str, Any]:
        """What is wrong, who was notified, and how the receivers are; nothing secret."""
        with self._lock:
            state, now = self._engine.state, self._clock.now()
            incidents = []
            for incident in state.incidents.values():
                alerts = self._engine.alerts_of(incident.number)
                data = asdict(incident)
                data["findings"] = [_alert_data(alert) for alert in alerts]
                data["not_notified"] = self._not_notified(incident.number)
                incidents.append(data)
            pending = [a for a in state.alerts.values() if not a.firing and not a.gone_since]
            return {
                "now": now,
                "last_look": self._last_step,
                "incidents": [each for each in incidents if not each["over_at"]],
                "pending": [_alert_data(alert) for alert in pending],
                "silences": [asdict(silence) for silence in state.silences],
                "receivers": [
                    _receiver_data(key, url, self._outboxes[key])
                    for key, (_, url) in self._receivers.items()
                ],
                "not_kept": self._save_error,
            }

    def _not_notified(self, incident: int) -> list[str]:
        """The receivers whose first message about an incident has reached none of their URLs."""
        waits = group_pairs(
            (receiver.name, self._outboxes[key].has_first_notice(incident))
            for key, (receiver, _) in self._receivers.items()
        )
        return [name for name, of_urls in waits.items() if all(of_urls)]


def _keys(receiver: Receiver) -> list[tuple[str, Secret]]:
    """Each URL has an outbox of its own: one that works does not get twice what another missed."""
    if len(receiver.urls) == 1:
        return [(receiver.name, receiver.urls[0])]
    return [(f"{receiver.name} {number}", url) for number, url in enumerate(receiver.urls, 1)]


def _alert_data(alert: Alert) -> dict[str, Any]:
    finding = alert.finding
    return {
        "host": finding.subject.host,
        "instance_id": finding.subject.agent,
        "kind": finding.kind,
        "reason": finding.reason,
        "first_seen": alert.first_seen,
        "silenced_or_unknown": alert.frozen,
    }


def _receiver_data(key: str, url: Secret, outbox: Outbox) -> dict[str, Any]:
    return {
        "name": key,
        "service": url.partition("://")[0],
        "waiting": len(outbox.waiting),
        "sending": bool(outbox.sending),
        "failures": outbox.failures,
        "retry_at": outbox.retry_at,
        "last_sent": outbox.last_sent,
        "last_error": outbox.last_error,
    }


def _silenced_text(silence: HostSilence) -> str:
    if not silence.agents:
        return f"host {silence.host} and its agents"
    return f"{', '.join(silence.agents)} on {silence.host}"
