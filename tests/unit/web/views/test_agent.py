"""What the page of an agent says of it."""

from hostmanager.client.site_model import SiteEntry
from hostmanager.client.status.model import AgentStatus
from hostmanager.core.model import InstanceSettings, InstanceSpec
from hostmanager.web.views.agent import (
    facts,
    incidents_of,
    operations,
    seconds_to_next_attempt,
    settings,
)

NOW = 1_700_000_000.0


def agent(**child):
    base = {"agent_class": "ACUAgent", "target_state": "up", "next_action": "up"}
    return AgentStatus("daq1", "acu", base | child, None, "up", now=NOW)


def test_facts_are_sentences_with_units_and_what_is_not_known_is_left_out():
    known = dict(
        facts(
            agent(
                pid=17,
                uptime=125.0,
                restarts=3,
                stability=0.5,
                health="no_heartbeat",
                heartbeat_age=21.0,
                target_source="request",
                target_by="ann@desk",
                target_since=NOW - 60,
                target_reason="tests",
                resources={"cpu": 0.25, "memory": 52_000_000, "threads": 7, "processes": 2},
                arguments=["--mode", ""],
                process_state="stopped",
                waiting_for=["a/1", "b"],
            ),
            NOW,
        )
    )

    assert known["running"] == "pid 17, for 2 m 05 s"
    assert known["health"] == "no heartbeat, latest heartbeat 21 s ago"
    assert known["restarts"] == "3, stability 0.50 (1 is best)"
    assert known["target"].startswith("up, requested by ann@desk 1 m 00 s ago (")
    assert known["target"].endswith("): tests")
    assert known["uses now"] == "25.0 % of a core, 52.0 MB memory, 2 processes, 7 threads"
    assert known["arguments"] == "--mode ''"
    assert known["process"] == "stopped"
    assert known["waits for"] == "a/1, b"
    assert dict(facts(AgentStatus("daq1", "acu", None, SiteEntry("acu", "X")), NOW)) == {
        "class": "X",
        "site config": "manage: ignore",
    }


def test_the_countdown_is_by_the_managers_clock_and_the_age_of_its_answer():
    assert seconds_to_next_attempt(agent(next_attempt_at=NOW + 10), age=4.0) == 6.0
    assert seconds_to_next_attempt(agent(next_attempt_at=NOW + 1), age=4.0) == 0.0
    assert seconds_to_next_attempt(agent(), age=0.0) is None


def test_the_operations_that_failed_stand_first():
    shown = operations(agent(operations={"a": "idle", "b": "running", "c": "failed"}))

    assert shown == [("c", "failed", "wrong"), ("b", "running", "ok"), ("a", "idle", "note")]


def test_settings_are_those_in_effect_with_their_unit():
    spec = InstanceSpec("acu", "A", settings=InstanceSettings(environment=(("TOKEN", "hush"),)))
    of_entry = AgentStatus("daq1", "acu", None, SiteEntry("acu", "A", spec))
    reported = agent(settings={"stop-timeout": 30.0, "memory-max": 1 << 29, "after": ["a", "b"]})

    rows = {row.key: row.value for row in settings(reported) if not row.is_default}

    assert rows == {"stop-timeout": "30 seconds", "memory-max": "512M", "after": "a, b"}
    assert next(row.value for row in settings(of_entry)) == "1 variable: TOKEN"
    assert settings(agent()) == []  # of other managers


def test_an_incident_says_who_has_acknowledged_it():
    finding = {"host": "daq1", "instance_id": "acu"}
    status = {
        "incidents": [
            {
                "number": 3,
                "findings": [finding],
                "acknowledged_by": "ann",
                "acknowledged_reason": "on it",
            },
            {"number": 4, "findings": [finding], "acknowledged_by": ""},
            {"number": 5, "findings": [finding | {"host": "daq2"}]},
        ]
    }

    assert incidents_of(status, "daq1", "acu") == [
        ("3", "acknowledged by ann: on it"),
        ("4", "not acknowledged"),
    ]
