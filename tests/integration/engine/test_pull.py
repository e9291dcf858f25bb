"""Pulling images that takes its time, and engines that go meanwhile."""

import asyncio
import socket

import pytest

from hostmanager.agent.compose import image_pull
from tests.integration.engine.hosts import entry, make, running, write_site
from tests.support.engine_projects import service


@pytest.fixture
def silent():
    """The address of a registry that accepts connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


async def test_a_long_pull_says_now_and_then_that_it_goes_on(project, silent, monkeypatch):
    monkeypatch.setattr(image_pull, "POLL_INTERVAL", 0.05)
    monkeypatch.setattr(image_pull, "PROGRESS_INTERVAL", 0.2)
    project.write({"ocs-a": service(image=f"{silent}/x:1")})
    async with running(project, entry("a", "docker/down")) as host:
        await host.down("a")
        messages = []
        pull = asyncio.ensure_future(host.backend.pull(messages.append))
        await host.until("it to be said", lambda: sum("still pulling" in s for s in messages) >= 2)
        goes_on = [f"compose.yaml: still pulling {silent}/x:1, for {n} s so far." for n in range(9)]
        assert set(messages) & set(goes_on)
        await host.backend.close()
        assert await pull == (False, "It was cancelled, because the host manager stops.")


async def test_a_pull_that_nobody_waits_for_any_more_is_given_up(project, silent):
    project.write({"ocs-a": service(image=f"{silent}/x:1")})
    async with running(project, entry("a", "docker/down")) as host:
        await host.down("a")
        pull = asyncio.ensure_future(host.backend.pull(host.messages.append))
        await host.until("it to begin", lambda: host.has_message("pulling"))
        pull.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pull


async def test_an_engine_that_freezes_ends_a_pull(make_project, own_engine, silent):
    project = make_project(own_engine)
    project.write({"ocs-a": service(image=f"{silent}/x:1"), "ocs-b": service()})
    async with running(project, entry("a", "docker/down"), "b", watched=False) as host:
        await host.up("b")
        pull = asyncio.ensure_future(host.backend.pull(host.messages.append))
        await host.until("it to begin", lambda: host.has_message("pulling"))
        await host.do(own_engine.freeze)
        try:
            ok, text = await asyncio.wait_for(pull, 60)
            assert not ok
            assert "x:1 was not pulled: The Docker Engine does not answer" in text
            ok, text = await host.backend.remove_orphans(host.messages.append)
            assert (ok, text.startswith("Nothing was removed: ")) == (False, True)
        finally:
            await host.do(own_engine.thaw)
        await host.up("b")


async def test_nothing_can_be_pulled_without_compose_or_files(project):
    project.file.write_text("services: [")
    async with running(project, "a") as host:
        await host.until("it to be read", lambda: host.backend.file_watcher.is_loaded)
        ok, text = await host.backend.pull(host.messages.append)
        assert (ok, text) == (False, "Nothing was pulled: no compose file can be used.")
    write_site(project.directory / "site.yaml", ["a"])
    host = make(project)
    ok, text = await host.backend.pull(host.messages.append)
    assert not ok
    assert text.startswith("Nothing was pulled: ")
    host.parts.journal.close(5)
    host.parts.target_store.close()


async def test_each_image_is_pulled_once_and_profiles_count(project, registry):
    image = registry.push(project.engine, f"{project.name}/once:1")
    services = {f"ocs-{n}": service(image=image) for n in "abc"}
    hidden = registry.push(project.engine, f"{project.name}/hidden:1")
    services["ocs-d"] = service(image=hidden, profiles=["debug"])
    project.write(services)
    async with running(project, *(entry(n, "docker/down") for n in "abcd")) as host:
        await host.down("d")
        messages = []
        assert await host.backend.pull(messages.append) == (True, "All images were pulled.")
        assert messages == [
            f"compose.yaml: pulling {image} (1 of 2).",
            f"{image}: new.",
            f"compose.yaml: pulling {hidden} (2 of 2).",
            f"{hidden}: new.",
        ]
        messages.clear()
        await host.backend.pull(messages.append)
        assert f"{image}: up to date." in messages
        assert f"{hidden}: up to date." in messages
