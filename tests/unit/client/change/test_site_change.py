"""Which agents a change means."""

from dataclasses import replace
from types import SimpleNamespace

from tests.support.http_bridge import child, session

from hostmanager.client.change.site_change import select_exactly
from hostmanager.client.site_model import SiteEntry, SiteHost
from hostmanager.client.status.findings import build_host_status


def host(*children):
    entries = {each["instance_id"]: SiteEntry(each["instance_id"], "X") for each in children}
    return build_host_status(SiteHost("daq1", "hm-daq1", entries), session(*children))


def test_an_agent_that_is_named_with_its_host_means_none_of_that_name_elsewhere():
    here, there = host(child("a"), child("b")), host(child("a"), child("b"))
    there = SimpleNamespace(
        host=there.host, error=None, agents=[_on("daq2", agent) for agent in there.agents]
    )

    def select(exact, words):
        names = [name for _, name in exact]
        args = SimpleNamespace(exact=exact, pattern=[*names, *words], host=None, agent_class=None)
        return [(a.host, a.instance_id) for a in select_exactly([here, there], args)]

    assert select({("daq1", "a")}, []) == [("daq1", "a")]
    assert select({("daq1", "a")}, ["b*"]) == [("daq1", "a"), ("daq1", "b"), ("daq2", "b")]
    assert len(select(set(), ["a"])) == 2


def _on(name, agent):
    return replace(agent, host=name)
