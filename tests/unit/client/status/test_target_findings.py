"""A target against the site config is shown with age, author and reason, by the manager's clock."""

import pytest
from tests.support.http_bridge import child

from hostmanager.client.site_model import SiteEntry
from hostmanager.client.status.model import StatusSeverity
from hostmanager.client.status.target_findings import by_hand, overdue
from hostmanager.core.model import InstanceSpec, Kind, Target

NOW = 1_700_000_000.0
DOWN = {"target_state": "down", "next_action": "down"}
ANN = {"target_source": "request", "target_by": "ann@control", "target_since": NOW - 3 * 3600 - 9}


def entry(target: Target) -> SiteEntry:
    return SiteEntry("a", "FakeDataAgent", InstanceSpec("a", "FakeDataAgent", Kind.HOST, target))


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "stopped by hand (config: up)"),  # a manager that tells no more
        (ANN, "stopped by hand 3 h ago by ann@control (config: up)"),
        (
            {**ANN, "target_reason": "pump exchange"},
            "stopped by hand 3 h ago by ann@control (config: up): pump exchange",
        ),
        (
            {"target_source": "request", "target_since": NOW - 5},
            "stopped by hand just now (config: up)",
        ),
        ({"target_source": "option"}, "down by its manager's option --initial-state (config: up)"),
        ({"target_source": "config"}, "left down by the reload that read its entry (config: up)"),
    ],
)
def test_stopped_against_the_site_config_is_a_warning(more, text):
    finding = by_hand(child("a", **DOWN, **more), entry(Target.UP), NOW)
    assert finding == (StatusSeverity.WARNING, text)


def test_started_against_it_is_a_note():
    finding = by_hand(child("a", **ANN), entry(Target.DOWN), NOW)
    text = "started by hand 3 h ago by ann@control (config: down)"
    assert finding == (StatusSeverity.INFO, text)


def test_nothing_is_said_where_they_agree_or_nobody_manages_it():
    assert by_hand(child("a", **ANN), entry(Target.UP), NOW) is None
    assert by_hand(child("a", target_state="passive"), None, NOW) is None


@pytest.mark.parametrize(
    ("target", "age", "finding"),
    [
        ("up", None, None),
        ("up", 59, None),
        ("up", 61, "not up for 1 min"),
        ("up", 12 * 60 + 5, "not up for 12 min"),
        ("down", 2 * 86400, "not down for 2 d"),
        ("passive", 500, None),
    ],
)
def test_more_than_a_minute_off_the_target_is_wrong(target, age, finding):
    since = None if age is None else NOW - age
    overdue_finding = overdue(child("a", target_state=target, off_target_since=since), NOW)
    assert overdue_finding == (None if finding is None else (StatusSeverity.ERROR, finding))


def test_one_that_was_given_up_says_so_itself():
    given_up = child("a", next_action="down", given_up=True, off_target_since=NOW - 300)
    assert overdue(given_up, NOW) is None
