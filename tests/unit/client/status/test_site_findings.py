"""What only a look at all hosts together shows."""

from tests.support.http_bridge import child, session

from hostmanager.client.site_model import SiteHost
from hostmanager.client.status.findings import build_host_status
from hostmanager.client.status.model import StatusSeverity
from hostmanager.client.status.site_findings import compare_hosts


def host(name, *children):
    return build_host_status(SiteHost(name, f"hm-{name}", {}), session(*children))


def test_who_is_waited_for_says_so_also_for_other_hosts():
    waiting = {"next_action": "start", "waiting_for": ["registry", "db"]}
    near = host("near", child("db"), child("pump", **waiting), child("gui", **waiting))
    far = host("far", child("registry", next_action="wait_start"))
    hosts = compare_hosts([near, far])
    reasons = {agent.instance_id: agent.reasons for each in hosts for agent in each.agents}
    assert reasons["db"][-1] == "pump, gui wait for it"
    assert reasons["registry"][-1] == "pump (host near), gui (host near) wait for it"
    assert not any("for it" in text for text in reasons["pump"])


def test_an_agent_that_runs_on_two_hosts_is_named_on_both():
    old = host("daq1", child("acu", pid=7), child("det", pid=8))
    new = host("daq2", child("acu", pid=9), child("gone", pid=None))
    for status, other in zip(compare_hosts([old, new]), ("daq2", "daq1"), strict=True):
        acu = status.agents[0]
        assert acu.severity >= StatusSeverity.WARNING
        assert acu.reasons[0] == (
            f"it runs on {other}, too, and the router takes one agent of an id"
        )
        assert not any("too" in reason for reason in status.agents[1].reasons)


def test_one_that_runs_on_one_host_or_is_only_a_service_may_be_on_two():
    agents = [child("acu", pid=7), child("web", agent_class="[docker]", container="c1")]
    others = [child("acu", pid=None), child("web", agent_class="[docker]", container="c2")]
    hosts = [host("daq1", *agents), host("daq2", *others)]
    assert compare_hosts(hosts) == hosts
