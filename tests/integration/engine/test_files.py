"""Compose files that change, break, go and come, with containers that run meanwhile."""

import asyncio
import json

from hostmanager.agent.operations.session_data import session_data
from tests.integration.engine.hosts import entry, running, write_site
from tests.support.engine_projects import service

TAG = "hm/files"


def data(host):
    return json.loads(json.dumps(session_data(host.parts)))


def status(host, path="compose.yaml"):
    return data(host)["config_parse_status"][path]


async def reload(host, *entries):
    """What `update(reload_config=True)` does."""
    write_site(host.project.directory / "site.yaml", entries)
    return await host.host.update([], reload_config=True)


async def test_a_service_that_is_added_gets_its_entry_or_a_row_of_its_own(project):
    project.write(["ocs-a"])
    async with running(project, "a", "b") as host:
        row = await host.row("b", next_action="?", operable=False, says="No compose file has a")
        assert row["agent_class"] == "Fake[d?]"
        await host.up("a")
        project.write(["ocs-a", "ocs-b", "other"])
        row = await host.up("b")
        assert (row["agent_class"], row["operable"]) == ("Fake[d]", True)
        row = await host.row("other", next_action="down", target_state="passive")
        assert row["agent_class"] == "[docker]"
        await host.counted("start", "ocs-a", 1)
        assert status(host)[0] is True


async def test_one_that_is_removed_becomes_an_orphan_and_goes_on(project):
    project.write(["ocs-a", "ocs-b", "other"])
    project.up("other")
    async with running(project, "a", "b") as host:
        await host.up("a")
        await host.up("b")
        container = await host.container("ocs-b")
        project.write(["ocs-a"])
        await host.row("b", next_action="?", operable=False)
        await host.until("both orphans", lambda: len(data(host)["orphans"]) == 2)
        orphan = data(host)["orphans"][container]
        assert (orphan["service"], orphan["running"]) == ("ocs-b", True)
        assert (orphan["compose_file"], orphan["container_found"]) == ("compose.yaml", True)
        assert orphan["running_image"] == "lab/busybox:1"
        assert "other" not in host.shown()
        assert await host.do(project.state, "ocs-b") == "running"
        ok, text = await host.backend.remove_orphans(host.messages.append)
        assert ok, text
        assert await host.do(project.state, "ocs-b") == "gone"
        assert await host.do(project.state, "other") == "gone"
        assert host.count("die", "ocs-a") == 0
        await host.until("none to be shown", lambda: data(host)["orphans"] == {})
        assert await host.backend.remove_orphans(host.messages.append) == (
            True,
            "There are no orphans.",
        )


async def test_an_orphan_that_comes_back_into_the_file_is_taken_over_as_it_is(project):
    project.write(["ocs-a"])
    async with running(project, "a") as host:
        await host.up("a")
        container = await host.container("ocs-a")
        project.write(["else"])
        await host.until("an orphan", lambda: container in data(host)["orphans"])
        project.write(["ocs-a"])
        row = await host.up("a")
        assert row["container"]["id"] == container
        assert data(host)["orphans"] == {}
        await host.counted("start", "ocs-a", 1)


async def test_a_renamed_service_is_an_orphan_and_a_new_one(project):
    project.write(["ocs-a"])
    async with running(project, "a", "b") as host:
        await host.up("a")
        project.write(["ocs-b"])
        await host.up("b")
        await host.row("a", next_action="?")
        assert [o["service"] for o in data(host)["orphans"].values()] == ["ocs-a"]


async def test_a_changed_tag_that_is_here_asks_for_a_restart(project):
    project.write(["ocs-a"])
    async with running(project, "a") as host:
        row = await host.row("a", next_action="up", restart_required=False)
        await host.do(project.engine.make_image, f"{TAG}-here:2")
        project.write({"ocs-a": service(image=f"{TAG}-here:2")})
        row = await host.row("a", next_action="up", restart_required=True, says="restart it")
        assert data(host)["new_tags"] == {}
        old = row["container"]["id"]
        host.set_targets(("a", "down"))
        await host.removed("a")
        host.set_targets(("a", "up"))
        row = await host.row("a", next_action="up", restart_required=False, message="")
        assert row["container"]["id"] != old
        assert row["container"]["image"] == f"{TAG}-here:2"


async def test_a_changed_tag_that_is_not_here_is_a_new_tag(project):
    project.write(["ocs-a"])
    async with running(project, "a") as host:
        await host.up("a")
        project.write({"ocs-a": service(image=f"{TAG}-away:3")})
        await host.until("it", lambda: data(host)["new_tags"] == {"a": f"{TAG}-away:3"})
        assert host.shown()["a"]["next_action"] == "up"
        await host.do(project.engine.make_image, f"{TAG}-away:3")
        await host.until("it to be here", lambda: data(host)["new_tags"] == {})
        await host.row("a", restart_required=True)
        assert host.count("die", "ocs-a") == 0


async def test_the_same_tag_with_another_image_asks_for_a_restart(project):
    await asyncio.to_thread(project.engine.make_image, f"{TAG}-same:1", version="1")
    project.write({"ocs-a": service(image=f"{TAG}-same:1")})
    async with running(project, "a") as host:
        await host.row("a", next_action="up", restart_required=False)
        await host.do(project.engine.make_image, f"{TAG}-same:1", version="2")
        await host.row("a", restart_required=True, says="another image of that name")


async def test_changed_settings_ask_for_a_restart_and_changed_back_do_not(project):
    (project.directory / "a.env").write_text("X=1\n")
    (project.directory / ".env").write_text("CMD=1000000\n")
    env = service(env_file="a.env")
    dep = service(depends_on=["ocs-c"])
    var = service(command=["sleep", "$CMD"])

    def write(**keys):
        services = {
            "ocs-c": service(**keys),
            "ocs-env": env,
            "ocs-dep": {**dep, **keys},
            "ocs-var": var,
        }
        project.write(services)

    write()
    ids = ("c", "env", "dep", "var")
    async with running(project, *ids) as host:
        for name in ids:
            await host.row(name, next_action="up", restart_required=False)
        write(environment={"NEW": "1"})
        for name in ("c", "dep"):
            await host.row(name, restart_required=True, says="Its entry in the compose file has")
        (project.directory / "a.env").write_text("X=2\n")
        await host.row("env", restart_required=True)
        assert not host.shown()["var"]["restart_required"]
        (project.directory / ".env").write_text("CMD=1000001\n")
        await host.row("var", restart_required=True)
        write()
        (project.directory / "a.env").write_text("X=1\n")
        (project.directory / ".env").write_text("CMD=1000000\n")
        for name in ids:
            await host.row(name, restart_required=False, next_action="up")
        assert host.count("die", "ocs-c") == 0
    # The next manager knows it, too: by the digests on the containers.
    async with running(project, *ids) as host:
        for name in ids:
            await host.row(name, next_action="up", restart_required=False)
        (project.directory / "a.env").write_text("X=3\n")
        write(environment={"NEW": "2"})
        for name in ("c", "env"):
            await host.row(name, restart_required=True)


async def test_kinds_of_services(project):
    directory = project.directory / "My Dir.X"
    directory.mkdir()
    (directory / "base.yaml").write_text(json.dumps({"services": {"usual": service()}}))
    (directory / "inc.yaml").write_text(json.dumps({"services": {"ocs-inc": service()}}))
    services = {
        "ocs-named": service(container_name=f"{project.name}-chosen"),
        "ocs-prof": service(profiles=["debug"]),
        "ocs-ext": {"extends": {"file": "base.yaml", "service": "usual"}},
    }
    path = "My Dir.X/the file.yaml"
    project.write(services, path, include=["inc.yaml"], name=project.name)
    ids = ("named", "prof", "ext", "inc")
    async with running(project, *ids, files=[path]) as host:
        for name in ids:
            await host.row(name, next_action="up", message="")
        assert host.shown()["named"]["container"]["name"] == f"{project.name}-chosen"
        assert data(host)["orphans"] == {}
        host.set_targets(("prof", "down"), ("named", "down"))
        await host.removed("prof")
        await host.removed("named")
        host.set_targets(("prof", "up"), ("named", "up"))
        await host.up("prof")
        await host.up("named")


async def test_one_that_is_only_built(project):
    (project.directory / "Dockerfile").write_text("FROM lab/busybox:1\n")
    project.write({"ocs-a": service(image=None, build="."), "ocs-b": service()})
    async with running(project, entry("a", "docker/down"), "b") as host:
        await host.row("a", next_action="down", operable=True)
        await host.up("b")
        assert data(host)["new_tags"] == {}
        host.set_targets(("a", "up"))
        # Whether it can be built here or not: either it runs, or it says why not.
        shown = lambda: host.shown()["a"]  # noqa: E731
        row = await host.until(
            "an outcome",
            lambda: (
                shown()["next_action"] in ("up", "start_at")
                and (shown()["message"] or True)
                and shown()
            ),
        )
        assert row["next_action"] == "up" or "build" in row["message"], row
        host.set_targets(("a", "down"))
        await host.row("a", next_action="down")


async def test_a_link_and_a_path_from_elsewhere(project):
    real = project.directory / "real"
    real.mkdir()
    project.write(["ocs-a"], "real/file.yaml")
    (project.directory / "compose.yaml").symlink_to("real/file.yaml")
    async with running(project, "a", files=[f"../{project.name}/compose.yaml"]) as host:
        await host.up("a")
        assert await host.do(project.state, "ocs-a") == "running"
        project.write(["ocs-b"], "real/file.yaml")
        await host.until("an orphan", lambda: len(data(host)["orphans"]) == 1)


async def test_two_files_in_one_directory_leave_each_other_alone(project):
    project.write(["ocs-a"], "one.yaml")
    project.write(["ocs-b"], "two.yaml")
    async with running(project, "a", "b", files=["one.yaml", "two.yaml"]) as host:
        await host.up("a")
        await host.up("b")
        for name in ("a", "b"):
            host.set_targets((name, "down"))
            await host.removed(name)
            host.set_targets((name, "up"))
            await host.up(name)
        assert data(host)["orphans"] == {}
        starts = lambda: (host.count("start", "ocs-a"), host.count("start", "ocs-b"))  # noqa: E731
        await host.until("two starts each", lambda: starts() == (2, 2))
        assert "project " + project.name in status(host, "one.yaml")[2]


async def test_the_same_service_in_two_files_is_reported_and_the_first_counts(project):
    project.write({"ocs-a": service(labels={"from": "one"})}, "one.yaml")
    project.write({"ocs-a": service(labels={"from": "two"})}, "two.yaml")
    async with running(project, "a", files=["one.yaml", "two.yaml"]) as host:
        row = await host.row("a", next_action="up", restart_required=False)
        known = await host.do(project.engine.inspect, row["container"]["id"])
        assert known["Config"]["Labels"]["from"] == "one"
        ok, _, text = status(host, "two.yaml")
        assert ok
        assert "Service 'ocs-a' is in one.yaml, too; that one is used." in text
        # The row can be quicker than the watcher of these tests.
        await host.until("its start", lambda: host.count("start", "ocs-a") == 1)
        await host.stays(1, "one", lambda: host.count("start", "ocs-a") == 1)


async def test_a_project_that_somebody_else_started_otherwise(project):
    project.write(["ocs-a", "ocs-b"])
    project.write(["extra"], "more.yaml")
    other = f"{project.name}-other"
    up = ("up", "-d")
    await asyncio.to_thread(
        project.compose, "-f", "compose.yaml", "-f", "more.yaml", *up, "ocs-a", "extra"
    )
    await asyncio.to_thread(project.compose, "-p", other, *up, "ocs-b")
    try:
        async with running(project, "a", "b") as host:
            await host.up("a")
            assert host.count("start", "ocs-a") == 0  # taken over as it is
            # No second copy of an agent beside the one that somebody started in another project.
            says = (
                f"Service 'ocs-b' is already running, in the container {other}-ocs-b-1 of the "
                f"project '{other}'"
            )
            await host.row("b", next_action="start_at", says=says)
            # What is in the other file is no orphan; what is in the other project is not ours.
            await host.stays(0.5, "none", lambda: data(host)["orphans"] == {})
            ok, _ = await host.backend.remove_orphans(host.messages.append)
            assert ok
            assert await host.do(project.state, "extra") == "running"
            await host.docker("rm", "-f", f"{other}-ocs-b-1")  # as it says
            host.set_targets(("b", "up"))
            await host.up("b")
    finally:
        await asyncio.to_thread(project.compose, "-p", other, "down", "-t", "1")


async def test_a_broken_file_leaves_all_as_it_is_and_dead_containers_are_restarted(project):
    project.write(["ocs-a", "ocs-b", "other"])
    project.up("other")
    async with running(project, "a", entry("b", "docker/down")) as host:
        await host.up("a")
        project.file.write_text("services:\n  ocs-a:\n    image: x\n   command: y\n")
        await host.until("the status to say so", lambda: not status(host)[0])
        assert "compose.yaml, line 4" in status(host)[2]
        assert "Its services stay as they" in status(host)[2]
        await host.until("it to be said", lambda: host.has_message("compose.yaml, line 4"))
        assert sorted(host.shown()) == ["a", "b", "other"]
        assert data(host)["orphans"] == {}
        container = await host.container("ocs-a")
        await host.docker("kill", container)
        await host.row("a", next_action="up", restarts=1)
        assert await host.container("ocs-a") == container
        host.set_targets(("b", "up"))
        await host.row("b", next_action="start_at", says="compose.yaml, line 4")
        host.set_targets(("a", "down"))
        await host.removed("a")
        project.file.unlink()
        await host.until("gone", lambda: "does not exist" in status(host)[2])
        assert sorted(host.shown()) == ["a", "b", "other"]
        project.write(["ocs-a", "ocs-b", "other"])
        await host.up("b")
        assert status(host)[0]
        assert host.count("die", "other") == 0


async def test_a_file_that_is_broken_at_the_start_touches_nothing(project):
    project.write(["ocs-a"])
    project.up("ocs-a")
    project.file.write_text("services: [\n")
    async with running(project, "a") as host:
        row = await host.row("a", next_action="?", says="compose.yaml cannot be used at present")
        assert row["target_state"] == "up"
        assert data(host)["orphans"] == {}
        project.write(["ocs-a"])
        await host.up("a")
        assert host.count("start", "ocs-a") == host.count("die", "ocs-a") == 0


async def test_odd_names(project):
    project.write(["all", "-f", "ocs-a", "ocs-b.b_c-"])
    async with running(project, "a", "b.b_c-") as host:
        await host.up("a")
        await host.up("b.b_c-")
        assert sorted(host.shown()) == ["a", "b.b_c-"]
        assert "'all' is ignored" in status(host)[2]
        assert "'-f' is ignored" in status(host)[2]


async def test_any_prefix_and_none(project):
    project.write(["a", "site.b", "ocs-c"])
    for prefix, ids, passive in (("", "a", {"site.b", "ocs-c"}), ("site.", "b", {"a", "ocs-c"})):
        async with running(project, ids, prefix=prefix) as host:
            await host.up(ids)
            assert set(host.shown()) == {ids, *passive}


async def test_a_service_that_gains_an_entry_and_loses_it(project):
    for prefix, name in (("ocs-", "ocs-b"), ("", "b")):
        project.write([f"{prefix}a", name])
        await asyncio.to_thread(project.up, name)
        async with running(project, "a", prefix=prefix) as host:
            await host.row(name, next_action="up", target_state="passive")
            container = await host.container(name)
            await reload(host, "a", "b")
            row = await host.up("b")
            assert (row["agent_class"], row["container"]["id"]) == ("Fake[d]", container)
            assert sorted(host.shown()) == ["a", "b"]
            assert host.count("die", name) == host.count("start", name) == 0
            await reload(host, "a")
            row = await host.row(name, next_action="down", target_state="passive")
            assert row["agent_class"] == "[docker]"
            assert sorted(host.shown()) == sorted(["a", name])


async def test_no_compose_command_is_reported_and_host_rows_are_shown(project, monkeypatch):
    project.write(["ocs-a"])
    async with running(project, "a", PATH="/nonexistent") as host:
        await host.until("it to be said", lambda: host.has_message("No compose command was found"))
        row = await host.row("a", next_action="?")
        assert status(host)[0] is False
        assert row["operable"] is False
