"""When a receiver is told, and what becomes of notices that had to wait."""

import json
import time
from dataclasses import replace
from datetime import datetime
from datetime import time as day_time

import pytest

from hostmanager.alerts.message import compose
from hostmanager.alerts.model import Notice, NoticeKind
from hostmanager.alerts.outbox import MAX_RETRY_INTERVAL, MAX_WAITING, Outbox
from hostmanager.alerts.rules import LIMIT_PERIOD, QuietHours
from tests.unit.alerts.alarm_site import ONCALL, AlarmSite, finding

ALARM = NoticeKind.ALARM


def notice(incident=1, kind=ALARM, **more):
    return Notice(kind, 0.0, incident, **more)


def test_what_fails_is_tried_again_at_growing_intervals():
    outbox, now, pauses = Outbox(), 100.0, []
    outbox.add(notice())
    for _ in range(8):
        assert outbox.take(ONCALL, now)
        assert outbox.take(ONCALL, now) == []  # it is being sent
        outbox.failed("connection refused", now, maybe_sent=False)
        assert outbox.take(ONCALL, outbox.retry_at - 0.1) == []
        pauses.append(outbox.retry_at - now)
        now = outbox.retry_at
    assert pauses == [5, 10, 20, 40, 80, 160, MAX_RETRY_INTERVAL, MAX_RETRY_INTERVAL]
    assert outbox.take(ONCALL, now) == [notice()]
    outbox.sent(now)
    assert (outbox.waiting, outbox.failures, outbox.last_error) == ([], 0, "")


def test_what_was_being_sent_at_a_death_is_sent_again_and_says_so():
    outbox = Outbox()
    outbox.add(notice(1))
    outbox.take(ONCALL, 1.0)
    outbox.add(notice(2))
    again = Outbox.from_data(json.loads(json.dumps(outbox.to_data())))
    assert again.waiting == [notice(1, maybe_sent=True), notice(2)]


def test_a_receiver_gets_no_more_than_its_share():
    outbox = Outbox()
    receiver = replace(ONCALL, limit=2)
    for number in range(5):
        outbox.add(notice(number))
        if outbox.take(receiver, 10.0 + number):
            outbox.sent(10.0 + number)
    assert [each.incident for each in outbox.waiting] == [2, 3, 4]
    assert len(outbox.take(receiver, 10.0 + LIMIT_PERIOD)) == 3  # all in one message


def test_in_quiet_hours_only_what_is_critical_is_told():
    receiver = replace(ONCALL, quiet=QuietHours(day_time(22), day_time(7)))
    night, morning = (datetime(2026, 11, 28, hour).timestamp() for hour in (23, 7))
    outbox = Outbox()
    outbox.add(notice(1))
    outbox.add(notice(2, critical=True))
    assert outbox.take(receiver, night) == [notice(2, critical=True)]
    outbox.sent(night)
    assert outbox.take(receiver, morning) == [notice(1)]


def test_waiting_notices_are_bounded_and_critical_ones_stay():
    outbox = Outbox()
    outbox.add(notice(0, critical=True))
    for number in range(1, MAX_WAITING + 5):
        outbox.add(notice(number))
        outbox.add(notice(number))
    assert len(outbox.waiting) == MAX_WAITING
    assert outbox.waiting[0].critical


@pytest.fixture
def site():
    return AlarmSite()


def told(site):
    return [each for _, name, each in site.told if name == "oncall"]


def test_a_message_has_all_that_is_needed(site):
    site.run(20, finding(details=("since 14:03:22", "last output: Traceback\x1b[2J")))
    message = compose(told(site), site.engine, site.now)
    assert message.title == "[critical] fake1 on daq1: it exited with code 3"
    assert message.body == (
        "Incident 1 (critical):\n"
        "fake1 on daq1: it exited with code 3\n"
        "  since 14:03:22\n"
        "  last output: Traceback\ufffd[2J\n"
        "Acknowledge: hostmanager ack 1 --reason 'WHY'"
    )


def test_of_a_host_the_service_says_since_when_and_a_long_title_is_cut(site):
    site.run(20, finding("", kind="host", reason="no answer, " * 30))
    message = compose(told(site), site.engine, site.now)
    assert (len(message.title), message.title[-1]) == (121, "…")
    assert "\n  observed since 1970-01-12 " in message.body


def test_a_title_is_one_line_whatever_a_manager_says(site):
    site.run(20, finding(reason="it is broken:\nBcc: somebody@example.org"))
    message = compose(told(site), site.engine, site.now)
    assert message.title == "[critical] fake1 on daq1: it is broken: Bcc: somebody@example.org"


def test_forty_agents_are_one_message(site):
    site.run(20, *[finding(f"fake{n}", details=("more",)) for n in range(60)])
    message = compose(told(site), site.engine, site.now)
    assert message.title == "[critical] 60 findings: fake0 on daq1, fake1 on daq1, fake2 on daq1, …"
    assert len(message.body.splitlines()) == 1 + 40 + 3
    assert "and 20 more" in message.body
    assert "more\n  " not in message.body


def test_what_came_and_went_while_a_receiver_was_down_is_one_line_each(site):
    for agent in ("fake1", "fake2", "fake3"):
        site.run(60, finding(agent))
        site.run(120)
    site.run(60, finding("fake4"))
    message = compose(told(site), site.engine, site.now + 300)
    assert message.title == "[over] fake1 on daq1: it exited with code 3 and 3 more"
    assert message.body.count("began and ended before this message") == 3
    assert message.body.startswith("Incident 4 (critical):\nfake4 on daq1")


def test_a_recovery_of_what_was_told(site):
    site.run(60, finding())
    site.run(120)
    message = compose(told(site)[1:], site.engine, site.now)
    assert message.title == "[over] fake1 on daq1: it exited with code 3"
    assert message.body.startswith("Incident 1 is over after 1 m")


def test_a_repeat_that_waited_is_not_told_after_its_acknowledgement(site):
    site.run(1000, finding())
    site.engine.acknowledge(1, "max@desk", "on my way")
    repeats = [each for each in told(site) if each.kind is NoticeKind.REPEAT]
    assert compose(repeats, site.engine, site.now) is None
    assert "Acknowledged by max@desk: on my way" in compose(told(site), site.engine, site.now).body


def test_a_message_that_may_have_been_sent_says_so(site):
    site.run(60, finding())
    again = [replace(each, maybe_sent=True) for each in told(site)]
    body = compose(again, site.engine, time.time()).body
    assert body.startswith(
        "This may have been sent already: sending it was interrupted.\n\nIncident"
    )
