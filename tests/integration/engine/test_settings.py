"""Manual services and one-shots on a real engine: others operate them, and they end."""

from typing import Any

import pytest

from tests.integration.engine.hosts import entry, running
from tests.support.engine_projects import service

RUNS_AND_ENDS = service(command=["sh", "-c", "sleep 0.5; exit 0"])
FAILS = service(command=["sh", "-c", "exit 3"])


def manual(instance_id: str, manage: str = "docker/up") -> dict[str, Any]:
    return {**entry(instance_id, manage), "host-manager": {"manual": True}}


def one_shot(instance_id: str) -> dict[str, Any]:
    return {**entry(instance_id), "host-manager": {"one-shot": True}}


@pytest.mark.parametrize("manage", ["docker/up", "docker/down"])
async def test_what_others_start_and_stop_is_shown_and_left_alone(project, manage):
    project.write(["ocs-a"])
    async with running(project, manual("a", manage)) as host:
        await host.row("a", next_action="down", target_state="passive")
        await host.do(project.up, "ocs-a")
        await host.row("a", next_action="up", target_state="passive")
        container = await host.container("ocs-a")
        await host.stays(3, "it runs", lambda: host.shown()["a"]["next_action"] == "up")
        await host.docker("stop", "-t", "0", container)
        await host.row("a", next_action="down", target_state="passive")
        await host.stays(3, "it is down", lambda: host.shown()["a"]["next_action"] == "down")
        assert await host.container("ocs-a") == container
        assert host.count("start", "ocs-a") == 1


async def test_a_manual_service_does_once_what_is_requested_and_outlives_its_manager(project):
    project.write(["ocs-a"])
    async with running(project, manual("a")) as host:
        await host.row("a", next_action="down")
        host.set_targets(("a", "up"))
        await host.row("a", next_action="up", target_state="passive")
        container = await host.container("ocs-a")
        assert (await host.host.stop()).ok
        assert await host.do(project.engine.state, container) == "running"
    async with running(project, manual("a")) as host:
        row = await host.row("a", next_action="up", target_state="passive")
        assert row["container"]["id"] == container
        host.set_targets(("a", "down"))
        await host.removed("a")


async def test_a_one_shot_is_done_and_stays_done_for_the_next_manager(project):
    project.write({"ocs-a": RUNS_AND_ENDS, "ocs-b": FAILS})
    async with running(project, one_shot("a"), one_shot("b")) as host:
        row = await host.row("a", next_action="down", target_state="down")
        assert row["done"]["time"] > 0
        assert (row["last_exit"]["code"], row["last_exit"]["expected"]) == (0, True)
        done = row["done"]
        await host.until("attempts of b", lambda: host.shown()["b"]["restarts"] >= 2)
        assert host.shown()["b"]["done"] is None
        await host.counted("start", "ocs-a", 1)
        await host.do(host.parts.target_store._job.result)
    async with running(project, one_shot("a")) as host:
        row = await host.row("a", next_action="down", target_state="down")
        assert row["done"] == done
        assert host.count("start", "ocs-a") == 0
        host.set_targets(("a", "up"))
        await host.until("a second run", lambda: (host.shown()["a"]["done"] or done) != done)
        await host.counted("start", "ocs-a", 1)
