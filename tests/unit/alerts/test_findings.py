"""From what managers answer to findings: one that answers nonsense costs its own host alone."""

import pytest

from hostmanager.alerts.engine import AlertEngine, EngineState
from hostmanager.alerts.findings import observe
from hostmanager.alerts.model import Subject
from hostmanager.alerts.rules import Rule, Rules
from hostmanager.client.site_model import Site, SiteEntry, SiteHost
from tests.unit.alerts.alarm_site import ONCALL

WRONG = {"instance_id": "a", "agent_class": "A", "target_state": "up", "next_action": "down"}


def site_of(*names):
    entries = {"a": SiteEntry("a", "A")}
    return Site("site.yaml", None, {n: SiteHost(n, f"hm-{n}", entries) for n in names})


def session(*children, **data):
    data = {"config_parse_status": {}, "orphans": {}, "new_tags": {}, **data}
    return {"status": "running", "data": {"child_states": list(children), **data}, "messages": []}


def test_an_agent_that_is_not_at_its_target_is_a_finding():
    seen = observe(site_of("daq1"), {"daq1": session(WRONG)}, None)
    assert [finding.subject for finding in seen.findings] == [Subject("daq1", "a")]


@pytest.mark.parametrize(
    "nonsense",
    [
        session({**WRONG, "last_exit": [1]}),
        session({**WRONG, "off_target_since": 1e300}),
        session({**WRONG, "silenced": 3}),
        session("a", None),
        session({**WRONG, "instance_id": ["x"]}),
        session({**WRONG, "agent_class": 7}),
        session({**WRONG, "message": 7}),
        session({**WRONG, "health": [], "next_action": "up"}),
        session(child_states=7),
        session(config_parse_status=[1]),
        {"status": "running", "data": [1]},
        {},
    ],
)
def test_a_manager_that_answers_nonsense_costs_its_own_host_alone(nonsense):
    sessions = {"daq1": nonsense, "daq2": session(WRONG)}
    seen = observe(site_of("daq1", "daq2"), sessions, None)
    assert Subject("daq2", "a") in [finding.subject for finding in seen.findings]
    rule = Rule(notify=("oncall",), classes=("x*",))
    engine = AlertEngine(Rules((rule,), (ONCALL,)), EngineState(), lambda *_: None)
    engine.step(seen, 1_000_000.0)
    hosts = {finding.subject.host for finding in seen.findings}
    assert "daq1" in hosts or "daq1" in seen.unobserved
