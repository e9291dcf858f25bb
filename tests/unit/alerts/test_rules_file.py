"""The rules: what is read, and what is refused, with its line and the right form."""

from datetime import time

import pytest

from hostmanager.alerts.model import AlertSeverity
from hostmanager.alerts.rules_file import read_rules
from hostmanager.siteconfig.diagnostics import SiteFileError
from tests.unit.alerts.alarm_site import finding

RECEIVERS = "receivers:\n  oncall: {urls: ['json://u:secretpw@h/path']}\n"


@pytest.fixture
def read(tmp_path):
    def go(text, **environ):
        path = tmp_path / "alerts.yaml"
        path.write_text(text)
        return read_rules(path, environ)

    return go


def problems(read, text, **environ):
    with pytest.raises(SiteFileError) as refused:
        read(text, **environ)
    return str(refused.value).replace(refused.value.diagnostics[0].file, "F")


def test_receivers_alone_are_enough(read):
    rules = read(RECEIVERS).rules
    rule = rules.rule_for(finding())
    assert (rule.notify, rule.severity, rule.wait) == (("oncall",), AlertSeverity.CRITICAL, 15.0)
    assert rules.rule_for(finding("", "", "router"))
    assert rules.rule_for(finding(kind="agent-warning")) is None


def test_all_that_can_be_written(read, tmp_path):
    (tmp_path / "url").write_text("ntfy://topic-s3cr3t\n")
    rules = read(
        """\
receivers:
  oncall: {urls: [!file url, !env MAIL], quiet: "22:00-07:00", limit: 3, silences: true}
  chief: {urls: mailto://chief}
notify: [oncall, chief]
repeat: [10m]
escalate-after: 5m
rules:
  - {agents: "sim*", severity: ignore}
  - {findings: agent-warning, hosts: [daq1], classes: "Det*", severity: warning, for: 2h}
  - {agents: [det1], for: 0, notify: chief, repeat: [], over-after: 10}
""",
        MAIL="mailto://u:p@h",
    ).rules
    oncall = rules.receivers[0]
    assert list(oncall.urls) == ["ntfy://topic-s3cr3t", "mailto://u:p@h"]
    assert "s3cr3t" not in repr(rules)
    assert (oncall.quiet.begin, oncall.quiet.end) == (time(22), time(7))
    assert (oncall.limit, oncall.silences, oncall.services) == (3, True, "ntfy, mailto")
    assert rules.rule_for(finding("sim1", kind="agent-warning")) is None
    warned = rules.rule_for(finding(kind="agent-warning", agent_class="DetAgent"))
    assert (warned.severity, warned.wait) == (AlertSeverity.WARNING, 7200.0)
    assert rules.rule_for(finding("det1")).repeat == ()
    other = rules.rule_for(finding("fake1"))
    assert (other.notify, other.repeat, other.escalate_after) == (
        ("oncall", "chief"),
        (600.0,),
        300.0,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "F: there is nothing in it. Write, for example:\nreceivers:"),
        ("rules: []\n", "F:1:1: there are no receivers, so nobody is notified. Write:"),
        ("receivers: [a]\n", "F:1:12: 'receivers' is a list, which makes no sense. Write names"),
        ("receivers:\n  a: {}\n", "F:2:6: receiver 'a' has no 'urls'. Write:"),
        (
            "receivers:\n  a: {urls: []}\n",
            "is empty, so nobody is notified. Write a URL of apprise.",
        ),
        (RECEIVERS + "rulez: []\n", "F:3:1: the file has no key 'rulez'. Did you mean 'rules'?"),
        (
            RECEIVERS + "notify: onkall\n",
            "F:3:9: 'notify' of the file names 'onkall', which is unknown. Did you mean 'oncall'?",
        ),
        (
            RECEIVERS + "rules:\n- {findings: agents}\n",
            "F:4:14: 'findings' of the rule on line 4 "
            "names 'agents', which is unknown. Did you mean 'agent'?",
        ),
        (
            RECEIVERS + "rules:\n- {for: soon}\n",
            "F:4:9: 'for' of the rule on line 4 is 'soon', "
            "which makes no sense. Write a duration of at most a day: 30s, 10m or 2h.",
        ),
        (
            "receivers:\n  a: {urls: [x://y, x://z]}\n  a 2: {urls: x://y}\n",
            "F:3:3: receiver 'a 2' is called as URL 2 of 'a' is. Give it another name.",
        ),
        (RECEIVERS + "notify: []\n", "F:3:9: 'notify' of the file is empty. Name at least one, or"),
        (
            RECEIVERS + "rules:\n- {agents: []}\n",
            "F:4:12: 'agents' of the rule on line 4 is empty.",
        ),
        (RECEIVERS + "repeat: [0]\n", "Write a list of durations, such as [15m, 1h, 4h]"),
        (RECEIVERS + "rules: {a: b}\n", "Write a list"),
        (RECEIVERS + "rules:\n- severity: bad\n", "Write critical, warning or ignore."),
        (
            "receivers:\n  a: {urls: x://y, quiet: 22-7}\n",
            'Write the hours of this machine in quotes: "22:',
        ),
        (
            "receivers:\n  a: {urls: x://y, quiet: '25:00-26:00'}\n",
            "F:2:27: 'quiet' of receiver 'a'",
        ),
        ("receivers:\n  a: {urls: x://y, limit: 0}\n", "Write a whole number from 1 to 1000"),
        ("receivers:\n  a: {urls: x://y, silences: 3}\n", "Write true or false."),
        (
            "receivers:\n  a: {urls: !file nothing-there}\n",
            "nothing-there cannot be read: No such file",
        ),
        ("receivers:\n  a: {urls: !env NOT_SET}\n", "the variable NOT_SET is not set. Set it for"),
        ("receivers:\n  a: {urls: !secret x}\n", "F:2:13:"),
        ("receivers: [\n", "F:"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(read, text, expected):
    assert expected in problems(read, text)


@pytest.mark.parametrize("url", ["s3cr3t", "mailto:s3cr3t", "my s3cr3t://x", "://s3cr3t"])
def test_a_wrong_url_is_not_shown(read, url):
    text = problems(read, f"receivers:\n  a: {{urls: ['{url}']}}\n")
    assert "F:2:14: URL 1 of receiver 'a' makes no sense. Write SCHEME://…, such as mailto:" in text
    assert "s3cr3t" not in text
    assert "s3cr3t" not in problems(read, "receivers:\n  a: {urls: !env U}\n", U=url)
