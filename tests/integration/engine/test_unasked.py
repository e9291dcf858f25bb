"""What happens to compose files and containers from outside: named, and nothing is ended unasked."""

import yaml

from tests.integration.engine.hosts import entry, running, write_site
from tests.support.engine_projects import service


async def test_another_name_of_the_project_restarts_nothing(make_project):
    project = make_project()
    project.write(["ocs-a", "ocs-b"])
    async with running(project, "a", "b") as host:
        ids = [(await host.up(name))["container"]["id"] for name in "ab"]
        other = f"{project.name}x"
        (project.directory / ".env").write_text(f"COMPOSE_PROJECT_NAME={other}\n")
        says = f"would be '{other}' now, but containers run in '{project.name}'"
        await host.until("it to be said", lambda: says in host.backend.status()["compose.yaml"][2])
        assert any(says in line for line in host.messages)
        assert [await host.running(name) for name in "ab"] == [[each] for each in ids]
        # What is restarted stays with the others.
        await host.docker("kill", ids[0])
        await host.until("another run", lambda: host.count("start", "ocs-a") == 2)
        await host.up("a")
        assert len(project.containers("ocs-a")) == 1
        for name in "ab":
            host.set_targets((name, "down"))
            await host.removed(name)
        await host.backend.refresh()
        assert f"project {other}." in host.backend.status()["compose.yaml"][2]
        host.set_targets(("a", "up"))
        row = await host.up("a")
        assert row["container"]["name"].startswith(other)
        host.set_targets(("a", "down"))
        await host.row("a", next_action="down", container=None)


async def test_another_name_of_the_project_while_no_manager_runs_makes_no_second_copies(
    make_project,
):
    project = make_project()
    project.write(["ocs-a", "ocs-b"])
    project.up("ocs-a", "ocs-b")
    ids = {name: project.container(f"ocs-{name}") for name in "ab"}
    other = f"{project.name}x"
    (project.directory / ".env").write_text(f"COMPOSE_PROJECT_NAME={other}\n")
    async with running(project, "a", "b") as host:
        rows = {name: (await host.up(name))["container"]["id"] for name in "ab"}
        assert rows == ids
        assert (
            f"would be '{other}' now, but containers run in '{project.name}'"
            in (host.backend.status()["compose.yaml"][2])
        )
        assert host.count("start", "ocs-a") == host.count("start", "ocs-b") == 0
        for name in "ab":
            host.set_targets((name, "down"))
            await host.removed(name)
        await host.backend.refresh()
        host.set_targets(("a", "up"))
        assert (await host.up("a"))["container"]["name"].startswith(other)
        host.set_targets(("a", "down"))
        await host.row("a", next_action="down", container=None)


async def test_a_service_taken_out_of_its_file_is_shown_and_ends_with_its_entry(project):
    project.write(["ocs-a", "ocs-b"])
    async with running(project, "a", "b") as host:
        container = (await host.up("a"))["container"]["id"]
        await host.up("b")
        project.write(["ocs-b", "ocs-new"])
        row = await host.row("a", next_action="?", says="keeps running, as an orphan")
        name = project.engine.inspect(container)["Name"].strip("/")
        assert f"Its container {name} keeps running" in row["message"]
        assert await host.do(project.engine.state, container) == "running"
        write_site(project.directory / "site.yaml", ["b", "new"])  # a rename: its entry goes next
        await host.host.update([], reload_config=True)
        await host.until("its container to go", lambda: host.engine.state(container) == "gone")
        assert host.has_message(
            f"a: no longer in the site config; its container {name} is stopped and removed"
        )
        await host.up("new")


async def test_a_service_of_another_name_that_means_the_instance_is_named(project):
    project.write({"weather": service(environment={"INSTANCE_ID": "a"})})
    async with running(project, "a") as host:
        says = "Service 'weather' of compose.yaml has INSTANCE_ID=a in its environment"
        row = await host.row("a", next_action="?", says=says)
        assert "it has to be called 'ocs-a'" in row["message"]
        text = yaml.safe_dump({"services": {"ocs-a": service(environment=["INSTANCE_ID=a"])}})
        project.file.write_text(text)
        await host.up("a")


async def test_who_ended_what_others_have_started_is_said(project):
    project.write(["ocs-a"])
    async with running(project, entry("a", "docker/down")) as host:
        await host.down("a")
        project.up("ocs-a")
        await host.removed("a")
        says = "its container was started by somebody else, but its target is down; it is stopped"
        assert host.has_message(f"a: {says}")
