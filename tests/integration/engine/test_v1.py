"""The basic cases with each generation of compose."""

import asyncio
import json
from pathlib import Path

import pytest

from hostmanager.agent.compose import backend as module
from hostmanager.agent.operations.session_data import session_data
from hostmanager.composefile.command import find_compose
from tests.integration.engine.hosts import running
from tests.support import engine as engines
from tests.support.engine_projects import service


@pytest.fixture
def with_generation(v1, monkeypatch):
    """Have the manager find compose of this generation."""
    if v1:
        old = Path(engines.compose_v1())

        async def fixed_compose(_named, environ, cwd):
            return await find_compose(old, environ, cwd)

        monkeypatch.setattr(module, "find_compose", fixed_compose)
    return v1


def data(host):
    return json.loads(json.dumps(session_data(host.parts)))


async def test_up_dies_and_is_back_down(project, with_generation):
    project.write(["ocs-a", "other"])
    async with running(project, "a") as host:
        await host.row("a", next_action="up", restart_required=False)
        assert host.backend.file_watcher.compose.is_v1 == with_generation
        container = await host.container("ocs-a")
        name = host.shown()["a"]["container"]["name"]
        mark = "_" if with_generation else "-"
        assert name == mark.join([project.name, "ocs-a", "1"])
        await host.docker("kill", container)
        await host.row("a", next_action="up", restarts=1)
        assert await host.container("ocs-a") == container
        await host.row("other", next_action="down", target_state="passive")
        host.set_targets(("a", "down"))
        await host.removed("a")
        host.set_targets(("other", "up"))
        await host.row("other", next_action="up", target_state="passive")


async def test_an_orphan_and_a_broken_file(project, with_generation):
    project.write(["ocs-a", "old"])
    # As somebody does it by hand: version 1 writes relative names on its containers then.
    await asyncio.to_thread(project.up, "old", v1=with_generation)
    async with running(project, "a") as host:
        await host.up("a")
        await host.row("old", next_action="up")
        project.write(["ocs-a"])
        await host.until("an orphan", lambda: len(data(host)["orphans"]) == 1)
        (orphan,) = data(host)["orphans"].values()
        assert (orphan["service"], orphan["compose_file"]) == ("old", "compose.yaml")
        project.file.write_text("services:\n  ocs-a:\n    image: x\n    comand: y\n")
        status = lambda: data(host)["config_parse_status"]["compose.yaml"]  # noqa: E731
        await host.until("a complaint", lambda: not status()[0])
        assert "comand" in status()[2]
        assert len(data(host)["orphans"]) == 1
        await host.docker("kill", await host.container("ocs-a"))
        await host.row("a", next_action="up", restarts=1)
        project.write(["ocs-a"])
        await host.until("it to be good", lambda: status()[0])
        ok, text = await host.backend.remove_orphans(host.messages.append)
        assert ok, text
        assert await host.do(project.state, "old") == "gone"
        assert await host.do(project.state, "ocs-a") == "running"


async def test_a_failed_up_says_why(project, with_generation):
    project.write({"ocs-a": service(image="127.0.0.1:9/none:1")})
    async with running(project, "a") as host:
        row = await host.row("a", next_action="start_at", says="127.0.0.1:9")
        assert "connection refused" in row["message"] or "127.0.0.1:9" in row["message"]
        assert data(host)["new_tags"] == {"a": "127.0.0.1:9/none:1"}


async def test_a_container_of_the_other_generation_is_taken_over(project, with_generation):
    project.write(["ocs-a"])
    await asyncio.to_thread(project.up, "ocs-a", v1=not with_generation)
    async with running(project, "a") as host:
        await host.row("a", next_action="up", restart_required=False)
        assert host.count("start", "ocs-a") == 0
        host.set_targets(("a", "down"))
        await host.removed("a")
        host.set_targets(("a", "up"))
        await host.up("a")
