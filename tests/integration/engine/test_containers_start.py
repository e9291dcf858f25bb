"""What runs, or does not, when a manager begins, is told, and ends; and who else is there."""

import asyncio
import json
import socket
from contextlib import closing
from urllib.parse import quote

import psutil
import pytest

from hostmanager.drivers.compose.container import CONFIG_FILES_LABEL, NUMBER_LABEL, ONEOFF_LABEL
from tests.integration.engine.hosts import entry, running
from tests.support.engine import IMAGE
from tests.support.engine_projects import PROJECT, SERVICE, service

IGNORES = ["sh", "-c", "trap '' TERM INT; while :; do sleep 1; done"]


async def test_what_runs_is_taken_over_as_it_is_by_one_manager_after_the_other(project, v1):
    project.write(["ocs-a", "ocs-b"])
    await asyncio.to_thread(project.up, "ocs-a", "ocs-b", v1=v1)
    before = [await asyncio.to_thread(project.container, s) for s in ("ocs-a", "ocs-b")]
    for _ in range(2):
        async with running(project, "a", "b") as host:
            rows = [await host.up(i) for i in ("a", "b")]
            assert [row["container"]["id"] for row in rows] == before
            pids = [await host.do(host.engine.container_pid, c) for c in before]
            assert [row["pid"] for row in rows] == pids
            await host.stays(0.5, "left as it is", lambda: not host.watcher.seen)
            assert [row["restarts"] for row in rows] == [0, 0]
            assert all(row["uptime"] > 0 for row in rows)


async def test_a_target_of_down_ends_what_runs_at_the_start(project):
    project.write(["ocs-a"])
    await asyncio.to_thread(project.up, "ocs-a")
    async with running(project, entry("a", "docker/down")) as host:
        await host.removed("a")
        assert host.count("start", "ocs-a") == 0


async def test_what_is_dead_at_the_start_is_started_or_left(project):
    project.write(["ocs-a", "ocs-b"])
    await asyncio.to_thread(project.up, "ocs-a", "ocs-b")
    await asyncio.to_thread(project.compose, "stop", "ocs-a", "ocs-b")
    container = await asyncio.to_thread(project.container, "ocs-a")
    async with running(project, "a", entry("b", "docker/down")) as host:
        row = await host.up("a")
        assert row["container"]["id"] == container
        await host.down("b")
        assert host.count("start", "ocs-b") == 0


async def test_one_that_runs_already_when_it_is_wanted_is_not_started_again(project):
    project.write(["ocs-a"])
    async with running(project, entry("a", "docker/down")) as host:
        await host.down("a")
        # By hand, while the manager wants it down: that is not what was asked for.
        await host.do(project.up, "ocs-a", v1=False)
        await host.removed("a")
        host.set_targets(("a", "up"))
        await host.up("a")
        await host.until("two starts", lambda: host.count("start", "ocs-a") == 2)


async def test_while_nothing_happens_no_process_is_started(project):
    project.write([f"ocs-a{n}" for n in range(10)])
    async with running(project, *(f"a{n}" for n in range(10))) as host:
        for n in range(10):
            await host.up(f"a{n}")
        children = {child.pid for child in psutil.Process().children()}
        commands = host.backend.file_watcher.compose.runs
        # Longer than the engine is left alone for without a question.
        await host.stays(
            6.0,
            "no process",
            lambda: {child.pid for child in psutil.Process().children()} <= children,
        )
        assert host.backend.file_watcher.compose.runs == commands


async def test_told_up_and_down_in_one_breath(project):
    project.write(["ocs-a"])
    async with running(project, entry("a", "docker/down")) as host:
        await host.down("a")
        host.set_targets(("a", "up"), ("a", "down"))
        await host.removed("a")
        host.set_targets(("a", "up"), ("a", "down"), ("a", "up"))
        await host.up("a")
        host.set_targets(("a", "down"), ("a", "up"))
        await asyncio.sleep(0.1)  # the moment is the point
        await host.up("a")
        assert len(await host.running("a")) == 1
        assert host.shown()["a"]["stability"] == 1.0


@pytest.fixture
def silent_registry():
    """An address that takes connections and never says anything: a pull hangs there."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


async def test_told_down_while_an_image_is_pulled_the_pull_is_called_off(project, silent_registry):
    project.write({"ocs-a": service(image=f"{silent_registry}/thing:1"), "ocs-b": service()})
    async with running(project, "a", "b") as host:
        await host.up("b")
        await host.row("a", next_action="wait_start")
        await host.until("the pull", lambda: host.backend.file_watcher.compose.runs >= 3)
        host.set_targets(("a", "down"))
        row = await host.removed("a")
        assert row["last_exit"] is None
        assert row["stability"] == 1.0
        assert host.count("create", "ocs-a") == 0


async def test_told_down_while_it_is_built_the_build_is_called_off(project):
    (project.directory / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN sleep 98765\n")
    build = {"context": ".", "network": "none"}
    project.write({"ocs-a": service(image=None, build=build)})
    async with running(project, "a") as host:
        await host.row("a", next_action="wait_start")
        await host.until("the build to run", lambda: processes("sleep 98765"))
        host.set_targets(("a", "down"))
        await host.removed("a")
        await host.until("the build to end", lambda: not processes("sleep 98765"))
        assert host.count("create", "ocs-a") == 0


async def test_a_launch_that_fails_says_why_and_is_tried_again(project):
    project.write({"ocs-a": service(command=["/nope/x"]), "ocs-b": service(pull_policy="never")})
    bad = service(image="lab/none:1", pull_policy="never")
    project.write({"ocs-a": service(command=["/nope/x"]), "ocs-b": bad})
    async with running(project, "a", "b") as host:
        await host.row("a", next_action="start_at", says="stat /nope/x: no such file or directory")
        await host.row("b", next_action="start_at", says="lab/none:1")
        host.set_targets(("a", "down"), ("b", "down"))
        await host.removed("a")
        await host.removed("b")


async def test_a_name_that_is_taken_by_somebody_is_reported(project):
    name = f"{project.name}-taken"
    await asyncio.to_thread(project.engine.docker, "create", "--name", name, IMAGE, "true")
    try:
        project.write({"ocs-a": service(container_name=name)})
        async with running(project, "a") as host:
            await host.row("a", next_action="start_at", says=f'"/{name}" is already in use')
            host.set_targets(("a", "down"))
            await host.removed("a")
            assert await host.do(host.engine.state, name) == "created"
            host.set_targets(("a", "up"))
            await host.docker("rm", name)
            row = await host.up("a")
            assert row["container"]["name"] == name
    finally:
        await asyncio.to_thread(project.engine.docker, "rm", "-f", name, check=False)


async def test_an_image_without_a_tag_is_run_and_shown(project, engine):
    image = await asyncio.to_thread(engine.make_image, f"{project.name}:1")
    await asyncio.to_thread(engine.make_image, f"{project.name}:1")  # takes the name away
    project.write({"ocs-a": service(image=image)})
    async with running(project, "a") as host:
        row = await host.up("a")
        assert row["container"]["image_id"] == image
        assert not row["restart_required"]


def processes(argv):
    """Which processes of this machine have exactly this command line."""
    return [p.pid for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == argv.split()]


def create(engine, name, labels):
    body = {"Image": IMAGE, "Cmd": ["sleep", "1000000"], "Labels": labels, "StopTimeout": 0}
    body["HostConfig"] = {"NetworkMode": "none"}
    answer = engine.api("POST", f"/containers/create?name={quote(name)}", body)
    assert answer.status == 201, answer.body
    return str(answer.body["Id"])


async def test_two_hundred_containers_that_are_not_ours_are_left_alone(own_engine, make_project):
    project = make_project(own_engine)
    other = make_project(own_engine)
    project.write(["ocs-a", "watched"])
    other.write(["ocs-a", "watched"])
    await asyncio.to_thread(other.up)
    foreign = [*await asyncio.to_thread(other.containers)]
    odd_labels = [
        {PROJECT: project.name},
        {PROJECT: project.name, SERVICE: ""},
        {SERVICE: "ocs-a"},
        {PROJECT: project.name, SERVICE: "ocs-a", ONEOFF_LABEL: "True", NUMBER_LABEL: "none"},
        {PROJECT: project.name, SERVICE: "stranger", CONFIG_FILES_LABEL: "/somewhere/else.yaml"},
        {PROJECT: "", SERVICE: "ocs-a"},
    ]
    odd = [
        await asyncio.to_thread(create, own_engine, f"odd{n}", e) for n, e in enumerate(odd_labels)
    ]
    names = [f"foreign{number}" for number in range(190)]
    foreign += [await asyncio.to_thread(create, own_engine, name, {}) for name in names]
    alive = [*odd, *foreign[2:7]]
    for container in alive:
        await asyncio.to_thread(own_engine.docker, "start", container)
    async with running(project, "a", watched=False) as host:
        await host.up("a")
        await host.row("watched", next_action="down", target_state="passive")
        seen = {c.service for c in host.backend.watcher.containers.values()}
        assert seen == {"ocs-a", "stranger"}
        assert json.loads(json.dumps(host.backend.orphans())) == {}
        host.set_targets(("all", "down"))
        await host.removed_but("a", {odd[3]})
        host.set_targets(("a", "up"))
        await host.up("a")
        await host.docker("rm", "-f", foreign[8], foreign[2])
        for container in set(alive) - {foreign[2]}:
            assert await host.do(own_engine.state, container) == "running"
        for container in other.containers():
            assert await host.do(own_engine.state, container) == "running"


async def test_compose_run_beside_a_service_is_not_the_service(project):
    project.write(["ocs-a"])
    async with running(project, "a", scale={"ocs-a": 2}) as host:
        await host.up("a")
        container = await host.container("ocs-a")
        once = await host.do(project.compose, "run", "-d", "ocs-a", "sleep", "1000")
        once = once.split()[-1]
        await host.docker("kill", container)
        await host.row("a", next_action="up", restarts=1)
        host.set_targets(("a", "down"))
        await host.row("a", next_action="down")
        await host.until("removal", lambda: host.engine.state(container) == "gone")
        assert await host.do(host.engine.state, once) == "running"
        assert len(await host.running("a")) == 1


async def test_the_end_of_the_manager_stops_what_is_managed_and_nothing_else(project):
    project.write({"ocs-a": service(), "watched": service(), "ocs-b": service(command=IGNORES)})
    await asyncio.to_thread(project.up, "watched")
    async with running(project, "a", "b") as host:
        await host.up("a")
        await host.up("b")
        await host.row("watched", next_action="up")
        async with asyncio.timeout(60):
            answer = await host.host.stop()
        assert answer.ok
        for name in ("ocs-a", "ocs-b"):
            await host.until("removal", lambda name=name: not project.containers(name))
        assert await host.do(project.state, "watched") == "running"


async def test_disowned_services_go_on(project):
    project.write(["ocs-a"])
    async with running(project, "a") as host:
        await host.up("a")
        async with asyncio.timeout(20):
            assert (await host.host.stop(disown_services=True)).ok
        assert await host.do(project.state, "ocs-a") == "running"
        assert host.count("die", "ocs-a") == 0
