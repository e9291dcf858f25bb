"""Which agents the page of the site shows, in which order, in which tables."""

from dataclasses import replace

import pytest

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.site_model import SiteHost
from hostmanager.client.status.model import AgentStatus, HostStatus, StatusSeverity
from hostmanager.web.views.site import SiteQuery, count_site, groups_of, read_query


def agent(host, name, severity=StatusSeverity.OK, reason="", **child) -> AgentStatus:
    state = child.pop("state", "up")
    data = {"instance_id": name, "agent_class": "Fake", "target_state": "up", **child}
    reasons = (reason,) if reason else ()
    return AgentStatus(host, name, data, None, state, severity, reasons)


def host(name, *agents, error=None) -> HostStatus:
    severity = StatusSeverity.ERROR if error else StatusSeverity.OK
    return HostStatus(SiteHost(name, f"hm-{name}", {}), error, "running", {}, agents, severity)


SILENT = ManagerError(FailureKind.TIMEOUT, "no answer")
SITE = [
    host(
        "daq1",
        agent("daq1", "acu", uptime=50, restarts=2),
        agent("daq1", "bad", StatusSeverity.INFO),
    ),
    host(
        "daq2",
        agent("daq2", "det/1", uptime=9, agent_class="Det[docker]"),
        agent("daq2", "crash", StatusSeverity.ERROR, "It exited with code 3", state="start_at"),
    ),
    host("daq3", agent("daq3", "lost", StatusSeverity.UNKNOWN, state="?"), error=SILENT),
    host("daq4"),
]


def shown(**query):
    groups = groups_of(SITE, read_query(query))
    return {group.key: [each.instance_id for each in group.agents] for group in groups}


def test_by_default_all_hosts_are_shown_and_what_is_wrong_comes_first():
    assert list(shown().items()) == [
        ("daq2", ["crash", "det/1"]),
        ("daq3", ["lost"]),
        ("daq1", ["bad", "acu"]),
        ("daq4", []),
    ]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "CODE 3"}, {"daq2": ["crash"]}),
        ({"q": "daq1 ac"}, {"daq1": ["acu"]}),
        ({"q": "docker"}, {"daq2": ["det/1"]}),
        ({"q": "there is none"}, {}),
        ({"show": "wrong"}, {"daq2": ["crash"]}),
        ({"show": "problems"}, {"daq2": ["crash"], "daq3": ["lost"]}),
        ({"show": "ok", "q": "daq1"}, {"daq1": ["bad", "acu"]}),
        ({"group": "none", "sort": "name"}, {"": ["acu", "bad", "crash", "det/1", "lost"]}),
        ({"group": "none", "sort": "uptime"}, {"": ["det/1", "acu", "bad", "crash", "lost"]}),
        ({"group": "none", "sort": "restarts"}, {"": ["acu", "bad", "det/1", "crash", "lost"]}),
        (
            {"group": "class", "sort": "site"},
            {"Det": ["det/1"], "Fake": ["acu", "bad", "crash", "lost"]},
        ),
        (
            {"group": "state"},
            {"restarting": ["crash"], "?": ["lost"], "up": ["bad", "acu", "det/1"]},
        ),
    ],
)
def test_the_address_selects(query, found):
    assert shown(**query) == found


def test_what_makes_no_sense_in_an_address_counts_as_not_given():
    assert read_query({"q": " ", "show": "x", "sort": "", "group": "<"}) == SiteQuery()
    assert len(read_query({"q": "x" * 5000}).q) == 200


def test_an_address_has_only_what_is_not_as_usual():
    query = read_query({"q": "acu", "sort": "name"})
    assert query.parameters() == {"q": "acu", "sort": "name"}
    assert query.parameters(sort="problems", show="wrong") == {"q": "acu", "show": "wrong"}


def test_the_counts_are_those_of_status():
    counts = count_site(SITE)
    assert counts.title == "1 host silent, 1 wrong, 1 unknown"
    assert (counts.hosts, counts.agents, counts.ok, counts.wrong, counts.unknown) == (4, 5, 3, 1, 1)
    assert counts.worst is StatusSeverity.ERROR
    assert count_site(SITE[:1]).title == "all OK"


def test_what_is_silenced_and_not_ok_does_not_count_as_ok():
    silenced = {"silenced": {"until": 9e9}}
    fine = agent("daq1", "acu", StatusSeverity.INFO, **silenced)
    failing = replace(
        agent("daq1", "crash", StatusSeverity.INFO, **silenced),
        severity_before_silence=StatusSeverity.ERROR,
    )
    counts = count_site([host("daq1", fine, failing)])
    assert (counts.title, counts.ok, counts.silenced) == ("1 silenced but not OK", 1, 2)
    assert count_site([host("daq1", fine)]).title == "all OK"
