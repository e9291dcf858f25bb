"""What is shown of a site while it is followed: what counts as a change, and what is kept."""

import math

import pytest
from tests.support.http_bridge import child, session

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.site_model import Site, SiteEntry, SiteHost
from hostmanager.client.status.model import StatusSeverity
from hostmanager.client.watch.host_board import MEASURED_INTERVAL, HeardAgent, HostBoard
from hostmanager.core.model import InstanceSpec

ABSENT = ManagerError(FailureKind.NOT_REGISTERED, "hm-daq1 is not at the router")


def host(name, *ids, manager=True):
    entries = {i: SiteEntry(i, "FakeDataAgent", InstanceSpec(i, "FakeDataAgent")) for i in ids}
    return SiteHost(name, f"hm-{name}" if manager else None, entries)


def site(*hosts):
    return Site("site.yaml", None, {each.name: each for each in hosts})


@pytest.fixture
def board():
    board = HostBoard(site(host("daq1", "a"), host("daq2", "b"), host("daq3", "c", manager=False)))
    board.update({"daq1": (session(child("a")), 1.0), "daq2": (session(child("b")), 1.5)}, 2.0)
    return board


def agents(board, name):
    (status,) = [each for each in board.hosts if each.host.name == name]
    return {agent.instance_id: agent for agent in status.agents}


def test_before_the_first_answer_nothing_is_known():
    board = HostBoard(site(host("daq1", "a"), host("daq3", "c", manager=False)))
    assert agents(board, "daq1")["a"].severity is StatusSeverity.UNKNOWN
    assert board.age("daq1", 1.0) == math.inf
    assert board.age("daq3", 1.0) == 0.0
    assert board.changed_since(0) == {"daq1", "daq3"}


def test_a_change_is_of_its_host(board):
    before = board.version
    board.update({"daq1": (session(child("a", next_action="start_at")), 3.0)}, 3.1)
    assert board.version == before + 1
    assert board.changed_since(before) == {"daq1"}
    assert agents(board, "daq1")["a"].state == "start_at"
    assert (board.age("daq1", 4.0), board.age("daq2", 4.0)) == (1.0, 2.5)


def test_what_is_only_measured_is_no_change_for_a_while(board):
    before = board.version
    measured = {"uptime": 5.0, "resources": {"cpu": 1.0}, "heartbeat_age": 0.4}
    board.update({"daq1": (session(child("a", **measured), now=7.0), 3.0)}, 3.1)
    assert board.version == before
    assert agents(board, "daq1")["a"].get("uptime") == 5.0
    at = 3.1 + MEASURED_INTERVAL
    board.update({"daq1": (session(child("a", uptime=9.0)), at)}, at)
    assert board.changed_since(before) == {"daq1"}


@pytest.mark.parametrize(("attempt", "changes"), [(100.2000001, False), (110.2, True)])
def test_when_it_is_started_again_is_no_news_by_its_microseconds(board, attempt, changes):
    board.update({"daq1": (session(child("a", next_attempt_at=100.2)), 3.0)}, 3.1)
    before = board.version
    board.update({"daq1": (session(child("a", next_attempt_at=attempt)), 4.0)}, 4.1)
    assert (board.version > before) == changes


def test_a_silent_host_keeps_its_agents_but_nobody_knows_how_they_are(board):
    board.update({"daq1": (session(child("a"), child("unasked")), 3.0)}, 3.1)
    before = board.version
    board.update({"daq1": (ABSENT, 5.0)}, 5.1)
    known = agents(board, "daq1")
    assert {name: (each.state, each.severity) for name, each in known.items()} == {
        "a": ("up", StatusSeverity.UNKNOWN),
        "unasked": ("up", StatusSeverity.UNKNOWN),
    }
    assert board.age("daq1", 6.0) == 3.0
    assert board.asked_at("daq1") == 5.0
    assert board.changed_since(before) == {"daq1"}
    board.update({"daq1": (ABSENT, 8.0)}, 8.1)
    assert board.version == before + 1


def test_who_waits_for_an_agent_of_another_host_changes_that_host_too(board):
    before = board.version
    board.update({"daq1": (session(child("a", next_action="start", waiting_for=["b"])), 3.0)}, 3.1)
    assert board.changed_since(before) == {"daq1", "daq2"}
    assert "a (host daq1) waits for it" in agents(board, "daq2")["b"].reasons


def test_an_agent_that_runs_on_two_hosts_changes_both_as_long_as_both_are_known(board):
    board.update({"daq1": (session(child("a", pid=7)), 3.0)}, 3.1)
    before = board.version
    board.update({"daq2": (session(child("b"), child("a", pid=8)), 4.0)}, 4.1)
    assert board.changed_since(before) == {"daq1", "daq2"}
    assert "it runs on daq2, too" in agents(board, "daq1")["a"].reasons[0]
    board.update({"daq1": (ABSENT, 5.0)}, 5.1)
    assert not any("too" in reason for reason in agents(board, "daq2")["a"].reasons)
    assert board.changed_since(before + 1) == {"daq1", "daq2"}


def test_another_site_config_keeps_what_is_known(board):
    before = board.version
    board.set_site(site(host("daq1", "a"), host("daq4", "d")), 3.0)
    assert [status.host.name for status in board.hosts] == ["daq1", "daq4"]
    assert agents(board, "daq1")["a"].severity is StatusSeverity.OK
    assert board.age("daq1", 3.0) == 2.0
    assert {"daq2", "daq3", "daq4"} <= board.changed_since(before)
    assert "daq1" not in board.changed_since(before)


def test_the_version_of_an_earlier_server_is_of_no_use(board):
    assert board.changed_since(board.version + 7) == {"daq1", "daq2", "daq3"}


def test_who_beats_and_belongs_to_no_manager_is_named_with_the_host_of_its_entry(board):
    board.update({"daq2": (ABSENT, 3.0)}, 3.0)
    heard = dict.fromkeys(("a", "b", "c", "hm-daq1", "registry"), "Some")
    assert board.unmanaged(heard) == [
        HeardAgent("c", "Some", "daq3"),
        HeardAgent("registry", "Some"),
    ]
