"""What each receiver is yet to be notified of, and when. Pure: the time is a parameter.

Notices wait while a receiver is down, has had its share of messages, or has quiet hours. What has
waited is sent in one message, as it is by then: no burst of old ones.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hostmanager.alerts.model import Notice, NoticeKind, notice_from_data
from hostmanager.alerts.rules import LIMIT_PERIOD, Receiver

MIN_RETRY_INTERVAL, MAX_RETRY_INTERVAL = 5.0, 300.0
"""Seconds between attempts at a receiver that does not take messages."""

MAX_WAITING = 1000
"""Notices that wait for one receiver; the oldest of what is not critical goes first."""


@dataclass(slots=True)
class Outbox:
    """The notices for one receiver.

    Attributes:
        waiting: Not sent, the oldest first.
        sending: Being sent now.
        sent_at: When messages were sent lately.
        failures: Attempts since the last success.
        retry_at: Not before this time.
        last_sent: When the last message was sent; 0: never.
        last_error: Why the last attempt failed; empty: it did not.
    """

    waiting: list[Notice] = field(default_factory=list)
    sending: list[Notice] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    failures: int = 0
    retry_at: float = 0.0
    last_sent: float = 0.0
    last_error: str = ""

    def add(self, notice: Notice) -> None:
        """Add a notice; one of the same kind and incident that waits already stands for it."""
        known = ((each.kind, each.incident, each.text) for each in self.waiting)
        if (notice.kind, notice.incident, notice.text) in known:
            return
        self.waiting.append(notice)
        if len(self.waiting) > MAX_WAITING:
            least = next((each for each in self.waiting if not each.critical), self.waiting[0])
            self.waiting.remove(least)

    def take(self, receiver: Receiver, now: float) -> list[Notice]:
        """Take what may be sent now; it is `sending` until `sent` or `failed` is called."""
        if self.sending or now < self.retry_at or not self.waiting:
            return []
        self.sent_at = [at for at in self.sent_at if now - LIMIT_PERIOD < at <= now]
        if len(self.sent_at) >= receiver.limit:
            return []
        is_quiet = receiver.quiet is not None and receiver.quiet.includes(now)
        self.sending = [each for each in self.waiting if each.critical or not is_quiet]
        self.waiting = [each for each in self.waiting if each not in self.sending]
        return self.sending

    def sent(self, now: float) -> None:
        """The receiver has taken the message."""
        self.sending, self.failures, self.retry_at, self.last_error = [], 0, 0.0, ""
        self.sent_at.append(now)
        self.last_sent = now

    def failed(self, error: str, now: float, *, maybe_sent: bool) -> None:
        """The receiver has not taken it, or nobody knows: it is tried again later."""
        self.put_back(maybe_sent=maybe_sent)
        pause = min(MAX_RETRY_INTERVAL, MIN_RETRY_INTERVAL * 2.0 ** min(self.failures, 10))
        self.failures, self.retry_at, self.last_error = self.failures + 1, now + pause, error

    def put_back(self, *, maybe_sent: bool) -> None:
        """Have what was being sent wait again."""
        again = [replace(each, maybe_sent=each.maybe_sent or maybe_sent) for each in self.sending]
        self.waiting, self.sending = again + self.waiting, []

    def incidents(self) -> set[int]:
        """The numbers of the incidents of which the receiver is yet to be notified."""
        return {notice.incident for notice in (*self.waiting, *self.sending)}

    def has_first_notice(self, incident: int) -> bool:
        """Whether the first notice about an incident has not been sent."""
        first = (NoticeKind.ALARM, NoticeKind.ESCALATION)
        notices = (*self.waiting, *self.sending)
        return any(each.incident == incident and each.kind in first for each in notices)

    def to_data(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Outbox":
        """Read what was kept. What was being sent then may have been sent."""
        lists = {name: [notice_from_data(n) for n in data[name]] for name in ("waiting", "sending")}
        outbox = cls(**{**data, **lists})
        outbox.put_back(maybe_sent=True)
        return outbox


def fold(notices: list[Notice]) -> dict[int, set[NoticeKind]]:
    """What is to be reported of each incident, in the order in which it came."""
    kinds: dict[int, set[NoticeKind]] = {}
    for notice in notices:
        if notice.incident:
            kinds.setdefault(notice.incident, set()).add(notice.kind)
    return kinds
