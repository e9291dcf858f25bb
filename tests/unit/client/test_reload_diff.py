"""What a reload would do: what is new, gone, changed from what to what, and what comes of it."""

import pytest
from tests.support.http_bridge import child, session

from hostmanager.client.change.reload_plan import SiteChanges
from hostmanager.client.reload_diff import reload_changes
from hostmanager.client.site_model import SiteHost
from hostmanager.siteconfig.site_file import load_all_hosts

SITE = """\
hub: {wamp_server: ws://localhost:8001/ws, wamp_realm: r, address_root: obs}
hosts:
  daq1:
    agent-instances:
"""


@pytest.fixture
def changes(tmp_path):
    def of(entries, *children, status="running"):
        path = tmp_path / "site.yaml"
        path.write_text(SITE + "".join(f"      - {entry}\n" for entry in entries))
        file = load_all_hosts(path)["daq1"]
        host = SiteHost("daq1", "hm-daq1", {}, file.diagnostics, file)
        return reload_changes(host, session(*children, status=status))

    return of


def entry(name="a", agent_class="FakeDataAgent", manage="host/up", arguments=""):
    return (
        f"{{instance-id: {name}, agent-class: {agent_class}, manage: {manage}, "
        f"arguments: [{arguments}]}}"
    )


def known(name="a", **more):
    return child(name, **{"manage": "host/up", "arguments": [], "fingerprint": "old", **more})


DOWN = {"target_state": "down", "next_action": "down"}


@pytest.mark.parametrize(
    ("manage", "text", "effect"),
    [
        ("host/up", "new: FakeDataAgent (host/up): would be started", "start"),
        ("host/down", "new: FakeDataAgent (host/down): would be added, and left down", "none"),
    ],
)
def test_a_new_entry_is_started_unless_it_says_down(changes, manage, text, effect):
    (change,) = changes([entry(manage=manage)])
    assert (change.what, change.text, change.effect, change.stops) == ("add", text, effect, False)


def test_an_entry_that_is_gone_is_stopped_if_it_runs(changes):
    running, down = changes(
        [entry("b")], known("b", fingerprint=None), known("a"), known("c", **DOWN)
    )
    assert (running.instance_id, running.effect, running.stops) == ("a", "stop", True)
    assert running.text == "gone: FakeDataAgent (host): would be stopped and removed"
    assert (down.instance_id, down.effect, down.stops) == ("c", "none", False)
    assert down.text == "gone: FakeDataAgent (host): is down; would be removed"


@pytest.mark.parametrize(
    ("state", "manage", "end", "effect"),
    [
        ({}, "host/up", "would be stopped, and started as Other", "restart"),
        ({}, "host/down", "would be stopped, and left down", "stop"),
        (DOWN, "host/up", "is down and left down", "none"),  # somebody put it down
        (
            {**DOWN, "manage": "host/down", "target_source": "config"},
            "host/up",
            "is down and started as Other",
            "start",
        ),
    ],
)
def test_another_class_ends_what_runs_first(changes, state, manage, end, effect):
    (change,) = changes([entry(agent_class="Other", manage=manage)], known(**state))
    assert change.text == f"FakeDataAgent (host) → Other (host): {end}"
    assert (change.what, change.effect) == ("replace", effect)
    assert change.stops == (state == {})


def test_changed_arguments_are_named_from_what_to_what(changes):
    (change,) = changes([entry(arguments="--rate, 2")], known(arguments=["--rate", "1"]))
    assert change.text == (
        "arguments: --rate 1 → --rate 2: would keep running as it is; needs a restart"
    )
    assert (change.what, change.effect) == ("change", "needs restart")
    assert change.as_json()["changed"] == [
        {"name": "arguments", "before": "--rate 1", "after": "--rate 2"}
    ]
    (change,) = changes([entry(arguments="--rate, 2")], known(**DOWN))
    assert change.text == "arguments: none → --rate 2: takes effect when it is started next"


def test_another_manage_leaves_the_target_as_it_is(changes):
    (change,) = changes([entry(manage="host/down")], known(fingerprint=None))
    assert change.text == "manage: host/up → host/down: its target is left as it is (up)"
    assert (change.effect, change.stops) == ("keep", False)


def test_of_a_manager_that_tells_no_arguments_only_the_difference_is_known(changes):
    (change,) = changes([entry(arguments="1")], child("a", fingerprint="old"))
    assert change.text.startswith("other settings, of the entry, its host or the hub: would keep")


def test_a_secret_in_the_arguments_is_not_shown(changes):
    (change,) = changes(
        [entry(arguments="--password, new")], known(arguments=["--password", "***"])
    )
    assert "new" not in change.text


def test_a_broken_entry_stops_nothing(changes):
    differences = changes(
        ["{instance-id: a}", entry("b")], known("a"), known("b", fingerprint=None)
    )
    assert [change.what for change in differences] == ["broken"]
    assert SiteChanges({"daq1": differences}).stops.count == 0


def test_what_the_reloads_of_all_hosts_stop_is_counted(changes):
    differences = changes([entry("b", agent_class="Other")], known("a"), known("b"))
    assert SiteChanges({"daq1": differences, "daq2": []}).stops.action == "stop 2 agents on daq1"
