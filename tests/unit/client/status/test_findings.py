"""What managers report: one that sends invalid data costs its own host alone."""

import pytest
from tests.support.http_bridge import child, session

from hostmanager.client.site_model import SiteEntry, SiteHost
from hostmanager.client.status.findings import build_host_status
from hostmanager.client.status.site_findings import compare_hosts

HOST = SiteHost("daq1", "hm-daq1", {"a": SiteEntry("a", "FakeDataAgent")})


@pytest.mark.parametrize("data", [{"child_states": 7}, {"config_parse_status": [1]}, [1]])
def test_invalid_data_is_an_error_of_its_host(data):
    status = build_host_status(HOST, {"status": "running", "data": data})
    assert "its manager sent invalid data (" in str(status.error)
    assert [agent.instance_id for agent in status.agents] == ["a"]


def test_for_whom_an_agent_waits_may_be_anything():
    status = build_host_status(HOST, session(child("a", waiting_for=7)))
    assert compare_hosts([status]) == [status]


@pytest.mark.parametrize(
    ("health", "severity"),
    [("starting", "wrong"), ("ok", "warning"), ("unknown", "warning"), (None, "warning")],
)
def test_one_that_died_is_wrong_until_it_has_registered_again(health, severity):
    status = build_host_status(HOST, session(child("a", stability=0.2, health=health)))
    (agent,) = status.agents
    assert agent.severity.word == severity
    assert ("has not registered since" in agent.reasons[0]) == (severity == "wrong")


def test_what_a_manager_cannot_write_is_a_warning_of_its_host():
    faults = ["The journal j cannot be written: database or disk is full."]
    status = build_host_status(HOST, session(child("a"), own_faults=faults, not_kept="Not kept."))
    assert (status.severity.word, status.reasons) == ("warning", ("Not kept.", *faults))
