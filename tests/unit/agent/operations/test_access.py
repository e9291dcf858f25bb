"""Who may call what, and what a refusal says."""

from types import SimpleNamespace
from typing import Any

import pytest
from ocs import access

from hostmanager.agent.operations.access import authorize, default_rules


def agent(policy: str, min_privs: int) -> Any:
    made = SimpleNamespace(
        instance_id="hm",
        class_name="HostManager",
        tasks={"update": SimpleNamespace(min_privs=access.CredLevel(min_privs))},
        processes={},
        access_data={"policy": policy.partition(":")[0], "update_count": 0},
    )
    made.access_config = access.agent_get_policy_default(policy)
    made.access_config.agent = access.AgentSpec("hm", "HostManager", superuser_key=made)
    return made


@pytest.mark.parametrize(
    ("password", "level", "is_allowed"),
    [
        ("two", 2, True),
        ("three", 3, True),
        ("wrong", 1, False),
        (None, 1, False),
        (["two"], 1, False),
    ],
)
def test_the_level_follows_from_the_password(password, level, is_allowed):
    result, reason = authorize(agent("override:two,three", 2), "update", password)
    assert (result, reason is None) == (level, is_allowed)


def test_a_number_is_a_password_as_well():
    assert authorize(agent("override:1234,three", 2), "update", 1234) == (2, None)


def test_a_refusal_names_the_level_and_how_to_get_it():
    _, reason = authorize(agent("override:two,three", 2), "update", None)
    assert "'update' needs credential level 2-ADVANCED; this client has 1-BASIC." in reason
    assert "OCSClient('hm', privs=2)" in reason


def test_a_site_without_a_policy_gives_every_client_level_1():
    made = agent("none", 2)
    made.access_config = default_rules(made)
    level, reason = authorize(made, "update", None)
    assert level == 1
    assert "The site has no access policy" in reason


def test_rules_that_make_no_sense_let_nobody_in(caplog):
    made = agent("override:two,three", 1)
    made.access_config.rules = [SimpleNamespace()]
    level, reason = authorize(made, "update", "two")
    assert level == 0
    assert "rules make no sense" in reason


def test_an_unknown_operation_is_left_to_ocs():
    assert authorize(agent("override:two,three", 2), "nothing", None) == (0, None)
