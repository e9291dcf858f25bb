"""What the on-call person and the dashboards get, by real Prometheus, Alertmanager and InfluxDB.

One site is started, an agent of it breaks and is mended; all tests look at what that left.
"""

import json
import math
import subprocess
import time
from collections.abc import Iterator

import pytest

from hostmanager.integrations import DIRECTORY, INTEGRATIONS
from tests.integration.monitoring import scenario
from tests.integration.monitoring.scenario import Watched, recorded
from tests.support.monitoring import program


def queries(name: str, field: str) -> list[tuple[str, str]]:
    """Title of the panel and text of each query of a dashboard."""
    panels = json.loads(INTEGRATIONS[name].read())["panels"]
    return [(p["title"], target[field]) for p in panels for target in p.get("targets", ())]


@pytest.fixture(scope="module")
def began() -> float:
    return time.time()


@pytest.fixture(scope="module")
def world(began, tmp_path_factory, no_router_is_left) -> Iterator[Watched]:
    """A site, watched, in which an agent broke and was mended."""
    for name in ("prometheus", "prometheus-alertmanager", "influxd"):
        program(name)
    with scenario.watched(tmp_path_factory.mktemp("watched")) as world:
        scenario.break_and_mend(world)
        yield world


def test_the_rules_and_their_unit_tests_are_right():
    promtool = program("promtool")
    for words in (
        ["check", "rules", "hostmanager.rules.yml"],
        ["test", "rules", "hostmanager.rules.test.yml"],
    ):
        done = subprocess.run(
            [promtool, *words], cwd=DIRECTORY, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_has_nothing_to_say_of_a_real_page(world):
    text = world.scrape()
    words = [program("promtool"), "check", "metrics"]
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert 'hostmanager_agent_exits_total{agent="acu-1",reason="error"}' in text
    assert 'hostmanager_request_duration_seconds_count{operation="update",result="done"}' in text


def test_the_message_says_what_where_and_what_to_do_and_another_one_that_it_is_over(world):
    told = world.receiver.of("AgentNotAtTarget", "acu-1")
    firing = next(alert for alert in told if alert["status"] == "firing")
    assert firing["labels"]["instance"] in world.page
    assert firing["annotations"]["summary"].startswith("acu-1 on 127.0.0.1:")
    assert "hostmanager logs acu-1" in firing["annotations"]["description"]
    resolved = told[-1]
    assert resolved["status"] == "resolved"
    assert resolved["startsAt"] in [alert["startsAt"] for alert in told[:-1]]
    assert "odd,id=1" not in {alert["labels"].get("agent") for alert in world.receiver.alerts}


def test_every_query_of_the_dashboard_for_prometheus_gives_data(world, began):
    asked = queries("grafana", "expr")
    results = {q: scenario.ask_range(world, q, began, time.time()) for _, q in asked}
    empty = [
        title
        for title, query in asked
        if not any(
            math.isfinite(float(value))
            for series in results[query]
            for _, value in series["values"]
        )
    ]
    assert len(asked) > 20
    assert empty == []
    hosts = world.prometheus.get(
        "/api/v1/label/instance/values", **{"match[]": "hostmanager_supervising"}
    )
    assert len(hosts["data"]) == 1


def test_every_query_of_the_dashboard_for_influxdb_gives_data(world, began):
    asked = queries("influxdb", "query")
    results = {query: scenario.select_range(world, query, began) for _, query in asked}
    empty = [
        title
        for title, query in asked
        if not any(
            value is not None for s in results[query] for row in s["values"] for value in row[1:]
        )
    ]
    assert len(asked) > 12
    assert empty == []
    variables = json.loads(INTEGRATIONS["influxdb"].read())["templating"]["list"]
    for variable in variables[1:]:
        assert scenario.select_range(world, variable["query"], began), variable["name"]


def test_influxdb_has_the_curve_of_the_crash(world):
    states = [value for _, value in recorded(world, "acu-1", "state")]
    changes = [s for n, s in enumerate(states) if n == 0 or s != states[n - 1]]
    assert changes[-1] == 1, changes
    crash = changes.index(3)  # it waits for its next start
    assert 1 in changes[:crash], changes
    assert 2 in changes[crash:], changes
    restarts = [value for _, value in recorded(world, "acu-1", "restarts")]
    assert restarts == sorted(restarts)
    assert restarts[-1] >= 1
    assert {value for _, value in recorded(world, "odd%2Cid%3D1", "target")} == {0}
