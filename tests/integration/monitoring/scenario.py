"""A site that is watched by Prometheus and InfluxDB, and one of its agents that breaks."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from hostmanager.testing.crossbar_router import CrossbarRouter
from hostmanager.testing.ports import free_port
from tests.integration.router.steps import Program, wait_child
from tests.support.clients import children, client
from tests.support.managers import command
from tests.support.monitoring import (
    Receiver,
    Service,
    start_alertmanager,
    start_influxdb,
    start_prometheus,
)
from tests.support.processes import kill_all
from tests.support.sites import Site, instance
from tests.support.waiting import wait_for

TIMEOUT = 60.0
DATABASE = "ocs_feeds"

FASTER = """
import sys
from hostmanager.agent.monitoring import resource_usage
from hostmanager.agent.metrics import feed
resource_usage.INTERVAL = feed.FEED_INTERVAL = 2.0
from hostmanager.agent.main import main
main(sys.argv[1:])
"""
"""A manager that measures and publishes more often than once in 30 and 60 s."""

FAKE = instance("fake-1", "--mode", "acq", "--sample-rate", "1", agent_class="FakeDataAgent")
ODD = instance("odd,id=1", manage="host/down")


@dataclass
class Watched:
    """All that runs."""

    site: Site
    page: str
    prometheus: Service
    alertmanager: Service
    influxdb: Service
    receiver: Receiver

    def scrape(self) -> str:
        """The page of the manager."""
        return requests.get(self.page, timeout=30).text

    def write(self, *behaviour: str) -> None:
        """Write the site config; what `acu-1` does is given."""
        host, port = self.influxdb.url.removeprefix("http://").split(":")
        words = ["--host", host, "--port", port, "--database", DATABASE]
        publisher = instance("influx", *words, agent_class="InfluxDBAgent")
        acu = instance("acu-1", "--behave", *behaviour)
        self.site.write(FAKE, ODD, publisher, acu, crossbar_timeout=0)

    def select(self, query: str) -> list[dict[str, Any]]:
        """The series that InfluxDB answers with."""
        answer = self.influxdb.get("/query", db=DATABASE, q=query)["results"][0]
        assert "error" not in answer, f"{query}: {answer}"
        return answer.get("series", [])


@contextmanager
def watched(directory: Path) -> Iterator[Watched]:
    """Start everything; end it."""
    with ExitStack() as stack:
        receiver = Receiver()
        stack.callback(receiver.close)
        alertmanager = stack.enter_context(start_alertmanager(directory / "am", receiver.url))
        port = free_port()
        address = alertmanager.url.removeprefix("http://")
        target = f"127.0.0.1:{port}"
        prometheus = stack.enter_context(start_prometheus(directory / "prom", target, address))
        influxdb = stack.enter_context(start_influxdb(directory / "influx"))
        router = stack.enter_context(CrossbarRouter(directory / "router"))
        site = Site(directory / "site", router, follows_health=True)
        page = f"http://{target}/metrics"
        world = Watched(site, page, prometheus, alertmanager, influxdb, receiver)
        world.write("ok")
        options = ["--metrics", str(port), "--restart-delay-max", "2", "--stop-timeout", "1"]
        _, _, _, *words = command("ours", site, options)
        stack.callback(kill_all, site)
        manager = Program(site, [sys.executable, "-c", FASTER, *words])
        stack.callback(manager.stop)
        manager.wait_ready(TIMEOUT)
        yield world


def break_and_mend(world: Watched) -> None:
    """Have an agent die again and again until somebody is told; then mend it."""
    site, receiver = world.site, world.receiver
    hm = client(site, timeout=TIMEOUT)

    def change(*behaviour: str) -> None:
        world.write(*behaviour)
        hm.update(reload_config=True)
        hm.restart(instances=["acu-1"])

    for name in ("acu-1", "influx", "fake-1"):
        wait_child(hm, name, TIMEOUT, next_action="up")
    wait_for(lambda: children(hm)["fake-1"]["health"] == "ok", TIMEOUT, "fake-1 to be ready")
    wait_for(lambda: recorded(world, "acu-1", "cpu"), TIMEOUT, "InfluxDB to have a sample")

    def told(status: str) -> bool:
        return receiver.of("AgentNotAtTarget", "acu-1")[-1]["status"] == status

    change("exit-at-once")
    wait_child(hm, "acu-1", TIMEOUT, next_action="start_at")  # not only slow to stop
    wait_for(lambda: told("firing"), TIMEOUT, "the alert")
    hm.restart(instances=["fake-1"])
    change("ok")
    wait_child(hm, "acu-1", TIMEOUT, next_action="up")
    wait_for(lambda: told("resolved"), TIMEOUT, "its end")
    ready = "hostmanager_start_to_ready_seconds_count{} > 2"
    wait_for(lambda: ask(world, ready), TIMEOUT, "Prometheus to know that fake-1 is back")
    wait_for(lambda: recorded(world, "acu-1", "state")[-1][1] == 1, TIMEOUT, "the end in InfluxDB")


def recorded(world: Watched, agent: str, field: str) -> list[list[Any]]:
    """All samples of a figure in InfluxDB: time, value."""
    query = f'SELECT "{field}" FROM "HostManager" WHERE "agent" = \'{agent}\''
    return [row for series in world.select(query) for row in series["values"]]


def ask(world: Watched, query: str) -> list[dict[str, Any]]:
    """What Prometheus answers now."""
    answer = world.prometheus.get("/api/v1/query", query=query)
    assert answer["status"] == "success", f"{query}: {answer}"
    return answer["data"]["result"]


def ask_range(world: Watched, query: str, begin: float, end: float) -> list[dict[str, Any]]:
    """What Prometheus answers over a time, a sample for each second."""
    for name, value in {"$__rate_interval": "8s", "$host": ".*", "$agent": ".*"}.items():
        query = query.replace(name, value)
    after = end + 1  # steps count from the begin: the last one within the time may be too old
    answer = world.prometheus.get(
        "/api/v1/query_range", query=query, start=begin, end=after, step=1
    )
    assert answer["status"] == "success", f"{query}: {answer}"
    return answer["data"]["result"]


def select_range(world: Watched, query: str, begin: float) -> list[dict[str, Any]]:
    """What InfluxDB answers since a time."""
    when = f"time > {int(begin * 1e9)}"
    for name, value in {"$timeFilter": when, "$__interval": "1s"}.items():
        query = query.replace(name, value)
    return world.select(query.replace("$host", ".*").replace("$agent", ".*"))
