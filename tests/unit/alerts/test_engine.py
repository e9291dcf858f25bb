"""The engine, with a clock that is turned by hand."""

import json
import random
from collections import Counter
from dataclasses import asdict

import pytest

from hostmanager.alerts.model import (
    ROUTER,
    AlertSeverity,
    HostSilence,
    NoticeKind,
    Subject,
    alert_from_data,
    incident_from_data,
)
from hostmanager.alerts.rules import DEFAULT_FINDINGS, Rule, Rules
from tests.unit.alerts.alarm_site import CHIEF, ONCALL, STEP, AlarmSite, finding

ALARM, REPEAT, RECOVERY = NoticeKind.ALARM, NoticeKind.REPEAT, NoticeKind.RECOVERY
FAKE1 = Subject("daq1", "fake1")


@pytest.fixture
def site():
    return AlarmSite()


def test_a_finding_that_stays_is_told_once_and_its_end_once(site):
    assert site.run(10, finding()) == []
    assert [notice.kind for notice in site.run(300, finding())] == [ALARM]
    assert [notice.kind for notice in site.run(600)] == [RECOVERY]


def test_what_is_over_by_itself_is_not_told(site):
    site.run(10, finding())
    assert site.run(600) == []
    assert site.engine.state.alerts == {}


def test_a_crash_loop_is_one_alarm_and_one_recovery(site):
    for _ in range(20):
        site.run(5, finding())
        site.run(10)
    assert site.kinds() == [ALARM]
    site.run(120)
    assert site.kinds() == [ALARM, RECOVERY]


def test_what_fails_together_is_one_incident(site):
    many = [finding(f"fake{n}") for n in range(40)]
    site.run(5, *many[:20])
    site.run(60, *many)  # the others one look later
    assert site.kinds() == [ALARM]
    assert len(site.engine.alerts_of(1)) == 40
    site.run(100, *many[:1])
    assert site.kinds() == [ALARM]
    site.run(100)
    assert site.kinds() == [ALARM, RECOVERY]


def test_hosts_have_incidents_of_their_own_that_are_told_at_once(site):
    site.run(5, finding("fake1"))
    site.run(60, finding("fake1"), finding("fake2", "daq2"))
    assert len({at for at, _, _ in site.told}) == 1
    assert [notice.incident for _, _, notice in site.told] == [1, 2]
    site.run(120, finding("fake1"))
    assert [n.incident for _, _, n in site.told if n.kind is RECOVERY] == [2]


def test_what_may_last_for_hours_does_not_join_what_fires_now():
    slow = Rule(agents=("slow",), wait=7200, notify=("oncall",))
    site = AlarmSite(Rules((slow, Rule(notify=("oncall",))), (ONCALL,)))
    site.run(3600, finding("slow"))
    site.run(60, finding("slow"), finding("fake1"))
    assert [str(a.finding.subject) for a in site.engine.alerts_of(1)] == ["fake1 on daq1"]
    assert len(site.told) == 1


def test_a_dead_host_is_one_alarm_and_says_nothing_of_its_agents(site):
    site.run(60, finding("fake1"))
    host = finding("", kind="host", reason="no answer")
    site.run(600, host, unobserved=frozenset({"daq1"}))
    assert site.kinds() == [ALARM, ALARM]
    assert [str(a.finding.subject) for a in site.engine.alerts_of(2)] == ["host daq1"]
    site.run(600, finding("fake1"))
    assert site.kinds("oncall") == [
        ALARM,
        ALARM,
        RECOVERY,
        REPEAT,
    ]  # of the agent, since it is seen again


def test_without_a_router_nothing_is_known_of_hosts(site):
    site.run(60, finding())
    unknown = frozenset({"daq1", ""})
    router = finding("", "", "router", "no router answers")
    seen = site.run(600, router, unobserved=unknown, unobserved_hosts=frozenset({"daq1"}))
    assert [notice.incident for notice in seen] == [2]
    assert site.engine.state.alerts[ROUTER].firing


def test_it_is_repeated_at_growing_intervals_until_acknowledged(site):
    site.run(6 * 3600, finding())
    at = [when - site.told[0][0] for when, name, n in site.told if name == "oncall"]
    assert at == [0, 900, 4500, 18900]
    site.engine.acknowledge(1, "max@desk", "on my way")
    assert site.run(24 * 3600, finding()) == []
    site.run(300)
    assert site.told[-1][2].kind is RECOVERY
    assert site.engine.acknowledge(1, "max@desk", "too late") is None


def test_it_is_passed_on_when_nobody_acknowledges(site):
    site.run(1000, finding())
    assert [n.kind for _, name, n in site.told if name == "chief"] == [NoticeKind.ESCALATION]
    site.run(300)
    assert site.kinds("chief")[-1] is site.kinds("oncall")[-1] is RECOVERY


def test_an_acknowledged_one_is_not_passed_on(site):
    site.run(60, finding())
    site.engine.acknowledge(1, "max@desk", "on my way")
    site.run(5000, finding())
    site.run(300)
    assert site.kinds("chief") == []
    assert site.kinds("oncall") == [ALARM, RECOVERY]


def test_a_silence_mutes_and_its_end_does_not_tell_again(site):
    site.run(60, finding())
    silenced = {"silenced": frozenset({FAKE1}), "silences": {FAKE1: "by max: pump"}}
    site.run(7200, finding(), **silenced)
    assert site.kinds() == [ALARM, NoticeKind.SILENCE]
    site.run(60, finding())
    # Due long since: it is repeated, as what was known before.
    assert site.kinds("oncall") == [ALARM, *[NoticeKind.SILENCE] * 2, REPEAT]
    assert [n.text for _, _, n in site.told if n.text] == [
        "silenced: fake1 on daq1, by max: pump",
        "no longer silenced: fake1 on daq1",
    ]


def test_what_came_in_a_silence_and_stays_is_told_after_it(site):
    silenced = {"silenced": frozenset({FAKE1})}
    site.run(600, finding(), **silenced)
    assert site.run(10, finding()) == []
    assert [notice.kind for notice in site.run(60, finding())] == [ALARM]


def test_what_is_over_in_a_silence_is_told_as_over_after_it(site):
    site.run(60, finding())
    site.run(600, silenced=frozenset({FAKE1}))
    assert site.kinds() == [ALARM]
    site.run(120)
    assert site.kinds() == [ALARM, RECOVERY]


def test_a_host_that_is_away_can_be_silenced(site):
    site.engine.silence(HostSilence("daq1", (), site.now + 3600, "max@desk", "power"))
    host = finding("", kind="host")
    unobserved = {"unobserved": frozenset({"daq1"})}
    site.run(3590, host, **unobserved)
    assert site.kinds() == [NoticeKind.SILENCE]
    site.run(60, host, **unobserved)
    assert site.kinds() == [NoticeKind.SILENCE, NoticeKind.SILENCE, ALARM]


def test_what_becomes_worse_is_told_again_as_one(site):
    warning = Rule(findings=("agent-warning",), severity=AlertSeverity.WARNING, notify=("chief",))
    site = AlarmSite(Rules((warning, Rule(notify=("oncall",))), (ONCALL, CHIEF)))
    site.run(60, finding(kind="agent-warning"))
    site.run(60, finding())
    site.run(300)
    assert [(name, n.kind, n.critical) for _, name, n in site.told] == [
        ("chief", ALARM, False),
        ("oncall", ALARM, True),
        ("oncall", RECOVERY, True),
    ]


def test_the_first_rule_that_fits_counts():
    ignore = Rule(agents=("sim*",), severity=AlertSeverity.IGNORE)
    slow = Rule(hosts=("daq1",), wait=300, notify=("chief",))
    site = AlarmSite(Rules((ignore, slow, Rule(notify=("oncall",))), (ONCALL, CHIEF)))
    site.run(60, finding("sim1"), finding("fake1"), finding("fake2", "daq2"))
    assert [name for _, name, _ in site.told] == ["oncall"]
    site.run(300, finding("sim1"), finding("fake1"), finding("fake2", "daq2"))
    assert [name for _, name, _ in site.told] == ["oncall", "chief"]


def test_a_look_after_a_long_gap_does_not_fire_what_was_pending_before(site):
    site.run(5, finding())
    site.now += 3600
    assert site.run(5, finding()) == []
    assert [notice.kind for notice in site.run(60, finding())] == [ALARM]


def test_all_of_it_is_kept_as_json(site):
    site.run(60, finding(details=("a", "b")), finding("", kind="host-warning"))
    for alert in site.engine.state.alerts.values():
        assert alert_from_data(json.loads(json.dumps(asdict(alert)))) == alert
    for incident in site.engine.state.incidents.values():
        assert incident_from_data(json.loads(json.dumps(asdict(incident)))) == incident


@pytest.mark.parametrize("seed", range(3))
def test_a_day_of_random_faults(seed):
    """None for what stays 30 s: never. Two for one: never. One recovery for each."""
    rng = random.Random(seed)
    rule = Rule(findings=DEFAULT_FINDINGS, notify=("oncall",), repeat=())
    site = AlarmSite(Rules((rule,), (ONCALL,)))
    subjects = [Subject(f"daq{n % 3}", f"fake{n}") for n in range(12)]
    until = dict.fromkeys(subjects, 0.0)
    wrong = dict.fromkeys(subjects, False)
    since: dict[Subject, float] = {}
    for _ in range(1000):
        for subject in subjects:
            if site.now >= until[subject]:
                wrong[subject] = not wrong[subject] and rng.random() < 0.3
                until[subject] = site.now + rng.choice([5, 10, 40, 300])
        findings = [finding(s.agent, s.host) for s in subjects if wrong[s]]
        site.run(STEP, *findings)
        for subject in subjects:
            since[subject] = since.get(subject, site.now) if wrong[subject] else site.now
            if site.now - since[subject] >= 20:
                assert site.engine.state.alerts[subject].firing, subject
    site.run(600)
    counts = Counter((n.incident, n.kind) for _, _, n in site.told)
    incidents = {number for number, _ in counts}
    assert len(incidents) > 10
    assert all(counts[number, kind] == 1 for number in incidents for kind in (ALARM, RECOVERY))
    assert site.engine.state.alerts == {}
