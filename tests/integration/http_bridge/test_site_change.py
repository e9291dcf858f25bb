"""Any change as one thing, as the page carries it out: prepared, shown, done at each place."""

import argparse

import pytest
from tests.support.http_bridge import child, session
from tests.support.waiting import wait_for

from hostmanager.client.change.plan import Selection
from hostmanager.client.change.site_change import prepare_change
from hostmanager.client.errors import ClientError
from hostmanager.client.site_model import read_site
from hostmanager.web.jobs import Jobs, JobState

ORPHAN = {"compose_file": "/etc/c.yaml", "service": "ocs-old", "running_image": "old:1"}
FILES = {"[SCF]": [True, 1.0, "fine"], "/etc/c.yaml": [True, 1.0, "fine"]}
SILENCEABLE = {"silenced": None}


@pytest.fixture
def prepare(bridge, site_file):
    """Two hosts, and what prepares a change of them."""
    bridge.write(site_file, daq1=["a"], daq2=["b"], daq3=["c"])
    running = session(
        child("a", **SILENCEABLE), orphans={"c" * 64: ORPHAN}, config_parse_status=FILES
    )
    bridge.sessions["hm-daq1"] = {"manager": running}
    bridge.sessions["hm-daq2"] = {"manager": session(child("b", **SILENCEABLE))}
    site_options = dict.fromkeys(
        ("site_host", "site_hub", "site_http", "site_realm", "address_root", "site")
    )

    def go(action, **selection):
        args = argparse.Namespace(
            **site_options,
            site_file=str(site_file),
            **{"pattern": [], "host": None, "agent_class": None, "all": False},
            **{"selection": Selection.ALL, "answer_time": 5.0, "alerts_id": "alerts"},
            **{"privs": None, "password": "two", "requested_by": "ann (web)", "reason": "why"},
            **{"duration": 60.0, "incident": []},
        )
        vars(args).update(selection)
        return prepare_change(action, read_site(args), args)

    return go


def done(change):
    """Carry it out: state and text at each place."""
    running = change.start()
    running.execute(lambda: None)
    return {(r.host, r.name): (r.state, r.text.split(":")[0]) for r in running.rows()}


def texts(change):
    return [line.text for line in change.lines]


def test_images_are_pulled_where_there_are_compose_files(bridge, prepare):
    bridge.tasks["docker_pull"] = lambda *_: (True, "All images were pulled.", {})
    change = prepare("pull")
    assert change.title == "pull images on daq1"
    assert not change.stops.count
    assert done(change) == {
        ("daq3", ""): ("failed", "hm-daq3 is not at the router"),
        ("daq1", ""): ("done", "All images were pulled."),
    }


def test_orphans_are_removed_where_there_are_some_and_are_named_before(bridge, prepare):
    bridge.tasks["remove_orphans"] = lambda *_: (False, "ocs-old: denied.", {})
    change = prepare("orphans", host=["daq1", "daq2"])
    assert change.title == "stop and remove 1 orphaned container on daq1"
    assert change.stops.count == 1
    assert done(change) == {("daq1", ""): ("failed", "ocs-old")}
    other = dict(bridge.sessions["hm-daq1"]["manager"]["data"], orphans={"d" * 64: ORPHAN})
    bridge.sessions["hm-daq1"]["manager"]["data"] = other
    assert prepare("orphans", host=["daq1", "daq2"]).shown != change.shown


def test_managers_keep_silences_and_the_alarm_service_those_of_silent_hosts(bridge, prepare):
    asked = []
    bridge.tasks["silence"] = lambda who, given: asked.append((who, given)) or (True, "Kept.", {})
    change = prepare("silence", pattern=["a", "c"])
    assert texts(change) == ["would silence a on daq1"]
    assert "daq3 does not answer, and there is no alarm service" in change.notice
    bridge.sessions["alerts"] = {"alerts": {"status": "done"}}
    change = prepare("silence", pattern=["a", "c"])
    assert change.title == "silence a on daq1 and daq3"
    assert done(change) == {
        ("daq1", ""): ("done", "Kept."),
        ("daq3", "alarms"): ("done", "Kept."),
    }
    by_who = dict(asked)
    assert by_who["hm-daq1"] == {"instances": ["a"], "seconds": 60.0, "end": False}
    assert by_who["alerts"] == {
        **{"host": "daq3", "agents": ["c"], "seconds": 60.0, "end": False},
        **{"requested_by": "ann (web)", "reason": "why"},
    }
    assert {each[4] for each in bridge.asked} == {"two"}


def test_incidents_are_offered_and_acknowledged_by_number(bridge, prepare):
    with pytest.raises(ClientError, match="no alarm service"):
        prepare("ack")
    finding = {"instance_id": "a", "host": "daq1", "reason": "it is down"}
    incident = {
        **{"number": 17, "severity": "critical", "acknowledged_by": ""},
        "findings": [finding, {"instance_id": "", "host": "", "reason": "away"}],
    }
    bridge.sessions["alerts"] = {}
    bridge.tasks["alerts"] = lambda *_: (True, "", {"incidents": [incident], "now": 1.0})
    bridge.tasks["ack"] = lambda _who, given: (True, f"Acknowledged {given['incident']}.", {})
    text = "incident 17, critical: a on daq1: it is down; the router: away"
    offered = prepare("ack")
    assert (offered.choices, offered.start) == ([(17, text)], None)
    change = prepare("ack", incident=[17, 18])
    assert texts(change) == [text, "! incident 18 is not open (any more)"]
    assert change.title == "acknowledge incident 17"
    assert done(change) == {("alarms", "incident 17"): ("done", "Acknowledged 17.")}


def test_a_reload_says_what_it_stops_and_the_silent_host_is_a_failure(bridge, prepare):
    bridge.tasks["update"] = lambda *_: (True, "Read.", {})
    bridge.sessions["hm-daq1"]["manager"] = session(child("a"), child("gone"))
    change = prepare("reload")
    assert change.stops.action == "stop 1 agent on daq1"
    assert change.stops.needs_confirmation
    assert done(change)["daq1", ""] == ("done", "Read.")
    assert done(change)["daq3", ""] == ("failed", "hm-daq3 is not at the router")


def test_what_a_new_start_would_run_differently_is_restarted_without_being_named(bridge, prepare):
    changed = child("a", restart_required=True, message="The image has changed; restart it.")
    bridge.sessions["hm-daq1"]["manager"] = session(changed)
    change = prepare("restart", selection=Selection.OUTDATED)
    assert change.title == "restart a on daq1"
    assert "  a: The image has changed" in texts(change)


def test_agents_of_a_silent_host_are_refused_and_the_others_changed(bridge, prepare):
    def update(_who, given):
        state = given["requests"][0][1]
        changed = child("a", target_state=state, next_action=state)
        bridge.sessions["hm-daq1"]["manager"] = session(changed)
        return True, "", {}

    bridge.tasks["update"] = update
    change = prepare("down", pattern=["a", "c"])
    assert done(change) == {
        ("daq3", "c"): ("failed", "refused"),
        ("daq1", "a"): ("done", "down"),
    }
    with pytest.raises(ClientError, match="Name at least one agent"):
        prepare("down")


def test_what_was_only_stopped_to_be_restarted_is_started_when_the_server_ends(bridge, prepare):
    """Of a manager without an operation `restart`, the server is the one who remembers."""
    requested = []

    def update(_who, given):
        requested.extend(given["requests"])
        ending = child("a", target_state=given["requests"][0][1], next_action="wait_dead")
        bridge.sessions["hm-daq1"]["manager"] = session(ending)
        return True, "", {}

    bridge.tasks["update"] = update
    change = prepare("restart", pattern=["a"])
    jobs = Jobs()
    job = jobs.submit(change, change.start(), requester="ann", reason="", owner="")
    wait_for(lambda: requested == [["a", "down"]], 30, "the request")
    assert job.answered.wait(30)
    jobs.close(30)
    assert requested == [["a", "down"], ["a", "up"]]
    assert job.state is JobState.CANCELLED
    assert "It will be started when it has ended." in job.rows[0].text
    assert job.notices[1:] == ["Still stopping: a; it will be started afterwards."]
