"""A service is restarted only if its new container can be had; the old one goes on until then."""

import socket
import time
from dataclasses import replace

import pytest

from hostmanager.agent.operations.session_data import session_data
from hostmanager.core.policy import Policy, RestartPolicy
from hostmanager.testing.ports import free_port
from tests.integration.engine.hosts import entry, running
from tests.support.engine_projects import service

STUBBORN = service(command=["sh", "-c", "trap '' TERM; sleep 1000000 & wait"])
PATIENT = Policy(restart=RestartPolicy(first_delay=0.5, max_delay=0.5))


@pytest.fixture
def closed_registry(registry):
    """A registry that a test may switch off; it is on again for the next one."""
    yield registry
    registry.stop()
    registry.start()


async def ask(host, *ids: str):
    return await host.parts.restarts.request(host.host.chosen_instances(list(ids)))


async def goes_on(host, container: str, says: str):
    """It was not restarted: that container runs, and it is said why."""
    row = await host.row("a", next_action="up", target_state="up", restarting=False, says=says)
    assert "It keeps running as it is." in row["message"]
    assert row["container"]["id"] == container
    assert await host.running("a") == [container]
    assert host.parts.target_store.restarts == {}
    await host.until("it to be said", lambda: host.has_message("a: not restarted: "))


async def comes_anew(host, container: str) -> str:
    """It was restarted: another container runs, and only that."""
    row = await host.until(
        "another container",
        lambda: (
            (row := host.shown()["a"])
            and row["next_action"] == "up"
            and not row["restarting"]
            and row["container"]["id"] != container
            and row
        ),
    )
    new = str(row["container"]["id"])
    assert await host.running("a") == [new]
    await host.until("nothing to be kept", lambda: not host.parts.target_store.restarts)
    return new


async def test_the_container_is_replaced_by_a_new_one(project):
    project.write(["ocs-a", "ocs-b"])
    async with running(project, "a", entry("b", "docker/down")) as host:
        await host.up("a")
        await host.down("b")
        container = await host.container("ocs-a")
        outcome = await ask(host, "a", "b")
        assert outcome.restarting == ("a",)
        assert outcome.left == {"b": "its target is down"}
        await comes_anew(host, container)
        assert host.shown()["a"]["restarts"] == 0
        assert await host.running("b") == []


async def test_what_is_only_watched_is_restarted_and_passive_again(project):
    project.write(["ocs-a", "redis"])
    project.up("redis")
    async with running(project, "a") as host:
        row = await host.row("redis", next_action="up", target_state="passive")
        await ask(host, "redis")
        before = row["container"]["id"]

        def another():
            now = host.shown()["redis"]
            up = (now["next_action"], now["target_state"]) == ("up", "passive")
            return up and now["container"]["id"] != before

        await host.until("another container", another)


async def test_with_the_registry_away_it_goes_on_and_the_reason_is_reported(
    project, closed_registry
):
    """The smallest sample: the image is not here any more, and cannot be pulled now."""
    image = closed_registry.push(project.engine, f"{project.name}/a:1")
    project.write({"ocs-a": service(image=image)})
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        await host.docker("rmi", "--force", image)
        await host.do(closed_registry.stop)
        await ask(host, "a")
        await goes_on(host, container, f"its image {image} is not available: ")
        await host.do(closed_registry.start)
        await ask(host, "a")
        await comes_anew(host, container)


async def test_a_tag_that_the_registry_does_not_have_is_no_reason_to_end_it(project, registry):
    image = registry.push(project.engine, f"{project.name}/a:1")
    project.write({"ocs-a": service(image=image)})
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        project.write({"ocs-a": service(image=f"{image}2")})
        await host.row("a", restart_required=True)
        await ask(host, "a")
        await goes_on(host, container, f"its image {image}2 is not available: ")
        registry.push(project.engine, f"{project.name}/a:12", version="2")
        await ask(host, "a")
        await comes_anew(host, container)
        assert host.shown()["a"]["container"]["image"] == f"{image}2"


async def test_of_what_is_always_pulled_the_registry_is_asked_first(project, closed_registry):
    image = closed_registry.push(project.engine, f"{project.name}/a:1")
    project.write({"ocs-a": service(image=image, pull_policy="always")})
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        await host.do(closed_registry.stop)
        await ask(host, "a")
        await goes_on(host, container, f"its image {image} is not available: ")


async def test_with_a_variable_that_is_not_set_it_goes_on(project):
    project.write(["ocs-a"])
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        project.write({"ocs-a": service(labels=["where=${NOT_SET}/data"]), "other": service()})
        await host.row("a", restart_required=True)
        unset = ": the variable NOT_SET is not set."
        ok, _, text = host.backend.status()["compose.yaml"]
        assert ok
        assert unset in text
        assert host.has_message(unset)
        assert unset in session_data(host.parts)["config_warnings"]["compose.yaml"]
        await ask(host, "a")
        await goes_on(host, container, unset)
        (project.directory / ".env").write_text("NOT_SET=/srv\n")
        await host.until(
            "it to be set", lambda: unset not in host.backend.status()["compose.yaml"][2]
        )
        await ask(host, "a")
        await comes_anew(host, container)


async def test_what_runs_without_a_variable_is_restarted_without_it(project):
    """A site may mean it so: the restart changes nothing."""
    project.write({"ocs-a": service(labels=["where=${NOT_SET}/data"])})
    async with running(project, "a") as host:
        container = (await host.up("a"))["container"]["id"]
        await ask(host, "a")
        await comes_anew(host, container)


async def test_while_its_file_is_broken_it_goes_on(project):
    project.write(["ocs-a"])
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        project.file.write_text("services: {ocs-a: [")
        await host.until("the file to be found broken", lambda: host.has_message("compose.yaml"))
        outcome = await ask(host, "a")
        assert list(outcome.refused) == ["a"]
        await goes_on(host, container, "It was not restarted: ")
        project.write(["ocs-a"])
        await host.until("the file", lambda: host.backend.file_watcher.status["compose.yaml"][0])
        await ask(host, "a")
        await comes_anew(host, container)


async def test_a_down_calls_it_off(project):
    project.write({"ocs-a": {**STUBBORN, "stop_grace_period": "3s"}})
    async with running(project, "a") as host:
        await host.up("a")
        await ask(host, "a")
        await host.row("a", next_action="wait_dead", restarting=True, target_state="up")
        host.set_targets(("a", "down"))
        await host.removed("a")
        await host.row("a", restarting=False, target_state="down")
        assert host.parts.target_store.restarts == {}


async def test_the_next_manager_makes_it_if_the_old_container_is_alive(project):
    project.write({"ocs-a": {**STUBBORN, "stop_grace_period": "3s"}})
    async with running(project, "a") as host:
        pid = (await host.up("a"))["pid"]
        await ask(host, "a")
        await host.row("a", next_action="wait_dead", restarting=True)
        await host.parts.target_store.flush(30.0)
    async with running(project, "a") as host:
        # Ended by then but not removed, the same container is started; else there is another.
        def again():
            row = host.shown()["a"]
            up = row["next_action"] == "up" and not row["restarting"]
            return up and row["pid"] not in (None, pid)

        await host.until("another run", again)
        assert len(await host.running("a")) == 1
        await host.until("nothing to be kept", lambda: not host.parts.target_store.restarts)


async def test_the_next_manager_leaves_alone_what_was_restarted_already(project):
    project.write(["ocs-a"])
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        run = host.parts.snapshot["a"].run.run_id
        await ask(host, "a")
        new = await comes_anew(host, container)
        host.parts.target_store.save_restarts(
            {"a": run}
        )  # as if it had died before it took that off
        await host.parts.target_store.flush(30.0)
    async with running(project, "a") as host:
        await host.up("a")
        await host.until("nothing to be kept", lambda: not host.parts.target_store.restarts)
        assert await host.running("a") == [new]
        assert host.count("die", "ocs-a") == 0


async def test_an_image_that_is_missing_is_tried_ever_more_seldom(project, registry):
    """Other failures are tried again every half second here; `up` and another file, at once."""
    missing = registry.name(f"{project.name}/missing:1")
    project.write({"ocs-a": service(image=missing)})
    async with running(project, "a", policy=PATIENT) as host:

        def seldom():
            due = host.shown()["a"]["next_attempt_at"]
            return due is not None and due - time.time() > 3

        await host.until("a longer pause", seldom)
        project.write(["ocs-a"])
        await host.until("a launch", lambda: not seldom(), 30.0)
        await host.up("a")


async def test_up_tries_at_once_what_waits_for_its_image(project, registry):
    missing = registry.name(f"{project.name}/late:1")
    project.write({"ocs-a": service(image=missing)})
    async with running(project, "a", policy=PATIENT) as host:

        def due():
            return (host.shown()["a"]["next_attempt_at"] or 0) - time.time()

        await host.until("a pause of some seconds", lambda: due() > 5)
        await host.do(registry.push, project.engine, f"{project.name}/late:1")
        host.set_targets(("a", "up"))
        await host.until("an attempt", lambda: due() < 2)
        await host.up("a")


async def test_an_image_that_arrives_is_used_at_once(project, registry):
    image = registry.name(f"{project.name}/late:1")
    project.write({"ocs-a": service(image=image)})
    async with running(project, "a", policy=PATIENT) as host:

        def due():
            return (host.shown()["a"]["next_attempt_at"] or 0) - time.time()

        await host.until("a pause of some seconds", lambda: due() > 5)
        await host.do(project.engine.make_image, image)  # as `docker load` does; nobody says `up`
        await host.until("an attempt", lambda: due() < 2, 4.0)
        await host.up("a")


# --- the router among the services ------------------------------------------------------------


def listens(port: int) -> dict:
    """A service with the network of the host that listens there, as a router does."""
    script = f"trap 'exit 0' TERM; httpd -f -p 127.0.0.1:{port} & wait"
    return service(command=["sh", "-c", script], network_mode="host")


async def answers(host, port: int) -> None:
    def connects() -> bool:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True

    await host.until(f"an answer at port {port}", connects)


async def test_the_service_that_runs_the_router_is_restarted_last_and_alone(project, monkeypatch):
    monkeypatch.setattr("hostmanager.agent.restarts.ROUTER_NOTICE", 0.5)
    port = free_port()
    slow = {**STUBBORN, "stop_grace_period": "2s"}
    project.write({"ocs-bar": listens(port), "ocs-a": slow, "ocs-b": service()})
    async with running(project, "bar", "a", "b") as host:
        for name in ("bar", "a", "b"):
            await host.up(name)
        await answers(host, port)
        url = f"ws://localhost:{port}/ws"
        host.parts.settings = replace(host.parts.settings, router=url)
        router = await host.container("ocs-bar")
        before = {name: await host.container(f"ocs-{name}") for name in ("a", "b")}
        outcome = await ask(host, "all")
        assert outcome.router == "bar"
        assert "bar runs the router: it is restarted last" in " ".join(outcome.lines)
        row = await host.row("bar", next_action="up", restarting=True, says="It runs the router")
        assert row["container"]["id"] == router
        assert "bar" in host.parts.target_store.restarts
        await host.until("the warning", lambda: host.has_message("bar: it runs the router, and is"))
        for name, old in before.items():  # by then, they are through
            assert host.shown()[name]["container"]["id"] != old
            assert not host.shown()[name]["restarting"]

        def replaced() -> bool:
            now = host.shown()["bar"]
            return now["next_action"] == "up" and now["container"]["id"] != router

        await host.until("the router's new container", replaced)
        await answers(host, port)
        ends = [s for action, s, _ in host.watcher.seen if action == "die"]
        assert ends[-1] == "ocs-bar"
        await host.until("nothing to be kept", lambda: not host.parts.target_store.restarts)


async def test_a_service_that_listens_elsewhere_is_restarted_like_any_other(project):
    port = free_port()
    project.write({"ocs-a": listens(port)})
    async with running(project, "a") as host:
        await host.up("a")
        await answers(host, port)
        for url in (f"ws://127.0.0.1:{free_port()}/ws", f"ws://192.0.2.1:{port}/ws", "nonsense"):
            host.parts.settings = replace(host.parts.settings, router=url)
            assert await host.parts.compose.runs_router(url, host.parts.snapshot) is None
        container = await host.container("ocs-a")
        assert (await ask(host, "a")).router is None
        await comes_anew(host, container)
