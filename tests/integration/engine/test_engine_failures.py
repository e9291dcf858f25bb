"""An engine that stops, hangs, hides, refuses or was never there: what is shown, and what is not
done."""

import asyncio
import os
import time

import pytest

from tests.integration.engine.hosts import entry, running
from tests.support.engine_projects import service
from tests.support.private_engine import client

UNKNOWN = {"next_action": "?", "operable": False}


@pytest.fixture
def on_own(own_engine, make_project):
    """A project on an engine of the test's own."""
    return make_project(own_engine)


async def test_stopped_and_started_without_live_restore_the_services_come_up_again(on_own):
    on_own.write(["ocs-a", "watched"])
    await asyncio.to_thread(on_own.up, "watched")
    async with running(on_own, "a", watched=False) as host:
        await host.up("a")
        container = await host.container("ocs-a")
        await host.do(host.engine.stop)
        row = await host.row("a", **UNKNOWN, says="There is no Docker Engine")
        assert "systemctl status docker" in row["message"]
        await host.row("watched", **UNKNOWN)
        await host.do(host.engine.start)
        row = await host.up("a")
        assert row["container"]["id"] == container
        await host.row("watched", next_action="down", target_state="passive")
        message = "docker: The Docker Engine answers again."
        await host.until("it to be said", lambda: host.has_message(message))
        assert len(await host.do(on_own.containers)) == 2


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_with_live_restore_containers_are_shown_again_as_they_were(
    make_engine, make_project, how
):
    project = make_project(make_engine("--live-restore"))
    project.write(["ocs-a", "ocs-b"])
    async with running(project, "a", "b", watched=False) as host:
        rows = [await host.up(i) for i in ("a", "b")]
        if how == "restart":
            await host.do(host.engine.restart)
        else:
            await host.do(host.engine.kill)
            await host.row("a", **UNKNOWN, says="does not run: nothing listens")
            # One dies meanwhile, and nobody sees it.
            os.kill(rows[1]["pid"], 9)
            await host.do(host.engine.start)
        row = await host.up("a")
        assert row["pid"] == rows[0]["pid"]
        assert row["restarts"] == 0
        row = await host.up("b")
        assert (row["pid"] == rows[1]["pid"]) == (how == "restart")
        assert len(await host.running("b")) == 1


async def test_told_while_it_is_stopped_counts_when_it_is_back(on_own):
    on_own.write(["ocs-a", "ocs-b"])
    async with running(on_own, "a", entry("b", "docker/down"), watched=False) as host:
        await host.up("a")
        await host.down("b")
        await host.do(host.engine.stop)
        await host.row("b", **UNKNOWN)
        host.set_targets(("a", "down"), ("b", "up"))
        await host.row("a", **UNKNOWN, target_state="down")
        await host.do(host.engine.start)
        await host.up("b")
        await host.removed_but("a", set(await host.do(on_own.containers, "ocs-a")))
        assert await host.running("a") == []


async def test_frozen_it_is_shown_within_five_seconds_and_back_with_the_truth(on_own):
    on_own.write(["ocs-a", "ocs-b"])
    async with running(on_own, "a", "b", watched=False) as host:
        await host.up("a")
        row = await host.up("b")
        await host.do(host.engine.freeze)
        frozen = time.monotonic()
        os.kill(row["pid"], 9)
        await host.row("a", **UNKNOWN, says="The Docker Engine does not answer")
        took = time.monotonic() - frozen
        print(f"shown after {took:.2f} s")
        host.set_targets(("a", "down"))
        assert host.shown()["a"]["next_action"] == "?"
        await host.do(host.engine.thaw)
        await host.removed("a")
        row = await host.up("b")
        assert row["last_exit"]["code"] == 137
        assert len(await host.running("b")) == 1


async def test_frozen_while_a_service_is_started_or_stopped_it_ends_well(on_own):
    slow = ["sh", "-c", "trap 'sleep 2; exit 0' TERM; sleep 9999 & wait"]
    on_own.write({"ocs-a": service(), "ocs-b": service(command=slow, stop_grace_period="20s")})
    async with running(on_own, entry("a", "docker/down"), "b", watched=False) as host:
        await host.down("a")
        await host.up("b")
        host.set_targets(("b", "down"))
        await host.row("b", next_action="wait_dead")
        await host.do(host.engine.freeze)
        host.set_targets(("a", "up"))
        await host.row("a", **UNKNOWN)
        await host.row("b", **UNKNOWN)
        await host.do(host.engine.thaw)
        await host.up("a")
        await host.removed("b")
        host.set_targets(("b", "up"))
        await host.up("b")
        assert [len(await host.running(i)) for i in ("a", "b")] == [1, 1]


async def test_the_end_of_the_manager_does_not_wait_for_a_frozen_engine(on_own):
    on_own.write(["ocs-a"])
    async with running(on_own, "a", watched=False) as host:
        await host.up("a")
        await host.do(host.engine.freeze)
        try:
            async with asyncio.timeout(30):
                answer = await host.host.stop()
            assert not answer.ok
            assert "does not answer" in answer.text
        finally:
            await host.do(host.engine.thaw)


async def test_its_socket_gone_and_back(on_own):
    on_own.write(["ocs-a"])
    async with running(on_own, "a", watched=False) as host:
        row = await host.up("a")
        await host.settled()
        await host.do(host.engine.hide)
        os.kill(row["pid"], 9)
        await host.row("a", next_action="start_at", says="Cannot connect to the Docker daemon")
        await host.do(host.engine.show)
        row = await host.up("a")
        assert len(await host.running("a")) == 1


async def test_absent_at_the_start_and_started_later(on_own):
    on_own.write(["ocs-a", "ocs-b", "watched"])
    await asyncio.to_thread(on_own.up, "ocs-b", "watched")
    await asyncio.to_thread(on_own.engine.stop)
    async with running(on_own, "a", entry("b", "docker/down"), watched=False) as host:
        for name in ("a", "b", "watched"):
            row = await host.row(name, **UNKNOWN, says="There is no Docker Engine")
        assert host.shown()["a"]["agent_class"] == "Fake[d]"
        host.set_targets(("a", "down"), ("a", "up"))
        assert row["target_state"] == "passive"
        await host.do(host.engine.start)
        await host.up("a")
        await host.down("b")
        await host.row("watched", next_action="down")
        assert sum("There is no Docker Engine" in line for line in host.messages) == 1


async def test_a_stream_that_breaks_again_and_again_loses_nothing(on_own):
    on_own.write(["ocs-a"])
    async with running(on_own, "a", watched=False) as host:
        row = await host.up("a")
        for number in range(5):
            await host.until("the engine is followed", lambda: host.backend.watcher.engine)
            engine = host.backend.watcher.engine
            # As if the connection had broken: its end of the stream is closed.
            for connection in list(engine._docker.session.connector._acquired):
                connection.transport.abort()
            os.kill(row["pid"], 9)
            before = row["pid"]
            await host.until("another", lambda p=before: host.shown()["a"]["pid"] not in (p, None))
            row = await host.up("a")
            assert row["restarts"] == number + 1, "\n".join(host.messages)
            assert len(await host.running("a")) == 1


async def test_an_engine_that_is_killed_while_compose_works(on_own):
    on_own.write(["ocs-a", "ocs-b", "ocs-c"])
    async with running(on_own, *(entry(i, "docker/down") for i in "abc"), watched=False) as host:
        for name in "abc":
            await host.down(name)
        for _ in range(3):
            host.set_targets(("all", "up"))
            await asyncio.sleep(0.12)
            await host.do(host.engine.kill)
            await host.row("a", **UNKNOWN)
            await host.do(host.engine.start)
            for name in "abc":
                await host.up(name)
                assert len(await host.running(name)) == 1
            host.set_targets(("all", "down"))
            for name in "abc":
                await host.removed(name)
    assert client.why_not(on_own.engine.socket) == ""
